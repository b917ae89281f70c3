"""What the model was trained on, beside what it is evaluated on: people seen before, and baselines that learn."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from socrates_fast.data.schema import CELL
from socrates_fast.data.splits import GROUPS
from socrates_fast.errors import DataError
from socrates_fast.evaluate.answers import Answers, leave_out_mixed, needed, read_answers
from socrates_fast.evaluate.groups import fields_of

_COLUMNS = (
    *CELL,
    "participant",
    "sample_id",
    "response",
    "low",
    "high",
    "values",
    "open",
    "truth",
    "demographic",
)
_WHAT = {"participant": "people", "condition": "conditions", "task": "tasks", "study": "studies"}
_ROW = ("study_id", "sample_id")


@dataclass(frozen=True)
class Training:
    """The rows a model was trained on.

    Attributes:
        path: a prepared folder's ``train.parquet``.
        by: what its split kept whole (``data.split.by``).
    """

    path: Path
    by: str = "participant"

    def answers(self, groups: Sequence[str]) -> Answers | None:
        """Its answers that lie on closed scales; None if there are none.

        Raises:
            DataError: not a prepared file.
        """
        scan = self._scan(_COLUMNS)
        known = fields_of(scan.collect_schema())
        rows = scan.filter(
            ~pl.col("open"), pl.col("response").is_between("low", "high"),
            pl.col("values").is_null() | pl.col("values").list.contains(pl.col("response")),
        )  # fmt: skip
        wanted = needed([name for name in groups if name in known])  # read_answers refuses the others by name
        kept, _ = leave_out_mixed(rows.select(wanted).collect())
        return read_answers(kept, groups) if kept.height else None

    def seen(self, rows: pl.DataFrame) -> dict[str, Any]:
        """How many of some rows are of people (studies, ...: what the split keeps whole) that stand here as well.

        Where the split keeps only rows apart, or the authors' files made it, rows themselves are looked for.
        """
        columns = GROUPS[self.by] if self.by in _WHAT else _ROW
        known = self._scan(columns).unique().collect()
        again = rows.join(known, on=columns, how="semi", nulls_equal=True).height
        return {
            "what": _WHAT.get(self.by, "rows"),
            "rows": again,
            "value": again / rows.height,
            "of": self.path.name,
        }

    def _scan(self, columns: Sequence[str]) -> pl.LazyFrame:
        try:
            found = pl.scan_parquet(self.path)
            missing = set(columns) - set(found.collect_schema().names())
        except (OSError, pl.exceptions.PolarsError) as error:
            raise DataError(f"{self.path}: cannot be read ({error})") from error
        if missing:
            raise DataError(
                f"{self.path}: not prepared rows (no {', '.join(sorted(missing))}); prepare the data again"
            )
        return found.select(columns)
