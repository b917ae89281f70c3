"""A job's folder: results as they become known, sorted runs of them, and at the end one file in the input's order.

``parts/part-*`` are results of the present window, a few seconds' each, in the order in which they became known. When
the window is done they become one ``parts/run-*``, sorted by row. The runs are merged into ``predictions.parquet``.
Every file is written to a temporary name, synced and renamed, and what a file replaces is removed after it; so a
process may be killed at any point, and the rows that the files hold are exactly those that are done.
"""

import fcntl
import os
import shutil
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from socrates_fast.errors import SocratesError
from socrates_fast.infer.predictor import AnswerDistribution
from socrates_fast.jobs.rows import Row, kind_of
from socrates_fast.runs import atomic_path

PREDICTIONS, JOB, PARTS = "predictions.parquet", "job.json", "parts"
FLUSH_SECONDS = 5.0
"""Results are on disk so many seconds after they became known, at most."""
FLUSH_ANSWERS = 2**19
"""Or when so many probabilities are held."""
READ_ROWS = 1024
"""Rows of a run that are read at once."""


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold ``folder`` alone, made if it does not exist; it is removed again if nothing was put there.

    Raises:
        SocratesError: another process works in it, or it cannot be made.
    """
    made = not folder.exists()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = (folder / ".lock").open("w")
    except OSError as error:
        raise SocratesError(
            f"cannot write to the folder {folder} ({error.strerror}); name another"
        ) from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise SocratesError(
                f"{folder}: another socrates-fast works in this folder; wait for it or name another with --out"
            ) from error
        try:
            yield
        finally:
            if made and [path.name for path in folder.iterdir()] == [".lock"]:
                shutil.rmtree(folder)


@dataclass(frozen=True)
class Merged:
    """What the merged file holds: rows, faults by kind, and how many stimuli were cut."""

    rows: int
    faults: Mapping[str, int]
    truncated: int


class Store:
    """The results of a job, on disk.

    Args:
        folder: the job's folder, held alone.
        rows: number of rows of the input.
        keys: the key columns, each with whether it holds integers.

    Raises:
        SocratesError: a file of an earlier start is damaged.
    """

    def __init__(self, folder: Path, rows: int, keys: Mapping[str, bool]) -> None:
        self.folder, self._parts, self._keys = folder, folder / PARTS, dict(keys)
        self._schema = schema_of(keys)
        self._held: list[dict[str, Any]] = []
        self._answers, self._flushed = 0, time.monotonic()
        for partial in [*folder.glob(".*.partial"), *self._parts.glob(".*.partial")]:
            partial.unlink()
        self.missing: NDArray[np.bool_] = np.ones(rows, dtype=np.bool_)
        """Which rows no run holds yet; shape (rows,)."""
        for run in self._files("run"):
            self.missing[self._checked(run, self._read(run, ["row"])["row"].to_numpy())] = False
        self.settle()

    def _files(self, kind: str) -> list[Path]:
        """``part`` or ``run`` files, by name: runs by their first row."""
        return sorted(self._parts.glob(f"{kind}-*.parquet"))

    def _read(self, file: Path, columns: Sequence[str] | None = None) -> Any:
        try:
            with pq.ParquetFile(file) as parquet:
                return parquet.read(columns=columns, use_threads=False)
        except (pa.ArrowException, OSError) as error:
            raise _damaged(file) from error

    def _checked(self, file: Path, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """``rows``, which must be rows of the input."""
        if len(rows) and (rows.min() < 0 or rows.max() >= len(self.missing)):
            raise _damaged(file)
        return rows

    def add(self, row: Row, result: AnswerDistribution | str, cut: int = 0) -> None:
        """Keep a row's result, a distribution or a fault, and how many characters its stimulus was cut by."""
        self._held.append(_record(row, result, cut))
        self._answers += len(result.values) if isinstance(result, AnswerDistribution) else 0
        if self._answers >= FLUSH_ANSWERS or time.monotonic() - self._flushed >= FLUSH_SECONDS:
            self.flush()

    def flush(self) -> None:
        """Put on disk what is held."""
        self._flushed = time.monotonic()
        if not self._held:
            return
        columns = {
            field.name: _column(field, [record.get(field.name) for record in self._held], self._keys)
            for field in self._schema
        }
        last = max((int(path.stem.split("-")[1]) for path in self._files("part")), default=0)
        _write(self._parts / f"part-{last + 1:06d}.parquet", pa.table(columns, schema=self._schema))
        self._held.clear()
        self._answers = 0

    def settle(self) -> None:
        """Make the parts one sorted run. Parts that a run holds already are those of a killed process."""
        self.flush()
        parts = self._files("part")
        if not parts:
            return
        table = pa.concat_tables(self._read(part) for part in parts)
        rows = self._checked(parts[0], table["row"].to_numpy())
        table = table.filter(pa.array(self.missing[rows])).sort_by("row")
        if len(table):
            first, last = table["row"][0].as_py(), table["row"][-1].as_py()
            _write(self._parts / f"run-{first:012d}-{last:012d}.parquet", table)
        self.missing[rows] = False
        for part in parts:
            part.unlink()

    def recorded_fault(self) -> str:
        """The first fault among the results, "" if there is none."""
        for run in self._files("run"):
            faults = self._read(run, ["fault"])["fault"].drop_null()
            if len(faults):
                return str(faults[0].as_py())
        return ""

    def merge(self) -> Merged:
        """Write ``predictions.parquet``: every row once, in the input's order. The runs stay until ``clear``.

        Raises:
            SocratesError: rows are missing or there twice, or the file cannot be written.
        """
        rows, truncated, faults = 0, 0, Counter[str]()
        path = self.folder / PREDICTIONS
        with atomic_path(path) as partial:
            with pq.ParquetWriter(partial, self._schema, compression="zstd") as writer:
                for table in in_order(self._files("run")):
                    expected = np.arange(rows, rows + len(table))
                    if not np.array_equal(table["row"].to_numpy(), expected):
                        raise SocratesError(
                            f"{self.folder}: near row {rows} results are missing or there twice; delete the folder "
                            "and start again"
                        )
                    writer.write_table(table)
                    rows += len(table)
                    truncated += pc.sum(pc.greater(table["truncated"], 0)).as_py() or 0
                    faults.update(kind_of(fault) for fault in table["fault"].drop_null().to_pylist())
            _sync(partial)
        _sync(self.folder)
        if rows != len(self.missing):
            raise SocratesError(
                f"{self.folder}: {rows} results for {len(self.missing)} rows; delete the folder and start again"
            )
        return Merged(rows, dict(faults), truncated)


def clear(folder: Path) -> None:
    """Remove what a finished job no longer needs."""
    shutil.rmtree(folder / PARTS, ignore_errors=True)


def in_order(runs: Sequence[Path], rows_at_once: int = READ_ROWS) -> Iterator[Any]:
    """The rows of sorted files whose ranges may overlap, as tables in the order of ``row``.

    Args:
        runs: parquet files, each sorted by ``row``, named in the order of their first rows.
        rows_at_once: that are read of each.
    """
    waiting = list(runs)
    heads: list[_Head] = []
    while waiting or heads:
        if not heads:
            heads.append(_Head(waiting.pop(0), rows_at_once))
        # No row above the least of the heads' last ones may go yet: another head may hold one before it.
        while waiting and _first_row(waiting[0]) <= min(head.last for head in heads):
            heads.append(_Head(waiting.pop(0), rows_at_once))
        limit = min(head.last for head in heads)
        pieces = [head.take(limit) for head in heads]
        heads = [head for head in heads if len(head.table)]
        yield pieces[0] if len(pieces) == 1 else pa.concat_tables(pieces).sort_by("row")


class _Head:
    """The rows of a run that are next."""

    def __init__(self, run: Path, rows_at_once: int) -> None:
        file = pq.ParquetFile(run, pre_buffer=False)
        self._batches = file.iter_batches(rows_at_once, use_threads=False)
        self.table = pa.Table.from_batches([next(self._batches)])

    @property
    def last(self) -> int:
        return int(self.table["row"][-1].as_py())

    def take(self, limit: int) -> Any:
        """The rows up to ``limit``; what follows is read when these are all."""
        count = int(np.searchsorted(self.table["row"].to_numpy(), limit, side="right"))
        piece, self.table = self.table.slice(0, count), self.table.slice(count)
        if not len(self.table):
            batch = next(self._batches, None)
            self.table = self.table if batch is None else pa.Table.from_batches([batch])
        return piece


def _first_row(run: Path) -> int:
    return int(run.stem.split("-")[1])


def schema_of(keys: Mapping[str, bool]) -> Any:
    """The columns of the results.

    ``row`` (number in the input, from 0); the input's keys; ``values`` and ``probabilities`` (null where the row has
    none); ``answer_mass``; ``unexplored`` (see ``AnswerDistribution``); ``mean`` and ``median``; ``fault`` (why there is
    no answer, else null); ``truncated`` (characters that were cut from the stimulus).

    Args:
        keys: the key columns, each with whether it holds integers; others are texts.
    """
    return pa.schema(
        [
            ("row", pa.int64()),
            *((name, pa.int64() if integers else pa.string()) for name, integers in keys.items()),
            ("values", pa.list_(pa.int64())),
            ("probabilities", pa.list_(pa.float64())),
            ("answer_mass", pa.float64()),
            ("unexplored", pa.float64()),
            ("mean", pa.float64()),
            ("median", pa.int64()),
            ("fault", pa.string()),
            ("truncated", pa.int64()),
        ]
    )


def _record(row: Row, result: AnswerDistribution | str, cut: int) -> dict[str, Any]:
    record: dict[str, Any] = {"row": row.number, **row.keys, "truncated": cut}
    if isinstance(result, str):
        return {**record, "fault": result}
    return {
        **record,
        "values": result.values,
        "probabilities": result.probabilities,
        "answer_mass": result.answer_mass,
        "unexplored": result.unexplored,
        "mean": result.mean,
        "median": result.median,
    }


def _column(field: Any, entries: list[Any], keys: Mapping[str, bool]) -> Any:
    if keys.get(field.name, True) is False:  # a key of texts
        entries = [None if entry is None else str(entry) for entry in entries]
    return pa.array(entries, type=field.type)


def _write(path: Path, table: Any) -> None:
    """Write a table, whole or not at all, so that it survives the machine's death as well."""
    with atomic_path(path) as partial:
        pq.write_table(table, partial, compression="zstd", row_group_size=READ_ROWS)
        _sync(partial)
    _sync(path.parent)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _damaged(file: Path) -> SocratesError:
    return SocratesError(
        f"{file}: damaged, or not of this job; delete it, and the same command scores its rows again"
    )
