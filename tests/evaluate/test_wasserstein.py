"""Distances per cell: both conventions, their floor, and the mistakes that they are known for."""

from collections.abc import Callable

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom, wasserstein_distance

from socrates_fast.evaluate.answers import Answers, read_answers
from socrates_fast.evaluate.baselines import midpoint, uniform
from socrates_fast.evaluate.predictions import InMemory
from socrates_fast.evaluate.ragged import Floats
from socrates_fast.evaluate.scored import score
from socrates_fast.evaluate.wasserstein import (
    expected_wasserstein,
    floor,
    published_floor,
    published_wasserstein,
    stated_wasserstein,
)

Cell = Callable[..., pl.DataFrame]


def mixture(answers: Answers, probabilities: Floats) -> Floats:
    """The predicted distribution of each cell, as the evaluation makes it of its rows'."""
    return score(answers, InMemory(probabilities, np.ones(answers.height))).mixture


def _random_predictions(rows: pl.DataFrame, seed: int) -> Floats:
    rng = np.random.default_rng(seed)
    lengths = rows["values"].list.len().to_list()
    return np.concatenate([rng.dirichlet(np.ones(length)) for length in lengths])


@pytest.mark.parametrize("seed", range(5))
def test_both_conventions_equal_scipy_on_the_pooled_answers(cell: Cell, seed: int) -> None:
    rng = np.random.default_rng(seed)
    frames = [
        cell(rng.integers(2, 6, size=7).tolist(), 1, 7, study="b"),
        cell(rng.integers(0, 101, size=30).tolist(), 0, 100, study="a", task=1),
        cell([1, 4, 4, 2], 1, 4, values=[1, 2, 4], study="a", condition=3),
    ]
    rows = pl.concat(frames).sample(fraction=1, shuffle=True, seed=seed)
    answers = read_answers(rows)
    probabilities = _random_predictions(rows, seed)
    cells = answers.cells
    predicted = mixture(answers, probabilities)
    stated, published = (
        stated_wasserstein(cells, predicted),
        published_wasserstein(cells, predicted),
    )
    for index, key in enumerate(cells.keys.rows()):
        own = np.array([row == key for row in rows.select(cells.keys.columns).rows()])
        entries = own[answers.shape.owner]
        human, low, span = answers.response[own], cells.low[index], cells.span[index]
        allowed = cells.scales[cells.scale[index]]
        values, weights = np.tile(allowed, int(own.sum())), probabilities[entries]
        assert stated[index] == pytest.approx(
            wasserstein_distance((values - low) / span, (human - low) / span, weights)
        )
        low, span = human.min(), np.ptp(human)
        clipped = np.clip((values - low) / span, 0, 1)
        assert published[index] == pytest.approx(wasserstein_distance(clipped, (human - low) / span, weights))


def test_a_perfect_mixture_has_no_distance(cell: Cell) -> None:
    answers = read_answers(cell([1, 2, 2, 4], 1, 4))
    perfect = np.tile([0.25, 0.5, 0.0, 0.25], 4)
    predicted = mixture(answers, perfect)
    assert stated_wasserstein(answers.cells, predicted).tolist() == [0.0]
    assert published_wasserstein(answers.cells, predicted).tolist() == [0.0]


def test_published_leaves_out_cells_of_one_person_and_of_one_answer(cell: Cell) -> None:
    rows = pl.concat([cell([3]), cell([4, 4, 4], task=1), cell([4, 5], task=2)])
    answers = read_answers(rows)
    predicted = uniform(answers.cells)
    published = published_wasserstein(answers.cells, predicted)
    assert np.isnan(published).tolist() == [True, True, False]
    assert np.isfinite(stated_wasserstein(answers.cells, predicted)).all()


def test_one_stray_answer_shrinks_the_published_distance(cell: Cell) -> None:
    """98 is a missing code that survives in real data on a scale from 1 to 7."""
    given = [1, 1, 2, 2, 3, 7] * 10
    clean, stray = (read_answers(cell(responses)) for responses in (given, [*given, 98]))
    distances = {
        name: [float(distance(answers.cells, midpoint(answers.cells))[0]) for answers in (clean, stray)]
        for name, distance in (("stated", stated_wasserstein), ("published", published_wasserstein))
    }
    assert distances["published"][1] < distances["published"][0] / 5
    assert distances["stated"][1] > distances["stated"][0]


def test_few_people_make_a_perfect_prediction_look_bad(cell: Cell) -> None:
    truth = np.full(7, 1 / 7)
    rng = np.random.default_rng(3)
    rows = pl.concat(
        [
            cell(rng.integers(1, 8, size=people).tolist(), task=task, study=f"n{people}")
            for people in (2, 20, 200)
            for task in range(40)
        ]
    )
    answers = read_answers(rows)
    distance = stated_wasserstein(answers.cells, mixture(answers, np.tile(truth, answers.keys.height)))
    means = [distance[answers.cells.people == people].mean() for people in (2, 20, 200)]
    assert means[0] > 2 * means[1] > 4 * means[2]


@pytest.mark.parametrize("people", [50, 200])
def test_floor_is_what_the_true_distribution_gets(cell: Cell, people: int) -> None:
    truth = np.array([0.1, 0.25, 0.3, 0.2, 0.15])
    rng = np.random.default_rng(people)
    rows = pl.concat(
        [cell((rng.choice(5, size=people, p=truth) + 1).tolist(), 1, 5, task=task) for task in range(200)]
    )
    answers = read_answers(rows)
    perfect = mixture(answers, np.tile(truth, answers.keys.height))
    reached = stated_wasserstein(answers.cells, perfect).mean()
    assert floor(answers.cells).mean() == pytest.approx(reached, rel=0.08)


@given(st.lists(st.integers(1, 7), min_size=2, max_size=12))
def test_floor_is_reproducible_and_zero_only_for_one_answer(responses: list[int]) -> None:
    cells = read_answers(_one_cell(responses)).cells
    first = floor(cells)
    assert first.tolist() == floor(cells).tolist()
    assert (first[0] > 0) == (len(set(responses)) > 1)


@pytest.mark.parametrize(("people", "share"), [(2, 0.5), (20, 0.5), (100, 0.3), (1000, 0.1)])
def test_the_floor_is_the_exact_expectation_over_resamples(people: int, share: float) -> None:
    """On two answers W1 is |K / n - p|: its mean summed over the binomial distribution."""
    yes = round(people * share)
    k = np.arange(people + 1)
    exact = (binom.pmf(k, people, yes / people) * np.abs(k - yes)).sum() / people
    found = expected_wasserstein(np.zeros(2, int), np.array([0.0, 1.0]), np.array([people - yes, yes]), 1)
    assert found[0] == pytest.approx(exact)


@given(st.lists(st.integers(1, 7), min_size=2, max_size=40))
def test_the_floor_is_what_a_simulated_bootstrap_gives(responses: list[int]) -> None:
    rng = np.random.default_rng(0)
    sample = np.array(responses)
    drawn = rng.choice(sample, size=(2000, len(sample)))
    simulated = np.mean([wasserstein_distance(sample, again) for again in drawn[:200]])
    spread = np.std([wasserstein_distance(sample, again) for again in drawn[:200]])
    cells = read_answers(_one_cell(responses)).cells
    assert floor(cells)[0] * 6 == pytest.approx(simulated, abs=5 * spread / np.sqrt(200) + 1e-9)
    if len(set(responses)) > 1:
        assert published_floor(cells)[0] * np.ptp(sample) == pytest.approx(floor(cells)[0] * 6)


def test_the_floor_of_the_published_convention_leaves_out_what_it_leaves_out(cell: Cell) -> None:
    answers = read_answers(pl.concat([cell([3]), cell([4, 4, 4], task=1), cell([4, 5], task=2)]))
    assert np.isnan(published_floor(answers.cells)).tolist() == [True, True, False]


def test_floor_of_one_person_is_unknown(cell: Cell) -> None:
    assert np.isnan(floor(read_answers(cell([3])).cells)).all()


def _one_cell(responses: list[int]) -> pl.DataFrame:
    """As the fixture ``cell``, which hypothesis cannot ask for."""
    people = len(responses)
    return pl.DataFrame(
        {
            "study_id": ["a"] * people,
            "condition_num": [0] * people,
            "task_num": [0] * people,
            "participant": range(people),
            "sample_id": range(people),
            "response": responses,
            "low": [1] * people,
            "high": [7] * people,
            "values": [list(range(1, 8))] * people,
        }
    )
