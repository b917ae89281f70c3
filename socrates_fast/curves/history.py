"""The steps of one training as its log tells them, whether it ran through or was resumed."""

import json
import math
from array import array
from bisect import bisect_left
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

FIELDS = (
    "loss", "learning_rate", "grad_norm", "tokens", "tokens_per_second", "examples_per_second", "padding", "supervised",
    "peak_memory", "mfu",
)  # fmt: skip
"""What is kept of a step, by the log's names."""


class History:
    """One training, step by step.

    A training that is resumed repeats the steps after its checkpoint, and one that begins anew repeats all: a step that
    comes again takes the place of what stood there and of all that came after it.

    Attributes:
        validation: loss of the validation rows by step; of answers and soft labels in nats per supervised token, of DPO per pair.
    """

    def __init__(self) -> None:
        self._steps = array("q")
        self._fields = {name: array("d") for name in FIELDS}
        self.validation: dict[int, float] = {}
        self._before = self._session = 0.0

    @classmethod
    def read(cls, log: Path) -> "History":
        """The last training of a ``log.jsonl``; without a step if there is no such file, or none in it."""
        history = cls()
        if log.is_file():
            with log.open(encoding="utf-8", errors="replace") as file:
                for text in file:
                    history.add(_parsed(text))
        return history

    def add(self, line: Mapping[str, Any]) -> None:
        """Take in one line of the log; those of other events say nothing here."""
        if line.get("event") != "train" or not isinstance(step := line.get("step"), int):
            return
        if "loss" in line or "learning_rate" in line:
            self._go_back_to(step)
            self._count_seconds(float(line.get("seconds", 0.0)))
            self._steps.append(step)
            for name, values in self._fields.items():
                values.append(float(line.get(name, math.nan)))
        elif "eval_loss" in line:
            self.validation[step] = float(line["eval_loss"])

    def _go_back_to(self, step: int) -> None:
        """Forget ``step`` and what came after it; with nothing left this is another training."""
        kept = bisect_left(self._steps, step)
        if kept == len(self._steps):
            return
        del self._steps[kept:]
        for values in self._fields.values():
            del values[kept:]
        self.validation = {known: loss for known, loss in self.validation.items() if known < step}
        if not kept:
            self._before = self._session = 0.0

    def _count_seconds(self, since_start: float) -> None:
        if since_start < self._session:  # another process
            self._before += self._session
        self._session = since_start

    def __len__(self) -> int:
        return len(self._steps)

    @property
    def last(self) -> int:
        """The last step; 0 if there is none."""
        return self._steps[-1] if self._steps else 0

    @property
    def seconds(self) -> float:
        """Of all processes that worked on this training, each to its last step; lost steps count as well."""
        return self._before + self._session

    def of(self, name: str) -> tuple[Floats, Floats]:
        """Steps that have a value of ``name`` (one of ``FIELDS``), and the values; both of shape (steps,)."""
        values = np.array(self._fields[name], dtype=np.float64)
        known = np.isfinite(values)
        return np.array(self._steps, dtype=np.float64)[known], values[known]

    def validated(self) -> tuple[Floats, Floats]:
        """Steps after which the validation rows were looked at, and their loss; both of shape (validations,)."""
        steps = sorted(self.validation)
        losses = [self.validation[step] for step in steps]
        return np.array(steps, dtype=np.float64), np.array(losses, dtype=np.float64)


def _parsed(text: str) -> dict[str, Any]:
    """A line of the log; nothing where it is no step, or only half a line, as a killed process leaves it."""
    if '"train"' not in text:  # a quick look: logs have tens of thousands of lines
        return {}
    try:
        line = json.loads(text)
    except ValueError:
        return {}
    return line if isinstance(line, dict) else {}
