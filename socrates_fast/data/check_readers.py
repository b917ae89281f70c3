"""Files in SocSci210's columns, read in batches for the check: what cannot be read is noted, the rest goes on.

Every reader yields frames of the columns of ``WANTED`` that the file has, as they are, and ``line``: the line of a CSV or
JSONL file, the row of a parquet file, from 1.
"""

import json
from collections.abc import Callable, Iterator
from typing import Any

import polars as pl

from socrates_fast.data.check_columns import (
    HINT,
    SAMPLE,
    WANTED,
    Sheet,
    check_persona,
    columns_fit,
    kind_of,
    persona_of,
    persona_schema,
)  # fmt: skip
from socrates_fast.data.schema import PREPARED
from socrates_fast.data.sources import BATCH, NUMBERS, REQUIRED, SCALE
from socrates_fast.data.table_lines import TextTable
from socrates_fast.recipe import PERSONA_FIELDS

LINES = 8192
"""Lines of text that are read at once."""

_MOST = 1 << 63


def read_parquet(sheet: Sheet) -> Iterator[pl.DataFrame]:
    """The rows of a parquet file."""
    from pyarrow import ArrowException
    from pyarrow.parquet import ParquetFile

    try:
        file = ParquetFile(sheet.path)
        empty = pl.from_arrow(file.schema_arrow.empty_table())
    except (ArrowException, OSError, UnicodeDecodeError) as error:
        sheet.faults.add(None, f"cut off, or not a parquet file ({_first(error)}); copy or download it again")
        return
    assert isinstance(empty, pl.DataFrame)
    schema = empty.schema
    dtype = schema.get("demographic")
    fit = columns_fit(sheet, {name: kind_of(kind) for name, kind in schema.items()})
    if isinstance(dtype, pl.Struct):
        persona_schema(sheet, dtype)
    if not fit:
        return
    if not file.metadata.num_rows:
        sheet.faults.add(None, "holds no row")
    wanted = [name for name in WANTED if name in schema] + ["demographic"] * (dtype == pl.String)
    done = 0
    try:
        if {"demographic", "prompt"} <= set(schema):
            _sample_parquet(sheet, file)
        for batch in file.iter_batches(BATCH, columns=wanted):
            batch.validate(full=True)
            frame = pl.from_arrow(batch)
            assert isinstance(frame, pl.DataFrame)
            frame = frame.with_row_index("line", done + 1).with_columns(pl.col("line").cast(pl.Int64))
            if dtype == pl.String:
                for line, text in frame.select("line", "demographic").iter_rows():
                    persona_of(sheet, line, {"demographic": text})
            yield frame
            done += frame.height
    except (ArrowException, OSError, UnicodeDecodeError) as error:
        message = f"from about here on the file is damaged ({_first(error)}); copy or download it again"
        sheet.faults.add(done + 1, message)


def _sample_parquet(sheet: Sheet, file: Any) -> None:
    for batch in file.iter_batches(SAMPLE, columns=["demographic", "stimuli", "prompt"]):
        for line, row in enumerate(batch.to_pylist(), 1):
            _sample(sheet, line, row["demographic"], row)
        return


def _sample(sheet: Sheet, line: int, persona: Any, row: dict[str, Any]) -> None:
    stimulus, prompt = row.get("stimuli"), row.get("prompt")
    if isinstance(persona, dict) and isinstance(stimulus, str) and isinstance(prompt, str) and prompt:
        sheet.sample.append((line, persona, stimulus, prompt))


def _first(error: Exception) -> str:
    return str(error).strip().splitlines()[0][:120] if str(error).strip() else type(error).__name__


def read_jsonl(sheet: Sheet) -> Iterator[pl.DataFrame]:
    """The rows of a file with one JSON object a line."""
    fit: bool | None = None
    for rows in _blocks(_objects(sheet)):
        if fit is None:
            fit = columns_fit(sheet, _json_kinds([row for _, row in rows]))
        for line, row in rows:
            persona = _json_persona(sheet, line, row)
            if len(sheet.sample) < SAMPLE:
                _sample(sheet, line, persona, row)
        if fit:
            bad: set[int] = set()
            columns = {name: _json_column(sheet, name, rows, bad) for name in WANTED if name in sheet.kinds}
            frame = pl.DataFrame({"line": [line for line, _ in rows], **columns})
            yield frame.filter(~pl.col("line").is_in(bad)) if bad else frame
    if fit is None and not len(sheet.faults):
        sheet.faults.add(None, "holds no row")


def _json_persona(sheet: Sheet, line: int, row: dict[str, Any]) -> Any:
    """The persona of a row; noted if it is wrong."""
    persona = row.get("demographic")
    if isinstance(persona, str):
        return persona_of(sheet, line, row)
    if "demographic" not in sheet.kinds:
        persona = {name: row[name] for name in PERSONA_FIELDS if name in row}
    check_persona(sheet, line, persona)
    return persona


def _blocks(rows: Iterator[tuple[int, dict[str, Any]]]) -> Iterator[list[tuple[int, dict[str, Any]]]]:
    block: list[tuple[int, dict[str, Any]]] = []
    for row in rows:
        block.append(row)
        if len(block) == LINES:
            yield block
            block = []
    if block:
        yield block


def _objects(sheet: Sheet) -> Iterator[tuple[int, dict[str, Any]]]:
    with sheet.path.open("rb") as file:
        for line, raw in enumerate(file, 1):
            if not raw.strip():
                continue
            found = _object(sheet, line, raw)
            if found is not None:
                yield line, found


def _object(sheet: Sheet, line: int, raw: bytes) -> dict[str, Any] | None:
    if b"\0" in raw:
        sheet.faults.add(
            line, "NUL bytes in this line; the file was damaged when it was copied; copy it again"
        )
        return None
    try:
        found = json.loads(raw.rstrip().decode("utf-8"))
    except UnicodeDecodeError as error:
        byte = f"byte 0x{raw[error.start]:02X} (number {error.start + 1} of the line)"
        sheet.faults.add(line, f"{byte} is not UTF-8; save the file as UTF-8", kind="encoding")
        return None
    except (ValueError, RecursionError) as error:
        cut = not raw.endswith(b"\n")
        what = "the file ends in the middle of this line" if cut else "this line is damaged"
        where = f", character {error.pos + 1}" if isinstance(error, json.JSONDecodeError) else ""
        reason = error.msg if isinstance(error, json.JSONDecodeError) else str(error)
        sheet.faults.add(line, f"{what}: not JSON ({reason}{where})", kind="cut" if cut else "damaged")
        return None
    if not isinstance(found, dict):
        sheet.faults.add(
            line, 'this line is no JSON object, such as {"study_id": ...}; one row a line', kind="object"
        )
        return None
    return found


_PYTHON = {
    bool: "true or false",
    int: "integer",
    float: "decimal number",
    str: "text",
    dict: "struct",
    list: "list",
}


def _json_kinds(rows: list[dict[str, Any]]) -> dict[str, str]:
    """What the columns hold, by the first value of each; ids are looked at row by row."""
    kinds: dict[str, str] = {}
    for row in rows:
        for name, value in row.items():
            if kinds.get(name, "nothing") == "nothing":
                kinds[name] = _PYTHON.get(type(value), "nothing")
    given = dict.fromkeys(NUMBERS, "integer") | {"study_id": "text", "stimuli": "text"}
    return kinds | {name: kind for name, kind in given.items() if name in kinds}


def _json_column(sheet: Sheet, name: str, rows: list[tuple[int, dict[str, Any]]], bad: set[int]) -> pl.Series:
    values = [row.get(name) for _, row in rows]
    if name in NUMBERS:
        return _only(
            sheet, name, rows, values, bad, pl.Int64, _is_number, "whole number (without quotes or a point)"
        )
    if name in ("study_id", "stimuli"):
        return _only(
            sheet, name, rows, values, bad, pl.String, lambda value: isinstance(value, str), "text in quotes"
        )
    if name in SCALE:
        return _only(sheet, name, rows, values, bad, PREPARED[name], _SCALE_FITS[name], _SCALE_IS[name])
    if all(value is None or _is_number(value) for value in values):
        return pl.Series(name, values, dtype=pl.Int64)
    texts = [value if value is None or isinstance(value, str) else json.dumps(value) for value in values]
    return pl.Series(name, texts, dtype=pl.String)


def _is_list(value: Any) -> bool:
    return isinstance(value, list) and all(map(_is_number, value))


def _is_number(value: Any) -> bool:
    return type(value) is int and -_MOST <= value < _MOST


_SCALE_FITS: dict[str, Callable[[Any], bool]] = {
    "low": _is_number, "high": _is_number, "values": _is_list,
    "open": lambda value: isinstance(value, bool),
}  # fmt: skip
_SCALE_IS = {
    "low": "whole number",
    "high": "whole number",
    "values": "list of whole numbers",
    "open": "true or false",
}


def _only(
    sheet: Sheet,
    name: str,
    rows: list[tuple[int, dict[str, Any]]],
    values: list[Any],
    bad: set[int],
    dtype: Any,
    fits: Callable[[Any], bool],
    what: str,
) -> pl.Series:
    """The values that fit as they are; the others are noted, and their lines added to ``bad``."""
    for index, value in enumerate(values):
        if value is not None and not fits(value):
            shown = json.dumps(value)[:40]
            sheet.faults.add(rows[index][0], f"is {shown}; it must be a {what}", name, "type")
            values[index] = None
            bad.add(rows[index][0])
    return pl.Series(name, values, dtype=dtype)


def read_csv(sheet: Sheet) -> Iterator[pl.DataFrame]:
    """The rows of a CSV file."""
    text = TextTable(sheet.path, "utf-8-sig", sheet.faults, declared=False)
    if not text.find_header(REQUIRED):
        if text.headless:
            sheet.faults.add(None, HINT)
        return
    if text.delimiter != ",":
        sheet.faults.add(
            text.header_line, f"cells are separated by {text.delimiter!r}; save the file with commas"
        )
    fit = columns_fit(sheet, dict.fromkeys(text.header, "text"), as_text=True)
    wanted = [name for name in WANTED if name in text.header and name not in ("values", "open")]
    rows = ((record.line, dict(zip(text.header, record.cells, strict=True))) for record in text.records())
    empty = True
    for block in _blocks(rows):
        empty = False
        for line, row in block:
            persona = persona_of(sheet, line, row)
            if len(sheet.sample) < SAMPLE:
                _sample(sheet, line, persona, row)
        if fit:
            columns = {name: [row[name] or None for _, row in block] for name in wanted}
            schema = {"line": pl.Int64, **dict.fromkeys(wanted, pl.String)}
            yield pl.DataFrame({"line": [line for line, _ in block], **columns}, schema=schema)
    if empty and not len(sheet.faults):
        sheet.faults.add(None, "holds no row below its header")


READERS: dict[str, Callable[[Sheet], Iterator[pl.DataFrame]]] = {
    ".parquet": read_parquet, ".jsonl": read_jsonl, ".csv": read_csv,
}  # fmt: skip
"""Name ending to reader."""
