"""What any figure has to be compared with: predictors that need no language model.

uniform        every allowed answer is equally probable
midpoint       always the allowed answer nearest to the middle of the stated range; two that are equally near share it
pooled         the answers of all conditions of the task together: it knows the people, and not the condition
item_mean      what training people answered to the same question (the same cell, else the same task)
demographics   a ridge regression of training people's answers on their demographics: it does not read the question
split_half     half of a cell's people predict the other half
oracle         the true distribution of each row (made-up data only): the best that is possible

``pooled`` and ``split_half`` are told answers of the very people who are predicted: no model is that lucky, and a model
that knows less than ``pooled`` about conditions is not screening experiments.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import polars as pl

from socrates_fast.evaluate.answers import Answers
from socrates_fast.evaluate.cells import Cells
from socrates_fast.evaluate.predictions import Block, InMemory, Predictions, pieces
from socrates_fast.evaluate.ragged import Bools, Floats, Ints, weighted_count

SEED = 20_250_905
LEAST_COVERED = 0.5
"""Share of rows for which training people must have answered the question, else there is no ``item_mean``."""
RIDGE = 1.0
"""Penalty of the regression, in rows."""


def uniform(cells: Cells) -> Floats:
    """1 / number of allowed answers; shape (s,)."""
    return 1.0 / cells.shape.lengths[cells.shape.owner]


def midpoint(cells: Cells) -> Floats:
    """All mass on the allowed answer nearest to low + span / 2, or on both; shape (s,).

    On scales without gaps its mean is the middle, and its expected absolute error that of the middle itself.
    """
    shape = cells.shape
    middle = cells.low + cells.span / 2
    distance = np.abs(cells.values - middle[shape.owner])
    nearest: Floats = np.minimum.reduceat(distance, shape.starts)
    chosen: Floats = (distance == nearest[shape.owner]).astype(np.float64)
    return chosen / shape.total(chosen)[shape.owner]


def pooled(cells: Cells) -> Floats:
    """Human answers on the scale, over all conditions of the task that were asked on the same scale; shape (s,)."""
    task = _number(cells, "study_id", "task_num")
    return _shared(cells, cells.counts, task, uniform(cells))


def item_mean(cells: Cells, training: Cells) -> tuple[Floats, Bools]:
    """Training people's answers to the same question, and in which cells there are any; shapes (s,) and (c,).

    Those of the same cell if anybody answered there, else those of the same task on the same scale; uniform where there
    are none. Its expected answer is the item mean (arXiv:2608.29455), its distribution that of a copied item.
    """
    found = uniform(cells)
    covered = np.zeros(len(cells.people), bool)
    for names in (("study_id", "task_num"), ("study_id", "condition_num", "task_num")):
        counts = _counts_by(training, names)
        for number, key in enumerate(_keys(cells, names)):
            if key in counts:
                start = cells.shape.starts[number]
                found[start : start + cells.shape.lengths[number]] = counts[key] / counts[key].sum()
                covered[number] = True
    return found, covered


def _counts_by(cells: Cells, names: tuple[str, ...]) -> dict[tuple[object, ...], Floats]:
    """Summed answer counts of the cells that agree in some columns and in their scale; keys as of ``_keys``."""
    counts = cells.counts
    found: dict[tuple[object, ...], Floats] = {}
    for number, key in enumerate(_keys(cells, names)):
        start = cells.shape.starts[number]
        own = counts[start : start + cells.shape.lengths[number]]
        if own.any():
            found[key] = found.get(key, 0.0) + own
    return found


def _keys(cells: Cells, names: tuple[str, ...]) -> Iterator[tuple[object, ...]]:
    scales = [scale.tobytes() for scale in cells.scales]
    for key, scale in zip(cells.keys.select(names).iter_rows(), cells.scale, strict=True):
        yield (*key, scales[scale])


def _number(cells: Cells, *names: str) -> Ints:
    """A number for each cell that those share which agree in some columns and in their scale; shape (c,)."""
    known: dict[tuple[object, ...], int] = {}
    return np.array([known.setdefault(key, len(known)) for key in _keys(cells, names)], np.int64)


def _shared(cells: Cells, counts: Floats, group: Ints, otherwise: Floats) -> Floats:
    """Each group's summed counts as a distribution on each of its cells; shape (s,)."""
    # Cells of a group have the same scale, so an answer is known by its group and its place on the scale.
    longest = int(cells.shape.lengths.max())
    entry = group[cells.shape.owner] * longest + cells.shape.offsets
    summed = weighted_count(entry, counts, (int(group.max()) + 1) * longest)[entry]
    total = cells.shape.total(summed)[cells.shape.owner]
    return np.where(total > 0, summed / np.where(total > 0, total, 1.0), otherwise)


def split_half(cells: Cells, seed: int = SEED) -> tuple[Cells, Floats]:
    """One random half of each cell's people, and the distribution of the other half's answers.

    Returns:
        The cells with the answers of the first half (the smaller one; cells of one person have none left), and
        probabilities of ``cells.values``, (s,), uniform where nobody of the second half answered on the scale.
    """
    rng = np.random.default_rng(seed)
    human = cells.human
    order = np.lexsort((rng.random(int(human.count.sum())), np.repeat(human.cell, human.count)))
    answer = np.repeat(np.arange(len(human.cell)), human.count)[order]
    start = np.cumsum(cells.people) - cells.people
    place = np.arange(len(answer)) - np.repeat(start, cells.people)
    first = place < np.repeat(cells.people // 2, cells.people)
    here, there = (np.bincount(answer[side], minlength=len(human.cell)) for side in (first, ~first))
    half, other = cells.of_people(here), cells.of_people(there)
    counts = other.counts
    return half, _shared(other, counts, np.arange(len(cells.people)), uniform(cells))


@dataclass(frozen=True)
class ByCell(Predictions):
    """One distribution for everybody of a cell.

    Attributes:
        distribution: probabilities of ``cells.values``; shape (s,).
    """

    distribution: Floats

    def blocks(self, answers: Answers) -> Iterator[Block]:
        """See ``Predictions``."""
        cells = answers.cells
        kinds = cells.scale[answers.cell]
        for number, values in enumerate(cells.scales):
            rows = np.flatnonzero(kinds == number)
            for some in pieces(rows, len(values)):
                entries = cells.shape.starts[answers.cell[some], None] + np.arange(len(values))
                yield Block(some, values, self.distribution[entries], np.ones(len(some)))


@dataclass(frozen=True)
class Demographics(Predictions):
    """A ridge regression of (answer - low) / span on demographic levels, as predictions.

    The predicted mean is given to the two allowed answers around it, so that it is kept: a point, not a distribution.

    Attributes:
        effects: by field, the effect of each level; what null and unseen levels have comes last.
        intercept: the mean of training people's answers, as a share of the range.
    """

    effects: dict[str, dict[str, float]]
    intercept: float

    @classmethod
    def fit(cls, training: Answers) -> "Demographics":
        """Fit on training people; every level is a column, and null is a level."""
        cells = training.cells
        share = (training.response - cells.low[training.cell]) / cells.span[training.cell]
        intercept = float(share.mean())
        sizes = [len(grouping.levels) + 1 for grouping in training.groups.values()]
        starts = np.cumsum([0, *sizes])
        codes = [
            grouping.code + 1 + start
            for grouping, start in zip(training.groups.values(), starts, strict=False)
        ]
        width = int(starts[-1])
        moments = np.zeros(width * width)
        for one in codes:
            for other in codes:
                moments += np.bincount(one * width + other, minlength=width * width)
        right = sum((weighted_count(code, share - intercept, width) for code in codes), np.zeros(width))
        found = np.linalg.solve(moments.reshape(width, width) + RIDGE * np.eye(width), right)
        effects = {
            name: dict(zip(("", *grouping.levels), found[start:].tolist(), strict=False))
            for (name, grouping), start in zip(training.groups.items(), starts, strict=False)
        }
        return cls(effects, intercept)

    def blocks(self, answers: Answers) -> Iterator[Block]:
        """See ``Predictions``."""
        share = np.full(answers.height, self.intercept)
        for name, levels in self.effects.items():
            if name in answers.groups:
                grouping = answers.groups[name]
                effect = np.array([levels.get(level, levels[""]) for level in ("", *grouping.levels)])
                share += effect[grouping.code + 1]
        cells = answers.cells
        wanted = cells.low[answers.cell] + np.clip(share, 0.0, 1.0) * cells.span[answers.cell]
        kinds = cells.scale[answers.cell]
        for number, values in enumerate(cells.scales):
            rows = np.flatnonzero(kinds == number)
            for some in pieces(rows, len(values)):
                yield Block(some, values, around(values, wanted[some]), np.ones(len(some)))


def around(values: Floats, mean: Floats) -> Floats:
    """Probabilities of ``values``, (k,), that put each mean, (u,), on the allowed answers next to it; (u, k)."""
    found = np.zeros((len(mean), len(values)))
    upper = np.searchsorted(values, mean).clip(1, max(len(values) - 1, 1))
    if len(values) == 1:
        return np.ones((len(mean), 1))
    low, high = values[upper - 1], values[upper]
    share = np.clip((mean - low) / (high - low), 0.0, 1.0)
    rows = np.arange(len(mean))
    found[rows, upper], found[rows, upper - 1] = share, 1.0 - share
    return found


def oracle(answers: Answers) -> Predictions | None:
    """The true distributions, where every row has one."""
    if answers.truth is None:
        return None
    return InMemory(answers.truth, np.ones(answers.height))


SIMPLE: dict[str, Callable[[Cells], Floats]] = {"uniform": uniform, "midpoint": midpoint, "pooled": pooled}
"""Those that predict the same for all people of a cell and need nothing but the answers."""


def baseline_frame(name: str, answers: Answers) -> pl.DataFrame:
    """The predictions of a baseline of ``SIMPLE``, in the columns of ``predictions.parquet``."""
    from socrates_fast.evaluate.frame import predictions_frame

    cells, shape = answers.cells, answers.shape
    support = np.repeat(cells.shape.starts[answers.cell], shape.lengths) + shape.offsets
    return predictions_frame(
        answers.keys, shape, cells.values[support], SIMPLE[name](cells)[support], np.ones(answers.height)
    )
