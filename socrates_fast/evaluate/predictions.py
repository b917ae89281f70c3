"""Predicted distributions, block by block, so that millions of them never lie in memory at once.

A block holds rows that share one scale; whatever makes predictions unusable is refused when it is read: predictions
for other rows, twice for one row, on other answers than the row allows, or that are no probabilities.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from socrates_fast.errors import DataError
from socrates_fast.evaluate.answers import Answers
from socrates_fast.evaluate.checks import (
    KEYS,
    SUM_TOLERANCE,
    floats,
    read_probabilities,
    refuse,
    require_columns,
    row_name,
)
from socrates_fast.evaluate.numbers import key_of, places
from socrates_fast.evaluate.ragged import Floats, Ints, Ragged

AT_ONCE = 2**15
"""Rows that are read at once."""
ENTRIES = 2**17
"""Probabilities in a block, about: so many stay in the processor's cache while figures are computed from them."""
_ROW = ("study_id", "sample_id")
COLUMNS = (*KEYS, "values", "probabilities", "answer_mass")


@dataclass(frozen=True)
class Block:
    """Predictions for some rows on one scale.

    Attributes:
        rows: numbers of the rows; shape (u,).
        values: the allowed answers, ascending; shape (k,).
        probabilities: of ``values``, summing to 1 in each row; shape (u, k).
        answer_mass: probability of answering on the scale at all; shape (u,).
    """

    rows: Ints
    values: Floats
    probabilities: Floats
    answer_mass: Floats

    def parts(self) -> Iterator["Block"]:
        """The same in blocks of about ``ENTRIES`` probabilities."""
        for some in pieces(np.arange(len(self.rows)), len(self.values)):
            part = slice(some[0], some[-1] + 1)
            yield Block(self.rows[part], self.values, self.probabilities[part], self.answer_mass[part])


class Predictions(ABC):
    """Predictions for every row of some answers."""

    @abstractmethod
    def blocks(self, answers: Answers) -> Iterator[Block]:
        """All rows' predictions, each row in one block.

        Raises:
            DataError: they are not predictions of these rows.
        """


@dataclass(frozen=True)
class InMemory(Predictions):
    """Predictions that are arrays.

    Attributes:
        probabilities: of the rows' allowed answers, in the rows' order, end to end.
        answer_mass: shape (n,).
    """

    probabilities: Floats
    answer_mass: Floats

    def blocks(self, answers: Answers) -> Iterator[Block]:
        """See ``Predictions``."""
        yield from _blocks(
            answers, np.arange(answers.height), answers.shape, self.probabilities, self.answer_mass
        )


@dataclass(frozen=True)
class Stored(Predictions):
    """Predictions in a file (``predictions.parquet``), or in a frame of its columns.

    Attributes:
        source: the file or the frame; in any order of rows.
        rows: read at once.
    """

    source: Path | pl.DataFrame
    rows: int = AT_ONCE

    def blocks(self, answers: Answers) -> Iterator[Block]:
        """See ``Predictions``."""
        places = _places(answers.keys, self._keys())
        start = 0
        for part in self._parts():
            place = places[start : start + part.height]
            start += part.height
            yield from _read(answers, part, place)

    def _keys(self) -> pl.DataFrame:
        if isinstance(self.source, pl.DataFrame):
            require_columns(self.source, COLUMNS, "predictions")
            return self.source.select(KEYS)
        require_columns(pl.DataFrame(schema=pl.read_parquet_schema(self.source)), COLUMNS, str(self.source))
        return pl.read_parquet(self.source, columns=list(KEYS), glob=False)

    def _parts(self) -> Iterator[pl.DataFrame]:
        wanted = ["values", "probabilities", "answer_mass", "study_id", "sample_id"]
        if isinstance(self.source, pl.DataFrame):
            yield from self.source.select(wanted).iter_slices(self.rows)
            return
        # Not pyarrow's batches: they keep what was read until the file is closed.
        lazy = pl.scan_parquet(self.source, glob=False).select(wanted)
        yield from lazy.collect_batches(chunk_size=self.rows, maintain_order=True)


def _read(answers: Answers, part: pl.DataFrame, place: Ints) -> Iterator[Block]:
    """Check and cut some predictions; ``place`` says which rows they belong to."""
    shape = Ragged(answers.shape.lengths[place])
    other = part["values"].list.len().fill_null(0).to_numpy() != shape.lengths
    if not other.any():
        values = floats(part["values"].list.explode())
        for some, entries, allowed in _by_scale(answers, place, shape):
            other[some] = (values[entries] != allowed).any(axis=1)
    if other.any():
        raise DataError(
            f"predictions: {row_name(part, int(np.argmax(other)))} was predicted on other answers than its question "
            "allows; predict again from the rows that are evaluated"
        )
    mass = floats(part["answer_mass"])
    refuse(part, ~((mass >= 0) & (mass <= 1 + SUM_TOLERANCE)), "an answer mass outside 0..1")
    yield from _blocks(answers, place, shape, read_probabilities(part, "probabilities", shape), mass)


def _blocks(
    answers: Answers, place: Ints, shape: Ragged, probabilities: Floats, mass: Floats
) -> Iterator[Block]:
    for some, entries, values in _by_scale(answers, place, shape):
        yield Block(place[some], values, probabilities[entries], mass[some])


def _by_scale(answers: Answers, place: Ints, shape: Ragged) -> Iterator[tuple[Ints, Ints, Floats]]:
    """Some rows that share a scale, (u,), where their entries stand, (u, k), and the scale's values, (k,); block by block."""
    scale = answers.cells.scale[answers.cell[place]]
    for number in np.unique(scale):
        values = answers.cells.scales[number]
        for some in pieces(np.flatnonzero(scale == number), len(values)):
            yield some, shape.starts[some, None] + np.arange(len(values)), values


def pieces(rows: Ints, answers: int) -> Iterator[Ints]:
    """Rows with so many answers, in blocks of about ``ENTRIES`` entries."""
    most = max(ENTRIES // answers, 1)
    for start in range(0, len(rows), most):
        yield rows[start : start + most]


def _matched(keys: pl.DataFrame, predicted: pl.DataFrame) -> Ints | None:
    """The same by numbers in place of keys; None if anything is amiss: then the slow way tells what."""
    if keys.schema != predicted.schema:
        return None
    key = key_of(pl.concat([frame.select(_ROW) for frame in (keys, predicted)]), _ROW)
    found = places(key[: keys.height], key[keys.height :])
    others = [name for name in KEYS if name not in _ROW]
    if found is None or not all(keys[name][found].equals(predicted[name]) for name in others):
        return None
    return found


def _places(keys: pl.DataFrame, predicted: pl.DataFrame) -> Ints:
    """Which row each prediction belongs to."""
    if predicted.equals(keys):
        return np.arange(keys.height)
    found = _matched(keys, predicted)
    if found is not None:
        return found
    if predicted.is_duplicated().any():
        raise DataError("predictions: some rows were predicted more than once; predict again")
    missing = keys.join(predicted, on=KEYS, how="anti", nulls_equal=True)
    strange = predicted.join(keys, on=KEYS, how="anti", nulls_equal=True)
    if missing.height or strange.height:
        example = row_name(missing if missing.height else strange, 0)
        raise DataError(
            f"predictions: they belong to other rows: {missing.height} rows are not predicted "
            f"and {strange.height} predictions have no row (for example {example}); predict the "
            "rows that are evaluated, or evaluate those that were predicted (without --limit)"
        )
    numbered = keys.with_row_index("place")
    joined = predicted.join(numbered, on=KEYS, how="left", maintain_order="left", nulls_equal=True)
    return joined["place"].to_numpy().astype(np.int64)
