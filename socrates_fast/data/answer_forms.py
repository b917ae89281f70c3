"""The forms of an instruction that has a number in it: a range, a list, labelled options.

The text comes as ``instructions`` makes it (see ``answer_labels``). Every digit must have a place in the form that the
first number begins; else nothing is read.
"""

import re
from functools import lru_cache
from typing import NamedTuple

from socrates_fast.data.answer_labels import (
    LONGEST,
    Clause,
    as_integer,
    clauses,
    clean,
    hide_numbers,
    labels_fit,
    merged,
    number,
)
from socrates_fast.data.open_questions import QUANTITY


class Reading(NamedTuple):
    """What an instruction allows.

    Attributes:
        low: smallest answer.
        high: largest answer; None if it asks for a quantity and states no range.
        options: the answers, ascending, if they are listed; None for every integer from ``low`` to ``high``.
        labels: what some answers mean, as (answer, text), ascending.
    """

    low: int
    high: int | None
    options: tuple[int, ...] | None = None
    labels: tuple[tuple[int, str], ...] = ()

    @property
    def size(self) -> int:
        """Number of answers; 0 for an open question."""
        if self.options is not None:
            return len(self.options)
        return 0 if self.high is None else self.high - self.low + 1


_CHANGES = r"even|odd|multiples?|increments?|steps?|exclu\w+|except|unless|otherwise|instead|blank|infinity"
_HEAD_VETO = re.compile(
    rf"\b(?:{_CHANGES}|not|decimals?|fractions?|at least|at most|more than|less than|fewer than|greater than|above|"
    r"below)\b",
)
"""Words before the first number that change what it allows."""
_REST_VETO = re.compile(
    rf"\b(?:{_CHANGES}|(?:or|return|enter|use|choose|select|answer|put|write|give) (?:a |an )?(?:zero|one|two|three|"
    r"four|five|six|seven|eight|nine|ten|minus))\b"
    r"|^\W*(?:different |distinct )?(?:words|sentences|characters|letters|paragraphs|digits|numbers|integers|values|"
    r"answers|options|items)\b",
)
"""Words outside of labels that change what the numbers before them allow."""
_UNIT = r"(?:\s?%|\s(?:percent|dollars?|cents|points?|hours?|minutes?|days?|weeks?|months?|years?|times|people)\b)?"
_BAND = r"(?:\s?\((?P<{}>(?:[^()]|\([^()]*\))*)\))?"
RANGE = re.compile(
    number("low")
    + _UNIT
    + _BAND.format("first")
    + r"(?P<link>\s?,?\s(?:to|through|thru|until|up to|and)\s+|\s?-\s?)"
    + number("high")
    + r"(?P<end>)"
    + _UNIT
    + _BAND.format("last")
)
BEFORE = re.compile(
    r"\bfrom (?P<first>[^()\d]{1,60}?) \(" + number("low") + r"\) (?:to|through) "
    r"(?P<last>[^()\d]{1,60}?) \(" + number("high") + r"(?P<end>)\)"
)
"""The labels before the numbers: "from Worthless (1) to Worthy (7)"."""
_ITEM = r"[-+]?\d+(?:,\d{3})*(?![\w%+]|[./:]\d)"
_LIST = re.compile(rf"{_ITEM}(?:(?:\s?[,;]\s?(?:or )?| or ){_ITEM})+")
_ITEMS = re.compile(r"[-+]?(?:\d{1,3}(?:,\d{3})+(?!\d|,\d{1,2}\b)|\d+)")
_DIGIT = re.compile(r"\d")
_FIRST = re.compile(r"(?:(?<![\w)])[-+])?[$€£]?\d")


def read_form(flat: str) -> Reading | None:
    """What a range, a list or labelled options allow, whichever the first number begins; None if it is none clearly.

    Args:
        flat: the instruction, from "Only return" on, with a digit in it.
    """
    first = _FIRST.search(flat)
    assert first is not None  # the caller has found a digit
    place = first.start()
    head = flat[len("Only return") : place]
    if _changes(_HEAD_VETO, head):
        return None
    found = BEFORE.search(flat) if head.endswith("(") else None
    if found and found.start("low") == place:
        return _range(flat, found)
    found = RANGE.match(flat, place)
    if found and (found["link"].strip(" ,") != "and" or head.endswith("between ")):
        return _range(flat, found)
    listed = _LIST.match(flat, place)
    if listed and not head.endswith(("from ", "between ")):
        return _list(flat, listed)
    return _options(flat, head, place)


@lru_cache(maxsize=2048)
def _changes(veto: re.Pattern[str], text: str) -> bool:
    """Whether a text has a word of ``veto``; few texts recur often."""
    return veto.search(text.lower()) is not None


def _range(flat: str, found: re.Match[str]) -> Reading | None:
    low, high = as_integer(found["low"]), as_integer(found["high"])
    if low is None or high is None or low >= high:
        return None
    first, last = found["first"], found["last"]
    labels = [(low, band(first)), (high, band(last))] if first else []
    stop = found.end() if first else found.end("end")  # "from 1 to 5 (1 = low; 5 = high)": no band
    return _labelled(flat, stop, Reading(low, high), labels)


def band(text: str | None) -> str:
    """The label in the parentheses after a bound: "1 (never) to 5 (always)"; empty if it is none."""
    if text is None or not re.search(r"\w", text) or re.search(r"\binclu|\bwhole number|\binteger", text):
        return ""
    return clean(text)


def _list(flat: str, found: re.Match[str]) -> Reading | None:
    values = [as_integer(text) for text in _ITEMS.findall(found[0])]
    numbers = [value for value in values if value is not None]
    if len(numbers) < len(values) or len(numbers) < 2 or not _monotone(numbers):
        return None
    return _labelled(flat, found.end(), Reading(min(numbers), max(numbers), tuple(sorted(numbers))), [])


def _monotone(numbers: list[int]) -> bool:
    return numbers in (sorted(set(numbers)), sorted(set(numbers), reverse=True))


def _labelled(flat: str, start: int, reading: Reading, labels: list[tuple[int, str]]) -> Reading | None:
    """``reading`` with the labels that follow it, if nothing that follows contradicts it."""
    assert reading.high is not None  # only closed readings get here
    found = clauses(flat, start)
    together = merged([*labels, *((clause.value, clause.label) for clause in found)])
    if together is None or hide_numbers(found) or any(clause.says == "to" for clause in found):
        return None
    given = {clause.value for clause in found}
    choice = any(clause.says in ("for", "if") for clause in found)
    if reading.options is not None and not given <= set(reading.options):
        return None
    if reading.options is None and not labels_fit(given, reading.low, reading.high, choice):
        return None
    rest = _rest(flat, start, found, reading)
    if _DIGIT.search(rest) or _changes(_REST_VETO, rest) or (reading.options and _AND_SO_ON.search(rest)):
        return None
    return reading._replace(labels=tuple(together.items()))


_OUT_OF = re.compile(r"\bout of (\d{1,18})\b")


def _rest(flat: str, start: int, found: list[Clause], reading: Reading | None = None) -> str:
    """What neither a clause nor a repetition of the range accounts for."""
    pieces, place = [], start
    for clause in found:
        pieces.append(flat[place : clause.start])
        place = clause.stop
    rest = " | ".join([*pieces, flat[place:]])
    if reading is None or reading.options is not None or not _DIGIT.search(rest):
        return rest
    for again in reversed(list(RANGE.finditer(rest))):
        if (as_integer(again["low"]), as_integer(again["high"])) == (reading.low, reading.high):
            rest = rest[: again.start()] + rest[again.end("end") :]
    return _OUT_OF.sub(lambda found: "" if int(found[1]) == reading.high else found[0], rest)


_ANCHORS = re.compile(r"\b(?:where|with|scale|such that|so that)\b", re.IGNORECASE)
_DRESSED = re.compile(r"[-+]?(?:[$€£]|\d{1,3},)")
_TO = re.compile(r"(?:to|through)$")
_AND_SO_ON = re.compile(r"\.\.|…|\b(?:so on|so forth|etc)\b")
_NUMERAL = re.compile(
    r"(?:zero|one|two|three|four|five|six|seven|eight|nine|ten|\w+ty|\w+teen|a? ?hundred)\b"
)


def _options(flat: str, head: str, place: int) -> Reading | None:
    """Labelled options from ``place`` on, or a range by its labelled ends ("1 if never, up to 4 if always")."""
    found = clauses(flat, place)
    values = [clause.value for clause in found]
    if len(found) < 2 or found[0].start != place or not all(clause.label for clause in found):
        return None
    labels = merged([(clause.value, clause.label) for clause in found])
    if labels is None or len(labels) < len(values) or not _are_answers(found) or QUANTITY.search(head):
        return None
    if len({_DRESSED.match(flat, clause.start) is None for clause in found}) > 1:
        return None  # "4 for $1,000 to $5,000 (or so)": the last is no answer
    rest = _rest(flat, place, found)
    if _DIGIT.search(rest) or _changes(_REST_VETO, rest):
        return None
    reading = Reading(min(values), max(values), None, tuple(labels.items()))
    between = len(found) == 2 and found[-1].link == "and" and head.endswith("between ")
    if between or _TO.search(found[-1].link):
        return reading if _is_ladder(found, values) else None
    return reading._replace(options=tuple(sorted(values))) if _is_complete(found, values, head) else None


def _are_answers(found: list[Clause]) -> bool:
    """Whether no number is too large, and "1 to accept, 2 to reject" is said of all or of none."""
    to = [clause.says == "to" for clause in found]
    if any(to) and not (all(to) and not any(_NUMERAL.match(clause.label) for clause in found)):
        return False
    return all(abs(clause.value) <= LONGEST for clause in found)


def _is_ladder(found: list[Clause], values: list[int]) -> bool:
    """Whether the labelled numbers are the ends of a range, and some between, in their order."""
    once = not any(_TO.search(clause.link) for clause in found[1:-1])
    return once and values == sorted(values) and not hide_numbers(found)


def _is_complete(found: list[Clause], values: list[int], head: str) -> bool:
    """Whether the labelled numbers are all the answers, and not the ends and the middle of a range, or some of them."""
    if any(_TO.search(clause.link) or _AND_SO_ON.search(clause.gap) for clause in found):
        return False
    gaps = max(values) - min(values) + 1 > len(values)
    if gaps and (found[-1].link.split()[:1] != ["or"] or _ANCHORS.search(head)):
        return False
    if any(clause.plain and _AND_SO_ON.search(clause.label) for clause in found):
        return False
    if not _monotone(values) and any(_DIGIT.search(clause.label) for clause in found):
        return False
    return not hide_numbers(found, values)
