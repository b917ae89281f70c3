"""Where answers come from: made up, the dataset on the Hub, files in its columns, or a table.

A source is a lazy frame that is read in batches by polars' streaming engine, so that millions of rows never sit in
memory together; a table (one line a person) and made-up rows are small and do.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl

from socrates_fast.data.columns import INTEGER_FIELDS
from socrates_fast.data.hub import shards, source_key
from socrates_fast.data.synthetic import generate
from socrates_fast.data.table import read_table
from socrates_fast.errors import DataError
from socrates_fast.recipe import PERSONA_FIELDS, Data
from socrates_fast.runs import sha256_file

REQUIRED = ("study_id", "sample_id", "participant", "condition_num", "task_num", "stimuli", "response")
NUMBERS = ("sample_id", "participant", "condition_num", "task_num")
SCALE = ("low", "high", "values", "open")
BATCH = 32_768
"""Rows that are read at once."""


@dataclass(frozen=True)
class Source:
    """Rows in SocSci210's columns, to be read as often as needed, always in the same order.

    Besides those columns it may have ``low``, ``high``, ``values``, ``open`` (a declared scale), ``truth``
    (probabilities of the allowed answers); it always has ``line`` (place in its file, from 1) and ``file``.

    Attributes:
        name: what it is, for messages.
        frame: all rows, lazily.
        conditions: what the condition numbers stand for, where the source names them.
    """

    name: str
    frame: pl.LazyFrame
    conditions: dict[int, str] = field(default_factory=dict)

    @property
    def columns(self) -> list[str]:
        """Names of the columns that it has."""
        with _readable(self.name):
            return self.frame.collect_schema().names()

    def count(self) -> int:
        """Number of rows, from the files' own counts where they keep them."""
        with _readable(self.name):
            return int(self.frame.select(pl.len()).collect(engine="streaming").item())

    def batches(self, columns: Sequence[str] | None = None) -> Iterator[pl.DataFrame]:
        """All rows in order, up to ``BATCH`` at once.

        Args:
            columns: those that are wanted; one that the source lacks is left out; None for all.

        Raises:
            DataError: a file is damaged.
        """
        wanted = [name for name in self.columns if columns is None or name in columns]
        with _readable(self.name):
            yield from self.frame.select(wanted).collect_batches(chunk_size=BATCH, maintain_order=True)

    def read(self) -> pl.DataFrame:
        """All rows in memory.

        Raises:
            DataError: a file is damaged.
        """
        with _readable(self.name):
            return self.frame.collect(engine="streaming")


@contextmanager
def _readable(name: str, form: str = "") -> Iterator[None]:
    try:
        yield
    except (pl.exceptions.PolarsError, OSError) as error:
        kind = f" as {form}" if form else ""
        raise DataError(f"{name}: not readable{kind}: {error}") from error


def open_source(data: Data, announce: Callable[[str], None] = lambda _: None) -> Source:
    """The source of a recipe's data.

    Args:
        announce: told in words of downloads.

    Raises:
        DataError: it cannot be read, or columns are missing.
    """
    if data.source == "synthetic":
        survey = generate(data.synthetic)
        rows = survey.rows.join(survey.truth.drop("values"), on=["study_id", "sample_id"], how="left")
        frame = rows.with_row_index("line", 1).lazy().with_columns(file=pl.lit("the made-up survey"))
        return Source("the made-up survey", frame)
    if data.source == "socsci210":
        return _from_hub(data, announce)
    assert data.path is not None  # the recipe's own check
    if data.source == "files":
        return open_files(_named(data.path))
    assert data.table is not None
    rows = read_table(data.path, data.table)
    conditions = dict(sorted(rows.select("condition_num", "condition").drop_nulls().unique().iter_rows()))
    frame = rows.lazy().drop("condition").with_columns(file=pl.lit(data.path.name))
    return Source(str(data.path), frame, conditions)


def identity(data: Data) -> dict[str, Any]:
    """What tells a recipe's source from any other, to the byte; JSON-able.

    Raises:
        DataError: there is nothing, or it cannot be had.
    """
    if data.source == "synthetic":
        return {"synthetic": data.synthetic.model_dump()}
    if data.source == "socsci210":
        return source_key(data.socsci210)
    assert data.path is not None  # the recipe's own check
    path = _named(data.path, folders=data.source == "files")
    files = [path] if data.source == "table" else _files(path)
    return {"sha256": {file.name: sha256_file(file) for file in files}}


def _named(path: Path, folders: bool = True) -> Path:
    """What a recipe names as ``data.path``, if it is there."""
    if path.is_file() or (folders and path.is_dir()):
        return path
    kind = "file or folder" if folders else "file"
    raise DataError(f"{path.absolute()}: no such {kind}; set data.path (or --set data.path=FILE)")


def _from_hub(data: Data, announce: Callable[[str], None]) -> Source:
    options = data.socsci210
    found = shards(options, announce)
    source = open_files(*found.files, name=f"{options.repository} at {found.revision}")
    if options.studies is None:
        return source
    return Source(source.name, source.frame.filter(pl.col("study_id").is_in(options.studies)))


def open_files(*paths: Path, name: str | None = None) -> Source:
    """Parquet, JSONL or CSV files, or all of a folder, in SocSci210's or in the prepared columns.

    A CSV gives the persona in one JSON column ``demographic`` or in columns named after the fields.

    Args:
        paths: files, or a folder.
        name: what they are together, for messages; None for the first one's path.

    Raises:
        DataError: nothing to read, an unknown format, or missing columns (all named).
    """
    files = [file for path in paths for file in _files(path)]
    frames = [_scan(file) for file in files]
    frame = frames[0] if len(frames) == 1 else pl.concat(frames, how="diagonal_relaxed")
    return Source(name or str(paths[0]), frame)


def _files(path: Path) -> list[Path]:
    if path.is_dir():
        if (path / "recipe.yaml").is_file() and (path / "data" / "train.parquet").is_file():
            raise DataError(f"{path}: a run's folder; its data is {path / 'data'}")
        files = sorted(file for file in path.iterdir() if file.suffix in _SCANS)
        if not files:
            raise DataError(f"{path}: holds no {', '.join(_SCANS)} file")
        return files
    if not path.is_file():
        raise DataError(f"{path.absolute()}: no such file or folder")
    if path.suffix not in _SCANS:
        raise DataError(f"{path}: unknown format {path.suffix!r}; use {', '.join(_SCANS)}")
    return [path]


def _scan(path: Path) -> pl.LazyFrame:
    """One file, lazily, its columns and persona in the form that the rest expects."""
    with _readable(str(path), path.suffix[1:]):
        frame = _SCANS[path.suffix](path)
        schema = frame.collect_schema()
    missing = [name for name in REQUIRED if name not in schema]
    if missing:
        raise DataError(f"{path}: missing columns: {', '.join(missing)} (has: {', '.join(schema)})")
    if ("low" in schema) != ("high" in schema):
        raise DataError(f"{path}: a declared scale needs both columns, low and high")
    frame = frame.drop("line", "file", strict=False).with_row_index("line", 2 if path.suffix == ".csv" else 1)
    return frame.with_columns(_persona(path, schema), file=pl.lit(path.name))


def _persona(path: Path, schema: pl.Schema) -> pl.Expr:
    """``demographic`` as a struct of all persona fields, whatever form the file gives it in."""
    given = schema.get("demographic")
    if given is None:
        names = {name: pl.col(name) for name in PERSONA_FIELDS if name in schema}
        if not names:
            raise DataError(f"{path}: no persona: neither 'demographic' nor columns like 'age'")
    elif isinstance(given, pl.Struct):
        names = {field.name: pl.col("demographic").struct.field(field.name) for field in given.fields}
    elif given == pl.String:
        kinds = pl.Struct({name: _kind(name) for name in PERSONA_FIELDS})
        return pl.col("demographic").str.json_decode(kinds)
    else:
        raise DataError(f"{path}: column demographic is {given}, neither a struct nor JSON")
    fields = dict.fromkeys([*PERSONA_FIELDS, *names])
    empty = pl.lit(None)
    return pl.struct(names.get(name, empty).cast(_kind(name)).alias(name) for name in fields).alias(
        "demographic"
    )


def _kind(name: str) -> pl.DataType:
    return pl.Int64() if name in INTEGER_FIELDS else pl.String()


def _csv(path: Path) -> pl.LazyFrame:
    frame = pl.scan_csv(path, infer_schema=False).drop("values", "truth", strict=False)  # no lists in CSV
    numbers = [name for name in (*NUMBERS, "low", "high") if name in frame.collect_schema()]
    return frame.with_columns(pl.col(name).cast(pl.Int64) for name in numbers)


_SCANS: dict[str, Callable[[Path], pl.LazyFrame]] = {
    ".parquet": pl.scan_parquet,
    ".jsonl": lambda path: pl.scan_ndjson(path, infer_schema_length=None),
    ".csv": _csv,
}
