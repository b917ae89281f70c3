"""llama.cpp's own quantiser, with which the export is compared.

python -m socrates_bench.llama_quantize SOURCE.gguf TARGET.gguf FILE_TYPE_NUMBER
"""

import ctypes
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

_TENSOR = re.compile(r"\[ *\d+/ *\d+\] (\S+) +- \[.*?\], type = +(\S+),[^(]*?(?:\((\S+)\))?\n", re.DOTALL)

_quiet: list[Any] = []


def quantize(
    source: Path,
    target: Path,
    file_type: int,
    dry_run: bool = False,
    imatrix: Mapping[str, NDArray[np.float32]] | None = None,
) -> dict[str, str]:
    """Run ``llama_model_quantize`` with all threads; with ``dry_run``, the type it would give each tensor.

    Args:
        source: a float GGUF.
        target: the file it writes.
        file_type: llama.cpp's ``llama_ftype``.
        dry_run: write nothing.
        imatrix: importance of the columns by tensor.

    Raises:
        RuntimeError: it failed; with its log.
    """
    from llama_cpp import llama_cpp as api

    log: list[str] = []

    def note(_level: int, text: bytes, _: object) -> None:
        log.append(text.decode("utf-8", "replace"))

    callback = api.llama_log_callback(note)  # callbacks must outlive their use
    api.llama_log_set(callback, ctypes.c_void_p(0))
    params = api.llama_model_quantize_default_params()
    params.ftype, params.dry_run = file_type, dry_run
    kept: Any = _imatrix(api, params, imatrix or {})
    code = api.llama_model_quantize(str(source).encode(), str(target).encode(), ctypes.byref(params))
    _quiet.append(api.llama_log_callback(_silent))
    api.llama_log_set(_quiet[-1], ctypes.c_void_p(0))
    del kept
    if code != 0:
        raise RuntimeError(f"llama_model_quantize returned {code}:\n{''.join(log)[-2000:]}")
    return {name: (new or old).upper() for name, old, new in _TENSOR.findall("".join(log))}


def _imatrix(api: Any, params: Any, imatrix: Mapping[str, NDArray[np.float32]]) -> Any:
    """Set ``params.imatrix``; what must stay alive until the call is over."""
    if not imatrix:
        return None
    entries = (api.llama_model_imatrix_data * (len(imatrix) + 1))()
    arrays = []
    for entry, (name, values) in zip(entries, imatrix.items(), strict=False):
        arrays.append(np.ascontiguousarray(values, np.float32))
        entry.name = name.encode()
        entry.data = arrays[-1].ctypes.data_as(ctypes.POINTER(ctypes.c_float))
        entry.size = values.size
    params.imatrix = ctypes.cast(entries, type(params.imatrix))
    return entries, arrays


def _silent(_level: int, _text: bytes, _: object) -> None:
    pass


if __name__ == "__main__":
    quantize(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]))
