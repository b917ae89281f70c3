"""Llama, the class that llama-cpp-python's users know, asked row by row: generate, then parse. A child (children.py).

It gets the rendered prompts as token ids, so that it spends nothing on rendering and tokenising, and reuses the
prefix that a row shares with the row before it, as it does by itself. Greedy, a few tokens at most.
"""

import re
import time
from collections.abc import Sequence
from typing import Any

from socrates_bench.children import Answer, serve

MAX_TOKENS = 4
"""Enough for 100 and the end of the answer."""
_NUMBER = re.compile(r"\s*(-?\d+)")


def start(
    path: str, threads: int, gpu_layers: int, context: int, flash_attention: bool
) -> tuple[dict[str, Any], Answer]:
    """Load the model; each question then is rows of token ids, its answer what each row took."""
    from llama_cpp import Llama

    class Timed(Llama):  # type: ignore[misc]  # llama_cpp is untyped here
        """Remembers when the first token of a completion was there."""

        first_token = 0.0

        def sample(self, *arguments: Any, **options: Any) -> int:
            """Sample a token."""
            token = int(super().sample(*arguments, **options))
            self.first_token = self.first_token or time.perf_counter()
            return token

    model = Timed(
        model_path=path, n_ctx=context, n_threads=threads, n_threads_batch=threads, n_gpu_layers=gpu_layers,
        flash_attn=flash_attention, verbose=False,
    )  # fmt: skip

    def answer(rows: Sequence[Sequence[int]]) -> dict[str, Any]:
        return {"rows": [_row(model, list(ids)) for ids in rows]}

    return {}, answer


def _row(model: Any, ids: list[int]) -> dict[str, Any]:
    """Generate and parse one answer."""
    started = time.perf_counter()
    model.first_token = 0.0
    made = model.create_completion(ids, max_tokens=MAX_TOKENS, temperature=0.0)
    text = made["choices"][0]["text"]
    parsed = _NUMBER.match(text)
    return {
        "seconds": time.perf_counter() - started,
        "seconds_to_first_token": model.first_token - started,
        "generated": made["usage"]["completion_tokens"],
        "answer": int(parsed[1]) if parsed else None,
    }


if __name__ == "__main__":
    serve(start)
