"""What llama.cpp can compute on: its devices with their free memory, and what its CPU code was built with.

llama-cpp-python has no bindings for ggml's devices; these call them in the library that it has loaded already (a
second copy, opened by its file's name, would have devices of its own).
"""

import ctypes
from dataclasses import dataclass
from typing import Any

KINDS = ("cpu", "gpu", "igpu", "accel", "meta")
"""ggml's device types by number (ggml-backend.h): a GPU with its own memory is "gpu", one that shares the
machine's is "igpu"."""


@dataclass(frozen=True)
class Device:
    """A device of llama.cpp's: name, description, one of ``KINDS``, bytes of memory free and in all."""

    name: str
    description: str
    kind: str
    free: int
    total: int


def devices(llama: Any) -> list[Device]:
    """All devices that llama.cpp has found, the CPU among them."""
    library = llama._lib
    for name, result, arguments in (
        ("count", ctypes.c_size_t, []),
        ("get", ctypes.c_void_p, [ctypes.c_size_t]),
        ("name", ctypes.c_char_p, [ctypes.c_void_p]),
        ("description", ctypes.c_char_p, [ctypes.c_void_p]),
        ("type", ctypes.c_int, [ctypes.c_void_p]),
        ("memory", None, [ctypes.c_void_p, *[ctypes.POINTER(ctypes.c_size_t)] * 2]),
    ):
        function = getattr(library, f"ggml_backend_dev_{name}")
        function.restype, function.argtypes = result, arguments
    return [
        _device(library, library.ggml_backend_dev_get(n)) for n in range(library.ggml_backend_dev_count())
    ]


def _device(library: Any, handle: int) -> Device:
    free, total = ctypes.c_size_t(), ctypes.c_size_t()
    library.ggml_backend_dev_memory(handle, ctypes.byref(free), ctypes.byref(total))
    name, description = (
        (library.ggml_backend_dev_name(handle) or b"").decode("utf-8", "replace"),
        (library.ggml_backend_dev_description(handle) or b"").decode("utf-8", "replace"),
    )
    return Device(name, description, KINDS[library.ggml_backend_dev_type(handle)], free.value, total.value)


def offload_devices(llama: Any) -> list[Device]:
    """The devices that llama.cpp would put layers on: its GPUs, or else the one that shares the CPU's memory."""
    if not llama.llama_supports_gpu_offload():
        return []
    found = devices(llama)
    own = [device for device in found if device.kind == "gpu"]
    return own or [device for device in found if device.kind == "igpu"][:1]


def cpu_features(system_info: str) -> set[str]:
    """What llama.cpp's CPU code was compiled with and runs with ("AVX2", "OPENMP"), of its own system line.

    Args:
        system_info: of ``llama_print_system_info``, like ``CPU : SSE3 = 1 | AVX2 = 1 | ...``.
    """
    found: set[str] = set()
    backend = ""
    for part in system_info.split("|"):
        head, named, feature = part.rpartition(" : ")
        backend = head.strip() if named else backend
        name, _, value = feature.partition(" = ")
        if backend == "CPU" and value.strip() not in ("", "0"):
            found.add(name.strip())
    return found
