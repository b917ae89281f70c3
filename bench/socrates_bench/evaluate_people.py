"""What made-up people believe, what they answer, and what two made-up models predict of them: as arrays, cell by cell.

A person's distribution is a normal one, cut into the answers of the scale: its middle is the task's, plus the condition's
effect, plus what the person's demographics and the person add. One model knows exactly that distribution. The other one
sees each effect with noise, so that effects correlate by about ``SEEN``, sees people half, is too sure, and keeps
``GUESSED`` of its mass for guessing.
"""

from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from socrates_bench.data_people import VOCABULARY
from socrates_bench.data_plan import Integers, Study
from socrates_bench.data_texts import Question

Floats = NDArray[np.float64]

EFFECT, SEEN = 0.07, 0.8
"""Standard deviation of a condition's effect, as a share of the scale; how well the model sees effects."""
TOO_SURE, GUESSED = 0.8, 0.05
LEANING = {"education": 0.15, "ideology": 0.2, "gender": 0.05, "income": 0.1}
"""Fields on which answers depend: the distance of the first and the last of their words, as a share of the scale."""
WIDEST = 301
"""Answers of the widest scale: those of SocSci210 that are wider have few rows, and no predictor that lists them."""


@dataclass(frozen=True)
class Scale:
    """The allowed answers of a cell.

    Attributes:
        low: the smallest.
        high: the largest.
        values: all of them.
    """

    low: int
    high: int
    values: Floats

    @property
    def gaps(self) -> bool:
        """Whether some integer between the ends is no answer."""
        return len(self.values) <= self.high - self.low


@dataclass(frozen=True)
class Cell:
    """What is true of one cell, as shares of its scale.

    Attributes:
        scale: its answers.
        middle: of its people's distributions.
        seen: the same as the model sees it.
        width: standard deviation of a person's distribution.
    """

    scale: Scale
    middle: float
    seen: float
    width: float


def scale_of(question: Question) -> Scale:
    """The scale of a planned question; an open one, or one that is too wide, gets another in its place."""
    low, high = question.low, question.high
    if question.kind == "open":
        low, high = 1, 9
    elif high - low >= WIDEST:
        low, high = 0, WIDEST - 1 if question.kind == "other" else 20
    values = np.arange(low, high + 1)
    return Scale(low, high, values[values != question.skip].astype(np.float64))


def cells_of(study: Study, random: np.random.Generator) -> list[Cell]:
    """What is true of a study's cells: tasks have a middle and a width, and every condition moves every task."""
    tasks = int(study.cells[:, 1].max()) + 1
    base, width = random.uniform(0.3, 0.7, tasks), random.uniform(0.15, 0.3, tasks)
    effect, other = random.normal(0, EFFECT, (2, len(study.cells)))
    seen = SEEN * effect + np.sqrt(1 - SEEN**2) * other
    wrong = random.normal(0, 0.05, tasks)
    task = study.cells[:, 1]
    return [
        Cell(scale_of(question), *numbers)
        for question, *numbers in zip(
            study.questions, (base[task] + effect).tolist(), ((base + wrong)[task] + seen).tolist(),
            width[task].tolist(), strict=True,
        )
    ]  # fmt: skip


def leaning(crowd: pl.DataFrame, random: np.random.Generator) -> Floats:
    """How far each person leans to the upper end, as a share of the scale; shape (people,)."""
    total = random.normal(0, 0.05, crowd.height)
    for name, distance in LEANING.items():
        words = VOCABULARY[name]
        place = dict(zip(words, np.linspace(-distance / 2, distance / 2, len(words)), strict=True))
        total += (
            crowd[name].replace_strict(place, default=0.0, return_dtype=pl.Float64).fill_null(0.0).to_numpy()
        )
    return total


def people_of(study: Study, random: np.random.Generator) -> tuple[Integers, Integers]:
    """Cell and person of each row of a study, ordered by cell: cells differ in size, and each has somebody.

    A person is in one condition and may answer a task again.
    """
    share = np.exp(random.normal(0, 0.7, len(study.cells)))
    spare = study.rows - len(study.cells)
    if spare < 0:
        raise ValueError(f"{study.rows} rows for {len(study.cells)} cells")
    size = 1 + random.multinomial(spare, share / share.sum())
    cell = np.repeat(np.arange(len(study.cells)), size)
    names, arm = np.unique(study.cells[:, 0], return_inverse=True)
    crowd = max(1, round(study.rows / study.answers / len(names)))
    person: Integers = arm[cell] + len(names) * random.integers(crowd, size=study.rows)
    return cell, person


def true_distribution(cell: Cell, lean: Floats) -> Floats:
    """The distributions of people with these leanings, (u,), on the answers of a cell; (u, k)."""
    return _normal(cell.scale, cell.middle + lean, cell.width)


def model_distribution(cell: Cell, lean: Floats, random: np.random.Generator) -> Floats:
    """What the model predicts for them; (u, k)."""
    middle = cell.seen + lean / 2 + random.normal(0, 0.02, len(lean))
    sharp = _normal(cell.scale, middle, TOO_SURE * cell.width)
    return (1 - GUESSED) * sharp + GUESSED / len(cell.scale.values)


def answers_of(scale: Scale, distribution: Floats, random: np.random.Generator) -> Integers:
    """One answer of each distribution, (u, k); shape (u,)."""
    reached = np.cumsum(distribution, axis=1) < random.random((len(distribution), 1))
    place = reached.sum(axis=1).clip(max=len(scale.values) - 1)
    given: Integers = scale.values[place].astype(np.int64)
    return given


def _normal(scale: Scale, middle: Floats, width: float) -> Floats:
    share = (scale.values - scale.low) / (scale.high - scale.low)
    density = np.exp(-0.5 * ((share - middle[:, None]) / width) ** 2)
    density /= density.sum(axis=1, keepdims=True)
    found: Floats = density
    return found
