"""Distances between a cell's predicted and human answers, in both conventions, and their floor."""

import numpy as np
from scipy.stats import binom

from socrates_fast.evaluate.cells import Cells
from socrates_fast.evaluate.metrics import wasserstein
from socrates_fast.evaluate.ragged import Floats, Ints, weighted_count


def stated_wasserstein(cells: Cells, predicted: Floats) -> Floats:
    """W1 between predicted and human answers, as a share of the stated range; shape (c,).

    Both are mapped to [0, 1] by (r - low) / (high - low) with the scale's stated ends. Human answers off the scale count
    where they lie. Cells without people are nan.

    Args:
        cells: what people answered.
        predicted: each cell's predicted distribution, probabilities of ``cells.values``; shape (s,).
    """
    distance = _distance(cells, predicted, cells.values, cells.human.answer) / cells.span
    return np.where(cells.people > 0, distance, np.nan)


def published_wasserstein(cells: Cells, predicted: Floats) -> Floats:
    """The same in the convention of the published figures (SOCRATES, arXiv:2509.05830); shape (c,).

    The range is that of the human answers observed in the cell, predicted answers beyond it are
    clipped to it, and cells with fewer than two people or one single human answer are nan (left
    out). One stray answer widens the range and shrinks the distance: use this only beside published
    figures.
    """
    human, (low, high) = cells.human, cells.observed
    scored = (cells.people >= 2) & (high > low)
    span = np.where(scored, high - low, 1.0)
    owner = cells.shape.owner
    values = np.clip((cells.values - low[owner]) / span[owner], 0.0, 1.0)
    answered = (human.answer - low[human.cell]) / span[human.cell]
    return np.where(scored, _distance(cells, predicted, values, answered), np.nan)


def _distance(cells: Cells, predicted: Floats, values: Floats, answered: Floats) -> Floats:
    human = cells.human
    share = human.count / np.maximum(cells.people, 1)[human.cell]
    return wasserstein(
        group=np.concatenate([cells.shape.owner, human.cell]),
        position=np.concatenate([values, answered]),
        mass=np.concatenate([predicted, -share]),
        groups=len(cells.people),
    )


def floor(cells: Cells) -> Floats:
    """Stated-range W1 that a perfect prediction has, given how many people answered; shape (c,).

    A cell's people are a sample: even their true answer distribution lies some way from what they answered. That way is
    the bootstrap's: the expected W1 between the human answers and resamples of as many people drawn from them. (The
    published "empirical best" is such a bootstrap too, in its own convention: ``published_floor``.) A predictor that
    knows every person's own distribution can come out a little below it, one that answers with a single draw per person
    stays about a factor 1.4 above it. In small cells the bootstrap is too low, simulated on five answers: 2 % at 50
    people, 6 % at 20, 17 % at 10, 65 % at 2. Cells of one person are nan.
    """
    distance = expected_wasserstein(
        cells.human.cell, cells.human.answer, cells.human.count, len(cells.people)
    )
    return np.where(cells.people >= 2, distance / cells.span, np.nan)


def published_floor(cells: Cells) -> Floats:
    """The floor in the convention of ``published_wasserstein``; shape (c,), nan where that is."""
    low, high = cells.observed
    distance = expected_wasserstein(
        cells.human.cell, cells.human.answer, cells.human.count, len(cells.people)
    )
    scored = (cells.people >= 2) & (high > low)
    return np.where(scored, distance / np.where(scored, high - low, 1.0), np.nan)


def expected_wasserstein(group: Ints, answer: Floats, count: Ints, groups: int) -> Floats:
    """Expected W1 between each group's answers and a resample of its own size, in the answer's unit; shape (groups,).

    E W1 = sum over neighbouring answers of gap * E|K / n - F| with K binomial(n, F) and F the share of answers up to
    there. The expectation is exact: E|K - n F| = 2 m C(n, m) F^m (1 - F)^(n - m + 1), m = floor(n F) + 1 (De Moivre, 1730;
    Diaconis & Zabell, Statistical Science 6, 1991), and n F is a whole number here.

    Args:
        group: ascending; shape (h,).
        answer: ascending within a group; shape (h,).
        count: how many people gave it; shape (h,).
        groups: number of groups; those without answers get 0.
    """
    people = weighted_count(group, count.astype(np.float64), groups)
    inside = np.flatnonzero(group[1:] == group[:-1])
    owner = group[inside]
    cumulative = np.cumsum(count)
    before = np.searchsorted(group, owner)  # first answer of the group
    below = cumulative[inside] - cumulative[before] + count[before]
    n = people[owner]
    share = np.divide(below, n, out=np.zeros(len(n)), where=n > 0)
    more = below + 1
    deviation = 2.0 * more * (1.0 - share) * binom.pmf(more, n, share)
    gap = answer[inside + 1] - answer[inside]
    each = np.divide(deviation * gap, n, out=np.zeros(len(n)), where=n > 0)
    return weighted_count(owner, each, groups)
