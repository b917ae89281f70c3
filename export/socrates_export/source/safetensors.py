"""Reads safetensors as float32 slabs of rows, without torch and without loading a whole tensor.

A safetensors file is eight bytes (the header's length, little-endian), a JSON header that gives each tensor's
dtype, shape and byte range, and the bytes. A slab is read with plain file reads, so memory stays bounded by
``SLAB_BYTES`` whatever the size of the model.
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

from socrates_export.source.files import read_json
from socrates_fast.errors import ModelError

SLAB_BYTES = 16 * 2**20
"""Most bytes of float32 in one slab of rows (unless a single row is larger)."""

INDEX = "model.safetensors.index.json"
SINGLE = "model.safetensors"
_STORAGE: dict[str, str] = {"F32": "<f4", "F16": "<f2", "BF16": "<u2"}


@dataclass(frozen=True)
class StoredTensor:
    """Where one tensor's bytes are.

    Attributes:
        path: the safetensors file.
        name: the tensor's name in it.
        dtype: ``F32``, ``F16`` or ``BF16``.
        shape: rows first; one-dimensional tensors count each element as a row.
        offset: of the first byte, from the start of the file.
    """

    path: Path
    name: str
    dtype: str
    shape: tuple[int, ...]
    offset: int

    @property
    def nbytes(self) -> int:
        """Bytes in the file."""
        return prod(self.shape) * np.dtype(_STORAGE[self.dtype]).itemsize

    @property
    def slab_rows(self) -> int:
        """Rows that fit one slab."""
        return max(1, SLAB_BYTES // (4 * max(1, prod(self.shape[1:]))))

    def rows(self, start: int, stop: int) -> NDArray[np.float32]:
        """Rows ``start`` to ``stop`` (not included) as float32, shape (stop - start, ...).

        Raises:
            ModelError: the file ends before the rows do.
        """
        width = prod(self.shape[1:])
        storage = np.dtype(_STORAGE[self.dtype])
        count = (stop - start) * width
        with self.path.open("rb") as file:
            file.seek(self.offset + start * width * storage.itemsize)
            raw = np.fromfile(file, storage, count)
        if raw.size < count:
            raise ModelError(f"{self.path}: truncated inside tensor {self.name}")
        if self.dtype == "BF16":
            # bfloat16 is the upper half of a float32.
            raw = (raw.astype("<u4") << 16).view("<f4")
        return raw.astype(np.float32, copy=False).reshape(stop - start, *self.shape[1:])

    def slabs(self) -> Iterator[tuple[int, NDArray[np.float32]]]:
        """All rows in order, as (first row, slab) pairs."""
        for start in range(0, self.shape[0], self.slab_rows):
            yield start, self.rows(start, min(start + self.slab_rows, self.shape[0]))


def read_header(path: Path) -> dict[str, StoredTensor]:
    """The tensors of one safetensors file, by name.

    Raises:
        ModelError: the file is truncated, is not safetensors, or holds a dtype that cannot be exported.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        prefix = file.read(8)
        length = int.from_bytes(prefix, "little")
        if len(prefix) < 8 or length > size - 8:
            raise ModelError(f"{path}: truncated, or not a safetensors file ({size} bytes)")
        try:
            header = json.loads(file.read(length))
            header.pop("__metadata__", None)
            tensors = {name: _stored(path, name, facts, 8 + length) for name, facts in header.items()}
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ModelError(f"{path}: its header is not that of a safetensors file") from error
    end = max((tensor.offset + tensor.nbytes for tensor in tensors.values()), default=8 + length)
    if end != size:
        raise ModelError(
            f"{path}: truncated or damaged: its header describes {end} bytes, the file has {size}; "
            "copy or download it again"
        )
    return tensors


def _stored(path: Path, name: str, facts: Mapping[str, Any], data: int) -> StoredTensor:
    if facts["dtype"] not in _STORAGE:
        raise ModelError(
            f"{path}: tensor {name} is stored as {facts['dtype']}; only {', '.join(_STORAGE)} can be "
            "exported. Give the original 16-bit or 32-bit model, not a quantised copy of it"
        )
    start, stop = facts["data_offsets"]
    tensor = StoredTensor(path, name, facts["dtype"], tuple(facts["shape"]), data + start)
    if tensor.nbytes != stop - start:
        raise ModelError(f"{path}: tensor {name} has shape {list(tensor.shape)} but {stop - start} bytes")
    return tensor


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
    weight_map = read_json(folder / INDEX).get("weight_map")
    if not isinstance(weight_map, dict):
        raise ModelError(f"{folder / INDEX}: no weight_map in it")
    shards: dict[str, set[str]] = defaultdict(set)
    for name, file in weight_map.items():
        shards[file].add(name)
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
                f"among them {disagreeing[0]}"
            )
        tensors |= stored
    return tensors
