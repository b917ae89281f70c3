"""llama-cpp-python's ctypes bindings, checked, with a log that is read right; used inside the worker only.

The log levels are those of this version's ggml; the bindings' own logger reads older ones and hides errors.
"""

import ctypes
import sys
from collections import deque
from collections.abc import Mapping
from functools import cache
from typing import Any

import numpy as np

from socrates_fast.errors import MissingDependency

STRUCT_BYTES = {
    "llama_model_params": 80,
    "llama_context_params": 160,
    "llama_model_quantize_params": 64,
}
"""Sizes in llama-cpp-python 0.3.36. With other sizes every field after the first change is misread."""

_WARN, _ERROR, _CONTINUED = 3, 4, 5


class Log:
    """llama.cpp's log: warnings and errors go to stderr; the last errors are kept for our messages."""

    def __init__(self, llama: Any) -> None:
        self._errors: deque[str] = deque(maxlen=8)
        self._level = 0
        self._callback = llama.llama_log_callback(self._write)  # llama.cpp keeps the pointer
        llama.llama_log_set(self._callback, None)

    def _write(self, level: int, text: bytes | None, _: object) -> None:
        if level != _CONTINUED:
            self._level = level
        line = (text or b"").decode("utf-8", "replace")
        if self._level in (_WARN, _ERROR):
            sys.stderr.write(line)
            sys.stderr.flush()
        if self._level == _ERROR and line.strip():
            self._errors.append(line.strip())

    def take(self) -> str:
        """The errors since the last call, as one line."""
        lines = "; ".join(self._errors) or "it gave no reason"
        self._errors.clear()
        return lines


@cache
def bindings() -> Any:
    """llama-cpp-python's ctypes module, with its backends started.

    Raises:
        MissingDependency: it is not installed, or its structures are another version's.
    """
    try:
        from llama_cpp import llama_cpp
    except ImportError as error:
        raise MissingDependency(
            f"scoring a GGUF needs llama-cpp-python, which cannot be imported ({error}). "
            "Install it with: pip install llama-cpp-python==0.3.36"
        ) from error
    check_sizes({name: ctypes.sizeof(getattr(llama_cpp, name)) for name in STRUCT_BYTES})
    llama_cpp.llama_backend_init()
    return llama_cpp


def check_sizes(found: Mapping[str, int]) -> None:
    """Compare the sizes of the bindings' structures, in bytes, with those this code was written for.

    Raises:
        MissingDependency: one differs.
    """
    for name, expected in STRUCT_BYTES.items():
        if found[name] != expected:
            raise MissingDependency(
                f"the installed llama-cpp-python is not version 0.3.36 ({name} has {found[name]} bytes "
                f"instead of {expected}). Install it with: pip install llama-cpp-python==0.3.36"
            )


@cache
def log() -> Log:
    """The process's one log, installed on first use."""
    return Log(bindings())


class Batch:
    """A ``llama_batch`` over numpy arrays, filled without a loop over tokens."""

    def __init__(self, size: int, sequences: int) -> None:
        self.token = np.zeros(size, np.int32)
        self.position = np.zeros(size, np.int32)
        self.owners = np.zeros(size, np.int32)
        self.sequence = np.zeros((size, sequences), np.int32)
        self.wanted = np.zeros(size, np.int8)
        rows = self.sequence.ctypes.data + np.arange(size, dtype=np.uint64) * (4 * sequences)
        self._row_pointers = rows.astype(np.uint64)
        int32 = ctypes.POINTER(ctypes.c_int32)
        self._structure = bindings().llama_batch(
            0,
            self.token.ctypes.data_as(int32),
            None,
            self.position.ctypes.data_as(int32),
            self.owners.ctypes.data_as(int32),
            self._row_pointers.ctypes.data_as(ctypes.POINTER(int32)),
            self.wanted.ctypes.data_as(ctypes.POINTER(ctypes.c_int8)),
        )

    def view(self, count: int) -> Any:
        """The first ``count`` entries as the structure that ``llama_decode`` takes; the same one each time."""
        self._structure.n_tokens = count
        return self._structure
