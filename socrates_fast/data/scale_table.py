"""Scales as columns: what stimuli state, and what a recipe declares for cells."""

import difflib
from collections.abc import Sequence
from typing import Any

import polars as pl

from socrates_fast.data.answer_forms import Reading
from socrates_fast.data.instructions import instruction_of, read_instruction
from socrates_fast.data.scales import OPEN_HIGH, Scale, declared_scale
from socrates_fast.data.schema import CELL
from socrates_fast.errors import DataError
from socrates_fast.recipe import ScaleOverride

COLUMNS: dict[str, Any] = {"low": pl.Int64, "high": pl.Int64, "values": pl.List(pl.Int64), "open": pl.Boolean}
"""Columns of a scale: ``values`` is null where it is every integer from ``low`` to ``high`` and where it is ``open``."""

Row = tuple[int, int, tuple[int, ...] | None, bool] | tuple[None, None, None, None]
"""One scale in those columns; nulls where there is none."""

_NONE: Row = (None, None, None, None)


def scales_of(texts: pl.Series) -> pl.DataFrame:
    """The scale that each stimulus states.

    Each distinct instruction is read once; the process remembers thousands of them, so that calls for one batch after
    another cost little.

    Args:
        texts: stimuli; they may repeat.

    Returns:
        One row for each distinct text, in the order of first appearance: ``stimuli``, ``low``, ``high``, ``values``,
        ``open`` (nulls where no scale is clearly stated, or the text is null).
    """
    distinct = texts.unique(maintain_order=True).rename("stimuli")
    return _joined(distinct.to_frame(), [_stated(text) for text in distinct])


def _stated(text: str | None) -> Row:
    instruction = None if text is None else instruction_of(text)
    return row_of(None if instruction is None else read_instruction(instruction))


def row_of(reading: Reading | None) -> Row:
    """What was read from an instruction, in the columns of a scale."""
    if reading is None:
        return _NONE
    if reading.high is None:
        return 0, OPEN_HIGH, None, True
    gaps = reading.size <= reading.high - reading.low
    return reading.low, reading.high, reading.options if gaps else None, False


def _joined(keys: pl.DataFrame, rows: Sequence[Row]) -> pl.DataFrame:
    columns = zip(*rows, strict=True) if rows else ((),) * len(COLUMNS)
    given = zip(COLUMNS.items(), columns, strict=True)
    return keys.with_columns(pl.Series(name, list(column), dtype=kind) for (name, kind), column in given)


def override(cells: pl.DataFrame, overrides: Sequence[ScaleOverride]) -> pl.DataFrame:
    """The scale that is declared for each cell: the narrowest that fits it, the last of equally narrow ones.

    Args:
        cells: the columns ``CELL``; others are kept.
        overrides: the recipe's ``data.scales``.

    Returns:
        ``cells`` with ``low``, ``high``, ``values``, ``open``; nulls where none is declared.

    Raises:
        DataError: a declared scale is none, or is for a cell that does not exist.
    """
    declared = {
        (one.study, one.condition, one.task): (_narrowness(one), number, _declared(number, one))
        for number, one in enumerate(overrides)
    }
    _check(cells, overrides)
    rows: list[Row] = []
    for study, condition, task in cells.select(CELL).iter_rows():
        keys = {(study, c, t) for c in (condition, None) for t in (task, None)}
        fit = [declared[key] for key in keys if key in declared]
        rows.append(max(fit)[2] if fit else _NONE)
    return _joined(cells, rows)


def _narrowness(one: ScaleOverride) -> int:
    return (one.condition is not None) + (one.task is not None)


def _declared(number: int, one: ScaleOverride) -> Row:
    try:
        scale = declared_scale(one.scale)
    except DataError as error:
        raise DataError(f"data.scales.{number} ({_place(one)}): {error}") from error
    return _row_of_scale(scale)


def _row_of_scale(scale: Scale) -> Row:
    if scale.kind == "open":
        return scale.low, scale.high, None, True
    gaps = scale.values is not None and len(scale.values) <= scale.high - scale.low
    return scale.low, scale.high, scale.values if gaps else None, False


def _check(cells: pl.DataFrame, overrides: Sequence[ScaleOverride]) -> None:
    """Refuse declared scales that are for no cell; all are named, with what comes nearest."""
    known = set(cells.select(CELL).iter_rows())
    faults = [
        f"data.scales.{number}: no row of {_place(one)}{_hint(one, known)}"
        for number, one in enumerate(overrides)
        if not any(_fits(one, cell) for cell in known)
    ]
    if faults:
        raise DataError("\n".join(faults))


def _fits(one: ScaleOverride, cell: tuple[str, int, int]) -> bool:
    study, condition, task = cell
    return study == one.study and one.condition in (None, condition) and one.task in (None, task)


def _place(one: ScaleOverride) -> str:
    parts = {"condition": one.condition, "task": one.task}
    return ", ".join([f"study {one.study}", *(f"{name} {n}" for name, n in parts.items() if n is not None)])


def _hint(one: ScaleOverride, known: set[tuple[str, int, int]]) -> str:
    """What there is in its place: the nearest study, or the study's conditions and tasks."""
    studies = {study for study, _, _ in known if study is not None}
    if one.study not in studies:
        near = difflib.get_close_matches(one.study, sorted(studies), n=1, cutoff=0.4)
        return f" (nearest study: {near[0]})" if near else f" (there are {len(studies)} other studies)"
    conditions = sorted({c for s, c, _ in known if s == one.study})
    tasks = sorted({t for s, c, t in known if s == one.study and one.condition in (None, c)})
    if one.condition is not None and one.condition not in conditions:
        return f" (its conditions: {_some(conditions)})"
    return f" (its tasks{'' if one.condition is None else ' in that condition'}: {_some(tasks)})"


def _some(numbers: Sequence[int], most: int = 12) -> str:
    more = ", ..." if len(numbers) > most else ""
    return ", ".join(str(number) for number in numbers[:most]) + more
