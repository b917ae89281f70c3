"""A GGUF's header, read without llama.cpp, so that a damaged file is an error and not a crash.

The format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md. Scalars and strings of the metadata are
kept; arrays (a vocabulary has hundreds of thousands of entries) are stepped over.
"""

import mmap
import struct
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

from socrates_fast.errors import ModelError
from socrates_fast.nearby import models_in

MAGIC = b"GGUF"
VERSIONS = (2, 3)

Scalar = int | float | bool | str

_STRING, _ARRAY = 8, 9

# Far beyond any model. In a damaged file a length can be anything, and the data behind the header is gigabytes.
_MOST_ENTRIES, _MOST_ELEMENTS, _LONGEST_STRING = 2**20, 2**24, 2**26
_MOST_DIMENSIONS, _DEEPEST = 4, 4
_SCALARS = {
    0: "<B", 1: "<b", 2: "<H", 3: "<h", 4: "<I", 5: "<i", 6: "<f", 7: "<?", 10: "<Q", 11: "<q", 12: "<d",
}  # fmt: skip


@dataclass(frozen=True)
class TensorInfo:
    """A tensor: name, shape in ggml's order (row length first), ggml type number, byte offset in the data."""

    name: str
    shape: tuple[int, ...]
    type: int
    offset: int


@dataclass(frozen=True)
class Header:
    """What stands before a GGUF's data: metadata without its arrays, tensors, and where the data starts."""

    path: Path
    version: int
    metadata: dict[str, Scalar]
    tensors: tuple[TensorInfo, ...]
    data_start: int

    @property
    def architecture(self) -> str:
        """llama.cpp's name of the architecture, "" if not stated."""
        return str(self.metadata.get("general.architecture", ""))

    @property
    def name(self) -> str:
        """The model's own name, or the file's."""
        return str(self.metadata.get("general.name", self.path.stem))

    @property
    def file_type(self) -> int | None:
        """Number of the commonest tensor type (1 F16, 7 Q8_0, 15 Q4_K_M), if stated."""
        return self._number("general.file_type")

    @property
    def context_length(self) -> int | None:
        """Tokens that the model was trained for, if stated."""
        return self._number(f"{self.architecture}.context_length")

    def _number(self, key: str) -> int | None:
        value = self.metadata.get(key)
        return value if isinstance(value, int) else None


def read_header(path: Path) -> Header:
    """Read the header of ``path`` and check that every tensor's data lies inside the file.

    Raises:
        ModelError: there is no such file, it is not a GGUF of a known version, or it is damaged or truncated.
    """
    if not path.is_file():
        raise ModelError(f"{path}: no such file" + models_in(path))
    n_bytes = path.stat().st_size
    if n_bytes == 0:
        raise ModelError(f"{path}: the file is empty")
    try:
        with (
            path.open("rb") as file,
            mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data,
        ):
            header = _parse(path, _Cursor(data))
    except OSError as error:
        raise ModelError(f"{path}: cannot be read: {error.strerror or error}") from error
    except struct.error as error:
        raise ModelError(
            f"{path}: truncated: its {n_bytes} bytes end inside the header; copy or download it again"
        ) from error
    except _Damaged as error:
        raise ModelError(f"{path}: truncated or damaged: {error}; copy or download it again") from error
    needed = data_end(header)
    if n_bytes < needed:
        raise ModelError(f"{path}: truncated: needs {needed} bytes, has {n_bytes}; copy or download it again")
    return header


def data_end(header: Header) -> int:
    """Bytes that the file must have for its tensors' data; types unknown to the gguf package count as 0."""
    from gguf.constants import GGML_QUANT_SIZES

    sizes = {int(kind): size for kind, size in GGML_QUANT_SIZES.items()}
    end = header.data_start if header.tensors else 0
    for tensor in header.tensors:
        block, n_bytes = sizes.get(tensor.type, (1, 0))
        end = max(end, header.data_start + tensor.offset + prod(tensor.shape) // block * n_bytes)
    return end


class _Damaged(Exception):
    """What the header says cannot be so."""


class _Cursor:
    """A place in the mapped file. Going past its end raises ``struct.error``."""

    def __init__(self, data: mmap.mmap) -> None:
        self.data = data
        self.at = 0

    def take(self, code: str) -> Any:
        (value,) = struct.unpack_from(code, self.data, self.at)
        self.at += struct.calcsize(code)
        return value

    def skip(self, n_bytes: int) -> None:
        if self.at + n_bytes > len(self.data):
            raise struct.error("past the end of the file")
        self.at += n_bytes

    def count(self, code: str, most: int) -> int:
        """A number of things that follow; ``_Damaged`` if they are more than any file has."""
        value = int(self.take(code))
        if value > most:
            raise _Damaged(f"{value} entries, or bytes of a string, at byte {self.at}")
        return value

    def text(self) -> str:
        n_bytes = self.count("<Q", _LONGEST_STRING)
        start = self.at
        self.skip(n_bytes)
        return self.data[start : self.at].decode("utf-8", "replace")


def _parse(path: Path, cursor: _Cursor) -> Header:
    if cursor.data[:4] != MAGIC:
        raise ModelError(
            f"{path}: not a GGUF file (it begins with {cursor.data[:4]!r}); "
            "socrates-fast export makes one from a model folder"
        )
    cursor.skip(4)
    version = cursor.take("<I")
    if version not in VERSIONS:
        raise ModelError(
            f"{path}: GGUF version {version} is not known (known: {', '.join(map(str, VERSIONS))})"
        )
    n_tensors, n_values = cursor.count("<Q", _MOST_ENTRIES), cursor.count("<Q", _MOST_ENTRIES)
    metadata: dict[str, Scalar] = {}
    for _ in range(n_values):
        key, kind = cursor.text(), cursor.take("<I")
        if kind == _ARRAY:
            _skip_array(cursor)
        else:
            metadata[key] = _value(cursor, kind)
    tensors = tuple(_tensor(cursor) for _ in range(n_tensors))
    alignment = metadata.get("general.alignment", 32)
    if not isinstance(alignment, int) or alignment <= 0:
        raise _Damaged(f"general.alignment is {alignment!r}")
    return Header(path, version, metadata, tensors, -(-cursor.at // alignment) * alignment)


def _value(cursor: _Cursor, kind: int) -> Scalar:
    if kind == _STRING:
        return cursor.text()
    if kind not in _SCALARS:
        raise _Damaged(f"unknown value type {kind} at byte {cursor.at}")
    value: Scalar = cursor.take(_SCALARS[kind])
    return value


def _skip_array(cursor: _Cursor, depth: int = 0) -> None:
    kind = cursor.take("<I")
    if kind in _SCALARS:
        cursor.skip(cursor.take("<Q") * struct.calcsize(_SCALARS[kind]))
    elif kind == _STRING:
        for _ in range(cursor.count("<Q", _MOST_ELEMENTS)):
            cursor.skip(cursor.take("<Q"))
    elif kind == _ARRAY and depth < _DEEPEST:
        for _ in range(cursor.count("<Q", _MOST_ELEMENTS)):
            _skip_array(cursor, depth + 1)
    else:
        raise _Damaged(f"unknown value type {kind} at byte {cursor.at}")


def _tensor(cursor: _Cursor) -> TensorInfo:
    name = cursor.text()
    shape = tuple(cursor.take("<Q") for _ in range(cursor.count("<I", _MOST_DIMENSIONS)))
    return TensorInfo(name, shape, cursor.take("<I"), cursor.take("<Q"))
