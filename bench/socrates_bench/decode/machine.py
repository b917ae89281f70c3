"""What this machine's memory and arithmetic give at best, measured by numpy. A child (children.py).

Reading: the largest of all numbers of an array that no cache holds, a share of it on each thread; the fastest of several
ways to touch every byte from numpy. Arithmetic: a float32 matrix product by numpy's BLAS, whose threads the parent sets.
"""

import re
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from socrates_bench.children import Answer, serve

MOST_BYTES = 2**29
"""Of the array that is read; less where memory is short."""
SIDE = 2048
"""Rows and columns of the matrices that are multiplied."""
PASSES = 3


def start(threads: int) -> tuple[dict[str, Any], Answer]:
    """Get ready; each question's answer is what the passes gave, in bytes/s and in float32 operations/s."""

    def answer() -> dict[str, Any]:
        return {"read": read_speeds(threads, array_bytes()), "multiply": multiply_speeds(SIDE)}

    return {"array_bytes": array_bytes(), "side": SIDE}, answer


def array_bytes(meminfo: Path = Path("/proc/meminfo")) -> int:
    """Bytes of the array: a quarter of the memory that is free, at most ``MOST_BYTES``."""
    found = (
        re.search(r"MemAvailable:\s+(\d+) kB", meminfo.read_text(encoding="ascii"))
        if meminfo.is_file()
        else None
    )
    return min(MOST_BYTES, 1024 * int(found[1]) // 4) if found else MOST_BYTES


def read_speeds(threads: int, n_bytes: int) -> list[float]:
    """Bytes per second of some passes over an array of ``n_bytes``."""
    array = np.ones(n_bytes // 4, np.int32)
    parts = np.array_split(array, threads)
    speeds = []
    with ThreadPoolExecutor(threads) as pool:
        for _ in range(PASSES):
            started = time.perf_counter()
            assert max(pool.map(np.max, parts)) == 1
            speeds.append(array.nbytes / (time.perf_counter() - started))
    return speeds


def multiply_speeds(side: int) -> list[float]:
    """Multiplications and additions per second of some products of square matrices."""
    left, right = np.random.default_rng(0).standard_normal((2, side, side), np.float32)
    out = left @ right
    speeds = []
    for _ in range(PASSES):
        started = time.perf_counter()
        np.matmul(left, right, out=out)
        speeds.append(2 * side**3 / (time.perf_counter() - started))
    return speeds


if __name__ == "__main__":
    serve(start)
