"""Distances between a cell's predicted and human answers, in both conventions, and their floor."""

import numpy as np

from socrates_fast.evaluate.answers import Answers, Cells
from socrates_fast.evaluate.metrics import resampled_wasserstein, wasserstein
from socrates_fast.evaluate.ragged import Floats, Ints, weighted_count

FLOOR_DRAWS = 100
FLOOR_SEED = 20_250_905


def mixture(answers: Answers, probabilities: Floats) -> Floats:
    """The predicted answer distribution of each cell: the mean of its rows' distributions.

    Args:
        answers: the rows.
        probabilities: of ``answers.values``; shape (m,).

    Returns:
        Probabilities of ``answers.cells.values``; shape (s,).
    """
    cells = answers.cells
    summed = weighted_count(answers.support, probabilities, len(cells.values))
    return summed / cells.people[cells.shape.owner]


def stated_wasserstein(cells: Cells, predicted: Floats) -> Floats:
    """W1 between predicted and human answers, as a share of the stated range; shape (c,).

    Both are mapped to [0, 1] by (r - low) / (high - low) with the scale's stated ends. Human
    answers off the scale count where they lie.
    """
    return _distance(cells, predicted, cells.values, cells.human.answer) / cells.span


def published_wasserstein(cells: Cells, predicted: Floats) -> Floats:
    """The same in the convention of the published figures (SOCRATES, arXiv:2509.05830); shape (c,).

    The range is that of the human answers observed in the cell, predicted answers beyond it are
    clipped to it, and cells with fewer than two people or one single human answer are nan (left
    out). One stray answer widens the range and shrinks the distance: use this only beside published
    figures.
    """
    human = cells.human
    first = np.searchsorted(human.cell, np.arange(len(cells.people)))
    last = np.searchsorted(human.cell, np.arange(len(cells.people)), side="right") - 1
    low, high = human.answer[first], human.answer[last]
    scored = (cells.people >= 2) & (high > low)
    span = np.where(scored, high - low, 1.0)
    owner = cells.shape.owner
    values = np.clip((cells.values - low[owner]) / span[owner], 0.0, 1.0)
    answered = (human.answer - low[human.cell]) / span[human.cell]
    return np.where(scored, _distance(cells, predicted, values, answered), np.nan)


def _distance(cells: Cells, predicted: Floats, values: Floats, answered: Floats) -> Floats:
    human = cells.human
    share = human.count / cells.people[human.cell]
    return wasserstein(
        group=np.concatenate([cells.shape.owner, human.cell]),
        position=np.concatenate([values, answered]),
        mass=np.concatenate([predicted, -share]),
        groups=len(cells.people),
    )


def floor(cells: Cells, draws: int = FLOOR_DRAWS, seed: int = FLOOR_SEED) -> Floats:
    """Stated-range W1 that a perfect prediction has, given how many people answered; shape (c,).

    A cell's people are a sample: even their true answer distribution lies some way from what they
    answered. That way is estimated by the bootstrap: the expected W1 between the human answers and
    resamples of as many people drawn from them. (The published "empirical best" is such a bootstrap
    too, in its own convention.) A predictor that knows every person's own distribution can come out
    a little below it, one that answers with a single draw per person stays about a factor 1.4 above
    it. In small cells the bootstrap is too low, simulated on five answers: 2 % at 50 people, 6 % at
    20, 17 % at 10, 65 % at 2. Cells of one person are nan.

    Args:
        cells: the cells.
        draws: resamples per cell.
        seed: of the resampling.
    """
    rng = np.random.default_rng(seed)
    human = cells.human
    bounds: Ints = np.searchsorted(human.cell, np.arange(len(cells.people) + 1))
    distances = np.full(len(cells.people), np.nan)
    for cell in np.flatnonzero(cells.people >= 2):
        given = slice(bounds[cell], bounds[cell + 1])
        distances[cell] = resampled_wasserstein(human.answer[given], human.count[given], draws, rng)
    return distances / cells.span
