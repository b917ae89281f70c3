"""One predictor's figures: rows summed by cell, cells' distances and spreads, effects of conditions."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from socrates_fast.evaluate import effects, tally, uncertainty
from socrates_fast.evaluate.answers import Answers
from socrates_fast.evaluate.cells import Cells
from socrates_fast.evaluate.fairness import GroupTally
from socrates_fast.evaluate.metrics import row_wasserstein
from socrates_fast.evaluate.predictions import Predictions, pieces
from socrates_fast.evaluate.ragged import Bools, Floats, Ints, weighted_count
from socrates_fast.evaluate.spread import entropy_ratio, human_entropy, spread_ratio
from socrates_fast.evaluate.tally import Points, Tally, mixture_of
from socrates_fast.evaluate.uncertainty import Estimate, mean_of_studies, ratio_of_sums
from socrates_fast.evaluate.wasserstein import (
    floor,
    published_floor,
    published_wasserstein,
    stated_wasserstein,
)

FINISH: dict[str, Callable[[Floats], Floats]] = {
    rule.__name__: rule
    for rule in (
        uncertainty.ratio, uncertainty.root_of_ratio, uncertainty.pearson, tally.unevenness, tally.calibration_error,
        effects.effect_correlation, effects.sensitivity, effects.root_of_reliability,
    )
}  # fmt: skip
"""The rules that make figures of sums, by the name under which an evaluation's file keeps them."""


@dataclass(frozen=True)
class Scored:
    """What one predictor did.

    Attributes:
        cells: whose answers it is compared with.
        tally: figures of rows, by cell.
        mixture: predicted distribution of each cell, probabilities of ``cells.values``; shape (s,).
        truth: distance to the true distributions and rows, summed by cell, shape (c, 2); None if there are none.
        groups: the same by demographic group, if that was asked for.
    """

    cells: Cells
    tally: Tally
    mixture: Floats
    truth: Floats | None = None
    groups: GroupTally | None = None

    @property
    def mean(self) -> Floats:
        """Predicted mean answer of each cell, in its unit; shape (c,)."""
        return self.cells.shape.total(self.mixture * self.cells.values)

    def estimates(self, studies: int, part: Bools | None = None) -> dict[str, Estimate]:
        """The figures whose units are cells; see ``figures.FIGURES``, and ``Tally.estimates`` for ``part``."""
        cells, by_study = self.cells, self.cells.study
        found = self.tally.estimates(part)
        for name, figure in (
            ("wasserstein.stated", stated_wasserstein(cells, self.mixture)),
            ("wasserstein.published", published_wasserstein(cells, self.mixture)),
            ("sd_ratio", spread_ratio(cells, self.mixture)),
            ("entropy_ratio", entropy_ratio(cells, self.mixture)),
        ):
            found[name] = mean_of_studies(by_study, figure, studies, part)
        if self.truth is not None:
            found["wasserstein.truth"] = Estimate(self.truth, uncertainty.ratio)
        return found


def score(answers: Answers, predictions: Predictions, by_group: bool = False) -> Scored:
    """Score predictions of rows.

    Raises:
        DataError: they are not predictions of these rows.
    """
    cells = answers.cells
    rows, mixture = Tally(cells), np.zeros(len(cells.values))
    predicted = np.zeros(answers.height)
    truth = None if answers.truth is None else np.zeros((len(cells.people), 2))
    groups = GroupTally(answers) if by_group and answers.groups else None
    for block in (part for whole in predictions.blocks(answers) for part in whole.parts()):
        cell, response = answers.cell[block.rows], answers.response[block.rows]
        weight = np.ones(len(cell))
        predicted[block.rows] = rows.add(
            cell, weight, response, block.values, block.probabilities, block.answer_mass
        )
        _mix(cells, mixture, cell, block.probabilities)
        if groups is not None:
            groups.add(block)
        if truth is not None and answers.truth is not None:
            entries = answers.shape.starts[block.rows, None] + np.arange(len(block.values))
            difference = block.probabilities - answers.truth[entries]
            distance = row_wasserstein(block.values, difference) / cells.span[cell]
            for column, figure in enumerate((distance, weight)):
                truth[:, column] += weighted_count(cell, figure, len(cells.people))
    rows.correlate(Points(answers.given, np.broadcast_to(1.0, answers.height), predicted))
    if groups is not None:
        human = (answers.response - cells.low[answers.cell]) / cells.span[answers.cell]
        groups.judge(np.abs(predicted - human))
    return Scored(cells, rows, mixture / cells.people[cells.shape.owner], truth, groups)


def score_cells(cells: Cells, distribution: Floats) -> Scored:
    """Score one distribution a cell, (s,), which is predicted for everybody who answered there."""
    rows, human = Tally(cells), cells.human
    count, predicted = human.count.astype(np.float64), np.zeros(len(human.cell))
    for some, values in _answers_by_scale(cells, human.count > 0):
        cell = human.cell[some]
        entries = cells.shape.starts[cell, None] + np.arange(len(values))
        predicted[some] = rows.add(
            cell, count[some], human.answer[some], values, distribution[entries], np.ones(len(some))
        )
    people = np.flatnonzero(human.count)
    rows.correlate(Points(people, count[people], predicted[people]))
    return Scored(cells, rows, distribution)


def _answers_by_scale(cells: Cells, wanted: Bools) -> Iterator[tuple[Ints, Floats]]:
    """Those of the cells' distinct answers that are ``wanted``, (h,), a few at once that share a scale; and its values."""
    scale = cells.scale[cells.human.cell]
    for number, values in enumerate(cells.scales):
        for some in pieces(np.flatnonzero(wanted & (scale == number)), len(values)):
            yield some, values


def score_floor(cells: Cells, studies: int, part: Bools | None = None) -> dict[str, Estimate]:
    """What figures are for a perfect prediction of every cell, given how many people answered; units are cells.

    Errors of rows: each answer is predicted by the other people of its cell, and what follows from pairs of different
    people is exact: the drawn answer's error is their mean difference, the ranked probability score half of it, the exact
    match how often they agree, the Brier score the rest; the squared error of the mean is the sample's variance.
    Distances: the expected distance of a resample (see ``wasserstein.floor``). Log score: the entropy of the cell's
    answers. Correlations: of the cell's mean with its answers.
    """
    others, whole = _leave_one_out(cells), score_cells(cells, _shares(cells)).tally.estimates(part)
    rows, drawn, given = (others.sums(name) for name in ("rows", "drawn", "given"))
    found = {
        "accuracy": ratio_of_sums(rows - drawn, rows),
        "accuracy_median": others.estimates()["accuracy_median"],
        "exact_match": ratio_of_sums(given, rows),
        "ranked_probability": ratio_of_sums(drawn / 2.0, rows),
        "brier": ratio_of_sums(rows - given, rows),
        "log_score": ratio_of_sums(np.where(rows > 0, human_entropy(cells), 0.0) * rows, rows),
    }
    # The mean of the n - 1 others varies too: its error is larger by n / (n - 1) in squares than the true mean's.
    known = (np.maximum(rows, 1.0) - 1.0) / np.maximum(rows, 1.0)
    found["mae"] = ratio_of_sums(others.sums("error") * np.sqrt(known), rows)
    squares = np.stack([others.sums("squared") * known, rows], axis=1)
    found["rmse"] = Estimate(squares, uncertainty.root_of_ratio)
    found |= {name: whole[name] for name in ("correlation", "spearman") if name in whole}
    found["wasserstein.stated"] = mean_of_studies(cells.study, floor(cells), studies, part)
    found["wasserstein.published"] = mean_of_studies(cells.study, published_floor(cells), studies, part)
    return found


def _shares(cells: Cells) -> Floats:
    """Share of people by allowed answer, (s,); uniform where nobody answered on the scale."""
    total = cells.shape.total(cells.counts)[cells.shape.owner]
    uniform = 1.0 / cells.shape.lengths[cells.shape.owner]
    return np.where(total > 0, cells.counts / np.where(total > 0, total, 1.0), uniform)


def _leave_one_out(cells: Cells) -> Tally:
    """Every answer predicted by the other people's of its cell; cells of one person take no part."""
    rows, human, counts = Tally(cells), cells.human, cells.counts
    allowed, place = cells.on_scale
    for some, values in _answers_by_scale(cells, allowed & (cells.people[human.cell] >= 2)):
        cell = human.cell[some]
        others = counts[cells.shape.starts[cell, None] + np.arange(len(values))]
        others[np.arange(len(some)), place[some] - cells.shape.starts[cell]] -= 1.0
        total = others.sum(axis=1)
        there = total > 0
        known, shares = some[there], others[there] / total[there, None]
        weight = human.count[known].astype(np.float64)
        rows.add(cell[there], weight, human.answer[known], values, shares, np.ones(len(known)))
    return rows


def _mix(cells: Cells, mixture: Floats, cell: Ints, probabilities: Floats) -> None:
    """Add rows' distributions to those of their cells."""
    which, sums = mixture_of(cell, probabilities)
    mixture[cells.shape.starts[which, None] + np.arange(probabilities.shape[1])] += sums
