"""``socrates-fast data check``: everything that is wrong with one's data, by file and row, before any work is done.

It decides with the same code as the preparation which rows can be used, so what it says is what will happen.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import polars as pl

from socrates_fast.data import columns as why
from socrates_fast.data.check_files import CheckedFiles, files_of
from socrates_fast.data.faults import Fault, shortened
from socrates_fast.data.keys import KEEPABLE, SETTING, collect_keys, usable
from socrates_fast.data.schema import CELL
from socrates_fast.data.sources import Source
from socrates_fast.data.table import TableRead, scan_table
from socrates_fast.data.table_rows import UNLISTED
from socrates_fast.errors import DataError
from socrates_fast.recipe import Data

LIMIT = 20
"""Entries of each kind that are printed if nothing else is said."""


@dataclass(frozen=True)
class Checked:
    """What a check found.

    Attributes:
        path: what was checked.
        faults: what would stop the work or spoil it.
        left_out: rows that would be left out, by reason; ``count`` says how many.
        notes: what is done in a way that one should know of.
        summary: ``rows`` read, those ``usable``, and their ``studies``, ``cells``, ``people`` and ``scales``.
        reasons: why rows would be left out, and how many, the commonest first.
    """

    path: Path
    faults: list[Fault]
    left_out: list[Fault]
    notes: list[Fault]
    summary: dict[str, int]
    reasons: dict[str, int]

    @property
    def exit_code(self) -> int:
        """2 if there is a fault, else 0."""
        return 2 if self.faults else 0

    def as_dict(self, limit: int | None = None) -> dict[str, Any]:
        """The same for JSON; ``limit``: entries of each kind (their number stands in ``counts``), None for all."""
        kinds = {"faults": self.faults, "left_out": self.left_out, "notes": self.notes}
        return {
            "path": str(self.path),
            "ok": not self.faults,
            "summary": self.summary,
            "reasons": self.reasons,
            "counts": {name: len(found) for name, found in kinds.items()},
            **{name: [fault.as_dict() for fault in found[:limit]] for name, found in kinds.items()},
        }


def check(
    path: Path,
    data: Data | None = None,
    announce: Callable[[str], None] = lambda _: None,
    tell: Callable[[int], None] = lambda _: None,
) -> Checked:
    """Everything that is wrong with a file or folder.

    Args:
        path: a survey file, if ``data`` maps a table; else parquet, JSONL or CSV in SocSci210's columns, or a folder.
        data: the recipe's section; None: files in SocSci210's columns, dealt with by the recipe's defaults.
        announce: told in words what is being read.
        tell: called with the number of rows read so far.

    Raises:
        MissingDependency: it is a file of SPSS or Stata, and pyreadstat is not installed.
    """
    if data is not None and data.source == "table" and data.table is not None:
        return _check_table(path, data, tell)
    return _check_files(path, data or Data(source="files", path=path), announce, tell)


def _check_table(path: Path, data: Data, tell: Callable[[int], None]) -> Checked:
    assert data.table is not None
    found = scan_table(path, data.table)
    report = _Report(data, list(found.faults), list(found.notes))
    rows = found.rows.with_columns(file=pl.lit(path.name))
    keys = None
    if rows.height:
        keys = report.keys(Source(str(path), rows.lazy().drop("condition")), path, tell)
    if keys is not None:
        for fault in found.repeats:
            report.add(why.SAME_ID, fault)
        for reason, fault in _by_column(path, found, keys):
            report.add(reason, fault)
    counted = _summary(
        keys, data, rows.height, len(rows.select("low", "high").unique()) if rows.height else 0
    )
    return report.checked(path, {"records": found.people} | counted)


def _by_column(path: Path, found: TableRead, keys: pl.DataFrame) -> list[tuple[str, Fault]]:
    """Answers that would be left out, by column and what stands there."""
    rows = keys.with_columns(pl.col("reason").cast(pl.String), column=found.rows["column"]).filter(
        pl.col("reason").is_not_null() & (pl.col("reason") != why.SAME_ID)
    )
    groups = rows.group_by("reason", "column", "text", maintain_order=True).agg(
        pl.len(), pl.col("line").first(), pl.col("line").slice(1, 4).alias("more")
    )
    faults = []
    for row in groups.iter_rows(named=True):
        text = row["text"]
        if text is not None and text.startswith(UNLISTED):
            what = (
                f"{shortened(text.removeprefix(UNLISTED))} is no answer that data.table.answers.recode lists"
            )
        else:
            what = row["reason"] + (
                f": {shortened(text)}" if text is not None and row["reason"] != why.NO_STIMULUS else ""
            )
        faults.append(
            (
                row["reason"],
                Fault(path, row["line"], row["column"], what, found.unit, row["len"], tuple(row["more"])),
            )
        )
    return faults


def _check_files(
    path: Path, data: Data, announce: Callable[[str], None], tell: Callable[[int], None]
) -> Checked:
    report = _Report(data, [], [])
    files = files_of(path, report.notes, report.faults)
    source = CheckedFiles(
        str(path), pl.LazyFrame(), files={file.name: file for file in files}, announce=announce
    )
    keys = report.keys(source, path, tell) if files else None
    for sheet in source.sheets:
        report.faults += sheet.faults.list()
        report.notes += sheet.notes.list()
    report.notes += source.schemas()
    if keys is not None:
        for copy, fault in source.repeated(keys):
            report.add(why.SAME_ID, fault, spoils=not copy)
        for fault in source.unread(keys):
            report.add(why.NO_SCALE, fault)
        for reason, fault in source.doubtful(keys):
            report.add(reason, fault)
    return report.checked(path, _summary(keys, data, sum(source.rows.values()), source.scales()))


class _Report:
    """Sorts what is found into faults, rows that are left out, and notes, as the recipe says."""

    def __init__(self, data: Data, faults: list[Fault], notes: list[Fault]) -> None:
        self.data, self.faults, self.notes = data, faults, notes
        self.left_out: list[Fault] = []
        self._reasons: dict[str, int] = {}

    def keys(self, source: Source, path: Path, tell: Callable[[int], None]) -> pl.DataFrame | None:
        """The first pass of the preparation; None, and the fault, where it cannot be made."""
        try:
            found = collect_keys(source, self.data, tell)
            unused = found.filter(~usable(found, self.data)[0])["reason"].cast(pl.String)
            self._reasons = dict(unused.value_counts(sort=True).iter_rows())
            return found
        except DataError as error:
            # Of a file that cannot be read the reason is known already.
            if not (self.faults or "holds no row" in str(error)):
                self.faults.append(Fault(path, None, None, str(error)))
            return None

    def add(self, reason: str, fault: Fault, spoils: bool = False) -> None:
        """Rows with a reason not to be used.

        Args:
            spoils: that leaves out rows that it should not.
        """
        fate = getattr(self.data, SETTING[reason]) if reason in SETTING else "drop"
        if fate == "refuse" or (spoils and fate == "drop"):
            self.faults.append(fault)
        elif fate == "keep" and reason in KEEPABLE:
            self.notes.append(fault)
        else:
            self.left_out.append(fault)

    def checked(self, path: Path, summary: dict[str, int]) -> Checked:
        """What was found, the commonest first among what is left out."""
        if not self.faults and not summary["usable"]:
            self.faults.append(
                Fault(path, None, None, "no usable row is left; see what is left out, and why")
            )
        left_out = sorted(self.left_out, key=lambda fault: -fault.count)
        return Checked(path, self.faults, left_out, _together(self.notes), summary, self._reasons)


def _together(faults: list[Fault]) -> list[Fault]:
    """Faults of which those that say the same of several files are one."""
    files: dict[tuple[str | None, str], list[Fault]] = {}
    for fault in faults:
        files.setdefault((fault.column, fault.message), []).append(fault)
    return [
        replace(same[0], message=f"{same[0].message} (so in {len(same)} files)") if len(same) > 1 else same[0]
        for same in files.values()
    ]


def _summary(keys: pl.DataFrame | None, data: Data, rows: int, scales: int) -> dict[str, int]:
    if keys is None:
        return {"rows": rows, "usable": 0, "studies": 0, "cells": 0, "people": 0, "scales": scales}
    return {
        "rows": rows,
        "usable": int(usable(keys, data)[0].sum()),
        "studies": keys["study_id"].n_unique(),
        "cells": keys.select(CELL).n_unique(),
        "people": keys.select("study_id", "participant").n_unique(),
        "scales": scales,
    }


def print_checked(checked: Checked, limit: int = LIMIT, say: Callable[[str], None] = print) -> None:
    """What was found, in words.

    Args:
        limit: entries of each kind that are printed; the rest are counted.
        say: prints a line.
    """
    for name, found in (("error", checked.faults), ("left out", checked.left_out), ("note", checked.notes)):
        for fault in found[:limit]:
            say(f"{name}: {fault}")
        if len(found) > limit:
            say(f"{name}: ... and {len(found) - limit} more (--limit {len(found)} shows all)")
    for reason, count in checked.reasons.items():
        say(f"{count:,} row{'s' if count > 1 else ''} left out: {reason}")
    counts = checked.summary
    if any(counts.values()):
        say(", ".join(f"{count:,} {name}" for name, count in counts.items()))
    left = counts["rows"] - counts["usable"]
    if checked.faults:
        say(f"{len(checked.faults)} to mend before the data can be used")
    else:
        say("no errors" + (f"; {left:,} row{'s' if left > 1 else ''} would be left out" if left else ""))
