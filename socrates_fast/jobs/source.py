"""A job's input, read in batches: parquet or JSONL files whose rows never all sit in memory."""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from socrates_fast.data.columns import CELL
from socrates_fast.data.unused import unused_columns
from socrates_fast.errors import DataError
from socrates_fast.recipe import PERSONA_FIELDS

KEYS = (*CELL, "participant", "sample_id")
"""What identifies a row, as far as the input has it."""

SCALE = ("low", "high", "values")
FORMATS = (".parquet", ".jsonl")
BATCH = 1024
"""Rows that are read at once."""

Content = dict[str, Any]
"""One row: column to value."""


@dataclass(frozen=True)
class Batch:
    """Some rows that follow one another.

    Attributes:
        file: where they are.
        start: number of the first one in the whole input, from 0.
        lines: place of each in its file, from 1: the line of a JSONL, the row of a parquet; shape (n,).
        read: contents of the rows where a mask of shape (n,) is true.
    """

    file: Path
    start: int
    lines: NDArray[np.int64]
    read: Callable[[NDArray[np.bool_]], list[Content]]


@dataclass(frozen=True)
class Source:
    """A file, or the files of a folder one after the other.

    Attributes:
        path: what was named.
        files: what is read, in this order.
        persona: names of the persona columns, where the input has no column ``demographic``.
        met: names of the columns in what was read so far.
    """

    path: Path
    files: tuple[Path, ...]
    persona: tuple[str, ...]
    met: set[str] = field(default_factory=set, compare=False)

    def note(self) -> str:
        """The columns in what was read so far that a job does not use, in words; "" if there are none."""
        return unused_columns(self.met, self.persona)

    def batches(self) -> Iterator[Batch]:
        """All rows, in order; only the columns that a job needs.

        Raises:
            DataError: a file is damaged, or lacks the stimulus.
        """
        columns = ["stimuli", "demographic", *SCALE, *KEYS, *self.persona]
        start = 0
        for file in self.files:
            read = _parquet if file.suffix == ".parquet" else _jsonl
            for lines, contents in read(file, columns, self.met):
                yield Batch(file, start, lines, contents)
                start += len(lines)


def open_source(path: Path, fields: Sequence[str] = PERSONA_FIELDS) -> Source:
    """The input that ``path`` names: a file, a prepared folder's test rows, or all files of a folder by name.

    Args:
        path: a parquet or JSONL file in SocSci210's or in the prepared columns, or a folder.
        fields: persona fields that may be columns.

    Raises:
        DataError: nothing is there, or another format.
    """
    if path.is_dir():
        whole = path / "test.parquet"
        files = [whole] if whole.is_file() else sorted(p for p in path.iterdir() if p.suffix in FORMATS)
        if not files:
            raise DataError(f"{path}: holds no {' or '.join(FORMATS)} file")
    elif not path.is_file():
        raise DataError(f"{path}: no such file or folder")
    elif path.suffix not in FORMATS:
        raise DataError(f"{path}: unknown format {path.suffix!r}; a job reads {' and '.join(FORMATS)}")
    else:
        files = [path]
    persona = dict.fromkeys([*PERSONA_FIELDS, *fields])
    return Source(path, tuple(files), tuple(name for name in persona if name not in (*SCALE, *KEYS)))


Read = Iterator[tuple[NDArray[np.int64], Callable[[NDArray[np.bool_]], list[Content]]]]


def _parquet(file: Path, columns: Sequence[str], met: set[str]) -> Read:
    try:
        # Without pre_buffer a row group is read page by page, however large whoever wrote it made it.
        with pq.ParquetFile(file, pre_buffer=False, buffer_size=2**20) as parquet:
            has = parquet.schema_arrow.names
            met.update(has)
            if "stimuli" not in has:
                raise DataError(f"{file}: has no column 'stimuli' (has: {', '.join(has)})")
            wanted = [name for name in columns if name in has]
            line = 1
            for batch in parquet.iter_batches(BATCH, columns=wanted, use_threads=False):
                yield np.arange(line, line + batch.num_rows), _reader(batch)
                line += batch.num_rows
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{file}: not readable as parquet: {error}") from error


def _reader(batch: Any) -> Callable[[NDArray[np.bool_]], list[Content]]:
    return lambda mask: list(batch.filter(pa.array(mask)).to_pylist())


def _jsonl(file: Path, columns: Sequence[str], met: set[str]) -> Read:
    wanted = set(columns)
    with file.open("rb") as lines:
        numbered = ((number, text) for number, text in enumerate(lines, 1) if not text.isspace())
        while chunk := list(islice(numbered, BATCH)):

            def read(mask: NDArray[np.bool_], chunk: list[tuple[int, bytes]] = chunk) -> list[Content]:
                return [_parse(file, *chunk[at], wanted, met) for at in np.flatnonzero(mask)]

            yield np.array([number for number, _ in chunk]), read


def _parse(file: Path, number: int, text: bytes, wanted: set[str], met: set[str]) -> Content:
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{file}:{number}: not JSON: {error}") from error
    if not isinstance(content, dict):
        raise DataError(f"{file}:{number}: not a JSON object with a row's columns")
    if "stimuli" not in content:
        raise DataError(f"{file}:{number}: has no 'stimuli' (has: {', '.join(map(str, content))})")
    met.update(content)
    return {name: value for name, value in content.items() if name in wanted}
