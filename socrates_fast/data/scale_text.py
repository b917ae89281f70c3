"""The report on scales, printed: tables for a terminal, or one JSON document."""

import json
from collections.abc import Iterable, Sequence

from socrates_fast.data.scale_report import Cell, Entry, Report, Varying, in_words, labelled

PIPE_WIDTH = 160
"""Columns of the table where there is no terminal."""


def print_report(found: Report, as_json: bool = False, most: int = 40) -> None:
    """Print a report on stdout: as JSON, or as tables for a terminal.

    Args:
        found: the report.
        as_json: one JSON document with all of it.
        most: lines of each table; instructions that were not read are all shown.
    """
    if as_json:
        print(json.dumps(found.as_json(), ensure_ascii=False, indent=1))
        return
    not_read = sum(entry.rows for entry in found.unread)
    print(
        f"{found.rows:,} rows, {found.cells:,} cells, {found.studies:,} studies; {len(found.entries):,} instructions, "
        f"{len(found.unread):,} of them not read ({not_read:,} rows)"
    )
    read = [entry for entry in found.entries if entry.scale is not None]
    _print_entries([*found.unread, *read[:most]])
    _more(len(read) - most)
    mixed = [
        f"{_cell(one.cell)}: " + ", ".join(f"{text} ({rows:,} rows)" for text, rows in one.scales)
        for one in found.mixed
    ]
    _print_list("Cells in which more than one scale occurs:", mixed, most)
    for differs, title in (("answers", "allow other answers"), ("labels", "label them otherwise")):
        lines = [_varies(one) for one in found.varying if one.differs == differs]
        _print_list(f"Tasks whose conditions {title}:", lines, most)


def _print_entries(entries: Iterable[Entry]) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in ("rows", "cells", "studies"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("first cell", no_wrap=True)
    table.add_column("read as", ratio=2)
    table.add_column("instruction", ratio=3)
    for entry in entries:
        counts = (f"{count:,}" for count in (entry.rows, entry.cells, entry.studies))
        read = Text(
            labelled(entry.scale) if entry.scale else in_words(None), "" if entry.scale else "bold red"
        )
        words = Text(entry.instruction or "(no \u201cOnly return\u201d in the stimulus)")
        table.add_row(*counts, "/".join(map(str, entry.example)), read, words)
    console = Console()
    if not console.is_terminal:
        console = Console(width=PIPE_WIDTH)
    console.print(table)


def _cell(cell: Cell) -> str:
    return f"study {cell[0]}, condition {cell[1]}, task {cell[2]}"


def _varies(one: Varying) -> str:
    parts = (f"{text} in {_numbers(conditions)}" for text, conditions in one.scales)
    return f"study {one.study}, task {one.task}: " + "; ".join(parts)


def _numbers(conditions: Sequence[int], most: int = 6) -> str:
    shown = ", ".join(map(str, conditions[:most])) + (", ..." if len(conditions) > most else "")
    return f"condition{'s' if len(conditions) > 1 else ''} {shown}"


def _print_list(title: str, lines: Sequence[str], most: int) -> None:
    if not lines:
        return
    print(title)
    for line in lines[:most]:
        print(f"  {line}")
    _more(len(lines) - most)
    print()


def _more(count: int) -> None:
    if count > 0:
        print(f"  ... and {count:,} more (all of them with --json)")
