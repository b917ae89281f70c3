"""Whether the columns of a file are SocSci210's, by name, by type and by value."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl

from socrates_fast.data.columns import INTEGER_FIELDS
from socrates_fast.data.faults import SHOWN_PLACES, Faults, shortened
from socrates_fast.data.sources import NUMBERS, REQUIRED, SCALE
from socrates_fast.data.table_layout import nearest
from socrates_fast.data.unused import unused_columns
from socrates_fast.prompt import persona_text, user_text
from socrates_fast.recipe import PERSONA_FIELDS

WANTED = (*REQUIRED, *SCALE)
"""Columns that are read of every row."""

SAMPLE = 200
"""Rows of a file whose prompt is compared with what the renderer makes."""

HINT = (
    "This does not seem to be a file in SocSci210's columns. A survey export with one line a person is read through a "
    "recipe that maps its columns: give it with --recipe; the guide 'Your own survey data' shows how to write one"
)

_KINDS = dict.fromkeys(NUMBERS, ("integer",)) | {
    "study_id": ("text",), "stimuli": ("text",), "response": ("integer", "decimal number", "text"),
    "low": ("integer",), "high": ("integer",), "values": ("list",), "open": ("true or false",),
}  # fmt: skip


@dataclass
class Sheet:
    """One file, while it is read.

    Attributes:
        path: the file.
        faults: what would stop or spoil the work.
        notes: what should be known.
        kinds: its columns and what they hold.
        sample: its first rows that have a prompt: place, persona, stimulus, prompt.
    """

    path: Path
    faults: Faults
    notes: Faults
    kinds: dict[str, str] = field(default_factory=dict)
    sample: list[tuple[int, dict[str, Any], str, str]] = field(default_factory=list)


def kind_of(dtype: Any) -> str:
    """What a column of this type holds, in words."""
    if dtype.is_integer():
        return "integer"
    if dtype.is_numeric():
        return "decimal number"
    if dtype in (pl.String, pl.Categorical, pl.Enum):
        return "text"
    names = {pl.Boolean: "true or false", pl.Struct: "struct", pl.List: "list", pl.Null: "nothing"}
    return next((name for known, name in names.items() if dtype == known), str(dtype))


def columns_fit(sheet: Sheet, columns: Mapping[str, str], as_text: bool = False) -> bool:
    """Whether every needed column is there and of a type that can be read; notes what is not.

    Args:
        columns: name to kind (see ``kind_of``).
        as_text: the format knows nothing but text, so that kinds say nothing.
    """
    sheet.kinds = dict(columns)
    missing = [name for name in REQUIRED if name not in columns]
    for name in missing:
        near = nearest(name, [other for other in columns if other not in WANTED])
        sheet.faults.add(None, f"missing column {name}" + (f" (nearest: {near})" if near else ""), kind=name)
    if len(missing) > len(REQUIRED) - 2:
        sheet.faults.add(None, HINT)
    if ("low" in columns) != ("high" in columns):
        sheet.faults.add(None, "a declared scale needs both columns, low and high")
    _persona_columns(sheet, columns, as_text)
    if "reasoning" in columns and not missing:
        sheet.notes.add(
            None,
            "was written knowing the answer; it is never shown to the model unless data.reasoning says so",
            "reasoning",
        )
    unused = "" if missing else unused_columns(columns)
    if unused:
        sheet.notes.add(None, unused)
    fit = not missing and ("low" in columns) == ("high" in columns)
    for name, kind in columns.items():
        allowed = _KINDS.get(name, ())
        if allowed and not as_text and kind not in (*allowed, "nothing"):
            sheet.faults.add(None, f"holds {kind}; it must hold {allowed[0]}", name)
            fit = False
    return fit


def _persona_columns(sheet: Sheet, columns: Mapping[str, str], as_text: bool) -> None:
    if "demographic" in columns:
        if columns["demographic"] not in ("struct", "text", "nothing"):
            sheet.faults.add(
                None, f"holds {columns['demographic']}; it must hold a struct or JSON", "demographic"
            )
    elif not any(name in columns for name in PERSONA_FIELDS):
        sheet.faults.add(None, "no persona: neither a column demographic nor columns such as age")
    elif not as_text:
        for name in INTEGER_FIELDS:
            if columns.get(name, "integer") not in ("integer", "nothing"):
                sheet.faults.add(None, f"holds {columns[name]}; it must hold integer", name)


def persona_schema(sheet: Sheet, dtype: pl.Struct) -> None:
    """Note what is wrong with the fields of a persona by their types."""
    for one in dtype.fields:
        kind = kind_of(one.dtype)
        if one.name not in PERSONA_FIELDS:
            _unknown(sheet, None, one.name)
        elif one.name in INTEGER_FIELDS and kind not in ("integer", "nothing"):
            sheet.faults.add(None, f"{one.name} holds {kind}; it must hold integer", "demographic", one.name)
        elif one.name not in INTEGER_FIELDS and kind not in ("text", "nothing"):
            level = sheet.notes if kind in ("integer", "decimal number") else sheet.faults
            level.add(
                None,
                f"{one.name} holds {kind}, not text; are these codes without labels?",
                "demographic",
                one.name,
            )


def _unknown(sheet: Sheet, line: int | None, name: str) -> None:
    near = nearest(name, PERSONA_FIELDS)
    hint = f" (nearest: {near})" if near else ""
    sheet.notes.add(line, f"{name} is no field of a persona{hint}; it is not shown", "demographic", name)


def check_persona(sheet: Sheet, line: int, persona: Any) -> None:
    """Note what is wrong with one row's persona."""
    if persona is None:
        sheet.notes.add(line, "no persona; the prompt has none", "demographic")
        return
    if not isinstance(persona, dict):
        sheet.faults.add(line, f"{shortened(persona)} is no persona; it must be an object such as {{\"age\": 30}}",
                         "demographic", "object")  # fmt: skip
        return
    for name, value in persona.items():
        if value is None:
            continue
        if name not in PERSONA_FIELDS:
            _unknown(sheet, line, name)
        elif name in INTEGER_FIELDS:
            if not _is_integer(value):
                sheet.faults.add(
                    line, f"{name} is {shortened(value)}; it must be a whole number", "demographic", name
                )
        elif not isinstance(value, str):
            level = sheet.notes if isinstance(value, int | float) else sheet.faults
            level.add(
                line,
                f"{name} is {shortened(value)}, not text; is it a code without a label?",
                "demographic",
                name,
            )


def _is_integer(value: Any) -> bool:
    if isinstance(value, str):
        return value.isdecimal()
    return isinstance(value, int | float) and not isinstance(value, bool) and value == int(value)


def persona_of(sheet: Sheet, line: int, row: Mapping[str, Any]) -> dict[str, Any]:
    """The persona of a row of text cells: JSON in one column, or a column for each field; noted if it is wrong."""
    if "demographic" not in row:
        found = {name: row[name] or None for name in PERSONA_FIELDS if name in row}
        check_persona(sheet, line, found)
        return found
    try:
        persona = json.loads(row["demographic"] or "null")
    except (ValueError, RecursionError):
        sheet.faults.add(line, f"{shortened(row['demographic'])} is not JSON", "demographic", "JSON")
        return {}
    check_persona(sheet, line, persona)
    return persona if isinstance(persona, dict) else {}


def check_prompts(sheet: Sheet) -> None:
    """Note a file whose own prompts are not what the renderer makes of persona and stimulus."""
    different = [
        line
        for line, persona, stimulus, prompt in sheet.sample
        if user_text(persona_text(persona), stimulus, "persona_first").strip() != prompt.strip()
    ]
    if different:
        sheet.notes.add(
            different[0],
            f"of {len(sheet.sample)} rows that were compared {len(different)} have a prompt that is not what is made of "
            f"demographic and stimuli; the column is not used, the made one is",
            "prompt",
        )


def checked_values(sheet: Sheet, frame: pl.DataFrame) -> pl.DataFrame:
    """Rows whose ids can be used, as integers; the others are noted.

    Args:
        frame: the columns of ``WANTED`` that the file has, and ``line``.
    """
    good = pl.repeat(True, frame.height, eager=True)
    for name in NUMBERS:
        raw = frame[name]
        number = raw.cast(pl.Int64, strict=False)
        wrong = raw.is_not_null() & number.is_null()
        good &= _note(sheet, frame, wrong, name, "{} is not a whole number that fits 64 bits")
        good &= _note(sheet, frame, raw.is_null(), name, "is empty; every row needs its number")
        negative = (number < 0).fill_null(False)
        good &= _note(
            sheet,
            frame,
            negative,
            name,
            "{} is negative: a missing-value code? Every row needs its own number",
        )
        frame = frame.with_columns(number)
    study = frame["study_id"]
    good &= _note(sheet, frame, (study.is_null() | (study == "")).fill_null(True), "study_id", "is empty")
    for name in ("low", "high"):
        if name in frame.columns:
            number = frame[name].cast(pl.Int64, strict=False)
            wrong = frame[name].is_not_null() & number.is_null()
            good &= _note(sheet, frame, wrong, name, "{} is not a whole number that fits 64 bits")
            frame = frame.with_columns(number)
    return frame.filter(good)


def _note(sheet: Sheet, frame: pl.DataFrame, wrong: pl.Series, name: str, message: str) -> pl.Series:
    """Note the rows that are wrong in a column; returns which are not."""
    if wrong.any():
        places = frame.filter(wrong).head(SHOWN_PLACES + 1).select("line", name).rows()
        lines = [line for line, _ in places]
        text = message.format(shortened(places[0][1]))
        sheet.faults.add(lines[0], text, name, message, lines[1:], int(wrong.sum()))
    return ~wrong


def first_lines(lines: Iterable[int]) -> tuple[int, list[int]]:
    """The first place, and the next ones that a fault names."""
    first, *more = sorted(lines)[: SHOWN_PLACES + 1]
    return first, more
