"""The table source: a survey file with one line a person, read as a recipe describes it.

Wide columns (``rating_1_1`` .. ``rating_10_1``) become one row a repetition; the texts of the randomised attributes fill
the stimulus template; their combination makes the condition. A file of SPSS or Stata is read by the same mapping.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from operator import itemgetter
from pathlib import Path

import polars as pl

from socrates_fast.data.faults import Fault, Faults, in_words
from socrates_fast.data.scales import parse_scale
from socrates_fast.data.statistics_files import StatisticsTable, is_statistics
from socrates_fast.data.table_layout import check_columns, mapped_columns, people
from socrates_fast.data.table_lines import TextTable
from socrates_fast.data.table_rows import Line, LinesToRows
from socrates_fast.errors import DataError
from socrates_fast.recipe import Table

_BLOCK = 2048
"""Lines that become rows at once, so that a large file is never a list of Python objects."""


@dataclass(frozen=True)
class TableRead:
    """What a table holds, and everything that is wrong with it.

    Attributes:
        rows: see ``read_table``; also ``column``, the one that an answer (or what its stimulus lacks) is in. Empty of
            lines that have a fault.
        faults: what stops the work.
        notes: what does not, but should be known.
        repeats: lines whose person stands on an earlier line too.
        people: lines that were read.
        unit: what places are counted in: "line", or "row" of a file of SPSS or Stata.
    """

    rows: pl.DataFrame
    faults: list[Fault]
    notes: list[Fault]
    repeats: list[Fault]
    people: int
    unit: str


def read_table(path: Path, table: Table) -> pl.DataFrame:
    """Rows in SocSci210's columns (``response`` still as text), with ``low``, ``high`` and ``line``.

    Answers whose text is in ``answers.missing`` become null, as does a stimulus with an empty variable in it.
    ``condition`` names the arm. ``sample_id`` depends on the person and the repetition alone, so that a person who stands
    on two lines has the same ids twice, which ``data.duplicates`` decides about.

    Raises:
        DataError: with every fault of the file, by line and column (see ``scan_table``).
        MissingDependency: it is a file of SPSS or Stata, and pyreadstat is not installed.
    """
    found = scan_table(path, table)
    if found.faults:
        raise DataError(in_words(found.faults))
    return found.rows.drop("column")


def scan_table(path: Path, table: Table) -> TableRead:
    """The same, with what is wrong listed instead of raised.

    Raises:
        MissingDependency: it is a file of SPSS or Stata, and pyreadstat is not installed.
    """
    unit = "row" if is_statistics(path) else "line"
    faults, notes, repeats = (Faults(path, unit) for _ in range(3))
    _check_scale(table, faults)
    mapper = LinesToRows(table, faults, notes, repeats)
    lines = _statistics(path, table, faults, notes) if unit == "row" else _text(path, table, faults, notes)
    parts = []
    while block := list(islice(lines, _BLOCK)):
        parts.append(mapper.frame(block))
    rows = mapper.finish(parts)
    if not mapper.people and not len(faults):
        labels = f" and its {table.label_rows} label rows" if table.label_rows else ""
        faults.add(None, f"no people below the header{labels}")
    return TableRead(rows, faults.list(), notes.list(), repeats.list(), mapper.people, unit)


def _text(path: Path, table: Table, faults: Faults, notes: Faults) -> Iterator[Line]:
    text = TextTable(path, table.encoding, faults, table.delimiter)
    columns = mapped_columns(table)
    if not text.find_header(columns):
        return
    whole = check_columns(table, text.header, text.header_line, faults, notes)
    places = [text.header.index(column) for column in columns] if whole else []
    pick = itemgetter(*places) if len(places) > 1 else lambda cells: [cells[place] for place in places]
    for record in people(text, table, faults):
        if whole:
            yield record.line, dict(zip(columns, pick(record.cells), strict=True))
    if text.mixed_ends:
        notes.add(
            None,
            "its lines end in different ways (Windows, Unix); that is understood, but was it glued together?",
        )


def _statistics(path: Path, table: Table, faults: Faults, notes: Faults) -> Iterator[Line]:
    own = table.encoding if table.encoding != Table.model_fields["encoding"].default else None
    file = StatisticsTable(path, own, faults)
    if not file.find_header():
        return
    if table.label_rows:
        faults.add(None, f"has no label rows, but data.table.label_rows is {table.label_rows}; set it to 0")
    if not check_columns(table, file.header, None, faults, notes):
        return
    columns = mapped_columns(table)
    codes = {table.answers.column.format(n=n) for n in range(1, table.repetitions + 1)} | {table.participant}
    labelled = [column for column in columns if column not in codes] if table.value_labels else []
    yield from file.lines(columns, labelled)


def _check_scale(table: Table, faults: Faults) -> None:
    """The scale that the stimulus states is the one that the answers are read on."""
    stated = parse_scale(table.stimulus)
    low, high = table.answers.low, table.answers.high
    if stated is None:
        faults.add(
            None,
            "data.table.stimulus states no scale; end it with an instruction such as 'Only return an integer "
            f"from {low} to {high}, nothing else.'",
        )
    elif (stated.low, stated.high) != (low, high):
        faults.add(
            None,
            f"data.table.stimulus says {stated.low} to {stated.high}, data.table.answers says {low} to {high}; "
            f"make them agree",
        )
