"""Logs of made-up trainings."""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any


def steps(first: int, last: int, loss: float = 2.0, every: int = 0) -> Iterator[dict[str, Any]]:
    """The lines of one process: half a second a step, and a validation after each ``every`` steps."""
    for number, step in enumerate(range(first, last + 1), start=1):
        yield {
            "time": 0.0, "event": "train", "step": step, "seconds": number / 2, "loss": loss + 1 / step,
            "learning_rate": 1e-4, "grad_norm": 0.5, "tokens": 1000, "tokens_per_second": 2000.0,
            "examples_per_second": 8.0, "padding": 0.1, "supervised": 10, "peak_memory": 2**30,
        }  # fmt: skip
        if every and step % every == 0:
            yield {
                "time": 0.0,
                "event": "train",
                "step": step,
                "seconds": number / 2,
                "eval_loss": loss + 0.5,
            }


def written(folder: Path, lines: Iterable[dict[str, Any]]) -> Path:
    """A log.jsonl of these lines."""
    path = folder / "log.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return path
