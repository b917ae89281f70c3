"""The answer instruction at the end of a stimulus, and what it allows.

SocSci210 keeps the scale only inside the stimulus ("Only return an integer from 1 to 7, where 1 means ..."). A range
that is read wrongly spoils every figure after it, so reading is by exclusion: the first number decides which form the
instruction has, and every digit after it must have a place in that form (a bound, an option, a label). With a digit
left over, two ranges, an option that seems to be missing or a word such as "multiples", nothing is read.
"""

import re
from functools import lru_cache

from socrates_fast.data.answer_forms import BEFORE, RANGE, Reading, band, read_form
from socrates_fast.data.answer_labels import BREAK, as_integer, clauses, labels_fit, merged
from socrates_fast.data.open_questions import is_open

CONTEXT = 400
"""Characters before the instruction in which labels are looked for."""


_START = re.compile(r"Only\s+return\b")


def _start(stimulus: str) -> int | None:
    start = None
    for found in _START.finditer(stimulus):
        start = found.start()
    return start


def instruction_of(stimulus: str) -> str | None:
    """The text that is read: from the last "Only return" on; None if there is none."""
    start = _start(stimulus)
    return None if start is None else stimulus[start:]


def read_stimulus(stimulus: str) -> Reading | None:
    """What the instruction of ``stimulus`` allows, or None; labels, and nothing else, may also stand just before it."""
    start = _start(stimulus)
    if start is None:
        return None
    reading = read_instruction(stimulus[start:])
    if reading is None or reading.labels or reading.high is None:
        return reading
    labels = _labels_before(_plain(stimulus[max(0, start - CONTEXT) : start]), reading)
    return reading._replace(labels=labels)


_SIGNS = str.maketrans(
    dict.fromkeys("“”„‟«»″", '"')
    | dict.fromkeys("‘’‚‛´′", "'")
    | dict.fromkeys("‐‑‒–—―−", "-")
    | dict.fromkeys("\u200b\ufeff\u00ad", None)
)
_QUOTED = re.compile(r"(?<!\w)([\"'])(-?\d+)\1(?!\w)")
_NOTHING = re.compile(r"[\s,;]*\b(?:and )?[Nn]othing else(?=\W*$|[.,;:\"')]|\s+(?:where|with)\b|\s+\()")


def _plain(text: str) -> str:
    """Straight quotes, none around a number; hyphens for all dashes; single spaces; ``BREAK`` for "nothing else"."""
    text = " ".join(text.split())
    if not text.isascii():
        text = text.translate(_SIGNS)
    if "'" in text or '"' in text:
        text = _QUOTED.sub(r"\2", text)
    return _NOTHING.sub(BREAK, text) if "othing else" in text else text


def same_words(instruction: str) -> str:
    """An instruction as it is shown: straight quotes, single spaces, no quote that closes what it did not open."""
    text = " ".join(instruction.translate(_SIGNS).split())
    return text[:-1].rstrip() if text.endswith('"') and text.count('"') % 2 else text


@lru_cache(maxsize=16_384)
def read_instruction(instruction: str) -> Reading | None:
    """What an instruction (see ``instruction_of``) allows by itself; None if it is not clearly one of the known forms.

    The forms: a range ("from 1 to 7", "between 0 and 100", "1 (low) to 7 (high)"), a list ("1, 2, or 3"), labelled
    options ("1 for Yes or 2 for No"), and an open quantity ("an integer representing dollars").
    """
    plain = _plain(instruction.replace(BREAK, ""))
    points = _POINTS.search(plain)
    if points:  # "on a 7-point scale": the 7 counts answers
        plain = plain[: points.start()] + plain[points.end() :]
    if not _DIGIT.search(plain):
        return Reading(0, None) if not points and is_open(plain) else None
    reading = read_form(plain)
    if reading is None or (points and reading.size != int(points[1])):
        return None
    return reading


_DIGIT = re.compile(r"\d")
_POINTS = re.compile(r"\b(\d{1,3})[- ]point\b")


_SHOWN = re.compile(r"[,?.;:)](?=\s|$|[\"'])|\s(?:and then|and was|and were)\b|[\"'](?=\s*(?:$|\())")
_TELLS = frozenset(
    ("=", "(", "means", "meaning", "being", "is", "corresponds to", "corresponding to", "represents")
)


def _labels_before(text: str, reading: Reading) -> tuple[tuple[int, str], ...]:
    """Labels of the answers from what stands before the instruction, if both ends of the scale have one there."""
    assert reading.high is not None  # the caller's check
    found = [(clause.value, clause.label) for clause in clauses(text, 0, _SHOWN) if clause.says in _TELLS]
    for pattern in (RANGE, BEFORE):
        for match in pattern.finditer(text):
            if match["first"] and match["last"]:
                ends = ((as_integer(match["low"]), "first"), (as_integer(match["high"]), "last"))
                found += [(value, band(match[name])) for value, name in ends if value is not None]
    labels = merged(found)
    if labels is None or not {reading.low, reading.high} <= set(labels):
        return ()
    allowed = reading.options or range(reading.low, reading.high + 1)
    fit = all(value in allowed for value in labels) and labels_fit(labels, reading.low, reading.high)
    return tuple(labels.items()) if fit else ()
