"""How widely predicted and human answers spread within a cell: a model that always says the middle has no spread."""

import numpy as np

from socrates_fast.evaluate.cells import Cells
from socrates_fast.evaluate.ragged import Floats, Ints, weighted_count
from socrates_fast.evaluate.uncertainty import divide

NO_SPREAD = 1e-12


def moments(group: Ints, answer: Floats, weight: Floats, groups: int) -> tuple[Floats, Floats, Floats]:
    """Total weight, mean and variance (divided by the weight) of each group; each (groups,), nan without weight."""
    total = weighted_count(group, weight, groups)
    mean = divide(weighted_count(group, weight * answer, groups), total)
    centred = answer - mean[group]
    return total, mean, divide(weighted_count(group, weight * centred**2, groups), total)


def standard_deviation_ratio(predicted: Floats, human: Floats) -> Floats:
    """Predicted over human standard deviation: 1 is right, below 1 too narrow; nan where humans have none; any shape.

    The SD ratio of the Twin-2K mega-study (arXiv:2509.19088).
    """
    return divide(predicted, np.where(human > NO_SPREAD, human, 0.0))


def spread_ratio(cells: Cells, predicted: Floats) -> Floats:
    """SD ratio of each cell's predicted and human answers; shape (c,).

    Human variances are divided by n - 1, as a sample's are; nan for one person, or where all gave one answer.

    Args:
        cells: what people answered.
        predicted: probabilities of ``cells.values``; shape (s,).
    """
    human = cells.human
    people, _, variance = moments(human.cell, human.answer, human.count.astype(np.float64), len(cells.people))
    sample = divide(variance * people, np.maximum(people - 1, 0))
    _, _, own = moments(cells.shape.owner, cells.values, predicted, len(cells.people))
    return standard_deviation_ratio(np.sqrt(own), np.sqrt(sample))


def entropy(group: Ints, mass: Floats, groups: int) -> Floats:
    """Shannon entropy of each group's distribution, in nats; shape (groups,)."""
    with np.errstate(divide="ignore", invalid="ignore"):
        each = np.where(mass > 0, -mass * np.log(np.where(mass > 0, mass, 1.0)), 0.0)
    return weighted_count(group, each, groups)


def human_entropy(cells: Cells) -> Floats:
    """Entropy of each cell's human answers in nats, with Miller and Madow's correction (m - 1) / 2n; shape (c,).

    Without it a few people always seem to agree more than they do: n people give at most n different answers
    (Miller, in: Information Theory in Psychology, 1955).
    """
    human, people = cells.human, np.maximum(cells.people, 1)
    plain = entropy(human.cell, human.count / people[human.cell], len(cells.people))
    different = np.bincount(human.cell, weights=human.count > 0, minlength=len(cells.people))
    return np.where(cells.people > 0, plain + np.maximum(different - 1, 0) / (2 * people), np.nan)


def entropy_ratio(cells: Cells, predicted: Floats) -> Floats:
    """Predicted over human entropy of each cell: below 1 is too sure; nan where people gave one answer; shape (c,)."""
    human = human_entropy(cells)
    own = entropy(cells.shape.owner, predicted, len(cells.people))
    return divide(own, np.where(human > NO_SPREAD, human, 0.0))
