"""Real chat templates, from llama.cpp's collection: our prompts are those that Transformers renders."""

from pathlib import Path
from typing import Any

import pytest

from socrates_fast.data.scales import range_scale
from socrates_fast.prompt import ChatRenderer, Prompt

pytestmark = pytest.mark.oracle

SYSTEM, USER = "You are simulating a survey respondent.", "How fair is it? From 1 to 7."
TOKENS = {"bos_token": "<BOS>", "eos_token": "<EOS>"}
FOLDED = ("google-gemma-2-2b-it",)
"""Templates that refuse a system line."""

WITHOUT_THINKING: dict[str, dict[str, Any]] = {
    "Qwen-Qwen3-0.6B": {"enable_thinking": False},
    "HuggingFaceTB-SmolLM3-3B": {"enable_thinking": False},
}
"""Arguments that switch off thinking, where a template knows of it."""

NAMES = [
    "meta-llama-Llama-3.1-8B-Instruct", "meta-llama-Llama-3.2-3B-Instruct", "meta-llama-Llama-3.3-70B-Instruct",
    "microsoft-Phi-3.5-mini-instruct", "google-gemma-2-2b-it", "mistralai-Mistral-Nemo-Instruct-2407",
    "Qwen-Qwen2.5-7B-Instruct", "Qwen-Qwen3-0.6B", "deepseek-ai-DeepSeek-R1-Distill-Llama-8B",
    "HuggingFaceTB-SmolLM3-3B",
]  # fmt: skip

PREFILLED = {"deepseek-ai-DeepSeek-R1-Distill-Llama-8B": "<think>\n"}
"""What a template opens an answer with although a finished answer does not begin so."""


def codes(text: str, special: bool) -> list[int]:
    """A tokenizer whose tokens are characters."""
    return [ord(character) for character in text]


def rendered(template: str, messages: list[dict[str, str]], asked: bool, **arguments: Any) -> str:
    from transformers.utils.chat_template_utils import render_jinja_template

    texts, _ = render_jinja_template(
        conversations=[messages], chat_template=template, add_generation_prompt=asked, **TOKENS, **arguments
    )
    return str(texts[0])


@pytest.mark.parametrize("system", ["", SYSTEM], ids=["plain", "system"])
@pytest.mark.parametrize("name", NAMES)
def test_prompts_are_those_of_transformers(llama_cpp: Path, name: str, system: str) -> None:
    template = (llama_cpp / "models" / "templates" / f"{name}.jinja").read_text(encoding="utf-8")
    renderer = ChatRenderer(template, codes, TOKENS)
    prompt = "".join(map(chr, renderer.prompt_ids(Prompt(system, USER, range_scale(1, 7)))))
    messages = [{"role": "system", "content": system}] if system else []
    messages.append({"role": "user", "content": USER})
    if system and name in FOLDED:
        messages = [{"role": "user", "content": f"{system}\n\n{USER}"}]
    arguments = WITHOUT_THINKING.get(name, {})
    if "date_string" in template:
        arguments = {**arguments, "date_string": "26 Jul 2024"}
    expected = rendered(template, messages, True, **arguments)
    if "strftime_now" in template and "date_string" not in template:
        prompt, expected = without_date(prompt), without_date(expected)
    assert expected == prompt + PREFILLED.get(name, "")
    # A finished conversation goes on with the answer and the token that ends it.
    if name not in ("mistralai-Mistral-Nemo-Instruct-2407",) or not system:
        finished = rendered(template, [*messages, {"role": "assistant", "content": "7"}], False, **arguments)
        if "strftime_now" in template and "date_string" not in template:
            finished = without_date(finished)
        assert finished.startswith(prompt + "7" + chr(renderer.end_id))


def without_date(text: str) -> str:
    """``text`` without the line that gives the day."""
    return "\n".join(line for line in text.split("\n") if "Date" not in line)
