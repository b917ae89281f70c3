"""A prepared frame as arrays: people's answers by row and by cell, and the predictions for them.

Everything that would make the figures wrong without anyone noticing is refused here: rows without a
scale, a scale that differs inside a cell, predictions for other rows or on other answers,
probabilities that are none.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import polars as pl
from numpy.typing import NDArray

from socrates_fast.data.schema import CELL, PREPARED
from socrates_fast.errors import DataError
from socrates_fast.evaluate.ragged import Floats, Ints, Ragged

KEYS = (*CELL, "participant", "sample_id")
"""What identifies a row, in prepared frames and in predictions."""

SUM_TOLERANCE = 1e-4
"""Probabilities whose sum is further than this from 1 are refused; nearer ones are normalised."""

_SCALE = ("low", "high", "values")


@dataclass(frozen=True)
class HumanAnswers:
    """The distinct answers of each cell, sorted by cell and answer; all arrays have shape (h,)."""

    cell: Ints
    answer: Floats
    count: Ints


@dataclass(frozen=True)
class Cells:
    """The cells, sorted by their key.

    Attributes:
        keys: the columns of ``CELL``; one line a cell.
        study: index into ``Answers.studies``; shape (c,).
        people: number of human answers; shape (c,).
        low: stated smallest answer; shape (c,).
        span: stated range, high - low; shape (c,).
        shape: how many allowed answers each cell has.
        values: the allowed answers of all cells end to end, ascending within a cell; shape (s,).
        human: what people answered.
    """

    keys: pl.DataFrame
    study: Ints
    people: Ints
    low: Floats
    span: Floats
    shape: Ragged
    values: Floats
    human: HumanAnswers


@dataclass(frozen=True)
class Answers:
    """Human answers, their scales and, if known, their true distributions.

    Attributes:
        keys: the columns of ``KEYS``; one line a row.
        studies: names of the studies, sorted.
        study: index into ``studies``; shape (n,).
        cell: index into ``cells``; shape (n,).
        response: the human answer; shape (n,).
        low: stated smallest answer; shape (n,).
        span: stated range, high - low, above 0; shape (n,).
        shape: how many allowed answers each row has.
        values: the allowed answers of all rows end to end, ascending within a row; shape (m,).
        truth: their true probabilities, shape (m,); None unless every row has them.
        rows_with_truth: number of rows that have them.
        cells: the same answers by cell.
    """

    keys: pl.DataFrame
    studies: tuple[str, ...]
    study: Ints
    cell: Ints
    response: Floats
    low: Floats
    span: Floats
    shape: Ragged
    values: Floats
    truth: Floats | None
    rows_with_truth: int
    cells: Cells

    @cached_property
    def support(self) -> Ints:
        """Which entry of ``cells.values`` each entry of ``values`` is; shape (m,)."""
        starts = self.cells.shape.starts[self.cell]
        return starts[self.shape.owner] + self.shape.offsets


@dataclass(frozen=True)
class Predictions:
    """Predicted distributions on the values of ``Answers``.

    Attributes:
        probabilities: of ``Answers.values``, summing to 1 in each row; shape (m,).
        answer_mass: probability of answering on the scale at all; shape (n,).
    """

    probabilities: Floats
    answer_mass: Floats


def read_answers(rows: pl.DataFrame) -> Answers:
    """Arrays of a prepared frame (columns of ``data.schema.PREPARED``, ``values`` written out; ``truth`` and ``open`` may be absent).

    Raises:
        DataError: no rows; a missing column; a row without scale or answer; ``values`` not
            ascending; two different scales in one cell.
    """
    _check_rows(rows)
    cells = rows.select(*CELL, *_SCALE).unique().sort(CELL)
    _check_one_scale(cells)
    index = rows.select(CELL).join(
        cells.select(CELL).with_row_index("cell"), on=CELL, how="left", maintain_order="left"
    )
    cell = index["cell"].to_numpy().astype(np.int64)
    studies = cells["study_id"].unique().sort()
    study_of_cell = np.searchsorted(studies.to_numpy(), cells["study_id"].to_numpy())
    shape, values = _lists(rows["values"])
    _check_ascending(rows, shape, values)
    response = _floats(rows["response"])
    with_truth = rows["truth"].count() if "truth" in rows.columns else 0
    return Answers(
        keys=rows.select(KEYS),
        studies=tuple(studies),
        study=study_of_cell[cell],
        cell=cell,
        response=response,
        low=_floats(rows["low"]),
        span=_floats(rows["high"] - rows["low"]),
        shape=shape,
        values=values,
        truth=_read_probabilities(rows, "truth", shape) if with_truth == rows.height else None,
        rows_with_truth=with_truth,
        cells=_read_cells(cells, study_of_cell, cell, response),
    )


def _read_cells(cells: pl.DataFrame, study: Ints, cell: Ints, response: Floats) -> Cells:
    given = (
        pl.DataFrame({"cell": cell, "answer": response})
        .group_by("cell", "answer")
        .agg(pl.len().cast(pl.Int64).alias("count"))
        .sort("cell", "answer")
    )
    human = HumanAnswers(*(given[name].to_numpy() for name in ("cell", "answer", "count")))
    shape, values = _lists(cells["values"])
    return Cells(
        keys=cells.select(CELL),
        study=study,
        people=np.bincount(cell, minlength=cells.height),
        low=_floats(cells["low"]),
        span=_floats(cells["high"] - cells["low"]),
        shape=shape,
        values=values,
        human=human,
    )


def read_predictions(answers: Answers, predictions: pl.DataFrame) -> Predictions:
    """Arrays of predictions, in the order of ``answers``.

    Args:
        answers: the rows that were to be predicted.
        predictions: columns ``KEYS``, ``values``, ``probabilities``, ``answer_mass``; in any order
            of rows.

    Raises:
        DataError: predictions for other rows, twice for one row, on other answers than the row
            allows, or whose probabilities are negative, not finite or do not sum to 1.
    """
    _require_columns(predictions, (*KEYS, "values", "probabilities", "answer_mass"), "predictions")
    ordered = _in_order_of(answers.keys, predictions)
    shape, values = _lists(ordered["values"])
    same = np.array_equal(shape.lengths, answers.shape.lengths) and np.array_equal(values, answers.values)
    if not same:
        raise DataError(
            f"predictions: {_first_other_scale(answers, shape, values)} was predicted on other "
            "answers than its question allows; predict again from the rows that are evaluated"
        )
    mass = _floats(ordered["answer_mass"])
    _refuse(ordered, ~((mass >= 0) & (mass <= 1 + SUM_TOLERANCE)), "an answer mass outside 0..1")
    probabilities = _read_probabilities(ordered, "probabilities", shape)
    return Predictions(probabilities, mass)


def _in_order_of(keys: pl.DataFrame, predictions: pl.DataFrame) -> pl.DataFrame:
    """The predictions of ``keys``, in the order of ``keys``."""
    if predictions.select(KEYS).equals(keys):
        return predictions
    if predictions.select(KEYS).is_duplicated().any():
        raise DataError("predictions: some rows were predicted more than once; predict again")
    missing = keys.join(predictions, on=KEYS, how="anti", nulls_equal=True)
    strange = predictions.join(keys, on=KEYS, how="anti", nulls_equal=True)
    if missing.height or strange.height:
        example = _name(missing if missing.height else strange, 0)
        raise DataError(
            f"predictions: they belong to other rows: {missing.height} rows are not predicted "
            f"and {strange.height} predictions have no row (for example {example}); predict the "
            "rows that are evaluated"
        )
    return keys.join(predictions, on=KEYS, how="left", maintain_order="left", nulls_equal=True)


def _first_other_scale(answers: Answers, shape: Ragged, values: Floats) -> str:
    differs = shape.lengths != answers.shape.lengths
    if not differs.any():
        differs[answers.shape.owner[values != answers.values]] = True
    return _name(answers.keys, int(np.argmax(differs)))


def _read_probabilities(frame: pl.DataFrame, column: str, shape: Ragged) -> Floats:
    """A column of probabilities as one array, normalised."""
    lengths = frame[column].list.len().fill_null(0).to_numpy()
    _refuse(frame, lengths != shape.lengths, f"another number of {column} than of allowed answers")
    _, probabilities = _lists(frame[column])
    bad = ~(np.isfinite(probabilities) & (probabilities >= 0))
    rows_with_bad = np.bincount(shape.owner[bad], minlength=frame.height) > 0
    _refuse(frame, rows_with_bad, f"{column} that are negative or not a number")
    total = shape.total(probabilities)
    _refuse(frame, np.abs(total - 1) > SUM_TOLERANCE, f"{column} that do not sum to 1")
    return probabilities / total[shape.owner]


def _check_rows(rows: pl.DataFrame) -> None:
    _require_columns(
        rows, [name for name in PREPARED if name not in ("truth", "demographic", "stimuli", "open")], "rows"
    )
    if rows.height == 0:
        raise DataError("there are no rows to evaluate; look at the split and at the filters of the recipe")
    _refuse(rows, rows["response"].is_null().to_numpy(), "no answer (response is null)")
    no_values = rows["values"].list.len().fill_null(0).to_numpy() == 0
    _refuse(rows, no_values, "no list of allowed answers (values is null or empty)")
    narrow = (rows["high"] <= rows["low"]).fill_null(True).to_numpy()
    _refuse(rows, narrow, "a stated range without width (low must be below high)")
    if rows.select("study_id", "sample_id").is_duplicated().any():
        raise DataError("rows: (study_id, sample_id) must name one row, and some occur more than once")


def _check_one_scale(cells: pl.DataFrame) -> None:
    twice = cells.filter(cells.select(CELL).is_duplicated())
    if twice.height:
        first = twice.row(0, named=True)
        raise DataError(
            f"rows: study {first['study_id']}, condition {first['condition_num']}, task "
            f"{first['task_num']} has different scales; the answers of a cell must share one "
            "scale, so give each scale its own task_num"
        )


def _check_ascending(rows: pl.DataFrame, shape: Ragged, values: Floats) -> None:
    falls = np.flatnonzero((np.diff(values) <= 0) & (np.diff(shape.owner) == 0))
    if len(falls):
        name = _name(rows, int(shape.owner[falls[0]]))
        raise DataError(f"rows: the allowed answers (values) of {name} are not in ascending order")


def _require_columns(frame: pl.DataFrame, names: list[str] | tuple[str, ...], what: str) -> None:
    missing = [name for name in names if name not in frame.columns]
    if missing:
        raise DataError(f"{what}: missing column(s) {', '.join(missing)}; found {', '.join(frame.columns)}")


def _refuse(frame: pl.DataFrame, bad: NDArray[np.bool_], fault: str) -> None:
    """Raise if any row is bad, with their number and the first one's name."""
    if bad.any():
        raise DataError(
            f"{int(bad.sum())} row(s) have {fault}; the first is {_name(frame, int(np.argmax(bad)))}"
        )


def _name(frame: pl.DataFrame, row: int) -> str:
    return f"study {frame['study_id'][row]}, sample {frame['sample_id'][row]}"


def _lists(column: pl.Series) -> tuple[Ragged, Floats]:
    """A column of non-empty lists as a shape and their entries end to end."""
    return Ragged(column.list.len().to_numpy().astype(np.int64)), _floats(column.list.explode())


def _floats(column: pl.Series) -> Floats:
    return column.cast(pl.Float64).to_numpy()
