"""What rows and predictions must be before any figure is made of them, and what people call them."""

from collections.abc import Sequence

import numpy as np
import polars as pl

from socrates_fast.data.schema import CELL, PREPARED
from socrates_fast.errors import DataError
from socrates_fast.evaluate.numbers import any_twice, key_of
from socrates_fast.evaluate.ragged import Bools, Floats, Ragged

KEYS = (*CELL, "participant", "sample_id")
"""What identifies a row, in prepared frames and in predictions."""

SUM_TOLERANCE = 1e-4
"""Probabilities whose sum is further than this from 1 are refused; nearer ones are normalised."""

SCALE = ("low", "high", "values")
"""The columns that state a scale."""
UNUSED = ("truth", "demographic", "stimuli", "open")
"""Columns that may be absent."""


def read_probabilities(frame: pl.DataFrame, column: str, shape: Ragged) -> Floats:
    """A column of probabilities as one array, normalised.

    Raises:
        DataError: another number of them than ``shape`` says, or no probabilities.
    """
    lengths = frame[column].list.len().fill_null(0).to_numpy()
    refuse(frame, lengths != shape.lengths, f"another number of {column} than of allowed answers")
    probabilities = floats(frame[column].list.explode())
    bad = ~(np.isfinite(probabilities) & (probabilities >= 0))
    if bad.any():
        refuse(
            frame,
            np.bincount(shape.owner[bad], minlength=frame.height) > 0,
            f"{column} that are negative or not a number",
        )
    total = shape.total(probabilities)
    refuse(frame, np.abs(total - 1) > SUM_TOLERANCE, f"{column} that do not sum to 1")
    return probabilities / np.repeat(total, shape.lengths)


def check_rows(rows: pl.DataFrame) -> None:
    """Refuse rows that cannot be evaluated.

    Raises:
        DataError: with the first of them.
    """
    require_columns(rows, [name for name in PREPARED if name not in UNUSED], "rows")
    if rows.height == 0:
        raise DataError("there are no rows to evaluate; look at the split and at the filters of the recipe")
    refuse(rows, rows["response"].is_null().to_numpy(), "no answer (response is null)")
    unscaled = (rows["low"].is_null() | rows["high"].is_null()).to_numpy()
    if "open" in rows.columns:
        unscaled = unscaled | rows["open"].fill_null(False).to_numpy()
    empty = (rows["values"].list.len() == 0).fill_null(False).to_numpy()
    refuse(rows, unscaled | empty, "no list of allowed answers (an open question, or values is empty)")
    refuse(
        rows,
        (rows["high"] <= rows["low"]).to_numpy(),
        "a stated range without width (low must be below high)",
    )
    if any_twice(key_of(rows, ("study_id", "sample_id"))):
        raise DataError("rows: (study_id, sample_id) must name one row, and some occur more than once")


def require_columns(frame: pl.DataFrame, names: Sequence[str], what: str) -> None:
    """Refuse a frame that lacks columns.

    Raises:
        DataError: with those that are missing.
    """
    missing = [name for name in names if name not in frame.columns]
    if missing:
        raise DataError(f"{what}: missing column(s) {', '.join(missing)}; found {', '.join(frame.columns)}")


def refuse(frame: pl.DataFrame, bad: Bools, fault: str) -> None:
    """Refuse rows if any is bad.

    Raises:
        DataError: with their number and the first one's name.
    """
    if bad.any():
        raise DataError(
            f"{int(bad.sum())} row(s) have {fault}; the first is {row_name(frame, int(np.argmax(bad)))}"
        )


def row_name(frame: pl.DataFrame, row: int) -> str:
    """What people call a row."""
    return f"study {frame['study_id'][row]}, sample {frame['sample_id'][row]}"


def cell_name(key: Sequence[object]) -> str:
    """What people call a cell; ``key`` holds the columns of ``CELL``."""
    return f"study {key[0]}, condition {key[1]}, task {key[2]}"


def floats(column: pl.Series) -> Floats:
    """A column of numbers as float64."""
    return column.cast(pl.Float64).to_numpy()
