"""The real workload's prompts as a file's own tokenizer and template make them. A child (children.py)."""

from typing import Any

from socrates_bench.children import Answer, serve
from socrates_bench.score_work import prompts_of_people
from socrates_fast.infer.library import LlamaModel
from socrates_fast.infer.messages import Settings
from socrates_fast.prompt import ChatRenderer
from socrates_fast.recipe import Order

ORDER: Order = "persona_first"
"""Of the prompt's parts: SocSci210's."""
_SMALL = 64


def start(path: str, people: int) -> tuple[dict[str, Any], Answer]:
    """Token ids of the rows of some people, person by person; no questions follow."""
    model = LlamaModel(Settings(path, context=_SMALL, batch=_SMALL, threads=1, gpu_layers=0, exact=False))
    renderer = ChatRenderer(model.chat_template, model.tokenize, model.template_variables)
    ids = [renderer.prompt_ids(prompt) for prompt in prompts_of_people(people, ORDER)]
    return {"rows": [[int(token) for token in row] for row in ids]}, dict


if __name__ == "__main__":
    serve(start)
