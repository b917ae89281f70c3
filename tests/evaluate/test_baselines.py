"""Baselines: closed forms, and the same predictions as the predictors of the same name."""

from collections.abc import Callable

import numpy as np
import polars as pl
import pytest

from socrates_fast.data.scales import Scale
from socrates_fast.errors import DataError
from socrates_fast.evaluate.answers import read_answers
from socrates_fast.evaluate.baselines import available, baseline_frame, predict_baseline
from socrates_fast.evaluate.summary import summarise
from socrates_fast.infer import load_predictor
from socrates_fast.prompt import Prompt

Cell = Callable[..., pl.DataFrame]


@pytest.mark.parametrize(
    ("scale", "expected"),
    [
        ({"low": 1, "high": 5}, [0, 0, 1, 0, 0]),
        ({"low": 1, "high": 4}, [0, 0.5, 0.5, 0]),
        ({"low": 1, "high": 2}, [0.5, 0.5]),
        ({"low": 1, "high": 4, "values": [1, 2, 4]}, [0, 1, 0]),
        ({"low": 0, "high": 9, "values": [6, 7]}, [1, 0]),
    ],
)
def test_midpoint(cell: Cell, scale: dict[str, object], expected: list[float]) -> None:
    frame = baseline_frame("midpoint", cell([1, 2], **scale))
    assert frame["probabilities"].to_list() == [expected, expected]


def test_frames_have_the_columns_of_predictions(cell: Cell) -> None:
    frame = baseline_frame("uniform", pl.concat([cell([1, 4], 1, 4), cell([3], 0, 2, task=1)]))
    assert dict(frame.schema) == {
        "study_id": pl.String,
        "condition_num": pl.Int64,
        "task_num": pl.Int64,
        "participant": pl.Int64,
        "sample_id": pl.Int64,
        "values": pl.List(pl.Int64),
        "probabilities": pl.List(pl.Float64),
        "answer_mass": pl.Float64,
        "mean": pl.Float64,
        "median": pl.Int64,
    }
    assert frame["mean"].to_list() == [2.5, 2.5, 1.0]
    assert frame["median"].to_list() == [2, 2, 1]


@pytest.mark.parametrize("name", ["uniform", "midpoint"])
def test_predictors_of_the_same_name_predict_the_same(cell: Cell, name: str) -> None:
    rows = pl.concat([cell([1], 1, 7), cell([1], 1, 4, task=1), cell([4], 1, 4, values=[1, 2, 4], task=2)])
    prompts = [
        Prompt("", "?", Scale(low, high, tuple(values)))
        for low, high, values in rows.select("low", "high", "values").rows()
    ]
    predicted = load_predictor(name).predict(prompts)
    frame = baseline_frame(name, rows)
    assert [item.probabilities.tolist() for item in predicted] == frame["probabilities"].to_list()
    assert [item.median for item in predicted] == frame["median"].to_list()


def test_a_constant_midpoint_has_higher_accuracy_than_a_perfect_sampler(cell: Cell) -> None:
    """The known mistake of ranking by accuracy: the truth loses to a constant."""
    truth = np.array([1, 2, 3, 4, 3, 2, 1]) / 16
    people = [value + 1 for value, share in enumerate(truth) for _ in range(round(160 * share))]
    answers = read_answers(cell(people, truth=truth.tolist()))
    baselines = summarise(answers, predict_baseline("oracle", answers), "oracle").metrics["baselines"]
    assert baselines["midpoint"]["accuracy"]["value"] > baselines["oracle"]["accuracy"]["value"]
    for figure in ("wasserstein.stated", "wasserstein.truth"):
        assert baselines["midpoint"][figure]["value"] > baselines["oracle"][figure]["value"]


def test_oracle_needs_the_truth_of_every_row(cell: Cell) -> None:
    rows = pl.concat([cell([1], 1, 2, truth=[0.5, 0.5]), cell([1], 1, 2, task=1)])
    answers = read_answers(rows)
    assert available(answers) == ["uniform", "midpoint"]
    with pytest.raises(DataError, match="1 of 2 rows have one"):
        predict_baseline("oracle", answers)


def test_an_unknown_baseline_is_named_with_those_that_exist(cell: Cell) -> None:
    with pytest.raises(DataError, match="'item-mean'; choose one of uniform, midpoint, oracle"):
        baseline_frame("item-mean", cell([1]))
