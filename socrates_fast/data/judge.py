"""Whether a row can be used, and why not.

The scale of a row is the one that the recipe declares for its cell, or else the one that the row itself declares, or else
what its stimulus states; never another row's of the same task, because scales differ between the conditions of one task.
"""

from collections.abc import Sequence

import polars as pl

from socrates_fast.data import columns as why
from socrates_fast.data.scale_table import override, scales_of
from socrates_fast.data.scales import MAX_VALUES
from socrates_fast.data.schema import CELL, PREPARED
from socrates_fast.data.sources import SCALE
from socrates_fast.recipe import Data, ScaleOverride

_STATED = {name: f"stated_{name}" for name in SCALE}


def judged(rows: pl.DataFrame, data: Data | None = None) -> pl.DataFrame:
    """Rows with their scale and what is doubtful about each.

    Args:
        rows: columns of SocSci210 (``prompt``, ``reasoning`` and ``demographic`` are not looked at), of a prepared
            folder, or with a declared scale (``low``, ``high``, ``values``).
        data: the recipe's declared scales and missing codes; None for none.

    Returns:
        The same rows in the same order with ``low``, ``high``, ``values``, ``open`` (see ``schema.PREPARED``),
        ``number`` (the answer as Float64, null if it is none) and ``reason`` (null where nothing is doubtful; one of
        ``data.columns``' texts).
    """
    data = data or Data(source="synthetic")
    rows = _with_scales(rows, data.scales)
    number = pl.col("response").cast(pl.Float64, strict=False)
    integer = (number == number.floor()) & number.is_finite()
    listed = pl.col("values").list.contains(number.cast(pl.Int64, strict=False))
    on_scale = number.is_between(pl.col("low"), pl.col("high")) & listed.fill_null(True)
    several = (pl.col("high") > pl.col("low")) & _ascending()
    reason = (
        pl.when(pl.col("response").is_null()).then(pl.lit(why.NO_ANSWER))
        .when(pl.col("stimuli").is_null()).then(pl.lit(why.NO_STIMULUS))
        .when(~integer.fill_null(False)).then(pl.lit(why.NOT_AN_INTEGER))
        .when(pl.col("low").is_null() | pl.col("high").is_null()).then(pl.lit(why.NO_SCALE))
        .when(~several).then(pl.lit(why.BAD_SCALE))
        .when(~on_scale & number.is_in(list(map(float, data.missing_codes)))).then(pl.lit(why.MISSING_CODE))
        .when(~on_scale).then(pl.lit(why.OFF_SCALE))
        .when(pl.col("open")).then(pl.lit(why.OPEN_SCALE))
    )  # fmt: skip
    return rows.with_columns(number=number, reason=reason)


def _ascending() -> pl.Expr:
    """Whether ``values``, where given, are two at least, ascending, and go from ``low`` to ``high``."""
    values = pl.col("values")
    first, last = values.list.first() == pl.col("low"), values.list.last() == pl.col("high")
    return (first & last & (values.list.diff().list.min() > 0)).fill_null(values.is_null())


def _with_scales(rows: pl.DataFrame, declared: Sequence[ScaleOverride]) -> pl.DataFrame:
    """Rows with ``low``, ``high``, ``values`` and ``open``, null where the scale is not known."""
    own = [name for name in SCALE if name in rows.columns]
    rows = rows.with_columns(
        pl.lit(None, dtype=PREPARED[name]).alias(name) for name in SCALE if name not in own
    )
    if "low" not in own or rows["low"].null_count():
        texts = scales_of(rows.filter(pl.col("low").is_null())["stimuli"].unique().drop_nulls())
        rows = rows.join(texts.rename(_STATED), on="stimuli", how="left", maintain_order="left")
        rows = _instead(rows, pl.col("low").is_null(), _STATED)
    if declared:
        cells = rows.select(CELL).unique()
        table = override(cells, _fitting(cells, declared)).rename(_STATED)
        rows = rows.join(table, on=CELL, how="left", maintain_order="left", nulls_equal=True)
        rows = _instead(rows, pl.col(_STATED["low"]).is_not_null(), _STATED)
    wide = pl.col("values").is_null() & (pl.col("high") - pl.col("low") >= MAX_VALUES)
    return rows.with_columns(open=(pl.col("open").fill_null(False) | wide).fill_null(False))


def _fitting(cells: pl.DataFrame, declared: Sequence[ScaleOverride]) -> tuple[ScaleOverride, ...]:
    """Those declared scales that one of these cells has; the others may fit cells of another batch."""
    keys = cells.rows()
    return tuple(
        one
        for one in declared
        if any(
            study == one.study and one.condition in (None, condition) and one.task in (None, task)
            for study, condition, task in keys
        )
    )


def _instead(rows: pl.DataFrame, where: pl.Expr, names: dict[str, str]) -> pl.DataFrame:
    """Rows in which the columns ``names`` maps to stand for those that it maps, ``where`` that holds."""
    changed = [
        pl.when(where).then(pl.col(other)).otherwise(pl.col(name)).alias(name)
        for name, other in names.items()
    ]
    return rows.with_columns(changed).drop(names.values())
