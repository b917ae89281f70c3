"""Figures of single rows, as pure functions of arrays.

``u`` rows on scales of ``k`` answers: ``values`` is (k,) where they share one scale, else (u, k), ascending;
``probabilities`` is (u, k) and sums to 1 in each row; ``response`` is what the people answered, (u,). Errors are in the
answer's unit; divided by the stated range, high - low, they can be compared between questions. Rows are short and many,
so everything works on columns: it is several times faster if ``probabilities`` has them in one piece (Fortran order).
``running`` is ``cumulative(probabilities)``, if it is known already.
"""

import numpy as np

from socrates_fast.evaluate.ragged import Bools, Floats, Ints, weighted_count

REACHES_HALF = 0.5 - 1e-12
"""A cumulative probability from here on counts as one half (rounding)."""

LEAST_PROBABILITY = 1e-6
"""The log score takes smaller probabilities for this one, so that a single impossible answer is not infinitely bad."""


def expected_answer(values: Floats, probabilities: Floats) -> Floats:
    """E[X] = sum of value * probability; shape (u,).

    Rows with the same distribution have the same mean to the last bit, which a matrix product would not promise: ranks
    must not see rounding.
    """
    total: Floats = (probabilities * values).sum(axis=1)
    return total


def cumulative(probabilities: Floats) -> Floats:
    """Each row's cumulative sums; (u, k), its columns in one piece."""
    running = np.empty(probabilities.shape, order="F")
    running[:, 0] = probabilities[:, 0]
    for place in range(1, probabilities.shape[1]):
        np.add(running[:, place - 1], probabilities[:, place], out=running[:, place])
    return running


def median_answer(values: Floats, probabilities: Floats, running: Floats | None = None) -> Floats:
    """Smallest value with a cumulative probability of one half; shape (u,)."""
    running = cumulative(probabilities) if running is None else running
    return _picked(values, (running[:, :-1] < REACHES_HALF).sum(axis=1))


def _picked(values: Floats, index: Ints) -> Floats:
    return values[index] if values.ndim == 1 else np.take_along_axis(values, index[:, None], 1)[:, 0]


def expected_absolute_error(values: Floats, probabilities: Floats, response: Floats) -> Floats:
    """E|X - r| with X drawn from the predicted distribution; shape (u,).

    Published accuracies draw X once per row; this is the exact expectation over that draw.
    """
    distance = np.subtract(values, response[:, None], out=np.empty_like(probabilities))
    np.abs(distance, out=distance)
    total: Floats = np.multiply(distance, probabilities, out=distance).sum(axis=1)
    return total


def accuracy(absolute_error: Floats, span: Floats) -> Floats:
    """1 - |X - r| / span: 1 is right, 0 is the whole scale away; any shape.

    This is "individual accuracy" of SOCRATES (arXiv:2509.05830) and of the Twin-2K mega-study (arXiv:2509.19088): one
    minus the normalised absolute error, not the share of exact matches. It pays for collapsing to the middle of the
    scale, so it is never shown without the ``midpoint`` baseline.
    """
    return 1.0 - absolute_error / span


def mean_difference(values: Floats, probabilities: Floats, running: Floats | None = None) -> Floats:
    """E|X - X'| of two independent draws = 2 * sum of F (1 - F) gap (Gini's mean difference); shape (u,)."""
    below = (cumulative(probabilities) if running is None else running)[:, :-1]
    return 2.0 * expected_answer(np.diff(values), below * (1.0 - below))


def ranked_probability_score(values: Floats, probabilities: Floats, response: Floats) -> Floats:
    """E|X - r| - E|X - X'| / 2 = integral of (F(x) - 1[x >= r])^2 dx; 0 is best; shape (u,).

    The continuous ranked probability score (Gneiting & Raftery, J. Am. Stat. Assoc. 102, 2007, eq. 21) of a discrete
    distribution. It is proper: nobody gains by predicting anything but what they believe, a constant middle included.
    """
    error = expected_absolute_error(values, probabilities, response)
    return error - mean_difference(values, probabilities) / 2.0


def probability_of(values: Floats, probabilities: Floats, response: Floats) -> Floats:
    """The probability that was given to what was answered, 0 off the scale: expected exact matches; shape (u,)."""
    place = np.searchsorted(values, response).clip(max=len(values) - 1)
    hit: Floats = np.where(values[place] == response, probabilities[np.arange(len(place)), place], 0.0)
    return hit


def log_score(given: Floats) -> Floats:
    """-ln p of the answer that was given, p at least ``LEAST_PROBABILITY``; in nats, 0 is best; any shape.

    Args:
        given: see ``probability_of``.
    """
    return -np.log(np.maximum(given, LEAST_PROBABILITY))


def brier_score(probabilities: Floats, given: Floats) -> Floats:
    """Sum over answers of (p - 1[answered])^2, from 0 (best) to 2; shape (u,).

    Brier, Monthly Weather Review 78 (1950), for several classes; answers off the scale count as one class more.
    """
    total: Floats = (probabilities * probabilities).sum(axis=1) - 2.0 * given + 1.0
    return total


def cumulative_bounds(
    values: Floats, probabilities: Floats, response: Floats, running: Floats | None = None
) -> tuple[Floats, Floats]:
    """P(X < r) and P(X <= r): between them lies the answer's place in the predicted distribution; each (u,)."""
    running = cumulative(probabilities) if running is None else running
    rows = np.arange(len(response))

    def of_first(answers: Ints) -> Floats:
        return np.where(answers > 0, np.minimum(running[rows, answers - 1], 1.0), 0.0)

    below = np.searchsorted(values, response)
    upto = below + (values[below.clip(max=len(values) - 1)] == response)
    return of_first(below), of_first(upto)


def histogram_of_places(below: Floats, upto: Floats, bins: int) -> Floats:
    """Share of each row's place in its predicted distribution that falls into equal bins of [0, 1]; (u, bins).

    The non-randomised probability integral transform for discrete answers (Czado, Gneiting & Held, Biometrics 65,
    2009): a row's unit mass is spread evenly over [P(X < r), P(X <= r)]. Its mean over rows is flat if calibrated.
    """
    edges = np.linspace(0.0, 1.0, bins + 1)[:, None]
    width = upto - below
    with np.errstate(divide="ignore", invalid="ignore"):
        reached = (edges - below) / width
    np.minimum(np.maximum(reached, 0.0, out=reached), 1.0, out=reached)
    point = np.flatnonzero(width <= 0)  # no probability at all: the whole mass lies in one place
    reached[:, point] = (edges > below[point]) | (edges == 1.0)
    reached[0] = 0.0
    return np.diff(reached, axis=0).T


def likeliest(values: Floats, probabilities: Floats, response: Floats) -> tuple[Floats, Bools]:
    """The highest probability of each row, and whether the answer that has it was given; each (u,)."""
    highest = probabilities.max(axis=1)
    hit = probability_of(values, probabilities, response) == highest
    tied = np.flatnonzero(
        (probabilities == highest[:, None]).sum(axis=1) > 1
    )  # then it is the smallest of them
    hit[tied] = values[np.argmax(probabilities[tied], axis=1)] == response[tied]
    return highest, hit


def wasserstein(group: Ints, position: Floats, mass: Floats, groups: int) -> Floats:
    """Wasserstein-1 distance of each group, in the unit of ``position``; shape (groups,).

    W1 = integral of |F - G| = sum over neighbouring positions of |F - G| * gap, with F and G the two cumulative
    distributions. Per group, ``mass`` holds one distribution with plus and the other with minus signs (each sums to 1);
    entries may be in any order. Equals ``scipy.stats.wasserstein_distance``.

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


def row_wasserstein(values: Floats, difference: Floats) -> Floats:
    """Wasserstein-1 between two distributions on the same answers; shape (u,).

    Args:
        values: ascending; (k,) or (u, k).
        difference: probabilities of the one minus those of the other; (u, k).
    """
    return expected_answer(np.diff(values), np.abs(cumulative(difference)[:, :-1]))


def ranks(value: Floats, weight: Floats, group: Ints | None = None, order: Ints | None = None) -> Floats:
    """Average ranks, from 0 to 1, of weighted values over all or within groups; shape (u,).

    A value's rank is the weight below it plus half of the weight at it, as a share of its group's weight: with weights
    of one, (``scipy.stats.rankdata`` - 1/2) / n. ``order`` is what sorts the values, if it is known already.
    """
    order = np.argsort(value) if order is None else order
    order = order if group is None else order[_sorting(group[order])]
    group = np.zeros(len(value), np.int64) if group is None else group[order]
    value, weight = value[order], weight[order]
    new = np.ones(len(value), bool)
    new[1:] = (value[1:] != value[:-1]) | (group[1:] != group[:-1])
    first = np.flatnonzero(new)
    tied = np.add.reduceat(weight, first)
    total = np.bincount(group[first], weights=tied)
    starts = np.cumsum(total) - total
    below = np.cumsum(tied) - tied - starts[group[first]]
    rank = (below + tied / 2.0) / total[group[first]]
    found = np.empty(len(value))
    found[order] = np.repeat(rank, np.diff(np.append(first, len(value))))
    return found


def _sorting(group: Ints) -> Ints:
    """What sorts groups and keeps the order within them."""
    small = len(group) > 0 and group.max() < 2**16  # numpy sorts short integers by radix
    return np.argsort(group.astype(np.uint16) if small else group, kind="stable")
