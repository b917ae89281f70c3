"""How every distinct answer instruction of a data set was read: what ``data scales`` prints.

Scales belong to cells. The report therefore also names cells in which more than one scale occurs, and tasks whose scale
is not the same in all conditions: keyed by the task alone, their answers would be judged on another condition's scale.
"""

from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import polars as pl

from socrates_fast.data.instructions import read_instruction, same_words
from socrates_fast.data.scales import Scale, scale_of
from socrates_fast.data.schema import CELL
from socrates_fast.data.sources import Source, open_files

PAIRS = "pairs.parquet"
"""A prepared folder's preference pairs: rows of its training side again."""

Cell = tuple[str, int, int]
"""Study, condition, task."""


@dataclass(frozen=True)
class Entry:
    """One instruction; those that differ in quotes and white space alone are one.

    Attributes:
        instruction: its words; None for stimuli in which there is none (or that are empty).
        rows: rows with it.
        cells: cells in which it occurs.
        studies: studies in which it occurs.
        example: the first of its cells.
        scale: how it was read, with the labels that stand in it; None: not read.
    """

    instruction: str | None
    rows: int
    cells: int
    studies: int
    example: Cell
    scale: Scale | None


@dataclass(frozen=True)
class Mixed:
    """A cell in which more than one scale occurs: its scales as text ("not read" for none), with their rows."""

    cell: Cell
    scales: tuple[tuple[str, int], ...]


@dataclass(frozen=True)
class Varying:
    """A task whose scale is not the same in all conditions.

    Attributes:
        study: its study.
        task: its number.
        differs: whether the allowed ``answers`` differ, or their ``labels`` alone.
        scales: for each scale as text, its conditions.
    """

    study: str
    task: int
    differs: Literal["answers", "labels"]
    scales: tuple[tuple[str, tuple[int, ...]], ...]


@dataclass(frozen=True)
class Report:
    """How the instructions of a data set were read.

    Attributes:
        rows: rows in all.
        cells: cells in all.
        studies: studies in all.
        entries: the instructions, those that were not read first, then by rows.
        mixed: cells in which more than one scale occurs.
        varying: tasks whose scale differs between conditions.
    """

    rows: int
    cells: int
    studies: int
    entries: tuple[Entry, ...]
    mixed: tuple[Mixed, ...]
    varying: tuple[Varying, ...]

    @property
    def unread(self) -> tuple[Entry, ...]:
        """Instructions that state no scale clearly."""
        return tuple(entry for entry in self.entries if entry.scale is None)

    def as_json(self) -> dict[str, Any]:
        """All of it, as it is printed with ``--json``."""
        return {
            "rows": self.rows,
            "cells": self.cells,
            "studies": self.studies,
            "rows_not_read": sum(entry.rows for entry in self.unread),
            "instructions": [_entry_json(entry) for entry in self.entries],
            "mixed_cells": [{**_place(one.cell), "scales": dict(one.scales)} for one in self.mixed],
            "varying_tasks": [
                {"study": one.study, "task": one.task, "differs": one.differs,
                 "scales": {text: list(conditions) for text, conditions in one.scales}}
                for one in self.varying
            ],
        }  # fmt: skip


def _place(cell: Cell) -> dict[str, Any]:
    return dict(zip(("study", "condition", "task"), cell, strict=True))


def _entry_json(entry: Entry) -> dict[str, Any]:
    scale = entry.scale
    listed = scale is not None and scale.values is not None and len(scale.values) <= scale.high - scale.low
    return {
        "instruction": entry.instruction,
        "rows": entry.rows,
        "cells": entry.cells,
        "studies": entry.studies,
        "example": _place(entry.example),
        "read": scale is not None,
        "kind": scale and scale.kind,
        "low": scale and scale.low,
        "high": scale and scale.high,
        "values": list(scale.values) if scale and scale.values and listed else None,
        "labels": {str(value): label for value, label in scale.labels.items()} if scale else {},
    }


def in_words(scale: Scale | None) -> str:
    """A scale's answers as text: "1-7", "1, 2, 4", "open", "not read"."""
    if scale is None:
        return "not read"
    if scale.kind == "open":
        return "open"
    if scale.values is not None and len(scale.values) <= scale.high - scale.low:
        return ", ".join(map(str, scale.values))
    return f"{scale.low} to {scale.high}" if scale.low < 0 else f"{scale.low}-{scale.high}"


def report(data: Path | pl.LazyFrame) -> Report:
    """Read every distinct instruction of a data set once; only four columns are read, in batches.

    Args:
        data: a parquet, JSONL or CSV file or a folder of them (a prepared folder, the shards of SocSci210), or rows
            with the columns ``CELL`` and ``stimuli``.

    Raises:
        DataError: it cannot be read.
    """
    source = Source("the rows", data) if isinstance(data, pl.LazyFrame) else _open(data)
    counts = _counts(source)
    scales = {text: _read(text) for text in counts["instruction"].unique().to_list()}
    return Report(
        int(counts["rows"].sum()),
        counts.select(CELL).n_unique(),
        counts["study_id"].n_unique(),
        tuple(_entries(counts, scales)),
        tuple(_mixed(counts, scales)),
        tuple(_varying(counts, scales)),
    )


def _open(path: Path) -> Source:
    if not (path / PAIRS).is_file():
        return open_files(path)
    return open_files(*sorted(file for file in path.glob("*.parquet") if file.name != PAIRS), name=str(path))


def _read(instruction: str | None) -> Scale | None:
    reading = None if instruction is None else read_instruction(instruction)
    return None if reading is None else scale_of(reading)


_CUT = "\x1e"


def _counts(source: Source) -> pl.DataFrame:
    """Rows of each cell and instruction, sorted by cell."""
    text = pl.col("stimuli").cast(pl.String)
    parts = text.str.replace_all(r"Only\s+return\b", f"{_CUT}Only return").str.split(_CUT)
    instruction = pl.when(parts.list.len() > 1).then(parts.list.last())
    rows = source.frame.select(*CELL, instruction=instruction)
    counted = rows.group_by(*CELL, "instruction").agg(rows=pl.len())
    return Source(source.name, counted).read().sort(*CELL, "instruction")


def _entries(counts: pl.DataFrame, scales: dict[str | None, Scale | None]) -> list[Entry]:
    named = counts.with_columns(
        words=pl.col("instruction").replace_strict({text: text and same_words(text) for text in scales}, default=None,
                                                   return_dtype=pl.String)
    )  # fmt: skip
    grouped = named.group_by("words", maintain_order=True).agg(
        pl.col("rows").sum(),
        cells=pl.struct(CELL).n_unique(),
        studies=pl.col("study_id").n_unique(),
        example=pl.struct(CELL).first(),
        text=pl.col("instruction").first(),
    )
    entries = [
        Entry(words, rows, cells, studies, tuple(example.values()), scales[text])
        for words, rows, cells, studies, example, text in grouped.iter_rows()
    ]
    return sorted(entries, key=lambda entry: (entry.scale is not None, -entry.rows, entry.instruction or ""))


def _mixed(counts: pl.DataFrame, scales: dict[str | None, Scale | None]) -> list[Mixed]:
    found: dict[Cell, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    for study, condition, task, instruction, rows in counts.iter_rows():
        found[study, condition, task][in_words(scales[instruction])] += rows
    return [
        Mixed(cell, tuple(sorted(kinds.items(), key=lambda kind: (-kind[1], kind[0]))))
        for cell, kinds in found.items()
        if len(kinds) > 1
    ]


def _varying(counts: pl.DataFrame, scales: dict[str | None, Scale | None]) -> list[Varying]:
    tasks: dict[tuple[str, int], dict[int, set[str | None]]] = defaultdict(lambda: defaultdict(set))
    for study, condition, task, instruction, _ in counts.iter_rows():
        tasks[study, task][condition].add(instruction)
    found = []
    for (study, task), conditions in tasks.items():
        answers = _by_text(conditions, {text: in_words(scale) for text, scale in scales.items()})
        labels = _by_text(conditions, {text: labelled(scale) for text, scale in scales.items()})
        if len(answers) > 1:
            found.append(Varying(study, task, "answers", answers))
        elif len(labels) > 1:
            found.append(Varying(study, task, "labels", labels))
    return sorted(found, key=lambda one: (one.differs, one.study, one.task))


def labelled(scale: Scale | None) -> str:
    """A scale's answers and labels as text: "1-7 (1: never; 7: always)"."""
    labels = "; ".join(f"{value}: {label}" for value, label in (scale.labels if scale else {}).items())
    return in_words(scale) + (f" ({labels})" if labels else "")


def _by_text(
    conditions: dict[int, set[str | None]], texts: dict[str | None, str]
) -> tuple[tuple[str, tuple[int, ...]], ...]:
    """The conditions of each scale of one task, by the scale's text; a condition may have several."""
    found: dict[str, list[int]] = defaultdict(list)
    for condition, instructions in conditions.items():
        found[" and ".join(sorted({texts[text] for text in instructions}))].append(condition)
    return tuple((text, tuple(sorted(numbers))) for text, numbers in sorted(found.items()))
