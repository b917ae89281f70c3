"""The plan of a made-up SocSci210: how many studies, and of each its rows, arms, tasks, cells, design and scales.

The full one has SocSci210's own counts. A smaller one shrinks the number of studies and their size alike, by the square
root of the share, so that studies of a few thousand rows in all still have several tasks, designs and kinds of scales.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from socrates_bench.data_people import fields_of_studies
from socrates_bench.data_texts import KINDS, LONGEST, SHORTEST, Question, make_question

ROWS, STUDIES, PEOPLE, CONDITIONS, TASKS, CELLS = 2_901_390, 210, 400_491, 1_194, 1_197, 5_998
"""Counts of the whole."""
LEAST_ROWS = 1_000
"""Fewer make no studies of every design."""
REPEATS, WITHIN = 96, 35
"""Studies in which a task comes again with another stimulus; those of them in which a person is in several conditions."""
ONE_ARM, MOST_ARMS = 5, 96
"""Studies with one condition; conditions of the study that has most."""
PROFILE_ROWS = 0.03
"""Share of the rows that have a stimulus of their own (profiles, as in conjoint studies)."""
OTHER_RANGE, OTHER_LABELS = 14, 57
"""Tasks whose scale, or only its labels, differ between conditions."""
MEDIAN_LENGTH = 520
LENGTH_SPREAD = 0.8
"""Characters of a stimulus: the median as planned, and the standard deviation of their logarithm between studies."""

Integers = NDArray[np.int64]


@dataclass(frozen=True)
class Study:
    """What is planned of one study.

    Attributes:
        name: its id.
        number: its place; seeds its texts and answers.
        rows: of it.
        cells: [cells, 2], condition and task, ordered by condition.
        design: ``between``, ``repeats``, ``within`` or ``profiles``.
        answers: of a person; of ``between``, one for each task of their condition.
        arms: conditions whose text differs.
        length: characters of its stimuli, about.
        questions: of each cell.
        fields: that its people have.
    """

    name: str
    number: int
    rows: int
    cells: Integers
    design: str
    answers: int
    arms: int
    length: int
    questions: tuple[Question, ...]
    fields: frozenset[str]


def plan(rows: int, seed: int) -> list[Study]:
    """Plan ``rows`` rows; the same seed gives the same plan."""
    random = np.random.default_rng(seed)
    share = rows / ROWS
    studies = max(6, round(STUDIES * share**0.5))
    sizes = random.permutation(spread(rows, studies, 0.785, 1, rows))
    tasks = _beside(sizes, spread(_of(TASKS, studies), studies, 0.75, 1, 60), 0.8, random)
    conditions = _conditions(studies, tasks, random)
    cells = _cells(conditions, tasks, _of(CELLS, studies), random)
    designs = _designs(sizes, random)
    answers = _answers(sizes, cells, designs, rows * PEOPLE / ROWS)
    questions = _questions(sizes, cells, Random(f"{seed} questions"))
    fields = fields_of_studies(sizes, random)
    lengths = np.exp(ndtri((random.permutation(studies) + 0.5) / studies) * LENGTH_SPREAD) * MEDIAN_LENGTH
    names = _names(studies, Random(f"{seed} names"))
    return [
        Study(
            names[n], n, int(sizes[n]), cells[n], designs[n], answers[n], _arms(n, int(conditions[n])),
            int(min(max(lengths[n], SHORTEST), LONGEST)), questions[n], fields[n],
        )
        for n in range(studies)
    ]  # fmt: skip


def _of(total: int, studies: int) -> int:
    return round(total * studies / STUDIES)


def _arms(number: int, conditions: int) -> int:
    """In one study of eight the factors are left out of the text: several conditions read the same."""
    return max(1, conditions // 3) if number % 8 == 5 else conditions


def _names(count: int, random: Random) -> list[str]:
    letters = "abcdefghjkmnpqrstuvwxyz23456789"
    names: dict[str, None] = {}
    while len(names) < count:
        names["".join(random.choices(letters, k=5))] = None
    return list(names)


def spread(total: int, count: int, sigma: float, low: int, high: int) -> Integers:
    """``count`` integers from ``low`` to ``high``, ascending, spread like a lognormal, whose sum is ``total``."""
    shape = np.exp(sigma * ndtri((np.arange(count) + 0.5) / count))
    below, above = 0.0, float(total)
    for _ in range(100):
        scale = (below + above) / 2
        if np.clip(scale * shape, low, high).sum() < total:
            below = scale
        else:
            above = scale
    exact = np.clip(above * shape, low, high)
    found = np.floor(exact).astype(np.int64)
    # What rounding down left over goes to the largest remainders.
    found[np.argsort(found - exact, kind="stable")[: total - found.sum()]] += 1
    return np.sort(found)


def _beside(order: Integers, values: Integers, strength: float, random: np.random.Generator) -> Integers:
    """``values`` arranged so that large ones tend to stand where ``order`` is large."""
    place = np.argsort(np.argsort(order)) / len(order) * strength + random.random(len(order)) * (1 - strength)
    found: Integers = np.sort(values)[np.argsort(np.argsort(place))]
    return found


def _conditions(studies: int, tasks: Integers, random: np.random.Generator) -> Integers:
    """Arms of each study, arranged so that arms times tasks are as many cells as there shall be, or a few more."""
    most = [MOST_ARMS] if studies == STUDIES else []
    ones = _of(ONE_ARM, studies)
    rest = spread(_of(CONDITIONS, studies) - sum(most) - ones, studies - ones - len(most), 0.75, 2, MOST_ARMS)
    values = np.array([*rest, *[1] * ones, *most], dtype=np.int64)
    tried = [random.permutation(values) for _ in range(300)]
    wanted = _of(CELLS, studies)
    return min(tried, key=lambda arms: (arms @ tasks < wanted, abs(int(arms @ tasks) - wanted)))


def _cells(conditions: Integers, tasks: Integers, wanted: int, random: np.random.Generator) -> list[Integers]:
    """The cells of each study: every pair of condition and task, less some so that there are ``wanted`` in all.

    The first condition keeps all tasks, and the first task all conditions.
    """
    every = [np.stack(np.divmod(np.arange(c * t), t), axis=1) for c, t in zip(conditions, tasks, strict=True)]
    inner = [(n, k) for n, cells in enumerate(every) for k in np.flatnonzero(cells.all(axis=1))]
    excess = max(0, sum(map(len, every)) - wanted)
    gone: dict[int, list[int]] = {}
    for at in random.permutation(len(inner))[:excess]:
        gone.setdefault(inner[at][0], []).append(int(inner[at][1]))
    return [np.delete(cells, gone.get(n, []), axis=0) for n, cells in enumerate(every)]


def _designs(sizes: Integers, random: np.random.Generator) -> list[str]:
    studies = len(sizes)
    designs = ["between"] * studies
    order = random.permutation(studies)
    within = order[: max(2, _of(WITHIN, studies))]
    for study in order[: max(3, _of(REPEATS, studies))]:
        designs[study] = "repeats"
    left = PROFILE_ROWS * sizes.sum()
    for study in within[np.argsort(sizes[within], kind="stable")]:
        designs[study] = "profiles" if left > 0 else "within"
        left -= sizes[study]
    return designs


def _answers(sizes: Integers, cells: Sequence[Integers], designs: Sequence[str], people: float) -> list[int]:
    """Answers of a person in each study, so that there are about ``people`` in all."""
    arms = [len(set(of[:, 0])) for of in cells]
    usual = np.array([len(of) / arm for of, arm in zip(cells, arms, strict=True)])
    again = np.array([design != "between" for design in designs])

    def at(factor: float) -> Integers:
        counts = np.where(again, np.maximum(usual * factor, 2), usual)
        return np.maximum(1, np.round(counts)).astype(np.int64)

    factors = np.geomspace(1.01, 40, 400)
    best = min(factors, key=lambda factor: abs((sizes / at(factor)).sum() - people))
    return [int(count) for count in at(best)]


def _questions(sizes: Integers, cells: Sequence[Integers], random: Random) -> list[tuple[Question, ...]]:
    """The question of each cell: one for a task, but for the tasks whose scale differs between conditions."""
    weights = [
        (sizes[n] * np.mean(of[:, 1] == task), n, task)
        for n, of in enumerate(cells)
        for task in set(of[:, 1].tolist())
    ]
    kinds = _kinds(sorted(weights, reverse=True))
    several = [
        key for key in sorted(kinds) if kinds[key].endswith("levels") and len(set(cells[key[0]][:, 0])) > 1
    ]
    changing = random.sample(several, round(len(several) * (OTHER_RANGE + OTHER_LABELS) / TASKS))
    ranges = set(changing[: round(len(changing) * OTHER_RANGE / (OTHER_RANGE + OTHER_LABELS))])
    usual = {key: make_question(kind, random) for key, kind in sorted(kinds.items())}

    def question(n: int, condition: int, task: int) -> Question:
        key = (n, task)
        if key not in changing or condition % 2 == 0:
            return usual[key]
        other = {"5 levels": "6 levels"}.get(kinds[key], "5 levels") if key in ranges else kinds[key]
        return make_question(other, random)

    return [tuple(question(n, int(c), int(t)) for c, t in of) for n, of in enumerate(cells)]


def _kinds(weights: Sequence[tuple[float, int, int]]) -> dict[tuple[int, int], str]:
    """The kind of each task's scale: the one that lacks most rows, so that kinds have their shares of the rows."""
    total = sum(weight for weight, _, _ in weights) / sum(KINDS.values())
    lacking = {kind: share * total for kind, share in KINDS.items()}
    found = {}
    for weight, study, task in weights:
        kind = max(lacking, key=lambda name: lacking[name])
        lacking[kind] -= weight
        found[study, task] = kind
    return found
