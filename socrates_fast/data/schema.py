"""SocSci210's columns, and the columns of a prepared folder."""

from typing import Any

import polars as pl

from socrates_fast.data.columns import CELL, INTEGER_FIELDS
from socrates_fast.recipe import PERSONA_FIELDS

__all__ = ["CELL", "DEMOGRAPHIC", "INTEGER_FIELDS", "PREPARED", "SOCSCI210"]

DEMOGRAPHIC = pl.Struct({name: pl.Int64 if name in INTEGER_FIELDS else pl.String for name in PERSONA_FIELDS})

SOCSCI210: dict[str, Any] = {
    "sample_id": pl.Int64,
    "participant": pl.Int64,
    "demographic": DEMOGRAPHIC,
    "stimuli": pl.String,
    "response": pl.Int64,
    "condition_num": pl.Int64,
    "task_num": pl.Int64,
    "prompt": pl.String,
    "reasoning": pl.String,
    "study_id": pl.String,
}
"""The dataset's columns and types. ``(study_id, sample_id)`` is unique; every other id restarts in each study."""

PREPARED: dict[str, Any] = {
    "study_id": pl.String,
    "condition_num": pl.Int64,
    "task_num": pl.Int64,
    "participant": pl.Int64,
    "sample_id": pl.Int64,
    "demographic": DEMOGRAPHIC,
    "stimuli": pl.String,
    "response": pl.Int64,
    "low": pl.Int64,
    "high": pl.Int64,
    "values": pl.List(pl.Int64),
    "open": pl.Boolean,
    "truth": pl.List(pl.Float64),
}
"""A prepared row. ``low``, ``high``, ``values``: its scale, ``values`` null where it is every integer from ``low`` to
``high`` or the question is ``open``; ``truth``: the probabilities of the allowed answers under the response model that made
the row (synthetic data), else null. With ``data.reasoning`` a column ``reasoning`` follows."""

PAIRS: dict[str, Any] = {name: kind for name, kind in PREPARED.items() if name != "truth"} | {
    "rejected": pl.Int64,
    "rejected_participant": pl.Int64,
    "rejected_same_stimulus": pl.Boolean,
}
"""A preference pair: a prepared training row, whose ``response`` is preferred, and another answer that another person gave
in the same cell on the same scale: to the same stimulus if anybody did (``rejected_same_stimulus``)."""
