"""What preparing data found out that the written rows no longer show: kept beside them, for the card."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Self

import polars as pl

from socrates_fast.data.schema import CELL, PREPARED
from socrates_fast.errors import DataError

COUNTS: dict[str, Any] = {name: PREPARED[name] for name in CELL} | {
    "reason": pl.String,
    "rows": pl.Int64,
    "example": pl.String,
}
"""Rows counted by cell and reason, with the first one's answer and place."""

_TABLES = ("dropped", "kept_anyway", "unused")


def no_rows() -> pl.DataFrame:
    """``COUNTS`` without a row."""
    return pl.DataFrame(schema=COUNTS)


@dataclass(frozen=True)
class Facts:
    """What became of a source's rows.

    Attributes:
        source: its name, in words.
        identity: what tells it from any other source (a revision, files' sha256); JSON-able.
        rows_read: all rows of the source.
        dropped: doubtful rows that were left out; columns of ``COUNTS``.
        kept_anyway: doubtful rows that are used because the recipe says so; the same columns.
        unused: sound rows on no side: a mapping does not name them, or the recipe takes fewer; the same columns.
        conditions: what the condition numbers stand for, where the source names them.
        overlap: what stands on more than one side (``splits.overlap``).
        near_duplicates: stimuli of two sides that are nearly the same (``near.near_duplicates``); None: not looked for.
        warnings: what a reader of any figure must know.
    """

    source: str
    identity: Mapping[str, Any]
    rows_read: int
    dropped: pl.DataFrame = field(default_factory=no_rows)
    kept_anyway: pl.DataFrame = field(default_factory=no_rows)
    unused: pl.DataFrame = field(default_factory=no_rows)
    conditions: Mapping[int, str] = field(default_factory=dict)
    overlap: Mapping[str, Any] = field(default_factory=dict)
    near_duplicates: Mapping[str, Any] | None = None
    warnings: Sequence[str] = ()

    def as_json(self) -> dict[str, Any]:
        """All of it, as JSON can hold it."""
        content = {part.name: getattr(self, part.name) for part in fields(self)}
        content |= {name: content[name].to_dicts() for name in _TABLES}
        return content | {
            "conditions": {str(number): name for number, name in self.conditions.items()},
            "warnings": list(self.warnings),
        }

    @classmethod
    def read(cls, path: Path) -> Self:
        """The facts that ``as_json`` gave and a file holds.

        Raises:
            DataError: there is no such file, or it is not one of these.
        """
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            content |= {name: pl.DataFrame(content[name], schema=COUNTS) for name in _TABLES}
            content["conditions"] = {int(number): name for number, name in content["conditions"].items()}
            return cls(**content)
        except (OSError, ValueError, KeyError, TypeError, AttributeError, pl.exceptions.PolarsError) as error:
            raise DataError(
                f"{path}: not the facts of a prepared folder ({error}); prepare it again"
            ) from error
