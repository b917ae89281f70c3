"""What the figures of rows need, summed by cell while predictions pass by."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csc_array

from socrates_fast.evaluate import metrics as row
from socrates_fast.evaluate.cells import Cells
from socrates_fast.evaluate.ragged import Bools, Floats, Ints, weighted_count
from socrates_fast.evaluate.uncertainty import Estimate, divide, pearson, ratio_of_sums, root_of_ratio

PLACES, CONFIDENCES = 10, 10
"""Bins of the probability integral transform, and of the reliability of the likeliest answer."""
DECIMALS = 12
"""Expected answers, as shares of the range, that differ only after these are rounding: ranks take them for equal."""


BIASED = frozenset({"unevenness", "calibration_error"})
"""Rules whose draws lie above the figure (see ``Estimate.drawable``)."""


class Tally:
    """Sums over the rows of each cell, of one predictor.

    A row here is a human answer with a weight: one, or how many people of the cell gave the same answer where the
    prediction is the same for all of them.

    Args:
        cells: those whose answers are predicted.
    """

    def __init__(self, cells: Cells) -> None:
        self._of, self._cells = cells, len(cells.people)
        self._sums: dict[str, Floats] = {}
        self._points: Points | None = None

    def add(
        self,
        cell: Ints,
        weight: Floats,
        response: Floats,
        values: Floats,
        probabilities: Floats,
        mass: Floats,
    ) -> Floats:
        """Take in rows that share one scale.

        Args:
            cell: which cell each row belongs to; shape (u,).
            weight: shape (u,).
            response: what people answered; shape (u,).
            values: the allowed answers; shape (k,).
            probabilities: of ``values``; shape (u, k).
            mass: answer mass; shape (u,).

        Returns:
            The expected answers, as shares of the stated range; shape (u,).
        """
        low, span = self._of.low[cell], self._of.span[cell]
        probabilities = np.asfortranarray(probabilities)
        running = row.cumulative(probabilities)
        mean = row.expected_answer(values, probabilities)
        drawn = row.expected_absolute_error(values, probabilities, response)
        spread = row.mean_difference(values, probabilities, running)
        given = row.probability_of(values, probabilities, response)
        median = row.median_answer(values, probabilities, running)
        error = (mean - response) / span
        columns = {
            "rows": np.ones(len(cell)), "mass": mass, "error": np.abs(error), "squared": error**2,
            "drawn": drawn / span, "median": np.abs(median - response) / span,
            "ranked": (drawn - spread / 2) / span, "log": row.log_score(given), "given": given,
            "brier": row.brier_score(probabilities, given),
            "impossible": (given < row.LEAST_PROBABILITY).astype(np.float64),
        }  # fmt: skip
        places = row.histogram_of_places(
            *row.cumulative_bounds(values, probabilities, response, running), PLACES
        )
        columns |= {f"place {place}": share for place, share in enumerate(places.T)}
        self._count(cell, weight, columns)
        confidence, hit = row.likeliest(values, probabilities, response)
        bins = np.minimum((confidence * CONFIDENCES).astype(np.int64), CONFIDENCES - 1)
        reliability = {"confidence": confidence, "hit": hit, "confident": np.ones(len(cell))}
        self._count(cell * CONFIDENCES + bins, weight, reliability, CONFIDENCES)
        return (mean - low) / span

    def _count(
        self, index: Ints, weight: Floats, columns: Mapping[str, NDArray[Any]], times: int = 1
    ) -> None:
        if not len(index):
            return
        first = index.min()  # rows come study by study: they touch few of all cells
        index = index - first
        for name, column in columns.items():
            summed = np.bincount(index, weights=column * weight)
            total = self._sums.setdefault(name, np.zeros(self._cells * times))
            total[first : first + len(summed)] += summed

    def correlate(self, points: "Points") -> None:
        """Take in what correlations need: all rows, once."""
        self._points = points

    def sums(self, name: str) -> Floats:
        """A column's sum in each cell; shape (c,)."""
        return self._sums.get(name, np.zeros(self._cells))

    @property
    def places(self) -> Floats:
        """Rows of each cell by place of the answer in the predicted distribution; shape (c, PLACES)."""
        return np.stack([self.sums(f"place {place}") for place in range(PLACES)], axis=1)

    @property
    def reliability(self) -> tuple[Floats, Floats, Floats]:
        """By confidence of the likeliest answer: summed confidence, hits and rows; each (c, CONFIDENCES)."""
        empty = np.zeros(self._cells * CONFIDENCES)
        names = ("confidence", "hit", "confident")
        first, second, third = (
            self._sums.get(name, empty).reshape(self._cells, CONFIDENCES) for name in names
        )
        return first, second, third

    def estimates(self, part: Bools | None = None) -> dict[str, Estimate]:
        """The figures of rows; their units are cells.

        Args:
            part: the cells of the headline, (c,): ranks are taken among their rows, and among those of the others.
        """
        rows = self.sums("rows")
        found = {
            name: ratio_of_sums(self.sums(column), rows)
            for name, column in (
                ("answer_mass", "mass"), ("mae", "error"), ("exact_match", "given"), ("log_score", "log"),
                ("brier", "brier"), ("ranked_probability", "ranked"), ("impossible", "impossible"),
            )
        }  # fmt: skip
        found["accuracy"] = ratio_of_sums(rows - self.sums("drawn"), rows)
        found["accuracy_median"] = ratio_of_sums(rows - self.sums("median"), rows)
        found["rmse"] = Estimate(np.stack([self.sums("squared"), rows], axis=1), root_of_ratio)
        found["calibration.places"] = Estimate(self.places, unevenness, drawable=False)
        found["calibration.confidence"] = Estimate(
            np.concatenate(self.reliability, axis=1), calibration_error, drawable=False
        )
        return found | self._correlations(part)

    def _correlations(self, part: Bools | None) -> dict[str, Estimate]:
        """Pearson and Spearman, over all rows and within cells.

        Ranks are taken once over all rows (of the part, of the cell); the bootstrap resamples them as they are.
        """
        points, cells = self._points, self._of
        if points is None:
            return {}
        human = (cells.human.answer - cells.low[cells.human.cell]) / cells.span[cells.human.cell]
        rankable = replace(points, predicted=np.round(points.predicted, DECIMALS))
        order = np.argsort(rankable.predicted)
        side_of = None if part is None else np.unique(part, return_inverse=True)[1]
        ranked, inside = (
            self._ranks(rankable, human, group, order) for group in (side_of, np.arange(self._cells))
        )
        return {
            "correlation": self._correlation(points, points.predicted, human, False),
            "spearman": self._correlation(points, *ranked, False),
            "correlation_within": self._correlation(points, points.predicted, human, True),
            "spearman_within": self._correlation(points, *inside, True),
        }

    def _ranks(
        self, points: "Points", human: Floats, group: Ints | None, order: Ints
    ) -> tuple[Floats, Floats]:
        """Ranks of rows' predictions, (m,), and of the distinct answers, (h,), within groups of cells, (c,)."""
        cell, people = self._of.human.cell, np.flatnonzero(self._of.human.count)
        own, other = (None if group is None else group[cell[which]] for which in (points.given, people))
        answered = np.zeros(len(cell))
        count = self._of.human.count[people].astype(np.float64)
        answered[people] = row.ranks(human[people], count, other)
        return row.ranks(points.predicted, points.weight, own, order), answered

    def _correlation(self, points: "Points", x: Floats, y: Floats, within: bool) -> Estimate:
        """Of rows' ``x``, (m,), and the ``y`` of what they answered, (h,): people who answered alike are summed first."""
        human, given = self._of.human, points.given

        def by_answer(column: Floats) -> Floats:
            return weighted_count(given, column * points.weight, len(human.cell))

        def by_cell(column: Floats) -> Floats:
            return weighted_count(human.cell, column, self._cells)

        weight = by_answer(np.ones(len(given)))
        n, sum_x, sum_y = by_cell(weight), by_cell(by_answer(x)), by_cell(y * weight)
        if within:
            mean_x, mean_y = (total / np.where(n > 0, n, 1.0) for total in (sum_x, sum_y))
            x, y = x - mean_x[human.cell[given]], y - mean_y[human.cell]
        else:  # sums of squares of centred values do not cancel
            rows = n.sum() or 1.0
            x, y = x - sum_x.sum() / rows, y - sum_y.sum() / rows
        both = by_answer(x)
        columns = [both, y * weight, by_answer(x * x), y * y * weight, both * y]
        return Estimate(np.stack([n, *map(by_cell, columns)], axis=1), pearson)


@dataclass(frozen=True)
class Points:
    """What was predicted for rows beside what was answered.

    Attributes:
        given: which of the cells' distinct answers (``Cells.human``) each row gave; shape (m,).
        weight: of each row; shape (m,).
        predicted: expected answers as shares of the stated range; shape (m,).
    """

    given: Ints
    weight: Floats
    predicted: Floats


def mixture_of(group: Ints, probabilities: Floats, ends: Ints | None = None) -> tuple[Ints, Floats]:
    """Sums of rows' distributions by group: the groups that occur, (m,), and their sums, (m, k).

    Args:
        group: of each row; or of all rows end to end, if a row is in several groups or in none.
        probabilities: shape (u, k).
        ends: where each row's groups end; shape (u,).
    """
    if not len(group):
        return group, np.zeros((0, probabilities.shape[1]))
    ends = np.arange(1, len(group) + 1) if ends is None else ends
    first = group.min()
    there = np.bincount(group - first) > 0
    index = (np.cumsum(there) - 1)[group - first]
    shape = (int(there.sum()), len(probabilities))
    members = csc_array((np.ones(len(group)), index, np.concatenate([[0], ends])), shape=shape)
    return np.flatnonzero(there) + first, members @ probabilities


def unevenness(sums: Floats) -> Floats:
    """Half of the summed deviations of the shares of bins from equal ones: 0 is flat, 1 - 1 / bins is one bin."""
    shares = divide(sums, sums.sum(axis=-1, keepdims=True))
    deviation: Floats = np.abs(shares - 1 / sums.shape[-1]).sum(axis=-1) / 2
    return deviation


def calibration_error(sums: Floats) -> Floats:
    """Expected calibration error: mean over rows of |confidence - hits| of the row's bin of confidence.

    Naeini, Cooper & Hauskrecht, AAAI 2015, for the likeliest answer.
    """
    confidence, hits, rows = np.split(sums, 3, axis=-1)
    return divide(np.abs(confidence - hits).sum(axis=-1), rows.sum(axis=-1))
