"""The table source: a survey export with one line a person, read as a recipe describes it.

Wide columns (``rating_1_1`` .. ``rating_10_1``) become one row a repetition; the texts of the randomised
attributes fill the stimulus template; their combination makes the condition.
"""

import csv
import difflib
import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl

from socrates_fast.data.scales import parse_scale
from socrates_fast.data.schema import DEMOGRAPHIC, INTEGER_FIELDS
from socrates_fast.errors import DataError
from socrates_fast.recipe import PERSONA_FIELDS, Table

LONGEST_NUMBER = 18
"""Digits that fit a 64-bit integer whatever they are."""

Line = tuple[int, dict[str, str]]
"""Line number in the file (from 1) and the cells by column."""


def read_table(path: Path, table: Table) -> pl.DataFrame:
    """Rows in SocSci210's columns (``response`` still as text), with ``low``, ``high`` and ``line``.

    Answers whose text is in ``answers.missing`` become null, as does a stimulus with an empty variable in it.
    ``condition`` names the arm.

    Raises:
        DataError: the file or a mapped column is missing, a line is cut, the encoding is wrong, a person has no
            identifier, or a persona number is not a number.
    """
    _check_scale(table)
    lines = list(_lines(path, table))
    if not lines:
        raise DataError(f"{path}: no people below the header and its {table.label_rows} label rows")
    rows = [
        _row(path, table, line, cells, repetition)
        for line, cells in lines
        for repetition in range(1, table.repetitions + 1)
    ]
    fit = {row["condition"] for row in rows if row["stimuli"] is not None}
    arms = {arm: number for number, arm in enumerate(sorted(fit))}
    for sample, row in enumerate(rows):
        row["condition_num"] = arms.get(row["condition"])
        row["condition"] = " / ".join(row["condition"])
        row["sample_id"] = sample
    extra = {name: pl.String for name in table.persona if name not in PERSONA_FIELDS}
    demographic = pl.Struct({**{f.name: f.dtype for f in DEMOGRAPHIC.fields}, **extra})
    return pl.DataFrame(rows, schema_overrides={"demographic": demographic, "response": pl.String})


def _lines(path: Path, table: Table) -> Iterator[Line]:
    if not path.is_file():
        raise DataError(f"{path.absolute()}: no such file; set data.path (or --set data.path=FILE)")
    try:
        with path.open(encoding=table.encoding, newline="") as file:
            reader = csv.reader(file)
            header = next(reader, [])
            _check_columns(path, table, header)
            for number, cells in enumerate(reader):
                if number < table.label_rows:
                    _check_label(path, table, reader.line_num, dict(zip(header, cells, strict=False)))
                    continue
                if not any(cells):
                    continue
                if len(cells) != len(header):
                    raise DataError(
                        f"{path}:{reader.line_num}: {len(cells)} cells where the header has {len(header)}; "
                        f"the line is cut or a quote is not closed"
                    )
                yield reader.line_num, dict(zip(header, cells, strict=True))
    except (UnicodeDecodeError, LookupError) as error:
        raise DataError(
            f"{path}: not readable as {table.encoding} ({error}); set data.table.encoding"
        ) from error
    except csv.Error as error:
        raise DataError(f"{path}: not a CSV file ({error})") from error


def _check_label(path: Path, table: Table, line: int, cells: dict[str, str]) -> None:
    """Refuse to step over a line that holds answers: the recipe was copied from one with label rows."""
    answers = [cells.get(table.answers.column.format(n=n), "") for n in range(1, table.repetitions + 1)]
    codes = {str(code) for code in table.answers.recode or range(table.answers.low, table.answers.high + 1)}
    if any(answer in codes for answer in answers):
        raise DataError(
            f"{path}:{line}: this is one of the {table.label_rows} label rows that data.table.label_rows steps "
            f"over, but it holds answers; set label_rows to the number of label rows that the file really has"
        )


def _check_scale(table: Table) -> None:
    """The scale that the stimulus states is the one that the answers are read on."""
    stated = parse_scale(table.stimulus)
    if stated is None:
        raise DataError(
            "data.table.stimulus states no scale; end it with an instruction such as 'Only return an integer "
            f"from {table.answers.low} to {table.answers.high}, nothing else.'"
        )
    if (stated.low, stated.high) != (table.answers.low, table.answers.high):
        raise DataError(
            f"data.table.stimulus says {stated.low} to {stated.high}, data.table.answers says "
            f"{table.answers.low} to {table.answers.high}; make them agree"
        )


def _check_columns(path: Path, table: Table, header: list[str]) -> None:
    """Every mapped column is in the header."""
    numbers = range(1, table.repetitions + 1)
    patterns = [table.answers.column, *table.variables.values()]
    columns = [column.column for column in table.persona.values()]
    columns += [pattern.format(n=n) for pattern in patterns for n in numbers]
    columns += [table.participant] if table.participant else []
    faults = []
    for column in dict.fromkeys(columns):
        if column not in header:
            near = difflib.get_close_matches(column, header, n=1)
            faults.append(f"{path}:1: no column {column!r}" + (f" (nearest: {near[0]!r})" if near else ""))
    if faults:
        raise DataError("\n".join(faults))


def _row(path: Path, table: Table, line: int, cells: dict[str, str], repetition: int) -> dict[str, Any]:
    filled = {name: cells[column.format(n=repetition)] for name, column in table.variables.items()}
    listed = {name: texts[repetition - 1] for name, texts in table.lists.items()}
    answer = cells[table.answers.column.format(n=repetition)].strip()
    return {
        "study_id": table.study,
        "participant": _person(path, table, line, cells),
        "condition": tuple(filled[name] for name in table.condition),
        "task_num": 0,
        "demographic": _persona(path, table, line, cells),
        # With an empty cell in it the text is none that a respondent read.
        "stimuli": table.stimulus.format(**filled, **listed, n=repetition).strip()
        if all(text.strip() for text in filled.values())
        else None,
        "response": None if answer in table.answers.missing else _recoded(answer, table),
        "low": table.answers.low,
        "high": table.answers.high,
        "line": line,
    }


def _recoded(answer: str, table: Table) -> str:
    """The answer after recoding; a code that the recipe does not list keeps its text, marked as not on the scale."""
    recode = table.answers.recode
    if not recode:
        return answer
    known = {str(code): str(value) for code, value in recode.items()}
    return known.get(answer, f"code {answer}")


def _persona(path: Path, table: Table, line: int, cells: dict[str, str]) -> dict[str, Any]:
    persona: dict[str, Any] = dict.fromkeys(PERSONA_FIELDS)
    for name, source in table.persona.items():
        text: str | None = cells[source.column].strip()
        code = text.removesuffix(".0") if text else ""  # 1.0 is how a column of 1s with gaps is often written
        text = source.recode.get(text or "", source.recode.get(code, text)) or None
        if text is not None and name in INTEGER_FIELDS and not text.isdecimal():
            raise DataError(
                f"{path}:{line}: {source.column} is {text!r}; {name} must be a whole number; "
                f"recode it, or map it to null to leave the field out"
            )
        persona[name] = int(text) if text is not None and name in INTEGER_FIELDS else text
    return persona


def _person(path: Path, table: Table, line: int, cells: dict[str, str]) -> int:
    """A number that depends on the person's identifier alone, so that the split does not depend on line order."""
    if table.participant is None:
        return line
    name = cells[table.participant].strip()
    if not name:
        raise DataError(f"{path}:{line}: {table.participant} is empty; every line needs its person")
    if name.isdecimal() and len(name) <= LONGEST_NUMBER:
        return int(name)
    return int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest(), "big") >> 1
