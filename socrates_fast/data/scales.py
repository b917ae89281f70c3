"""The answers that a question allows, read from the question's own words.

SocSci210 keeps the scale only inside the stimulus ("Only return an integer from 1 to 7, where ..."). A range
that is read wrongly spoils every figure after it, so whatever is not clearly a range or a list of options
is ``None``: unknown.
"""

import re
from dataclasses import dataclass, field
from functools import lru_cache

from socrates_fast.errors import DataError

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


def range_scale(low: int, high: int, labels: dict[int, str] | None = None) -> Scale:
    """The scale of all integers from ``low`` to ``high``."""
    count = high - low + 1
    return Scale(low, high, _every(low, high) if count <= MAX_VALUES else None, labels or {})


@lru_cache(maxsize=16)
def _every(low: int, high: int) -> tuple[int, ...]:
    """Long scales take memory; the texts that state the same one share it."""
    return tuple(range(low, high + 1))


_NUMBER = r"(-?\d+)"
_BAND = r"(?:\s*\([^()]*\))?"  # "from 1 ($0) to 9 ($45)"
_RANGE = re.compile(rf"\bfrom {_NUMBER}{_BAND} to {_NUMBER}\b")
_BETWEEN = re.compile(rf"\bbetween {_NUMBER}{_BAND} and {_NUMBER}\b")
_SAYS = r"(?: ?= ?| for | if | means )"
_OPTION = re.compile(rf"(?<![\w.]){_NUMBER}{_SAYS}(.+?)(?=[;,.()\n]|(?: or| and)? -?\d+{_SAYS}|$)")
"""One labelled value: "1 for Yes", "7 means very likely", "4 = “good”"; it ends where the next begins."""


_OPEN = re.compile(
    r"Only return (?:an |a |the )?(?:positive |non-negative |single |whole |estimated )*"
    r"(?:integer|number)(?: number)? representing (?P<what>[^.;:()\n\d]+?)(?:, nothing else)?[.\"”’']*\s*"
)
"""An instruction that is nothing but "Only return an integer representing WHAT, nothing else."."""
_QUANTITY = re.compile(
    r"\b(?:seconds?|minutes?|hours?|days?|weeks?|months?|years?|dollars?|cents?|usd|euros?|pounds?|amount|number of|"
    r"count|times|people|persons|children|miles|kilometers|kilometres|calories|tokens|points donated)\b|[$€£]",
    re.IGNORECASE,
)
_CHOICE = re.compile(
    r"\b(?:between|from|scale|range|out of|up to|at most|at least|or|either|options?|choices?|choose|chosen|select\w*|"
    r"answers?|responses?|ratings?|rank\w*|scores?|levels?|degrees?|extent|likel\w+|probability|chances?|percent\w*|"
    r"share|proportion|fraction|categor\w+|brackets?|bands?|codes?|agree\w*|zero|one|two|three|four|five|six|seven|"
    r"eight|nine|ten|eleven|twelve|twenty|fifty|hundred|thousand)\b|%",
    re.IGNORECASE,
)
"""Words of a range or of options: with one of them an instruction is not clearly open."""


def _is_open(instruction: str) -> bool:
    found = _OPEN.fullmatch(instruction)
    return bool(found and _QUANTITY.search(found["what"]) and not _CHOICE.search(found["what"]))


def parse_scale(stimulus: str) -> Scale | None:
    """The scale that the answer instruction at the end of ``stimulus`` states, or None if it states none.

    Only the text from the last "Only return" on is read, so that numbers in the vignette cannot be mistaken
    for the scale. Ranges ("from 1 to 7"), listed options ("1 for Yes or 2 for No") and open quantities ("an integer
    representing the hours", with no number, range or choice in the instruction) are understood; an open
    scale goes from 0 to ``OPEN_HIGH`` and has no ``values``.
    """
    start = stimulus.rfind("Only return")
    if start < 0:
        return None
    instruction = stimulus[start:]
    found = _RANGE.search(instruction) or _BETWEEN.search(instruction)
    if found:
        low, high = int(found[1]), int(found[2])
        return range_scale(low, high, _options(instruction[found.end() :])) if low < high else None
    options = _options(instruction)
    if len(options) < 2:
        return Scale(0, OPEN_HIGH, None) if _is_open(instruction) else None
    values = tuple(sorted(options))
    return Scale(values[0], values[-1], values, options)


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


def _options(text: str) -> dict[int, str]:
    return {int(number): label.strip(" “”\"‘’'") for number, label in _OPTION.findall(text)}
