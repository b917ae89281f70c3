"""Figures of rows against closed forms and against scipy."""

import csv
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import wasserstein_distance

from socrates_fast.evaluate.metrics import (
    accuracy,
    expected_absolute_error,
    expected_answer,
    median_answer,
    resampled_wasserstein,
    row_wasserstein,
    wasserstein,
)
from socrates_fast.evaluate.ragged import Floats, Ragged
from socrates_fast.infer.predictor import AnswerDistribution

DATA = Path(__file__).parents[3] / "shared" / "data"

weights = st.lists(st.floats(0.001, 1), min_size=1, max_size=8)
supports = st.lists(st.integers(-20, 120), min_size=1, max_size=8)
sides = st.tuples(supports, supports)


def _shares(number: int, seed: int) -> Floats:
    return np.random.default_rng(seed).dirichlet(np.ones(number))


@given(st.lists(sides, min_size=1, max_size=4), st.integers(0, 2**32 - 1))
def test_wasserstein_equals_scipy(groups: list[tuple[list[int], list[int]]], seed: int) -> None:
    group, position, mass, expected = [], [], [], []
    for index, (left, right) in enumerate(groups):
        p, q = _shares(len(left), seed), _shares(len(right), seed + 1)
        group += [index] * (len(left) + len(right))
        position += left + right
        mass += [*p, *-q]
        expected.append(wasserstein_distance(left, right, p, q))
    found = wasserstein(np.array(group), np.array(position, dtype=np.float64), np.array(mass), len(groups))
    np.testing.assert_allclose(found, expected, atol=1e-9)


@given(st.lists(st.integers(1, 9), min_size=1, max_size=5), st.integers(0, 2**32 - 1))
def test_row_wasserstein_equals_scipy(lengths: list[int], seed: int) -> None:
    rng = np.random.default_rng(seed)
    shape = Ragged(np.array(lengths))
    supports = [np.sort(rng.choice(50, length, replace=False)) for length in lengths]
    left = [rng.dirichlet(np.ones(length)) for length in lengths]
    right = [rng.dirichlet(np.ones(length)) for length in lengths]
    found = row_wasserstein(
        np.concatenate(supports).astype(np.float64),
        np.concatenate(left) - np.concatenate(right),
        shape,
    )
    expected = [wasserstein_distance(v, v, p, q) for v, p, q in zip(supports, left, right, strict=True)]
    np.testing.assert_allclose(found, expected, atol=1e-9)


@given(st.lists(weights, min_size=1, max_size=6))
def test_mean_and_median_equal_those_of_answer_distribution(rows: list[list[float]]) -> None:
    distributions = [
        AnswerDistribution(np.arange(len(row)) * 3 - 1, np.array(row) / np.sum(row), 1.0) for row in rows
    ]
    values = np.concatenate([item.values for item in distributions]).astype(np.float64)
    probabilities = np.concatenate([item.probabilities for item in distributions])
    shape = Ragged(np.array([len(row) for row in rows]))
    np.testing.assert_allclose(
        expected_answer(values, probabilities, shape), [item.mean for item in distributions]
    )
    medians = median_answer(values, probabilities, shape)
    assert medians.tolist() == [item.median for item in distributions]


def test_median_of_an_exact_half_is_the_lower_answer() -> None:
    shape = Ragged(np.array([2, 4]))
    values = np.array([1.0, 2, 1, 2, 3, 4])
    halves = np.array([0.5, 0.5, 0.1, 0.4, 0.1, 0.4])
    assert median_answer(values, halves, shape).tolist() == [1, 2]


@given(st.integers(2, 30), st.data())
def test_accuracy_of_uniform_guessing_has_a_closed_form(k: int, data: st.DataObject) -> None:
    response = data.draw(st.integers(1, k))
    values = np.arange(1.0, k + 1)
    error = expected_absolute_error(
        values, np.full(k, 1 / k), Ragged(np.array([k])), np.array([float(response)])
    )
    below, above = response - 1, k - response
    expected = (below * (below + 1) + above * (above + 1)) / (2 * k)
    assert accuracy(error, np.array([k - 1.0]))[0] == pytest.approx(1 - expected / (k - 1))


@pytest.mark.parametrize(("people", "share"), [(20, 0.5), (100, 0.3), (1000, 0.1)])
def test_resampling_a_yes_no_question_gives_the_binomial_mean_deviation(people: int, share: float) -> None:
    """On two answers W1 is |p' - p|, whose mean is close to sqrt(2 p (1 - p) / (pi n))."""
    yes = round(people * share)
    counts = np.array([people - yes, yes])
    rng = np.random.default_rng(1)
    found = resampled_wasserstein(np.array([0.0, 1.0]), counts, 4000, rng)
    assert found == pytest.approx(np.sqrt(2 * share * (1 - share) / (np.pi * people)), rel=0.06)


def _read(name: str) -> dict[str, list[str]]:
    with (DATA / name).open(encoding="utf-8-sig", newline="") as file:
        header, *lines = csv.reader(file)
    return {name: list(cells) for name, cells in zip(header, zip(*lines, strict=True), strict=True)}


@pytest.mark.skipif(not DATA.is_dir(), reason="the Twin-2K files are not in ../shared/data")
def test_accuracy_reproduces_the_published_figure_of_twin_2k() -> None:
    """Published: 0.7477, standard deviation 0.0945 over the 160 outcomes with a stated range."""
    human, twin, ranges = (_read(f"twin2k_dv_{name}.csv") for name in ("human", "llm", "range"))
    assert human["TWIN_ID"] == twin["TWIN_ID"]
    outcomes = []
    columns = (ranges[column] for column in ("DV_variable", "DV_min", "DV_max"))
    for name, low, high in zip(*columns, strict=True):
        span = float(high) - float(low)
        if name not in human or not np.isfinite(span):
            continue  # three outcomes have no stated range
        answered, predicted = (
            np.array([float(text) if text else np.nan for text in side[name]]) for side in (human, twin)
        )
        outcomes.append(np.nanmean(accuracy(np.abs(predicted - answered), np.array(span))))
    assert len(outcomes) == 160
    assert np.mean(outcomes) == pytest.approx(0.747699, abs=5e-7)
    assert np.std(outcomes, ddof=1) == pytest.approx(0.094514, abs=5e-7)
