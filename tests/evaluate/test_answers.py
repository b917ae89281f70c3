"""Wilfully wrong input: an error that names the place, never a figure."""

from collections.abc import Callable

import numpy as np
import polars as pl
import pytest

from socrates_fast.errors import DataError
from socrates_fast.evaluate.answers import read_answers, read_predictions
from socrates_fast.evaluate.baselines import baseline_frame

Cell = Callable[..., pl.DataFrame]


def test_rows_become_arrays_by_row_and_by_cell(cell: Cell) -> None:
    rows = pl.concat([cell([7, 3], study="b"), cell([2], 0, 2, study="a"), cell([3], study="b", task=1)])
    answers = read_answers(rows)
    assert answers.studies == ("a", "b")
    assert answers.study.tolist() == [1, 1, 0, 1]
    assert answers.cell.tolist() == [1, 1, 0, 2]
    assert answers.cells.people.tolist() == [1, 2, 1]
    assert answers.cells.values.tolist() == [0, 1, 2, *range(1, 8), *range(1, 8)]
    assert answers.cells.values[answers.support].tolist() == answers.values.tolist()
    human = answers.cells.human
    assert list(zip(human.cell, human.answer, human.count, strict=True)) == [
        (0, 2, 1), (1, 3, 1), (1, 7, 1), (2, 3, 1),
    ]  # fmt: skip
    assert answers.truth is None


Change = Callable[[pl.DataFrame], pl.DataFrame]
second = pl.int_range(pl.len()) == 1


def _set(column: str, value: object) -> Change:
    """Replace ``column`` of the second row."""

    def change(frame: pl.DataFrame) -> pl.DataFrame:
        literal = pl.lit(pl.Series([value], dtype=frame.schema[column])).first()
        return frame.with_columns(pl.when(second).then(literal).otherwise(column).alias(column))

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda rows: rows.clear(), "no rows"),
        (lambda rows: rows.drop("low"), r"missing column\(s\) low"),
        (_set("response", None), "no answer .* study aaaaa, sample 1$"),
        (_set("values", []), "no list of allowed answers .* sample 1$"),
        (_set("values", None), "no list of allowed answers .* sample 1$"),
        (_set("values", [1, 2]), "study aaaaa, condition 0, task 0 has different scales"),
        (_set("high", 9), "study aaaaa, condition 0, task 0 has different scales"),
        (_set("high", 1), "range without width .* sample 1$"),
        (_set("sample_id", 0), "occur more than once"),
        (_set("truth", [0.5, 0.5]), "another number of truth .* sample 1$"),
        (_set("truth", [0.5, 0.5, 0.5]), "truth that do not sum to 1; .* sample 1$"),
        (lambda rows: rows.with_columns(values=pl.lit([3, 2, 1])), "not in ascending order"),
    ],
)
def test_rows_that_cannot_be_evaluated_are_refused(cell: Cell, change: Change, message: str) -> None:
    rows = cell([1, 2, 3], 1, 3, truth=[0.2, 0.3, 0.5])
    with pytest.raises(DataError, match=message):
        read_answers(change(rows))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_set("probabilities", [0.5, 0.5, 0.5]), "do not sum to 1; .* sample 1$"),
        (_set("probabilities", [-0.5, 1.0, 0.5]), "negative or not a number; .* sample 1$"),
        (_set("probabilities", [float("nan"), 0.5, 0.5]), "negative or not a number"),
        (_set("probabilities", [0.5, 0.5]), "another number of probabilities .* sample 1$"),
        (_set("probabilities", None), "another number of probabilities .* sample 1$"),
        (_set("answer_mass", 1.5), "answer mass outside 0..1; .* sample 1$"),
        (_set("answer_mass", float("nan")), "answer mass outside 0..1"),
        (_set("values", [1, 2, 4]), "sample 1 was predicted on other answers"),
        (lambda predictions: predictions[:2], "1 rows are not predicted"),
        (_set("sample_id", 77), "1 predictions have no row"),
        (lambda predictions: pl.concat([predictions, predictions[:1]]), "more than once"),
        (lambda predictions: predictions.drop("answer_mass"), r"missing column\(s\) answer_mass"),
    ],
)
def test_predictions_of_something_else_are_refused(cell: Cell, change: Change, message: str) -> None:
    rows = cell([1, 2, 3], 1, 3)
    predictions = baseline_frame("uniform", rows)
    with pytest.raises(DataError, match=message):
        read_predictions(read_answers(rows), change(predictions))


def test_predictions_are_brought_into_the_order_of_the_rows(cell: Cell) -> None:
    rows = pl.concat([cell([1, 2, 3], 1, 3), cell([5, 6], study="b")])
    answers = read_answers(rows)
    masses = pl.Series([0.1, 0.2, 0.3, 0.4, 0.5])
    predictions = baseline_frame("uniform", rows).with_columns(answer_mass=masses)
    read = read_predictions(answers, predictions.reverse())
    assert read.answer_mass.tolist() == masses.to_list()
    np.testing.assert_allclose(read.probabilities, [1 / 3] * 9 + [1 / 7] * 14)


def test_probabilities_are_normalised_within_rounding(cell: Cell) -> None:
    rows = cell([1, 2], 1, 2)
    sloppy = baseline_frame("uniform", rows).with_columns(probabilities=pl.lit([0.50002, 0.50002]))
    read = read_predictions(read_answers(rows), sloppy)
    np.testing.assert_allclose(read.probabilities, 0.5, rtol=1e-12)
