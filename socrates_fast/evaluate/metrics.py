"""Figures of single rows, as pure functions of arrays.

A predicted answer distribution is given as ``values`` and ``probabilities``, both (m,): the entries
of ``n`` rows laid end to end, whose ``shape`` says where each row begins. ``span`` is high - low of
the row's stated scale, so that errors are shares of the scale's range and comparable between
questions.
"""

import numpy as np

from socrates_fast.evaluate.ragged import Floats, Ints, Ragged, weighted_count

REACHES_HALF = 0.5 - 1e-12
"""A cumulative probability from here on counts as one half (rounding)."""


def expected_answer(values: Floats, probabilities: Floats, shape: Ragged) -> Floats:
    """E[X] = sum of value * probability, in the answer's unit; shape (n,)."""
    return shape.total(values * probabilities)


def median_answer(values: Floats, probabilities: Floats, shape: Ragged) -> Floats:
    """Smallest value with a cumulative probability of one half, in its own unit; shape (n,)."""
    median = np.empty(len(shape.lengths))
    for length in np.unique(shape.lengths):
        rows = np.flatnonzero(shape.lengths == length)
        entries = shape.starts[rows, None] + np.arange(length)
        reached = np.cumsum(probabilities[entries], axis=1) >= REACHES_HALF
        reached[:, -1] = True
        median[rows] = values[shape.starts[rows] + np.argmax(reached, axis=1)]
    return median


def expected_absolute_error(values: Floats, probabilities: Floats, shape: Ragged, response: Floats) -> Floats:
    """E|X - r| with X drawn from the predicted distribution, in the answer's unit; shape (n,).

    Published accuracies draw X once per row; this is the exact expectation over that draw.
    """
    return shape.total(probabilities * np.abs(values - response[shape.owner]))


def accuracy(absolute_error: Floats, span: Floats) -> Floats:
    """1 - |X - r| / span: 1 is right, 0 is the whole scale away; any shape.

    This is "individual accuracy" of SOCRATES (arXiv:2509.05830) and of the Twin-2K mega-study
    (arXiv:2509.19088): one minus the normalised absolute error, not the share of exact matches. It
    pays for collapsing to the middle of the scale, so it is never shown without the ``midpoint``
    baseline.
    """
    return 1.0 - absolute_error / span


def wasserstein(group: Ints, position: Floats, mass: Floats, groups: int) -> Floats:
    """Wasserstein-1 distance of each group, in the unit of ``position``; shape (groups,).

    W1 = integral of |F - G| = sum over neighbouring positions of |F - G| * gap, with F and G the
    two cumulative distributions. Per group, ``mass`` holds one distribution with plus and the other
    with minus signs (each sums to 1); entries may be in any order. Equals
    ``scipy.stats.wasserstein_distance``.

    Args:
        group: which group an entry belongs to; shape (m,).
        position: where it lies; shape (m,).
        mass: its signed probability; shape (m,).
        groups: number of groups; those without entries get 0.
    """
    order = np.lexsort((position, group))
    group, position, mass = group[order], position[order], mass[order]
    inside = group[1:] == group[:-1]
    area = np.abs(np.cumsum(mass)[:-1]) * np.diff(position)
    return weighted_count(group[:-1][inside], area[inside], groups)


def row_wasserstein(values: Floats, difference: Floats, shape: Ragged) -> Floats:
    """Wasserstein-1 between two distributions on each row's values, in their unit; shape (n,).

    Args:
        values: ascending within a row; shape (m,).
        difference: probabilities of the one minus those of the other; shape (m,).
        shape: where rows begin.
    """
    gap = np.diff(values, append=values[-1])
    gap[shape.starts + shape.lengths - 1] = 0.0  # from a row's last value there is nowhere to go
    return shape.total(np.abs(np.cumsum(difference)) * gap)


def resampled_wasserstein(answers: Floats, counts: Ints, draws: int, rng: np.random.Generator) -> float:
    """Expected Wasserstein-1 between a sample and resamples of its own size, in the answers' unit.

    Args:
        answers: the sample's distinct answers, ascending; shape (h,).
        counts: how often each was given; shape (h,).
        draws: number of resamples.
        rng: source of randomness.
    """
    people = int(counts.sum())
    resampled = rng.multinomial(people, counts / people, size=draws)
    cumulative = np.cumsum(resampled - counts, axis=1)[:, :-1] / people
    return float((np.abs(cumulative) @ np.diff(answers)).mean())
