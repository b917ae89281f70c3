"""The head of a GGUF file: its keys and its tensor directory, in the format's third version.

    "GGUF", version, number of tensors, number of keys
    keys:       name, type, value
    directory:  name, number of dimensions, dimensions (columns first), GGML type, offset in the data
    zeros up to a multiple of 32 bytes; the data follow, each tensor padded in the same way

Format: github.com/ggml-org/ggml, docs/gguf.md. All numbers are little-endian.
"""

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

from socrates_export.architectures.spec import Metadata, Value
from socrates_export.write.types import row_bytes

ALIGNMENT = 32
_MAGIC, _VERSION, _QUANTISATION_VERSION = b"GGUF", 3, 2
_UINT32, _INT32, _FLOAT32, _BOOL, _STRING, _ARRAY = 4, 5, 6, 7, 8, 9


@dataclass(frozen=True)
class Entry:
    """One tensor of the directory: its name, its shape (rows first) and its GGML type."""

    name: str
    shape: tuple[int, ...]
    type: str

    @property
    def nbytes(self) -> int:
        """Bytes of its data, without padding."""
        return prod(self.shape[:-1]) * row_bytes(self.type, self.shape[-1])


@dataclass(frozen=True)
class Head:
    """The head of a file, and where its tensors' data go.

    Attributes:
        content: the bytes before the data.
        offsets: from the start of the file, one per tensor.
        size: of the whole file, in bytes.
    """

    content: bytes
    offsets: list[int]
    size: int


@dataclass(frozen=True)
class Keys:
    """Keys as they stand in a file: how many, and their bytes. Files of several types share most of them."""

    count: int
    packed: bytes

    @classmethod
    def of(cls, metadata: Metadata) -> "Keys":
        """``metadata``, packed."""
        return cls(len(metadata), b"".join(_string(key) + _typed(value) for key, value in metadata.items()))

    def __add__(self, other: "Keys") -> "Keys":
        return Keys(self.count + other.count, self.packed + other.packed)


def file_keys(file_type: int, extra: Metadata) -> Keys:
    """The keys in which files of one model but several types differ; ``file_type`` is llama.cpp's number."""
    own: Metadata = {
        "general.quantization_version": _QUANTISATION_VERSION,
        "general.file_type": file_type,
    }
    return Keys.of({**own, **extra})


def head(keys: Keys, entries: Sequence[Entry]) -> Head:
    """The head of a file with these keys and tensors, the latter in the order of their data."""
    from gguf import GGMLQuantizationType

    parts = [_MAGIC, struct.pack("<IQQ", _VERSION, len(entries), keys.count), keys.packed]
    offset, offsets = 0, []
    for entry in entries:
        dimensions = struct.pack(f"<I{len(entry.shape)}Q", len(entry.shape), *reversed(entry.shape))
        number = int(GGMLQuantizationType[entry.type])
        parts += [_string(entry.name), dimensions, struct.pack("<IQ", number, offset)]
        offsets.append(offset)
        offset += _padded(entry.nbytes)
    content = b"".join(parts)
    content += bytes(_padded(len(content)) - len(content))
    return Head(content, [len(content) + start for start in offsets], len(content) + offset)


def _padded(size: int) -> int:
    return -(-size // ALIGNMENT) * ALIGNMENT


def _string(text: str) -> bytes:
    raw = text.encode("utf-8", "surrogateescape")
    return struct.pack("<Q", len(raw)) + raw


def _typed(value: Value) -> bytes:
    """A value after the number of its type."""
    match value:
        case bool():
            return struct.pack("<I?", _BOOL, value)
        case int():
            return struct.pack("<II", _UINT32, value)
        case float():
            return struct.pack("<If", _FLOAT32, value)
        case str():
            return struct.pack("<I", _STRING) + _string(value)
    return struct.pack("<I", _ARRAY) + _array(value)


def _array(values: Sequence[str | int | float]) -> bytes:
    count = len(values)
    texts = [value for value in values if isinstance(value, str)]
    if len(texts) == count:
        return struct.pack("<IQ", _STRING, count) + b"".join(map(_string, texts))
    if all(isinstance(value, int) for value in values):
        return struct.pack(f"<IQ{count}i", _INT32, count, *values)
    return struct.pack(f"<IQ{count}f", _FLOAT32, count, *values)
