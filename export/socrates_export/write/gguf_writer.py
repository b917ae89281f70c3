"""Writes a GGUF file slab by slab: memory stays bounded, and a file that could not be finished is not left.

``gguf.GGUFWriter`` writes header, keys and tensor directory; tensor bytes are handed to it as objects that
convert one slab of float32 rows after another while they are written.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import IO, TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from socrates_export.architectures.spec import Metadata, Value
from socrates_export.progress import Progress, Step
from socrates_fast.errors import ExportError, ModelError
from socrates_fast.runs import atomic_path

if TYPE_CHECKING:
    from gguf import GGUFWriter

Slab = NDArray[np.float32]


@dataclass(frozen=True)
class FloatType:
    """A tensor type that holds every float32 to its own precision.

    Attributes:
        ggml: name of the GGML tensor type.
        file_type: llama.cpp's number for a file of this type (``general.file_type``).
        itemsize: bytes per element.
        limit: magnitudes from here on round to infinity.
    """

    ggml: str
    file_type: int
    itemsize: int
    limit: float


FLOAT_TYPES = {
    "f32": FloatType("F32", 0, 4, float("inf")),
    "f16": FloatType("F16", 1, 2, 65520.0),
    "bf16": FloatType("BF16", 32, 2, 2.0**128 * (1 - 2.0**-9)),
}
"""The types that are written directly, by the name that a user types."""


@dataclass(frozen=True)
class OutputTensor:
    """A tensor to write.

    Attributes:
        name: in the GGUF.
        shape: rows first.
        slabs: yields all rows in order as float32 slabs; may be called more than once.
    """

    name: str
    shape: tuple[int, ...]
    slabs: Callable[[], Iterator[Slab]]

    def type(self, kind: str) -> str:
        """``kind``, or ``f32`` for norms and biases: llama.cpp wants one-dimensional tensors in float32."""
        return kind if len(self.shape) > 1 else "f32"


def encode(slab: Slab, kind: str, name: str) -> NDArray[np.generic]:
    """A slab's elements in the type ``kind``, rounded to nearest even.

    Raises:
        ModelError: a value of tensor ``name`` is not finite.
        ExportError: a value is too large for ``kind``.
    """
    peak = float(np.maximum(slab.max(), -slab.min())) if slab.size else 0.0
    if not np.isfinite(peak):
        raise ModelError(
            f"tensor {name} holds NaN or infinity after merging: the base or the adapter is damaged "
            "(has the training diverged?)"
        )
    if peak >= FLOAT_TYPES[kind].limit:
        raise ExportError(
            f"tensor {name} reaches {peak:.4g}, too large for {kind} (at most 65504); ask for bf16 or "
            "f32 too, and the other types are made from that file"
        )
    if kind == "bf16":
        return _bfloat16(slab)
    return slab.astype(np.float16 if kind == "f16" else np.float32, copy=False)


def _bfloat16(slab: Slab) -> NDArray[np.uint16]:
    """The upper halves of finite float32, rounded to nearest even."""
    bits = np.ascontiguousarray(slab).view(np.uint32)
    return ((bits + (0x7FFF + ((bits >> 16) & 1))) >> 16).astype(np.uint16)


@dataclass(frozen=True)
class _Stream:
    """What GGUFWriter.write_tensor_data asks of an array: ``nbytes`` and ``tofile``."""

    tensor: OutputTensor
    kind: str

    @property
    def nbytes(self) -> int:
        return prod(self.tensor.shape) * FLOAT_TYPES[self.kind].itemsize

    def tofile(self, file: IO[bytes]) -> None:
        written = 0
        for slab in self.tensor.slabs():
            written += file.write(encode(slab, self.kind, self.tensor.name).tobytes())
        if written != self.nbytes:
            raise ExportError(f"tensor {self.tensor.name}: {written} bytes instead of {self.nbytes}")


def write_gguf(
    path: Path,
    metadata: Metadata,
    tensors: Sequence[OutputTensor],
    kind: str,
    progress: Progress | None = None,
) -> None:
    """Write ``path`` whole or not at all.

    Args:
        path: the file; its folder is made.
        metadata: all keys but ``general.file_type`` and ``general.quantization_version``.
        tensors: in the order of writing.
        kind: type of the matrices, a key of ``FLOAT_TYPES``.
        progress: told how far it is.

    Raises:
        SocratesError: the disk is full, or a tensor cannot be written as ``kind``.
    """
    from gguf import GGUFWriter

    streams = [_Stream(tensor, tensor.type(kind)) for tensor in tensors]
    with atomic_path(path) as partial:
        writer = GGUFWriter(partial, str(metadata["general.architecture"]))
        try:
            _add_metadata(writer, {**metadata, "general.file_type": FLOAT_TYPES[kind].file_type})
            _write_directory(writer, streams)
            total, done = sum(stream.nbytes for stream in streams), 0
            step = Step(progress, f"writing {path.name} ({total / 1e6:,.1f} MB)")
            for stream in streams:
                # It needs nbytes and tofile only, whatever its annotation says.
                writer.write_tensor_data(stream)
                done += stream.nbytes
                step.at(done, total)
        finally:
            writer.close()


def _write_directory(writer: "GGUFWriter", streams: Sequence[_Stream]) -> None:
    from gguf import GGMLQuantizationType

    for stream in streams:
        writer.add_tensor_info(
            stream.tensor.name,
            stream.tensor.shape,
            np.dtype(np.float32),
            stream.nbytes,
            GGMLQuantizationType[FLOAT_TYPES[stream.kind].ggml],
        )
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()


def _add_metadata(writer: "GGUFWriter", metadata: Mapping[str, Value]) -> None:
    from gguf import GGML_QUANT_VERSION, GGUFValueType

    types = {
        bool: GGUFValueType.BOOL,
        int: GGUFValueType.UINT32,
        float: GGUFValueType.FLOAT32,
        str: GGUFValueType.STRING,
        list: GGUFValueType.ARRAY,
    }
    for key, value in {**metadata, "general.quantization_version": GGML_QUANT_VERSION}.items():
        if key != "general.architecture":  # the writer's constructor has added it
            writer.add_key_value(key, value, types[type(value)])
