"""Rows of a prepared folder, made for one test."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import polars as pl

from socrates_fast.data.schema import PREPARED

NOBODY: dict[str, Any] = dict.fromkeys(PREPARED["demographic"].to_schema())


def prepared(rows: Sequence[dict[str, Any]]) -> pl.DataFrame:
    """Prepared rows, each a seven-point question answered with 4 unless it says otherwise; ``sample_id`` counts them."""
    plain = {
        "study_id": "s", "condition_num": 0, "task_num": 0, "participant": 0, "demographic": NOBODY, "stimuli": "How much?",
        "response": 4, "low": 1, "high": 7, "values": None, "open": False, "truth": None,
    }  # fmt: skip
    numbered = [{**plain, "sample_id": number, **row} for number, row in enumerate(rows)]
    return pl.DataFrame(numbered, schema=PREPARED)


def person(**fields: Any) -> dict[str, Any]:
    """A demographic with these fields and no others."""
    return NOBODY | fields


def write(folder: Path, **sides: pl.DataFrame) -> Path:
    """A folder with the three parquet files; a side that is not given is empty."""
    for side in ("train", "validation", "test"):
        sides.get(side, prepared([])).write_parquet(folder / f"{side}.parquet")
    return folder
