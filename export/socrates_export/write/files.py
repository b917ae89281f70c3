"""Writes a merged model as GGUF files of several types in one pass over the base.

Each slab of rows is read, merged and brought into llama.cpp's layout once, then encoded for every file and written
at its place. Slabs are small enough to stay in a core's cache, and are spread over threads; the bytes do not depend
on either. Memory is bounded by the slabs in flight, whatever the size of the model.
"""

import os
import shutil
from collections import deque
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray

from socrates_export.architectures.spec import Metadata, TensorSpec
from socrates_export.progress import Report
from socrates_export.source.merged import MergedModel
from socrates_export.vocabulary import fitting_name, tokenizer_metadata
from socrates_export.write.ggml import Encoder, peak_of
from socrates_export.write.header import Entry, Keys, file_keys, head
from socrates_export.write.imatrix import Imatrix
from socrates_export.write.types import FILE_TYPES, UNWEIGHED, MixFacts, tensor_types
from socrates_fast.errors import ExportError
from socrates_fast.runs import atomic_path

SLAB_BYTES = 2**21
"""Bytes of float32 in a slab: with its encoded copies it fits a core's second-level cache."""

WAITING = 8
"""Slabs per thread that may be under way before the next is read."""


def model_metadata(model: MergedModel, name: str) -> Metadata:
    """The GGUF keys of a merged model, but for those of its file type."""
    return {
        "general.architecture": model.base.architecture.name,
        "general.type": "model",
        "general.name": fitting_name(model.base, name),
        **model.base.architecture.metadata(model.config),
        **tokenizer_metadata(model.base),
    }


@dataclass(frozen=True)
class _Target:
    """A file that is being written: where each tensor's data go, and how they are encoded."""

    file: IO[bytes]
    offsets: dict[str, int]
    encoders: dict[str, Encoder]

    def write(self, spec: TensorSpec, start: int, rows: NDArray[np.float32], peak: float) -> int:
        """Encode rows from ``start`` on and write them at their place; the bytes written."""
        data = self.encoders[spec.target].encode(rows, peak)
        # One-dimensional tensors come as one row, of which each element is a row of the tensor.
        place = self.offsets[spec.target] + start * (
            data.nbytes // (rows.size if len(spec.shape) == 1 else len(rows))
        )
        view = memoryview(data.data).cast("B")
        while view:
            written = os.pwrite(self.file.fileno(), view, place)
            view, place = view[written:], place + written
        return data.nbytes


def write_files(
    model: MergedModel,
    metadata: Metadata,
    files: Mapping[str, Path],
    imatrix: Imatrix | None = None,
    threads: int = 0,
    progress: Report | None = None,
) -> None:
    """Write ``files``; all of them whole, or none.

    Args:
        model: base and adapter.
        metadata: all keys but those of the file type.
        files: by type, a key of ``FILE_TYPES``; their folders are made.
        imatrix: how much each column of the matrices matters, for types of few bits.
        threads: 0 for one per core.
        progress: told (bytes done, bytes in all).

    Raises:
        ModelError: a tensor holds NaN or infinity.
        ExportError: a value is too large for a type, or the files would not fit the disk.
        SocratesError: a file cannot be written.
    """
    if imatrix is not None:
        imatrix.check({spec.target: spec.shape for spec in model.specs})
    keys = Keys.of(metadata)
    with ExitStack() as stack:
        targets, total = [], 0
        for kind, path in files.items():
            weighed = imatrix if kind not in UNWEIGHED else None
            entries = _entries(model, kind, MixFacts.of(metadata, weighed is not None))
            top = head(
                keys + file_keys(FILE_TYPES[kind].number, weighed.metadata if weighed else {}), entries
            )
            _check_space(path.parent, total := total + top.size)
            file = stack.enter_context(_created(path, top.content, top.size))
            values = weighed.values if weighed else {}
            encoders = {e.name: Encoder.of(e.name, e.type, values.get(e.name)) for e in entries}
            offsets = dict(zip(encoders, top.offsets, strict=True))
            targets.append(_Target(file, offsets, encoders))
        _write_slabs(model, targets, threads, total, progress)


def _entries(model: MergedModel, kind: str, facts: MixFacts) -> list[Entry]:
    types = tensor_types(kind, {spec.target: spec.shape for spec in model.specs}, facts)
    return [Entry(spec.target, spec.shape, types[spec.target]) for spec in model.specs]


def _check_space(folder: Path, needed: int) -> None:
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise ExportError(
            f"the disk is full: the files need {needed / 1e9:,.3g} GB, {folder} has {free / 1e9:,.3g} GB free; "
            "ask for fewer types or another --out"
        )


@contextmanager
def _created(path: Path, content: bytes, size: int) -> Iterator[IO[bytes]]:
    """A file of ``size`` bytes that begins with ``content``; it gets its name when the block succeeds."""
    with atomic_path(path) as partial, partial.open("wb") as file:
        file.write(content)
        file.flush()
        file.truncate(size)  # also the padding between and after the tensors
        yield file


def _write_slabs(
    model: MergedModel, targets: list[_Target], threads: int, total: int, progress: Report | None
) -> None:
    """Write every slab to every target, on several threads; the first error stops all."""
    if not targets:
        return
    workers = threads or len(os.sched_getaffinity(0))
    done = 0
    waiting: deque[Future[int]] = deque()

    def finish(most: int) -> None:
        nonlocal done
        while len(waiting) > most:
            done += waiting.popleft().result()
            if progress is not None:
                progress(done, total)

    with ThreadPoolExecutor(workers) as pool:
        try:
            for spec, start, stop in _slabs(model.specs):
                waiting.append(pool.submit(_write_slab, model, targets, spec, start, stop))
                finish(workers * WAITING)
            finish(0)
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _write_slab(model: MergedModel, targets: list[_Target], spec: TensorSpec, start: int, stop: int) -> int:
    rows = model.slab(spec, start, stop)
    peak = peak_of(rows, spec.target)
    matrix = np.ascontiguousarray(rows.reshape(-1, rows.shape[-1]) if rows.ndim > 1 else rows[None])
    return sum(target.write(spec, start, matrix, peak) for target in targets)


def _slabs(specs: list[TensorSpec]) -> Iterator[tuple[TensorSpec, int, int]]:
    """Every tensor's rows, cut into slabs that hold together what must be."""
    for spec in specs:
        width = 4 * prod(spec.shape[1:])
        rows = max(1, SLAB_BYTES // width // spec.together) * spec.together
        for start in range(0, spec.shape[0], rows):
            yield spec, start, min(start + rows, spec.shape[0])
