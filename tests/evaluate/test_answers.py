"""Wilfully wrong input: an error that names the place, never a figure."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from socrates_fast.errors import DataError
from socrates_fast.evaluate.answers import leave_out_mixed, read_answers
from socrates_fast.evaluate.baselines import baseline_frame
from socrates_fast.evaluate.predictions import Stored

Cell = Callable[..., pl.DataFrame]


def test_rows_become_arrays_by_row_and_by_cell(cell: Cell) -> None:
    rows = pl.concat([cell([7, 3], study="b"), cell([2], 0, 2, study="a"), cell([3], study="b", task=1)])
    answers = read_answers(rows)
    assert answers.studies == ("a", "b")
    assert answers.cells.study.tolist() == [0, 1, 1]
    assert answers.cell.tolist() == [1, 1, 0, 2]
    assert answers.cells.people.tolist() == [1, 2, 1]
    assert answers.cells.values.tolist() == [0, 1, 2, *range(1, 8), *range(1, 8)]
    assert answers.cells.scale.tolist() == [0, 1, 1]
    assert [scale.tolist() for scale in answers.cells.scales] == [[0, 1, 2], [*range(1, 8)]]
    assert answers.cells.counts.tolist() == [0, 0, 1, 0, 0, 1, 0, 0, 0, 1, 0, 0, 1, 0, 0, 0, 0]
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
        (lambda rows: rows.with_columns(open=pl.lit(True)), "no list of allowed answers .* sample 0$"),
        (_set("values", [1, 2]), "study aaaaa, condition 0, task 0 has different scales"),
        (_set("high", 9), "study aaaaa, condition 0, task 0 has different scales"),
        (_set("high", 1), "range without width .* sample 1$"),
        (_set("sample_id", 0), "occur more than once"),
        (_set("truth", [0.5, 0.5]), "another number of truth .* sample 1$"),
        (_set("truth", [0.5, 0.5, 0.5]), "truth that do not sum to 1; .* sample 1$"),
        (
            lambda rows: rows.with_columns(values=pl.lit([3, 2, 1])),
            "condition 0, task 0 are not in ascending order",
        ),
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
def test_predictions_of_something_else_are_refused(
    cell: Cell, change: Change, message: str, tmp_path: Path
) -> None:
    rows = cell([1, 2, 3], 1, 3)
    answers = read_answers(rows)
    predictions = change(baseline_frame("uniform", answers))
    predictions.write_parquet(tmp_path / "predictions.parquet")
    for source in (predictions, tmp_path / "predictions.parquet"):
        with pytest.raises(DataError, match=message):
            list(Stored(source).blocks(answers))


@pytest.mark.parametrize("at_once", [1, 2, 100])
def test_predictions_are_brought_to_the_rows_they_belong_to(cell: Cell, at_once: int, tmp_path: Path) -> None:
    rows = pl.concat([cell([1, 2, 3], 1, 3), cell([5, 6], study="b"), cell([2], 1, 3, study="c")])
    answers = read_answers(rows)
    masses = pl.Series([0.1, 0.2, 0.3, 0.4, 0.5, 0.6])
    predictions = baseline_frame("uniform", answers).with_columns(answer_mass=masses).reverse()
    predictions.write_parquet(tmp_path / "predictions.parquet", row_group_size=2)
    for source in (predictions, tmp_path / "predictions.parquet"):
        found = np.zeros(6)
        for block in Stored(source, at_once).blocks(answers):
            found[block.rows] = block.answer_mass
            np.testing.assert_allclose(block.probabilities, 1 / len(block.values))
            assert all(answers.shape.lengths[block.rows] == len(block.values))
        assert found.tolist() == masses.to_list()


def test_probabilities_are_normalised_within_rounding(cell: Cell) -> None:
    answers = read_answers(cell([1, 2], 1, 2))
    sloppy = baseline_frame("uniform", answers).with_columns(probabilities=pl.lit([0.50002, 0.50002]))
    (block,) = Stored(sloppy).blocks(answers)
    np.testing.assert_allclose(block.probabilities, 0.5, rtol=1e-12)


def test_values_may_be_left_to_the_range(cell: Cell) -> None:
    rows = cell([1, 2, 3], 1, 3)
    plain = read_answers(rows.with_columns(values=pl.lit(None, dtype=pl.List(pl.Int64))))
    assert plain.cells.values.tolist() == [1, 2, 3]
    assert plain.sha256 == read_answers(rows).sha256


def test_cells_with_two_scales_are_left_out_and_counted(cell: Cell) -> None:
    rows = pl.concat([cell([1, 2], 1, 3), cell([1, 2], 1, 3, task=1), cell([1, 2], 1, 3, study="b")])
    rows = rows.with_columns(
        high=pl.when(pl.int_range(pl.len()) == 2).then(4).otherwise("high").cast(pl.Int64)
    )
    kept, mixed = leave_out_mixed(rows)
    assert kept.height == 4
    assert mixed.rows() == [("aaaaa", 0, 1, 2)]
    assert leave_out_mixed(kept)[0].equals(kept)


def test_rows_are_known_by_their_hash_whatever_their_order(cell: Cell) -> None:
    rows = pl.concat([cell([1, 2, 3], 1, 3), cell([5, 6], study="b")])
    first = read_answers(rows).sha256
    assert read_answers(rows.reverse()).sha256 == first
    for change in (_set("response", 3), _set("participant", 9), _set("sample_id", 77)):
        assert read_answers(change(rows)).sha256 != first
    assert (
        read_answers(
            rows.with_columns(high=pl.col("high") + 1, values=pl.lit(None, pl.List(pl.Int64)))
        ).sha256
        != first
    )
