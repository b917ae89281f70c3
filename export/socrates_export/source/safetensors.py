"""Reads safetensors as float32 slabs of rows, without torch and without loading a whole tensor.

A safetensors file is eight bytes (the header's length, little-endian), a JSON header that gives each tensor's
dtype, shape and byte range, and the bytes, without gaps (github.com/huggingface/safetensors). A slab is read with
plain file reads, so memory stays bounded by the slab whatever the size of the model.
"""

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from socrates_export.source.files import OpenFile, read_json, unique
from socrates_fast.errors import ModelError

SLAB_BYTES = 16 * 2**20
"""Most bytes of float32 in one slab of ``StoredTensor.slabs`` (unless a single row is larger)."""

HEADER_BYTES = 100_000_000
"""Most bytes of a header, as in the safetensors library."""

DIMENSIONS = 8
"""Most dimensions of a tensor."""

INDEX = "model.safetensors.index.json"
SINGLE = "model.safetensors"
_STORAGE: dict[str, np.dtype[Any]] = {"F32": np.dtype("<f4"), "F16": np.dtype("<f2"), "BF16": np.dtype("<u2")}


@dataclass(frozen=True)
class StoredTensor:
    """Where one tensor's bytes are. Its rows may be read by several threads at once.

    Attributes:
        file: the safetensors file.
        name: the tensor's name in it.
        dtype: ``F32``, ``F16`` or ``BF16``.
        shape: rows first; one-dimensional tensors count each element as a row.
        offset: of the first byte, from the start of the file.
    """

    file: OpenFile
    name: str
    dtype: str
    shape: tuple[int, ...]
    offset: int

    @property
    def nbytes(self) -> int:
        """Bytes in the file."""
        return prod(self.shape) * _STORAGE[self.dtype].itemsize

    @property
    def width(self) -> int:
        """Elements of a row."""
        return prod(self.shape[1:])

    @property
    def slab_rows(self) -> int:
        """Rows that fit one slab."""
        return max(1, SLAB_BYTES // (4 * max(1, self.width)))

    def rows(self, start: int, stop: int) -> NDArray[np.float32]:
        """Rows ``start`` to ``stop`` (not included) as float32, shape (stop - start, ...); the caller may change them.

        Raises:
            ModelError: the file ends before the rows do.
        """
        flat = self.elements(start * self.width, stop * self.width)
        return flat.reshape(stop - start, *self.shape[1:])

    def elements(self, start: int, stop: int) -> NDArray[np.float32]:
        """Elements ``start`` to ``stop`` (not included) of all rows one after another, as float32.

        Raises:
            ModelError: the file ends before they do.
        """
        storage = _STORAGE[self.dtype]
        raw: NDArray[Any] = np.empty(stop - start, storage)
        self.file.read_into(raw, self.offset + start * storage.itemsize)
        if self.dtype == "BF16":
            # bfloat16 is the upper half of a float32; shifting in place leaves the slab in the core's cache.
            wide: NDArray[Any] = raw.astype(np.uint32)
            wide <<= 16
            return wide.view(np.float32)
        return raw.astype(np.float32, copy=False)

    def whole(self) -> NDArray[np.float32]:
        """All rows; for small tensors."""
        return self.rows(0, self.shape[0])

    def slabs(self) -> Iterator[tuple[int, NDArray[np.float32]]]:
        """All rows in order, as (first row, slab) pairs."""
        for start in range(0, self.shape[0], self.slab_rows):
            yield start, self.rows(start, min(start + self.slab_rows, self.shape[0]))


def same_values(one: StoredTensor, other: StoredTensor) -> bool:
    """Whether two tensors hold the same numbers."""
    return one is other or (
        one.shape == other.shape
        and all(np.array_equal(rows, other.rows(at, at + len(rows))) for at, rows in one.slabs())
    )


def read_header(path: Path) -> dict[str, StoredTensor]:
    """The tensors of one safetensors file, by name.

    Raises:
        ModelError: the file is truncated, is not safetensors, or holds a dtype that cannot be exported.
    """
    try:
        size = path.stat().st_size
        with path.open("rb") as source:
            prefix = source.read(8)
            length = int.from_bytes(prefix, "little")
            if len(prefix) < 8 or length > size - 8:
                raise ModelError(f"{path}: truncated, or not a safetensors file ({size} bytes)")
            if length > HEADER_BYTES:
                raise _no_header(path, f"it has {length:,} bytes")
            header = _parse(path, source.read(length))
    except OSError as error:
        raise ModelError(f"{path}: cannot be read ({error.strerror})") from error
    file, data = OpenFile(path), 8 + length
    tensors = {name: _stored(file, name, facts, data) for name, facts in header.items()}
    _check_places(path, tensors, data, size)
    return tensors


def _no_header(path: Path, why: str) -> ModelError:
    return ModelError(f"{path}: its header is not that of a safetensors file: {why}")


def _parse(path: Path, raw: bytes) -> dict[str, Any]:
    try:
        header = json.loads(raw, object_pairs_hook=unique)
    except (ValueError, RecursionError) as error:
        raise _no_header(path, str(error)) from error
    if not isinstance(header, dict):
        raise _no_header(path, "no JSON object")
    header.pop("__metadata__", None)
    return header


def _stored(file: OpenFile, name: str, facts: Any, data: int) -> StoredTensor:
    path = file.path
    if not name.isprintable():
        raise _no_header(path, f"{name!a} is no name of a tensor")
    if not isinstance(facts, dict):
        raise _no_header(path, f"tensor {name} is not described")
    dtype = facts.get("dtype")
    shape, place = _sizes(facts.get("shape")), _sizes(facts.get("data_offsets"))
    if not isinstance(dtype, str) or shape is None or place is None or len(place) != 2:
        raise _no_header(path, f"tensor {name} has no dtype, shape and data_offsets")
    if dtype not in _STORAGE:
        raise ModelError(
            f"{path}: tensor {name} is stored as {dtype}; only {', '.join(_STORAGE)} can be "
            "exported. Give the original 16-bit or 32-bit model, not a quantised copy of it"
        )
    tensor = StoredTensor(file, name, dtype, shape, data + place[0])
    if tensor.nbytes != place[1] - place[0]:
        raise ModelError(
            f"{path}: damaged: tensor {name} of type {dtype} has shape {list(shape)} but {place[1] - place[0]} bytes"
        )
    return tensor


def _sizes(values: Any) -> tuple[int, ...] | None:
    """A short list of whole numbers, none negative and none beyond any file; None if it is something else."""
    if not isinstance(values, list) or len(values) > DIMENSIONS:
        return None
    return tuple(values) if all(type(value) is int and 0 <= value < 2**62 for value in values) else None


def _check_places(path: Path, tensors: Mapping[str, StoredTensor], data: int, size: int) -> None:
    """Every byte of the data belongs to exactly one tensor, as the format demands."""
    end = data
    for tensor in sorted(tensors.values(), key=lambda tensor: (tensor.offset, tensor.nbytes)):
        if tensor.offset != end:
            what = "overlaps the tensor before it" if tensor.offset < end else "leaves a gap before it"
            raise ModelError(f"{path}: damaged: tensor {tensor.name} {what}; copy or download it again")
        end += tensor.nbytes
    if end != size:
        raise ModelError(
            f"{path}: truncated or damaged: its header describes {end} bytes, the file has {size}; "
            "copy or download it again"
        )


def folder_tensors(folder: Path) -> dict[str, StoredTensor]:
    """The tensors of a model folder, from one file or from an index and its shards.

    Raises:
        ModelError: there are no safetensors, a shard is missing or damaged, or the index disagrees with a shard.
    """
    if not folder.is_dir():
        raise ModelError(f"{folder}: no such folder; give the folder of the base model")
    if (folder / SINGLE).is_file():
        return read_header(folder / SINGLE)
    if (folder / INDEX).is_file():
        return _sharded(folder)
    raise ModelError(
        f"{folder}: a base folder without safetensors (neither {SINGLE} nor {INDEX}); "
        "download the model's safetensors, or save it with save_pretrained"
    )


def _sharded(folder: Path) -> dict[str, StoredTensor]:
    shards = _index(folder / INDEX)
    missing = sorted(file for file in shards if not (folder / file).is_file())
    if missing:
        raise ModelError(f"{folder}: {INDEX} names files that are not there: {', '.join(missing)}")
    tensors: dict[str, StoredTensor] = {}
    for file, names in sorted(shards.items()):
        stored = read_header(folder / file)
        disagreeing = sorted(names ^ stored.keys())
        if disagreeing:
            raise ModelError(
                f"{folder / INDEX} disagrees with {file} about {len(disagreeing)} tensors, "
                f"among them {disagreeing[0]}; are the shards of one download?"
            )
        tensors |= stored
    return tensors


def _index(path: Path) -> dict[str, set[str]]:
    """Names of the tensors that should be in each shard, by file name."""
    weight_map = read_json(path).get("weight_map")
    if not isinstance(weight_map, dict) or not weight_map:
        raise ModelError(f"{path}: no weight_map in it")
    shards: dict[str, set[str]] = defaultdict(set)
    for name, file in weight_map.items():
        if not isinstance(file, str) or "\0" in file or Path(file).name != file:
            raise ModelError(f"{path}: weight_map puts {name} into {file!r}, which is no file name")
        shards[file].add(name)
    return shards
