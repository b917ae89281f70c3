"""Where answers come from: made up, files in SocSci210's columns, or a table."""

import json
from collections.abc import Callable
from pathlib import Path

import polars as pl

from socrates_fast.data.schema import DEMOGRAPHIC
from socrates_fast.data.synthetic import generate
from socrates_fast.data.table import read_table
from socrates_fast.errors import DataError
from socrates_fast.recipe import PERSONA_FIELDS, Data

REQUIRED = ("study_id", "sample_id", "participant", "condition_num", "task_num", "stimuli", "response")


def read_source(data: Data) -> pl.DataFrame:
    """All rows of the source, in SocSci210's columns, before any check of the answers.

    Besides those columns a source may give ``low`` and ``high`` (a declared scale), ``line`` (place in the
    file), and ``truth`` (probabilities of the scale's values).

    Raises:
        DataError: the source cannot be read.
    """
    if data.source == "synthetic":
        survey = generate(data.synthetic)
        return survey.rows.join(survey.truth.drop("values"), on=["study_id", "sample_id"], how="left")
    assert data.path is not None  # the recipe's own check
    if data.source == "table":
        assert data.table is not None
        return read_table(data.path, data.table)
    return read_files(data.path)


def read_files(path: Path) -> pl.DataFrame:
    """A parquet, JSONL or CSV file, or all of one folder, in SocSci210's columns.

    A CSV gives the persona in one JSON column ``demographic`` or in columns named after the fields.

    Raises:
        DataError: nothing to read, an unknown format, or missing columns (all named).
    """
    if path.is_dir():
        files = sorted(p for p in path.iterdir() if p.suffix in _READERS)
        if not files:
            raise DataError(f"{path}: holds no {', '.join(_READERS)} file")
        return pl.concat([read_files(file) for file in files], how="diagonal_relaxed")
    if not path.is_file():
        raise DataError(f"{path.absolute()}: no such file or folder; set data.path (or --set data.path=FILE)")
    if path.suffix not in _READERS:
        raise DataError(f"{path}: unknown format {path.suffix!r}; use {', '.join(_READERS)}")
    try:
        rows = _READERS[path.suffix](path)
    except (pl.exceptions.PolarsError, OSError) as error:
        raise DataError(f"{path}: not readable as {path.suffix[1:]}: {error}") from error
    missing = [name for name in REQUIRED if name not in rows.columns]
    if missing:
        raise DataError(f"{path}: missing columns: {', '.join(missing)} (has: {', '.join(rows.columns)})")
    if ("low" in rows.columns) != ("high" in rows.columns):
        raise DataError(f"{path}: a declared scale needs both columns, low and high")
    rows = _with_persona(path, rows).drop("line", strict=False)
    return rows.with_row_index("line", 2 if path.suffix == ".csv" else 1)


def _with_persona(path: Path, rows: pl.DataFrame) -> pl.DataFrame:
    """``demographic`` as a struct, whatever form the file gives it in."""
    if "demographic" not in rows.columns:
        names = [name for name in PERSONA_FIELDS if name in rows.columns]
        if not names:
            raise DataError(f"{path}: no persona: neither 'demographic' nor columns like 'age'")
        try:
            fields = rows.select(pl.col(name).cast(DEMOGRAPHIC.to_schema()[name]) for name in names)
        except pl.exceptions.InvalidOperationError as error:
            raise DataError(f"{path}: a persona column holds what is not a whole number: {error}") from error
        return rows.with_columns(demographic=pl.struct(fields.get_columns(), eager=True))
    if rows["demographic"].dtype == pl.String:
        try:
            people = [json.loads(text) for text in rows["demographic"]]
        except (TypeError, ValueError) as error:
            raise DataError(f"{path}: column demographic is not JSON: {error}") from error
        return rows.with_columns(demographic=pl.Series(people, dtype=DEMOGRAPHIC))
    return rows


def _read_csv(path: Path) -> pl.DataFrame:
    numbers = ("sample_id", "participant", "condition_num", "task_num", "low", "high")
    rows = pl.read_csv(path, infer_schema=False).drop("values", "truth", strict=False)  # no lists in CSV
    return rows.with_columns(pl.col(name).cast(pl.Int64) for name in numbers if name in rows.columns)


_READERS: dict[str, Callable[[Path], pl.DataFrame]] = {
    ".parquet": pl.read_parquet,
    ".jsonl": lambda path: pl.read_ndjson(path, infer_schema_length=None),
    ".csv": _read_csv,
}
