"""The first pass over a job's input: how many rows, which cannot be asked, which is the longest. No model is needed."""

from dataclasses import dataclass, field

import numpy as np

from socrates_fast.errors import DataError
from socrates_fast.jobs.rows import Row, is_int64, kind_of, rows_of
from socrates_fast.jobs.source import KEYS, Source

MOST_REASONS = 8
"""Reasons that an error names."""


@dataclass
class Checked:
    """What the first pass found.

    Attributes:
        rows: number of rows.
        keys: the columns of ``KEYS`` that occur, each with whether all of its values are integers.
        faults: kind of fault to number of rows, and the first one's place and fault.
        longest: the row with the longest texts among those that can be asked.
        most: their characters.
    """

    rows: int = 0
    keys: dict[str, bool] = field(default_factory=dict)
    faults: dict[str, tuple[int, str]] = field(default_factory=dict)
    longest: Row | None = None
    most: int = -1

    def refuse_faults(self) -> None:
        """Raise if a row cannot be asked.

        Raises:
            DataError: reasons, counts and first places, and what to do.
        """
        if not self.faults:
            return
        listed = [f"{count} x (first: {first})" for count, first in list(self.faults.values())[:MOST_REASONS]]
        more = len(self.faults) - len(listed)
        count = sum(count for count, _ in self.faults.values())
        raise DataError(
            f"{count} of {self.rows} rows cannot be asked:\n"
            + "\n".join([*listed, *([f"... and {more} more reasons"] if more > 0 else [])])
            + "\nmend them, or keep them without an answer with --on-fault record"
        )


def check(source: Source) -> Checked:
    """Read every row once.

    Raises:
        DataError: a file is damaged, or there is no row.
    """
    found = Checked()
    for batch in source.batches():
        for row in rows_of(source, batch, np.ones(len(batch.lines), dtype=np.bool_)):
            _note(found, row)
        found.rows += len(batch.lines)
    if not found.rows:
        raise DataError(f"{source.path}: holds no row")
    found.keys = {name: found.keys[name] for name in KEYS if name in found.keys}
    return found


def _note(found: Checked, row: Row) -> None:
    for name, value in row.keys.items():
        found.keys[name] = found.keys.get(name, True) and is_int64(value)
    if row.fault:
        kind = kind_of(row.fault)
        count, first = found.faults.get(kind, (0, f"{row.place}: {row.fault}"))
        found.faults[kind] = (count + 1, first)
    elif (length := row.length) > found.most:
        found.longest, found.most = row, length
