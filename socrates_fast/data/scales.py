"""The answers that a question allows: read from the question's own words, or declared.

Whatever is not clearly a range, a list of options or an open quantity is ``None``: unknown.
"""

import re
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Literal

from socrates_fast.data.answer_forms import Reading
from socrates_fast.data.instructions import instruction_of, read_stimulus
from socrates_fast.errors import DataError

__all__ = [
    "MAX_VALUES", "OPEN_HIGH", "Kind", "Scale", "declared_scale", "instruction_of", "parse_scale", "range_scale", "scale_of",
]  # fmt: skip

Kind = Literal["range", "options", "open"]
"""What kind of scale it is; see ``Scale.kind``."""

MAX_VALUES = 100_001
"""A range with more values than this is not enumerated (``values`` is None)."""

OPEN_HIGH = 10**9
"""Largest answer to an open question, which states none; the smallest is 0."""


@dataclass(frozen=True)
class Scale:
    """The answers that a question allows.

    Attributes:
        low: smallest allowed answer, in the answer's own unit.
        high: largest allowed answer.
        values: all allowed integers, ascending; None if the question is open or the range is too wide.
        labels: what some of the values mean, as far as the question says.
    """

    low: int
    high: int
    values: tuple[int, ...] | None
    labels: dict[int, str] = field(default_factory=dict, hash=False)

    @property
    def span(self) -> int:
        """``high - low``, the unit in which errors are normalised (at least 1)."""
        return max(1, self.high - self.low)

    @property
    def kind(self) -> Kind:
        """``open``: a quantity without a range. ``options``: values are left out, or each of them has a label.

        ``range``: any other; also one too wide to be enumerated, whose ``values`` are None.
        """
        if self.values is None:
            return "open" if (self.low, self.high) == (0, OPEN_HIGH) else "range"
        gaps = len(self.values) <= self.high - self.low
        return "options" if gaps or self.labels.keys() >= set(self.values) else "range"


def range_scale(low: int, high: int, labels: dict[int, str] | None = None) -> Scale:
    """The scale of all integers from ``low`` to ``high``."""
    count = high - low + 1
    return Scale(low, high, _every(low, high) if count <= MAX_VALUES else None, labels or {})


@lru_cache(maxsize=16)
def _every(low: int, high: int) -> tuple[int, ...]:
    """Long scales take memory; the texts that state the same one share it."""
    return tuple(range(low, high + 1))


def parse_scale(stimulus: str) -> Scale | None:
    """The scale that the answer instruction at the end of ``stimulus`` states, or None if none is clearly stated.

    Only the text from the last "Only return" on is read (``instructions`` says how), so that numbers in the vignette
    cannot be mistaken for the scale; labels may also stand just before it. An open scale goes from 0 to ``OPEN_HIGH``
    and has no ``values``.
    """
    reading = read_stimulus(stimulus)
    return None if reading is None else scale_of(reading)


def scale_of(reading: Reading) -> Scale:
    """The scale of what was read from an instruction (``instructions.read_instruction``)."""
    if reading.high is None:
        return Scale(0, OPEN_HIGH, None)
    if reading.options is None:
        return range_scale(reading.low, reading.high, dict(reading.labels))
    return Scale(reading.low, reading.high, reading.options, dict(reading.labels))


_NUMBER = r"(-?\d+)"
_DECLARED_RANGE = re.compile(rf"{_NUMBER}\s*(?:-|–|\.\.|to)\s*{_NUMBER}")
_DECLARED_OPTION = re.compile(rf"{_NUMBER}(?:\s*=\s*(.+))?", re.DOTALL)
_LONGEST = 10**15


def declared_scale(text: str) -> Scale:
    """A scale as a person types it: "1-7", "-3..3", "1,2,4", "1=Yes, 2=No", or "open" (0 to ``OPEN_HIGH``).

    Raises:
        DataError: it is none, or allows less than two answers.
    """
    text = text.strip()
    if text.lower() == "open":
        return Scale(0, OPEN_HIGH, None)
    found = _DECLARED_RANGE.fullmatch(text)
    options = [_DECLARED_OPTION.fullmatch(part.strip()) for part in text.split(",")]
    given = [option for option in options if option is not None]
    if not found and len(given) < len(options):
        raise DataError(
            f"scale {text!r}: not understood; give a range (1-7), a list (1,2,4 or 1=Yes,2=No), or open"
        )
    numbers = [int(found[1]), int(found[2])] if found else [int(option[1]) for option in given]
    if max(map(abs, numbers)) > _LONGEST:
        raise DataError(f"scale {text!r}: numbers go to {_LONGEST}")
    if len(numbers) < 2 or len(set(numbers)) < len(numbers) or (found and numbers[0] > numbers[1]):
        raise DataError(
            f"scale {text!r}: it takes two different answers at least, each once, the lower one first"
        )
    if found:
        return range_scale(numbers[0], numbers[1])
    labels = {int(option[1]): option[2].strip() for option in given if option[2]}
    values = tuple(sorted(numbers))
    return Scale(values[0], values[-1], values, labels)
