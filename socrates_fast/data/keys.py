"""The first pass over a source: one short line a row, on which everything is decided.

What a row's fate depends on (its ids, its stimulus' hash, its answer, what is doubtful about it) is some 90 bytes; 2.9
million of them fit where their texts would not. The second pass writes the rows (``prepare.py``).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import polars as pl

from socrates_fast.data import columns as why
from socrates_fast.data.choice import trains
from socrates_fast.data.judge import judged
from socrates_fast.data.mapping import Mapping, mapping_report
from socrates_fast.data.scale_table import override
from socrates_fast.data.schema import CELL
from socrates_fast.data.sources import SCALE, Source
from socrates_fast.data.splits import assert_whole, overlap, sides
from socrates_fast.errors import DataError
from socrates_fast.recipe import Data

NEEDED = (*CELL, "participant", "sample_id", "stimuli", "response", *SCALE, "line", "file")
"""Columns that are read for the keys."""

SETTING = {
    why.NOT_AN_INTEGER: "off_scale", why.OFF_SCALE: "off_scale", why.MISSING_CODE: "off_scale",
    why.NO_STIMULUS: "unread", why.NO_SCALE: "unread", why.BAD_SCALE: "unread",
    why.OPEN_SCALE: "open", why.SAME_ID: "duplicates", why.SAME_ANSWER: "duplicates",
}  # fmt: skip
"""Reason to the option of the recipe that says what becomes of such rows; a row without an answer is always left out."""
KEEPABLE = (why.OFF_SCALE, why.MISSING_CODE, why.OPEN_SCALE, why.SAME_ID, why.SAME_ANSWER)
"""Reasons with which a row can be used at all."""


@dataclass(frozen=True)
class Decided:
    """What becomes of every row of a source.

    Attributes:
        side: train, validation, test, or null for a row that is left out; in the source's order, shape (n,).
        dropped: rows left out: for each cell and reason the cell's key, ``reason``, ``rows`` and the first ``example``.
        kept: doubtful rows that are used because the recipe says so; the same columns.
        unused: usable rows that no side takes: a mapping does not name them, or the recipe takes fewer to train.
        overlap: what stands on more than one side (see ``splits.overlap``).
        mapping: how the mapping fits the rows (see ``mapping.mapping_report``), where there is one.
    """

    side: pl.Series
    dropped: pl.DataFrame
    kept: pl.DataFrame
    unused: pl.DataFrame
    overlap: dict[str, Any]
    mapping: dict[str, Any] | None


def collect_keys(source: Source, data: Data, tell: Callable[[int], None] = lambda _: None) -> pl.DataFrame:
    """One line for each row of a source, in its order.

    Args:
        tell: called with the number of rows read so far.

    Returns:
        ``CELL``, ``participant``, ``sample_id``, ``stimulus`` (a hash of the text; it holds for this process only),
        ``answer``, ``reason`` (see ``judge.judged``, and repeated rows), ``line``, ``file``, and ``text``, the answer as
        written where there is a reason.

    Raises:
        DataError: the source is damaged or holds no row, or a declared scale fits no cell.
    """
    parts, count = [], 0
    for batch in source.batches(NEEDED):
        parts.append(_keys(judged(batch, data)))
        count += batch.height
        tell(count)
    if not count:
        raise DataError(f"{source.name}: holds no row")
    keys = pl.concat(parts).rechunk()
    override(keys.select(CELL).unique(), data.scales)  # one that fits no cell at all is an error
    return _with_repeats(keys)


def _keys(rows: pl.DataFrame) -> pl.DataFrame:
    doubtful = pl.col("reason").is_not_null()
    return rows.select(
        *CELL, "participant", "sample_id",
        stimulus=pl.col("stimuli").hash(),
        answer=pl.col("number").cast(pl.Int64, strict=False),
        reason=pl.col("reason").cast(pl.Categorical),
        line=pl.col("line").cast(pl.UInt32),
        file=pl.col("file").cast(pl.Categorical),
        text=pl.when(doubtful).then(pl.col("response").cast(pl.String)),
    )  # fmt: skip


def _with_repeats(keys: pl.DataFrame) -> pl.DataFrame:
    """Keys whose ``reason`` also says which usable rows repeat an earlier one."""
    usable = pl.col("reason").is_null()
    identity = pl.struct("study_id", "sample_id")
    answer = pl.struct("study_id", "participant", "condition_num", "task_num", "stimulus", "answer")
    # Hashes find the few that may be repeats; only those are compared field by field.
    found = keys.with_row_index("row").filter(usable)
    same_id = _later(found, identity)
    same_answer = _later(found.filter(~pl.col("row").is_in(same_id.implode())), answer)
    row = pl.int_range(pl.len(), dtype=pl.UInt32)
    reason = (
        pl.when(row.is_in(same_id.implode())).then(pl.lit(why.SAME_ID))
        .when(row.is_in(same_answer.implode())).then(pl.lit(why.SAME_ANSWER))
        .otherwise(pl.col("reason").cast(pl.String))
    )  # fmt: skip
    return keys.with_columns(reason=reason.cast(pl.Categorical))


def _later(found: pl.DataFrame, fields: pl.Expr) -> pl.Series:
    """Numbers of the rows whose ``fields`` equal those of an earlier one."""
    candidates = found.filter(fields.hash().is_duplicated())
    return candidates.filter(~fields.is_first_distinct())["row"]


def decide(keys: pl.DataFrame, data: Data, name: str, mapping: Mapping | None = None) -> Decided:
    """What becomes of every row.

    Args:
        keys: see ``collect_keys``.
        name: of the source, for messages.
        mapping: the split that a file prescribes.

    Raises:
        DataError: rows that the recipe refuses, no usable row, or a side without rows.
    """
    wanted, dropped = usable(keys, data)
    _refuse(dropped, data, name)
    if not wanted.any():
        raise DataError(f"{name}: no usable row is left:\n{in_words(dropped)}")
    used = keys.with_row_index("row").filter(wanted)
    side = sides(used, data.split, mapping).cast(pl.String)
    assert_whole(used, side, data.split, mapping)
    chosen = trains(used, side, data)
    left = used.with_columns(
        reason=pl.when(side.is_null()).then(pl.lit(why.UNMAPPED)).when(~chosen).then(pl.lit(why.NOT_CHOSEN))
    ).filter(pl.col("reason").is_not_null())
    placed = used.select("row", side=pl.when(chosen).then(side)).filter(pl.col("side").is_not_null())
    rows = keys.select(row=pl.int_range(pl.len(), dtype=pl.UInt32))
    whole = rows.join(placed, on="row", how="left", maintain_order="left")["side"]
    taken = used.filter(chosen & side.is_not_null())
    return Decided(
        side=whole,
        dropped=dropped,
        kept=summarised(taken.filter(pl.col("reason").is_not_null()), _several(keys)),
        unused=summarised(left, _several(keys)),
        overlap=overlap(taken, side.filter(chosen & side.is_not_null()), data.split),
        mapping=mapping_report(used, mapping) if mapping else None,
    )


def usable(keys: pl.DataFrame, data: Data) -> tuple[pl.Series, pl.DataFrame]:
    """Which rows are used, shape (n,), and what is left out (see ``Decided.dropped``)."""
    keeps = [reason for reason in KEEPABLE if getattr(data, SETTING[reason]) == "keep"]
    reason = keys["reason"].cast(pl.String)
    used = reason.is_null() | reason.is_in(keeps)
    return used, summarised(keys.filter(~used), _several(keys))


def _several(keys: pl.DataFrame) -> bool:
    return keys["file"].n_unique() > 1


def summarised(keys: pl.DataFrame, several: bool) -> pl.DataFrame:
    """Rows by cell and reason: ``CELL``, ``reason``, ``rows`` (a count), ``example`` (the first one's answer and place).

    Args:
        several: whether the source has several files, so that a place needs the file's name.
    """
    answer = pl.coalesce("text", pl.col("answer").cast(pl.String), pl.lit("''"))
    place = [pl.col("file").cast(pl.String), pl.col("line")] if several else [pl.col("line")]
    example = pl.format("answer {}, {} line {}" if several else "answer {}, line {}", answer, *place)
    first = keys.group_by(*CELL, "reason", maintain_order=True).agg(
        pl.len().alias("rows"), pl.col("line", "file", "text", "answer").first()
    )
    return (
        first.with_columns(pl.col("reason").cast(pl.String), example=example)
        .select(*CELL, "reason", "rows", "example")
        .sort(*CELL, "reason")
    )


def in_words(dropped: pl.DataFrame, most: int = 12) -> str:
    """What was left out, one line for each cell and reason."""
    lines = [
        f"study {study} condition {condition} task {task}: {count} x {reason} (first: {example})"
        for study, condition, task, reason, count, example in dropped.iter_rows()
    ]
    more = len(lines) - most
    return "\n".join([*lines[:most], *([f"... and {more} more lines"] if more > 0 else [])])


def _refuse(dropped: pl.DataFrame, data: Data, name: str) -> None:
    refused = [reason for reason, option in SETTING.items() if getattr(data, option) == "refuse"]
    unfit = dropped.filter(pl.col("reason").is_in(refused))
    if unfit.is_empty():
        return
    options = sorted({SETTING[reason] for reason in unfit["reason"].unique()})
    is_refuse = " and ".join(f"data.{option} is refuse" for option in options)
    raise DataError(
        f"{name}: {unfit['rows'].sum()} rows cannot be used and {is_refuse}:\n{in_words(unfit)}\n"
        f"mend them, or leave them out with {' '.join(f'data.{option}=drop' for option in options)}"
    )
