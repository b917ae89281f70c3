"""Which demographic group each row's person belongs to."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from socrates_fast.data.columns import INTEGER_FIELDS
from socrates_fast.errors import DataError

Codes = NDArray[np.int8]

MOST_LEVELS = 30
"""A field with more levels than this (states, free text) is too fine to compare."""

_BANDS = {"age": (18, 30, 45, 60, 75), "household_size": (2, 3, 4, 5)}
"""Where bands of numbers begin, besides the lowest."""


@dataclass(frozen=True)
class Grouping:
    """One field's levels.

    Attributes:
        levels: their names, sorted (bands by number).
        code: index into ``levels``, -1 where the field is null; shape (n,), one byte each.
    """

    levels: tuple[str, ...]
    code: Codes


def read_groups(rows: pl.DataFrame, fields: Sequence[str]) -> dict[str, Grouping]:
    """The groupings of ``fields`` of the column ``demographic``; fields that are null everywhere are left out.

    Raises:
        DataError: a field that is none, or has more than ``MOST_LEVELS`` levels.
    """
    if not fields or "demographic" not in rows.columns:
        return {}
    known = fields_of(rows.schema)
    found = {}
    for name in fields:
        if name not in known:
            raise DataError(f"evaluate.groups: no demographic field {name}; there are {', '.join(known)}")
        column = rows["demographic"].struct.field(name)
        grouping = _banded(name, column) if name in INTEGER_FIELDS else _named(name, column)
        if grouping.levels:
            found[name] = grouping
    return found


def fields_of(schema: pl.Schema) -> list[str]:
    """Names of the fields of the column ``demographic``."""
    kind = schema["demographic"]
    return [field.name for field in kind.fields] if isinstance(kind, pl.Struct) else []


def _named(name: str, column: pl.Series) -> Grouping:
    levels = column.drop_nulls().unique().cast(pl.String).sort()
    if len(levels) > MOST_LEVELS:
        raise DataError(
            f"evaluate.groups: {name} has {len(levels)} levels, more than {MOST_LEVELS}; leave it out"
        )
    code = column.cast(pl.String).cast(pl.Enum(levels)).to_physical().cast(pl.Int8).fill_null(-1)
    return Grouping(tuple(levels), code.to_numpy())


def _banded(name: str, column: pl.Series) -> Grouping:
    starts = _BANDS[name]
    ends = [start - 1 for start in starts]
    names = [
        f"up to {ends[0]}",
        *(f"{low}-{high}" if low < high else str(low) for low, high in zip(starts, ends[1:], strict=False)),
        f"{starts[-1]}+",
    ]
    number = column.cast(pl.Float64).to_numpy()
    code = np.where(np.isnan(number), -1, np.searchsorted(starts, number, side="right"))
    used = [band for band in range(len(names)) if (code == band).any()]
    renumbered = np.full(len(names) + 1, -1, np.int8)
    renumbered[used] = np.arange(len(used))
    return Grouping(tuple(names[band] for band in used), renumbered[code])
