"""What the child process does to collect an importance matrix: run prompts, and watch what enters each matrix.

llama.cpp calls ``cb_eval`` before a tensor is computed (does anyone want it?) and after (here it is).
"""

import ctypes
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from socrates_export.llama_tasks import decode, loaded_model
from socrates_export.write.imatrix import write_imatrix
from socrates_fast.errors import ExportError

OUTPUTS = 64
"""Last positions of a text whose logits are computed: the last block computes what its outputs need and no more."""

UBATCH = 512
_TYPE_F32 = 0


class _Tensor(ctypes.Structure):
    """``struct ggml_tensor`` of the pinned version."""

    _fields_ = (
        ("type", ctypes.c_int32),
        ("buffer", ctypes.c_void_p),
        ("ne", ctypes.c_int64 * 4),
        ("nb", ctypes.c_size_t * 4),
        ("op", ctypes.c_int32),
        ("op_params", ctypes.c_int32 * 16),
        ("flags", ctypes.c_int32),
        ("src", ctypes.c_void_p * 10),
        ("view_src", ctypes.c_void_p),
        ("view_offs", ctypes.c_size_t),
        ("data", ctypes.c_void_p),
        ("name", ctypes.c_char * 64),
        ("extra", ctypes.c_void_p),
        ("padding", ctypes.c_char * 8),
    )


_OBJECT_BYTES = 32  # struct ggml_object, which ggml_tensor_overhead counts too


class Collector:
    """Sums of squares of what enters each block's matrices.

    Args:
        library: llama.cpp's shared library.

    Raises:
        ExportError: the library's tensors are not laid out as those of the pinned version.
    """

    def __init__(self, library: Any) -> None:
        self.sums: dict[str, tuple[NDArray[np.float64], int]] = {}
        self.error: Exception | None = None
        self._get = library.ggml_backend_tensor_get
        self._get.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_size_t]
        library.ggml_tensor_overhead.restype = ctypes.c_size_t
        if library.ggml_tensor_overhead() != ctypes.sizeof(_Tensor) + _OBJECT_BYTES:
            raise ExportError("this llama.cpp is not the pinned version: its tensors are laid out otherwise")
        library.ggml_op_name.restype = ctypes.c_char_p
        names = ((op, library.ggml_op_name(op)) for op in range(200))
        self._product = next(op for op, name in names if name == b"MUL_MAT")

    def __call__(self, address: int, ask: bool, _: object) -> bool:
        """llama.cpp's callback: whether the tensor is wanted; then, what it was computed from."""
        try:
            result = _Tensor.from_address(address)
            if result.op != self._product:
                return not ask
            weight = _Tensor.from_address(result.src[0])
            inputs = _Tensor.from_address(result.src[1])
            if not weight.name.startswith(b"blk.") or inputs.type != _TYPE_F32:
                return not ask
            if not ask:
                self._add(weight.name.decode(), result.src[1], inputs)
        except Exception as error:  # noqa: BLE001 - ctypes would print it and go on; raised after the batch
            self.error = error
            return False
        return True

    def _add(self, name: str, address: int, inputs: _Tensor) -> None:
        columns, rows = int(inputs.ne[0]), int(inputs.ne[1] * inputs.ne[2] * inputs.ne[3])
        if inputs.nb[0] != 4 or inputs.nb[1] != 4 * columns or inputs.nb[2] != 4 * columns * inputs.ne[1]:
            raise ExportError(f"the input of {name} is not contiguous")
        values = np.empty((rows, columns), np.float32)
        self._get(address, values.ctypes.data, 0, values.nbytes)
        total, count = self.sums.get(name, (np.zeros(columns), 0))
        self.sums[name] = (total + np.einsum("rc,rc->c", values, values, dtype=np.float64), count + rows)


def imatrix(model: str, sequences: Sequence[Sequence[int]], dataset: str, out: str) -> None:
    """Collect an importance matrix of the GGUF ``model`` on token ids ``sequences``; write it to ``out``.

    Prints how many sequences are done.
    """
    from llama_cpp import llama_cpp as api

    longest = max(len(sequence) for sequence in sequences)
    collector = Collector(api._lib)
    callback = api.ggml_backend_sched_eval_callback(collector)  # must outlive its use
    params = api.llama_context_default_params()
    params.n_ctx = params.n_batch = longest
    params.n_ubatch = min(UBATCH, longest)
    params.n_outputs_max = min(OUTPUTS, longest)
    params.cb_eval = callback
    with loaded_model(model, vocab_only=False, gpu=True) as loaded:
        context = api.llama_init_from_model(loaded, params)
        if not context:
            raise ExportError(f"llama.cpp cannot make a context of {longest} tokens for {model}")
        for done, sequence in enumerate(sequences, start=1):
            decode(context, sequence, set(range(max(0, len(sequence) - OUTPUTS), len(sequence))))
            if collector.error is not None:
                raise collector.error
            print(done, len(sequences), flush=True)
        api.llama_free(context)
    write_imatrix(Path(out), dataset, len(sequences), longest, collector.sums)
