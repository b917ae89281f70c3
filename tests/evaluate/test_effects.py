"""Treatment effects against definitions, on truths that are known, and what a model that is blind to them gets."""

from collections.abc import Callable
from itertools import combinations

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from socrates_fast.evaluate.answers import read_answers
from socrates_fast.evaluate.cells import Cells
from socrates_fast.evaluate.effects import (
    Tasks,
    ceiling_estimates,
    effect_estimates,
    effects_frame,
    permutation_p,
    read_tasks,
)
from socrates_fast.evaluate.ragged import Floats

Cell = Callable[..., pl.DataFrame]


def _human_mean(cells: Cells) -> Floats:
    human = cells.human
    return np.bincount(human.cell, weights=human.answer * human.count) / cells.people


def _all(cells: Cells) -> Tasks:
    return read_tasks(cells, np.ones(len(cells.people), bool))


def _value(tasks: Tasks, mean: Floats, name: str) -> float:
    return effect_estimates(tasks, mean)[f"effects.{name}"].value


@pytest.fixture
def cells(experiment: Callable[..., pl.DataFrame]) -> Cells:
    return read_answers(experiment()).cells


def test_what_two_conditions_give_by_hand(cell: Cell) -> None:
    """Means 2 and 4, variances 1 and 1 (n - 1): the difference is 2 standard deviations, half of it each effect."""
    rows = pl.concat([cell([1, 2, 3]), cell([3, 4, 5], condition=1)])
    tasks = _all(read_answers(rows).cells)
    assert tasks.unit.tolist() == pytest.approx([1.0])
    assert tasks.human.tolist() == pytest.approx([-1.0, 1.0])
    assert tasks.error.tolist() == pytest.approx([np.sqrt(1 / 3)] * 2)
    predicted = np.array([2.5, 3.0])  # a quarter of the difference, of the right sign
    assert _value(tasks, predicted, "correlation") == pytest.approx(1.0)
    assert _value(tasks, predicted, "slope") == pytest.approx(4.0)
    assert _value(tasks, predicted, "sign") == 1.0
    # noise: (1 - 1/2) * 2 * 1/3; human sum of squares 2; predicted 2 * 0.25^2
    assert _value(tasks, predicted, "sensitivity") == pytest.approx(np.sqrt(0.125 / (2 - 1 / 3)))
    frame = effects_frame(read_answers(rows).cells, tasks, predicted)
    assert frame.select("condition", "other", "human", "predicted").row(0) == pytest.approx(
        (0, 1, -2.0, -0.5)
    )
    assert frame["error"].to_list() == pytest.approx([np.sqrt(2 / 3)])


def test_the_truth_told_gets_full_marks(cells: Cells) -> None:
    tasks, human = _all(cells), _human_mean(cells)
    for name in ("correlation", "slope", "sign", "sign_clear"):
        assert _value(tasks, human, name) == pytest.approx(1.0), name
    assert _value(tasks, -human, "correlation") == pytest.approx(-1.0)
    assert _value(tasks, -human, "sign") == 0.0
    assert permutation_p(tasks, human) == pytest.approx(1 / 1001)


def test_a_model_that_does_not_see_the_condition_has_no_effects(cells: Cells) -> None:
    tasks = _all(cells)
    blind = cells.low + 0.37 * cells.span
    assert _value(tasks, blind, "sensitivity") == pytest.approx(0.0, abs=1e-9)
    assert np.isnan(_value(tasks, blind, "correlation"))
    assert _value(tasks, blind, "sign") == 0.5
    assert np.isnan(_value(tasks, blind, "slope"))  # not the ratio of two roundings
    assert permutation_p(tasks, blind) is None


@given(st.integers(0, 10_000))
def test_sums_over_conditions_are_those_over_all_pairs(seed: int) -> None:
    """Each task's sum of products of effects is that over its pairs of conditions, divided by their number."""
    rng = np.random.default_rng(seed)
    conditions = int(rng.integers(2, 6))
    tasks = Tasks(
        np.arange(conditions), np.zeros(conditions, int), np.array([conditions]), np.zeros(1, int), np.ones(1),
        (human := rng.normal(size=conditions)) - human.mean(), np.ones(conditions),
    )  # fmt: skip
    mean = rng.normal(size=conditions)
    pairs = list(combinations(range(conditions), 2))
    products = [(human[a] - human[b]) * (mean[a] - mean[b]) for a, b in pairs]
    squares = [[(side[a] - side[b]) ** 2 for a, b in pairs] for side in (human, mean)]
    expected = np.sum(products) / np.sqrt(np.sum(squares[0]) * np.sum(squares[1]))
    assert _value(tasks, mean, "correlation") == pytest.approx(expected)
    right = np.mean([float((human[a] > human[b]) == (mean[a] > mean[b])) for a, b in pairs])
    assert _value(tasks, mean, "sign") == pytest.approx(right)


def test_a_perfect_model_reaches_the_ceiling(experiment: Callable[..., pl.DataFrame]) -> None:
    """The correlation of true effects with those of a sample is the root of the sample's reliability."""
    rows = experiment(seed=4, studies=60, conditions=4, tasks=1, people=40, effect=0.6)
    cells = read_answers(rows).cells
    means = rows.with_columns(
        mean=pl.struct("values", "truth").map_elements(
            lambda row: float(np.dot(row["values"], row["truth"])), return_dtype=pl.Float64
        )
    )
    true = means.group_by("study_id", "condition_num", "task_num").agg(pl.col("mean").mean())
    ordered = cells.keys.join(true, on=cells.keys.columns, how="left", maintain_order="left")[
        "mean"
    ].to_numpy()
    tasks = _all(cells)
    ceiling = ceiling_estimates(tasks)["effects.correlation"].value
    assert 0.5 < ceiling < 0.99
    assert _value(tasks, ordered, "correlation") == pytest.approx(ceiling, abs=0.04)
    assert _value(tasks, ordered, "sensitivity") == pytest.approx(1.0, abs=0.12)


def test_permutation_p_is_even_where_there_is_nothing(cells: Cells) -> None:
    rng = np.random.default_rng(0)
    tasks = _all(cells)
    found = [permutation_p(tasks, rng.normal(size=len(cells.people)), 199, seed) for seed in range(60)]
    assert 0.35 < np.mean([p for p in found if p is not None]) < 0.65
    assert 0.0 < np.mean([p is not None and p < 0.25 for p in found]) < 0.45


def test_only_conditions_on_the_same_scale_are_compared(cell: Cell) -> None:
    rows = pl.concat(
        [
            cell([1, 2, 3]),
            cell([3, 4, 5], condition=1),
            cell([3, 4, 5], 0, 10, condition=2),
            cell([1, 2], task=1),
        ]
    )
    tasks = _all(read_answers(rows).cells)
    assert tasks.cell.tolist() == [0, 2]
    assert tasks.conditions.tolist() == [2]


def test_cells_of_one_person_and_tasks_without_spread_take_no_part(cell: Cell) -> None:
    rows = pl.concat(
        [cell([4, 4]), cell([5, 5], condition=1), cell([4], task=1), cell([4, 5], task=1, condition=1)]
    )
    assert len(_all(read_answers(rows).cells).conditions) == 0
    tasks = _all(read_answers(cell([1, 2])).cells)
    assert np.isnan(_value(tasks, np.array([1.0]), "correlation"))
    assert effects_frame(read_answers(cell([1, 2])).cells, tasks, np.array([1.0])).height == 0
