"""llama.cpp's own arithmetic on rows of numbers, called through ctypes.

ctypes releases Python's lock during a call, so rows are quantised on several threads at once. What would make
ggml abort (rows that do not divide into blocks) is checked here. Only the child process imports this.
"""

import ctypes
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from socrates_export.write.types import block_elements, row_bytes
from socrates_fast.errors import ExportError, ModelError

HALF_LIMIT = 65520.0
"""Magnitudes from here on round to infinity in float16."""


@cache
def _library() -> Any:
    # Through llama_cpp's own handle: loading libggml by its file name would give a second copy of its globals.
    from llama_cpp import llama_cpp as api

    library: Any = api._lib
    pointer, count = ctypes.c_void_p, ctypes.c_int64
    library.ggml_quantize_chunk.restype = ctypes.c_size_t
    library.ggml_quantize_chunk.argtypes = [ctypes.c_int, pointer, pointer, count, count, count, pointer]
    library.ggml_validate_row_data.restype = ctypes.c_bool
    library.ggml_validate_row_data.argtypes = [ctypes.c_int, pointer, ctypes.c_size_t]
    return library


@dataclass(frozen=True)
class Encoder:
    """Encodes the rows of one tensor as a GGML type.

    Attributes:
        name: of the tensor, for errors.
        type: the GGML type.
        number: ggml's number of it.
        weights: importance of each column, float32, shape (columns,); None for equal importance.
    """

    name: str
    type: str
    number: int
    weights: NDArray[np.float32] | None = None

    @classmethod
    def of(cls, name: str, kind: str, weights: NDArray[np.float32] | None = None) -> "Encoder":
        """An encoder of tensor ``name`` to the GGML type ``kind``."""
        from gguf import GGMLQuantizationType

        return cls(name, kind, int(GGMLQuantizationType[kind]), weights)

    def encode(self, rows: NDArray[np.float32], peak: float) -> NDArray[np.uint8]:
        """Bytes of ``rows`` (float32, C-contiguous, shape (rows, columns)) in the type, row by row.

        ``peak`` is the largest magnitude in them, which must be finite.

        Raises:
            ExportError: a value is too large for the type.
        """
        height, width = rows.shape
        if width % block_elements(self.type):
            raise ExportError(f"tensor {self.name}: rows of {width} do not divide into blocks of {self.type}")
        if self.type == "F16" and peak >= HALF_LIMIT:
            raise self._too_large(peak)
        out = np.empty((height, row_bytes(self.type, width)), np.uint8)
        weights = self.weights.ctypes.data if self.weights is not None else None
        library = _library()
        library.ggml_quantize_chunk(self.number, rows.ctypes.data, out.ctypes.data, 0, height, width, weights)
        # The blocks' scales are float16: they too can overflow.
        if peak >= HALF_LIMIT and not library.ggml_validate_row_data(
            self.number, out.ctypes.data, out.nbytes
        ):
            raise self._too_large(peak)
        return out

    def _too_large(self, peak: float) -> ExportError:
        return ExportError(
            f"tensor {self.name} reaches {peak:.4g}, too large for {self.type} (float16 ends at 65504); "
            "ask for bf16 or f32 instead"
        )


def peak_of(rows: NDArray[np.float32], name: str) -> float:
    """Largest magnitude in ``rows``.

    Raises:
        ModelError: a value is NaN or infinite.
    """
    peak = float(np.maximum(rows.max(), -rows.min())) if rows.size else 0.0
    if not np.isfinite(peak):
        raise ModelError(
            f"tensor {name} holds NaN or infinity after merging: the base or the adapter is damaged "
            "(has the training diverged?)"
        )
    return peak
