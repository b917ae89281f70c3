"""The columns of ``predictions.parquet``."""

import numpy as np
import polars as pl
import pyarrow as pa

from socrates_fast.evaluate.metrics import expected_answer, median_answer
from socrates_fast.evaluate.ragged import Floats, Ragged


def predictions_frame(
    keys: pl.DataFrame, shape: Ragged, values: Floats, probabilities: Floats, answer_mass: Floats
) -> pl.DataFrame:
    """Predictions as a frame, one line a row.

    Columns: those of ``keys``; ``values`` (list[i64], the allowed answers) and ``probabilities``
    (list[f64], summing to 1); ``answer_mass``; ``mean`` and ``median`` of the distribution, in the
    answer's unit.

    Args:
        keys: what identifies the rows; n lines.
        shape: how many allowed answers each row has.
        values: the allowed answers end to end; shape (m,).
        probabilities: of ``values``; shape (m,).
        answer_mass: shape (n,).
    """
    mean, median = np.empty(keys.height), np.empty(keys.height)
    for rows, entries in shape.by_length():
        mean[rows] = expected_answer(values[entries], probabilities[entries])
        median[rows] = median_answer(values[entries], probabilities[entries])
    return keys.with_columns(
        values=_lists(shape, values.astype(np.int64)),
        probabilities=_lists(shape, probabilities),
        answer_mass=pl.Series(answer_mass, dtype=pl.Float64),
        mean=pl.Series(mean),
        median=pl.Series(median).cast(pl.Int64),
    )


def _lists(shape: Ragged, entries: np.ndarray) -> pl.Series:
    ends = np.concatenate([[0], np.cumsum(shape.lengths)])
    column = pl.from_arrow(pa.LargeListArray.from_arrays(pa.array(ends), pa.array(entries)))
    if not isinstance(column, pl.Series):
        raise TypeError(f"expected a column, got {type(column).__name__}")
    return column
