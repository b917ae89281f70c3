"""Figures of rows against closed forms and against scipy."""

import csv
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import rankdata, wasserstein_distance

from socrates_fast.evaluate.metrics import (
    accuracy,
    brier_score,
    cumulative_bounds,
    expected_absolute_error,
    expected_answer,
    histogram_of_places,
    likeliest,
    log_score,
    mean_difference,
    median_answer,
    probability_of,
    ranked_probability_score,
    ranks,
    row_wasserstein,
    wasserstein,
)
from socrates_fast.evaluate.ragged import Floats
from socrates_fast.evaluate.spread import standard_deviation_ratio
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


@given(st.integers(1, 9), st.integers(1, 5), st.integers(0, 2**32 - 1))
def test_row_wasserstein_equals_scipy(length: int, rows: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    values = np.sort(rng.choice(50, length, replace=False)).astype(np.float64)
    left, right = (rng.dirichlet(np.ones(length), size=rows) for _ in range(2))
    expected = [wasserstein_distance(values, values, p, q) for p, q in zip(left, right, strict=True)]
    np.testing.assert_allclose(row_wasserstein(values, left - right), expected, atol=1e-9)
    np.testing.assert_allclose(row_wasserstein(np.tile(values, (rows, 1)), left - right), expected, atol=1e-9)


@given(st.lists(weights, min_size=1, max_size=6))
def test_mean_and_median_equal_those_of_answer_distribution(rows: list[list[float]]) -> None:
    for row in rows:
        item = AnswerDistribution(np.arange(len(row)) * 3 - 1, np.array(row) / np.sum(row), 1.0)
        values, probabilities = item.values.astype(np.float64), item.probabilities[None]
        for shared in (values, values[None]):
            assert expected_answer(shared, probabilities)[0] == pytest.approx(item.mean)
            assert median_answer(shared, probabilities).tolist() == [item.median]


def test_median_of_an_exact_half_is_the_lower_answer() -> None:
    assert median_answer(np.array([1.0, 2]), np.array([[0.5, 0.5]])).tolist() == [1]
    assert median_answer(np.arange(1.0, 5), np.array([[0.1, 0.4, 0.1, 0.4]])).tolist() == [2]


@given(st.integers(2, 30), st.data())
def test_accuracy_of_uniform_guessing_has_a_closed_form(k: int, data: st.DataObject) -> None:
    response = data.draw(st.integers(1, k))
    values = np.arange(1.0, k + 1)
    error = expected_absolute_error(values, np.full((1, k), 1 / k), np.array([float(response)]))
    below, above = response - 1, k - response
    expected = (below * (below + 1) + above * (above + 1)) / (2 * k)
    assert accuracy(error, np.array([k - 1.0]))[0] == pytest.approx(1 - expected / (k - 1))


@pytest.fixture
def rows() -> tuple[Floats, Floats, Floats]:
    """Values with gaps, distributions with zeros, answers on and off the scale."""
    values = np.array([-2.0, 0, 1, 5])
    probabilities = np.array([[0.1, 0.2, 0.3, 0.4], [0, 1, 0, 0], [0.5, 0, 0, 0.5], [0.25] * 4])
    return values, probabilities, np.array([1.0, 5, -2, 3])


def test_scores_equal_their_definitions(rows: tuple[Floats, Floats, Floats]) -> None:
    values, probabilities, response = rows
    grid = np.arange(-2, 6)
    cumulative = np.array([[p[values <= x].sum() for x in grid] for p in probabilities])
    expected = ((cumulative - (grid >= response[:, None])) ** 2)[:, :-1].sum(axis=1)
    np.testing.assert_allclose(
        ranked_probability_score(values, probabilities, response), expected, atol=1e-12
    )
    pairs = np.abs(values[:, None] - values)
    np.testing.assert_allclose(
        mean_difference(values, probabilities), np.einsum("ui,uj,ij->u", probabilities, probabilities, pairs)
    )
    given = probability_of(values, probabilities, response)
    assert given.tolist() == [0.3, 0, 0.5, 0]
    hits = values == response[:, None]
    other = 1.0 - hits.sum(axis=1)  # an answer off the scale is one class more
    np.testing.assert_allclose(
        brier_score(probabilities, given), ((probabilities - hits) ** 2).sum(axis=1) + other
    )
    np.testing.assert_allclose(log_score(given), [-np.log(0.3), np.log(1e6), -np.log(0.5), np.log(1e6)])
    confidence, hit = likeliest(values, probabilities, response)
    assert confidence.tolist() == [0.4, 1, 0.5, 0.25]
    assert hit.tolist() == [False, False, True, False]


@given(st.integers(2, 6), st.integers(0, 2**32 - 1))
def test_nobody_gains_by_predicting_what_they_do_not_believe(length: int, seed: int) -> None:
    """Propriety: the expected score under p is best at p, for all three proper scores."""
    rng = np.random.default_rng(seed)
    truth, lie = rng.dirichlet(np.ones(length), size=2)
    values = np.arange(float(length))

    def expected(predicted: Floats) -> list[float]:
        p = np.tile(predicted, (length, 1))
        given = probability_of(values, p, values)
        scores = (ranked_probability_score(values, p, values), log_score(given), brier_score(p, given))
        return [float(truth @ score) for score in scores]

    assert all(honest <= other + 1e-9 for honest, other in zip(expected(truth), expected(lie), strict=True))


def test_places_of_answers_drawn_from_the_prediction_are_even() -> None:
    rng = np.random.default_rng(2)
    values, p = np.arange(1.0, 8), np.array([0.05, 0.1, 0.2, 0.3, 0.2, 0.1, 0.05])
    drawn = rng.choice(values, size=20_000, p=p)
    below, upto = cumulative_bounds(values, np.tile(p, (len(drawn), 1)), drawn)
    shares = histogram_of_places(below, upto, 10).mean(axis=0)
    np.testing.assert_allclose(shares, 0.1, atol=0.005)


def test_each_place_is_one_answers_mass(rows: tuple[Floats, Floats, Floats]) -> None:
    values, probabilities, response = rows
    below, upto = cumulative_bounds(values, probabilities, response)
    np.testing.assert_allclose(below, [0.3, 1, 0, 0.75])
    np.testing.assert_allclose(upto, [0.6, 1, 0.5, 0.75])
    places = histogram_of_places(below, upto, 10)
    np.testing.assert_allclose(places.sum(axis=1), 1.0)
    np.testing.assert_allclose(places[0], [0, 0, 0, 1 / 3, 1 / 3, 1 / 3, 0, 0, 0, 0])
    assert places[1].tolist() == [0] * 9 + [1]
    assert places[3].argmax() == 7


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 4)), min_size=1, max_size=30))
def test_ranks_equal_scipy(pairs: list[tuple[int, int]]) -> None:
    group, value = np.array(pairs).T
    found = ranks(value.astype(np.float64), np.ones(len(value)), group)
    for number in np.unique(group):
        own = group == number
        np.testing.assert_allclose(found[own], (rankdata(value[own]) - 0.5) / own.sum())


def test_weights_of_ranks_are_repetitions() -> None:
    weighted = ranks(np.array([3.0, 1, 2]), np.array([2.0, 3, 1]))
    plain = ranks(np.array([3.0, 3, 1, 1, 1, 2]), np.ones(6))
    np.testing.assert_allclose(weighted, plain[[0, 2, 5]])


def _read(name: str) -> dict[str, list[str]]:
    with (DATA / name).open(encoding="utf-8-sig", newline="") as file:
        header, *lines = csv.reader(file)
    return {name: list(cells) for name, cells in zip(header, zip(*lines, strict=True), strict=True)}


Outcomes = dict[str, tuple[Floats, Floats]]


@pytest.fixture(scope="module")
def twins() -> Outcomes:
    """Of each outcome of the Twin-2K mega-study what people answered and what their language-model twins did."""
    if not DATA.is_dir():
        pytest.skip("the Twin-2K files are not in ../shared/data")
    human, twin = (_read(f"twin2k_dv_{name}.csv") for name in ("human", "llm"))
    assert human.pop("TWIN_ID") == twin.pop("TWIN_ID")
    return {name: (_numbers(human[name]), _numbers(twin[name])) for name in human}


def _numbers(column: list[str]) -> Floats:
    return np.array([float(text) if text else np.nan for text in column])


def test_accuracy_reproduces_the_published_figure_of_twin_2k(twins: Outcomes) -> None:
    """Published: 0.7477, standard deviation 0.0945 over the 160 outcomes with a stated range."""
    ranges = _read("twin2k_dv_range.csv")
    outcomes = []
    columns = (ranges[column] for column in ("DV_variable", "DV_min", "DV_max"))
    for name, low, high in zip(*columns, strict=True):
        span = float(high) - float(low)
        if name not in twins or not np.isfinite(span):
            continue  # three outcomes have no stated range
        answered, predicted = twins[name]
        outcomes.append(np.nanmean(accuracy(np.abs(predicted - answered), np.array(span))))
    assert len(outcomes) == 160
    assert np.mean(outcomes) == pytest.approx(0.747699, abs=5e-7)
    assert np.std(outcomes, ddof=1) == pytest.approx(0.094514, abs=5e-7)


def test_spread_reproduces_the_published_figure_of_twin_2k(twins: Outcomes) -> None:
    """Published: 0.6690, standard deviation 0.2131 over 163 outcomes, of the people with both answers."""
    pairs = [np.stack(both)[:, np.isfinite(both).all(axis=0)] for both in twins.values()]
    human, predicted = (np.array([both[side].std(ddof=1) for both in pairs]) for side in (0, 1))
    ratios = standard_deviation_ratio(predicted, human)
    ratios = ratios[np.isfinite(ratios)]
    assert len(ratios) == 163
    assert np.mean(ratios) == pytest.approx(0.669040, abs=5e-7)
    assert np.std(ratios, ddof=1) == pytest.approx(0.213068, abs=5e-7)
