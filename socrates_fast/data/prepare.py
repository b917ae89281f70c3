"""From a source to a prepared folder: train, validation and test parquet, and a data card.

Every row that is left out is counted by cell and reason and named in the card; nothing is dropped in silence.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl

from socrates_fast.data.columns import NO_SCALE, NO_STIMULUS
from socrates_fast.data.scales import Scale, parse_scale, range_scale
from socrates_fast.data.schema import CELL, PREPARED
from socrates_fast.data.sources import read_files, read_source
from socrates_fast.data.splits import SIDES, sample_rows, split_rows
from socrates_fast.errors import DataError
from socrates_fast.prompt import Prompt, persona_text, user_text
from socrates_fast.recipe import Data, PromptOptions, Recipe
from socrates_fast.runs import atomic_folder, write_json, write_parquet, write_text

NO_ANSWER = "no answer"
NOT_AN_INTEGER = "the answer is not an integer"
OFF_SCALE = "the answer is off its scale"
OPEN_SCALE = "the scale is open or too wide to enumerate"

FILES = (*(f"{side}.parquet" for side in SIDES), "card.json", "card.md")
"""What a prepared folder holds."""


@dataclass(frozen=True)
class Prepared:
    """Usable rows, and what was left out.

    Attributes:
        rows: columns of ``schema.PREPARED``.
        dropped: one row for each cell and reason: the cell's key, ``reason``, ``rows`` (a count), and the first
            ``example`` (its answer and line).
        conditions: what the condition numbers stand for, where the source names them.
    """

    rows: pl.DataFrame
    dropped: pl.DataFrame
    conditions: dict[int, str] = field(default_factory=dict)

    def faults(self, most: int = 12) -> str:
        """What was left out, in words, one line for each cell and reason."""
        lines = [
            f"study {study} condition {condition} task {task}: {count} x {reason} (first: {example})"
            for study, condition, task, reason, count, example in self.dropped.iter_rows()
        ]
        more = len(lines) - most
        return "\n".join([*lines[:most], *([f"... and {more} more lines"] if more > 0 else [])])


def to_prepared(rows: pl.DataFrame) -> Prepared:
    """Check every answer against its scale.

    The scale is what the source declares (``low``, ``high``) or what the stimulus states; each distinct text
    is read once.

    Args:
        rows: a source's rows (see ``sources.read_source``).
    """
    rows = _with_scales(rows)
    number = pl.col("response").cast(pl.Float64, strict=False)
    reason = (
        pl.when(pl.col("response").is_null())
        .then(pl.lit(NO_ANSWER))
        .when(pl.col("stimuli").is_null())
        .then(pl.lit(NO_STIMULUS))
        .when(number.is_null() | (number != number.floor()) | ~number.is_finite())
        .then(pl.lit(NOT_AN_INTEGER))
        .when(pl.col("low").is_null())
        .then(pl.lit(NO_SCALE))
        .when(pl.col("values").is_null())
        .then(pl.lit(OPEN_SCALE))
        .when(~pl.col("values").list.contains(number.cast(pl.Int64, strict=False)))
        .then(pl.lit(OFF_SCALE))
    )
    line = pl.col("line") if "line" in rows.columns else pl.col("sample_id")
    example = pl.format("answer {}, line {}", pl.col("response").cast(pl.String).fill_null("''"), line)
    rows = rows.with_columns(reason=reason, example=example)
    dropped = (
        rows.filter(pl.col("reason").is_not_null())
        .group_by(*CELL, "reason", maintain_order=True)
        .agg(rows=pl.len(), example=pl.col("example").first())
        .sort(*CELL, "reason")
    )
    kept = rows.filter(pl.col("reason").is_null()).with_columns(number.cast(pl.Int64).alias("response"))
    if "truth" not in kept.columns:
        kept = kept.with_columns(truth=pl.lit(None, dtype=PREPARED["truth"]))
    conditions: dict[int, str] = {}
    if "condition" in kept.columns:
        conditions = dict(sorted(kept.select("condition_num", "condition").unique().iter_rows()))
    return Prepared(kept.select(list(PREPARED)), dropped, conditions)


def _with_scales(rows: pl.DataFrame) -> pl.DataFrame:
    """Add ``low``, ``high`` and ``values``, unless the source already gives them all."""
    if "values" in rows.columns:
        return rows
    if "low" in rows.columns:
        pairs = rows.select("low", "high").unique()
        scales = [range_scale(low, high) for low, high in pairs.iter_rows()]
        table = pairs.with_columns(values=pl.Series([s.values for s in scales], dtype=PREPARED["values"]))
        return rows.join(table, on=["low", "high"], how="left", maintain_order="left")
    texts = rows.select("stimuli").unique(maintain_order=True)
    read = [parse_scale(text or "") for text in texts["stimuli"]]
    table = texts.with_columns(
        low=pl.Series([s.low if s else None for s in read], dtype=pl.Int64),
        high=pl.Series([s.high if s else None for s in read], dtype=pl.Int64),
        values=pl.Series([s.values if s else None for s in read], dtype=PREPARED["values"]),
    )
    return rows.join(table, on="stimuli", how="left", nulls_equal=True, maintain_order="left")


def prepare_rows(data: Data) -> tuple[dict[str, pl.DataFrame], Prepared]:
    """The rows of a recipe's data by side, and what was left out.

    Raises:
        DataError: the source cannot be read, a side is empty, or answers are off their scale and the recipe
            says to refuse them.
    """
    prepared = to_prepared(read_source(data))
    where = data.path or "the made-up survey"
    unfit = prepared.dropped.filter(pl.col("reason") != NO_ANSWER)
    if data.off_scale == "refuse" and not unfit.is_empty():
        raise DataError(
            f"{where}: {unfit['rows'].sum()} rows cannot be used and data.off_scale is refuse:\n"
            f"{Prepared(prepared.rows, unfit).faults()}\n"
            f"mend them, or leave them out with data.off_scale=drop"
        )
    if prepared.rows.is_empty():
        raise DataError(f"{where}: no usable row is left:\n{prepared.faults()}")
    sides = split_rows(prepared.rows, data.split)
    sides["train"] = sample_rows(sides["train"], data.max_train_rows, data.split.seed)
    return sides, prepared


def prepare(recipe: Recipe, out: Path, announce: Callable[[str], None] = lambda _: None) -> list[Path]:
    """Write the prepared folder, whole or not at all; returns its files.

    Args:
        announce: told in words how many rows were left out.

    Raises:
        DataError: see ``prepare_rows``; or ``out`` holds other files, which would be lost.
    """
    foreign = sorted(path.name for path in out.iterdir() if path.name not in FILES) if out.is_dir() else []
    if foreign:
        raise DataError(f"{out} holds other files ({', '.join(foreign[:3])}); name a new or empty folder")
    sides, prepared = prepare_rows(recipe.data)
    card = _card(sides, prepared)
    with atomic_folder(out) as partial:
        for side, rows in sides.items():
            write_parquet(partial / f"{side}.parquet", rows)
        write_json(partial / "card.json", card)
        write_text(partial / "card.md", _card_text(recipe, card))
    if card["dropped_rows"]:
        announce(f"{card['dropped_rows']} rows were left out; {out / 'card.md'} says which and why")
    return [out / name for name in FILES]


def _card(sides: dict[str, pl.DataFrame], prepared: Prepared) -> dict[str, Any]:
    return {
        "splits": {
            side: {
                "rows": rows.height,
                "studies": rows["study_id"].n_unique(),
                "cells": rows.select(CELL).n_unique(),
                "people": rows.select("study_id", "participant").n_unique(),
            }
            for side, rows in sides.items()
        },
        "conditions": {str(number): name for number, name in prepared.conditions.items()},
        "dropped_rows": int(prepared.dropped["rows"].sum()),
        "dropped": prepared.dropped.to_dicts(),
    }


def _card_text(recipe: Recipe, card: dict[str, Any]) -> str:
    lines = [f"# Data of {recipe.name}", "", f"Source: {recipe.data.source}", ""]
    lines += ["| split | rows | studies | cells | people |", "|---|---|---|---|---|"]
    for side, facts in card["splits"].items():
        lines.append(f"| {side} | {' | '.join(str(count) for count in facts.values())} |")
    lines += ["", *(f"- condition {number}: {name}" for number, name in card["conditions"].items())]
    lines += ["", f"Rows left out: {card['dropped_rows']}", ""]
    for fault in card["dropped"]:
        cell = " / ".join(str(fault[key]) for key in CELL)
        lines.append(f"- {cell}: {fault['rows']} x {fault['reason']} (first: {fault['example']})")
    return "\n".join(lines) + "\n"


def read_rows(path: Path, side: str = "test") -> pl.DataFrame:
    """Prepared rows: ``side`` of a prepared folder, or a file in SocSci210's or in the prepared columns.

    Raises:
        DataError: nothing is there, or no row can be used.
    """
    if (path / f"{side}.parquet").is_file():
        path = path / f"{side}.parquet"
    prepared = to_prepared(read_files(path))
    if prepared.rows.is_empty():
        raise DataError(f"{path}: no usable row:\n{prepared.faults()}")
    return prepared.rows


def prompts_of(rows: pl.DataFrame, options: PromptOptions) -> list[Prompt]:
    """The prompts of prepared rows, in order."""
    wanted = rows.select("demographic", "stimuli", "low", "high", "values")
    scales: dict[tuple[int, ...], Scale] = {}
    prompts = []
    for demographic, stimulus, low, high, values in wanted.iter_rows():
        key = tuple(values)
        scale = scales.setdefault(key, Scale(low, high, key))
        prompts.append(make_prompt(demographic or {}, stimulus, scale, options))
    return prompts


def make_prompt(demographic: dict[str, Any], stimulus: str, scale: Scale, options: PromptOptions) -> Prompt:
    """The prompt of one question to one person."""
    persona = persona_text(demographic, options.fields)
    return Prompt(options.system, user_text(persona, stimulus, options.order), scale)


def answers_of(rows: pl.DataFrame) -> Sequence[int]:
    """The answers of prepared rows, in order."""
    return [int(answer) for answer in rows["response"]]
