"""Who is asked what, and what they answer: a study's rows as numbers, each with its fault, if it has one."""

from dataclasses import dataclass

import numpy as np

from socrates_bench.data_plan import Integers, Study
from socrates_bench.data_texts import KINDS
from socrates_fast.recipe import Data

OFF = 0.016
"""Share of the rows whose answer is off its scale."""
COPY_ONE_IN = 6_069
"""Of this many rows, started, one is a copy."""
REASONS = ("off_scale", "missing_code", "open", "same_id", "same_answer")
"""Why a row is left out by default; each row has one reason at most."""


@dataclass(frozen=True)
class Drawn:
    """A study's rows as numbers, one entry a row.

    Attributes:
        person: from 0.
        cell: number of the study's cell.
        text: number of the stimulus.
        response: the answer.
        sample: the row's id.
        reason: number in ``REASONS``, -1 for a row without fault.
    """

    person: Integers
    cell: Integers
    text: Integers
    response: Integers
    sample: Integers
    reason: Integers


def draw(study: Study, random: np.random.Generator) -> tuple[Drawn, tuple[Integers, Integers]]:
    """The rows of one study, and cell and variant of each of its stimuli."""
    copies = -(-study.rows // COPY_ONE_IN)
    person, cell, again = _who_is_asked(study, study.rows - copies)
    variant = _variants(study, person, again, random)
    width = int(variant.max()) + 1
    keys, text = np.unique(cell * width + variant, return_inverse=True)
    response, reason = _answers(study, person, cell, random)
    row, sample, reason = _with_copies(reason, copies, random)
    drawn = Drawn(person[row], cell[row], text[row], response[row], sample, reason)
    return drawn, np.divmod(keys, width)


def _who_is_asked(study: Study, rows: int) -> tuple[Integers, Integers, Integers]:
    """Person, cell, and how often the person was in the cell before, of each row; person after person."""
    cells = len(study.cells)
    first = np.flatnonzero(np.diff(study.cells[:, 0], prepend=-1))
    size = np.diff(first, append=cells)
    crowd = np.arange(rows)  # more than there can be
    arm = crowd % len(first)
    if study.design in ("within", "profiles"):
        start, base, width = crowd * study.answers, np.zeros_like(crowd), np.full_like(crowd, cells)
    else:
        start, base, width = np.zeros_like(crowd), first[arm], size[arm]
    counts = width if study.design == "between" else np.full_like(crowd, study.answers)
    ends = np.cumsum(counts)
    person = np.searchsorted(ends, np.arange(rows), side="right")
    slot = np.arange(rows) - (ends - counts)[person]
    cell = base[person] + (start[person] + slot) % width[person]
    return person, cell, slot // width[person]


def _variants(study: Study, person: Integers, again: Integers, random: np.random.Generator) -> Integers:
    """Number of the stimulus within its cell: never the same twice for one person."""
    most = int(again.max()) + 1
    if study.design == "profiles":
        return person * most + again
    if most == 1:
        return again
    start = random.integers(most + 1, size=int(person.max()) + 1)
    found: Integers = (start[person] + again) % (most + 1)
    return found


def _answers(
    study: Study, person: Integers, cell: Integers, random: np.random.Generator
) -> tuple[Integers, Integers]:
    """Answer and fault of each row."""
    asked = study.questions
    low, high, skip = (
        np.array([getattr(one, name) for one in asked])[cell] for name in ("low", "high", "skip")
    )
    levels = high - low + (skip > high)
    leaning = random.beta(2, 2, len(asked))[cell] + random.normal(0, 0.12, int(person.max()) + 1)[person]
    position = np.clip(leaning + random.normal(0, 0.2, len(cell)), 0, 1 - 1e-9)
    response = low + np.floor(position * levels).astype(np.int64)
    response += response >= skip
    unit = np.where(levels > 1000, 50, 5)
    rounds = (levels > 11) & (random.random(len(cell)) < 0.8)  # as people do
    response = np.where(rounds, np.clip(response // unit * unit, low, high), response)
    is_open = np.array([one.kind == "open" for one in asked])[cell]
    amounts = np.exp(random.normal(2.5, 1.3, len(cell))).astype(np.int64)
    response = np.where(is_open, np.where(random.random(len(cell)) < 1e-4, 60_100_000, amounts), response)
    off = ~is_open & (random.random(len(cell)) < OFF / (1 - KINDS["open"] / sum(KINDS.values())))
    wrong = np.array([one.off_scale() for one in asked])[cell, random.integers(4, size=len(cell))]
    codes = np.isin(wrong, Data.model_fields["missing_codes"].default)
    faults = [REASONS.index(name) for name in ("open", "missing_code", "off_scale")]
    reason = np.select([is_open, off & codes, off], faults, -1)
    return np.where(off, wrong, response), reason


def _with_copies(
    reason: Integers, copies: int, random: np.random.Generator
) -> tuple[Integers, Integers, Integers]:
    """Rows in their order with copies of good ones somewhere after them: number of the row, its id, its fault.

    Half of the copies have their row's id, the rest ids of their own.
    """
    count = len(reason)
    copied = random.choice(np.flatnonzero(reason < 0), copies, replace=False)
    place = np.concatenate([np.arange(count), random.uniform(copied, count)])
    order = np.argsort(place, kind="stable")
    row = np.concatenate([np.arange(count), copied])[order]
    sample = np.arange(count + copies)
    at = np.argsort(order)
    same = random.random(copies) < 0.5
    sample[at[count:][same]] = at[copied[same]]
    repeats = np.where(same, REASONS.index("same_id"), REASONS.index("same_answer"))
    faults = np.concatenate([reason, repeats])[order]
    return row, sample, faults
