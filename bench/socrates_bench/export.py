"""How fast the export is, how much memory it takes, and how far it is from the quantiser's own arithmetic.

Why it matters: merging, converting and quantising apart writes a 14B model three times and holds it in memory.
Method: a random checkpoint of a real shape with a LoRA adapter of rank 16, on one disk, in one run. The export's
worker is one process that opens, merges and writes all types asked for. The steps apart are what a user would run:
PEFT's merge_and_unload to a folder, llama.cpp's converter to F16, llama_model_quantize for each type; each a process of
its own, in turns with the export (peers/apart.py; left out with a reason where something is not installed). The arithmetic is ggml_quantize_chunk over as many random elements of the same tensor types, rows in a
core's cache, on as many threads; the export is compared with it without its start-up, which is that of an export of
nothing (Python, tokenizer, headers) and does not grow with the model. All inputs have been read once, so they come from the page cache.
Output: a line for the start-up, for each step apart, for each export, and for how many times as fast it is.
Command: socrates-fast bench export --shape 0.5b --json
"""

import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from socrates_bench.export_lines import export_lines, model_of, startup_line, step_lines
from socrates_bench.llama_source import llama_source
from socrates_bench.peers.apart import reason_to_skip, run_steps
from socrates_bench.record import Bench, Measurement
from socrates_bench.steps import Measured, measured
from socrates_bench.synthetic import SHAPES, write_adapter, write_base
from socrates_export.source.merged import MergedModel, open_merged
from socrates_export.write.files import SLAB_BYTES, model_metadata
from socrates_export.write.ggml import Encoder
from socrates_export.write.types import MixFacts, check_kinds, tensor_types
from socrates_fast.errors import SocratesError

SETS = (("f16",), ("q8_0",), ("q4_k_m",), ("f16", "q8_0", "q6_k", "q4_k_m"))
"""What is exported: types alone, and four at once."""


def measure(
    shape: str, sets: Sequence[Sequence[str]] = SETS, repeats: int = 3, apart: bool = True
) -> Iterator[Measurement]:
    """Measure the export of one shape.

    Args:
        shape: a key of ``synthetic.SHAPES``.
        sets: the types of each export.
        repeats: exports of each set; the median counts.
        apart: also run the steps apart, as often (needs PEFT and llama.cpp's source distribution).
    """
    if shape not in SHAPES:
        raise SocratesError(f"no shape {shape}; choose from {', '.join(SHAPES)}")
    for kinds in sets:
        check_kinds(list(kinds))
    bench = Bench.begin("export", len(os.sched_getaffinity(0)))
    reason = reason_to_skip(shape) if apart else None
    if reason:
        print(f"skipped the steps apart: {reason}", file=sys.stderr)
    apart = apart and not reason
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        vocabulary = llama_source() / "models" / "ggml-vocab-qwen2.gguf" if apart else None
        write_base(folder / "base", shape, vocabulary)
        write_adapter(folder / "adapter", shape)
        model = open_merged(folder / "base", folder / "adapter")
        shared = {"model": model_of(shape, sum(int(np.prod(spec.shape)) for spec in model.specs)), "settings": {
            "repeats": repeats, "file_system": _file_system(folder),
            "adapter_bytes": (folder / "adapter" / "adapter_model.safetensors").stat().st_size,
        }}  # fmt: skip
        startup, steps, runs = _turns(folder, model, sets, repeats, apart)
        skipped = {"skipped": {"steps apart": reason}} if reason else {}
        yield from step_lines(bench, shared, steps)
        yield startup_line(bench, shared, startup)
        for found in runs:
            found |= {"startup_seconds": statistics.median(startup), **skipped}
            yield from export_lines(bench, shared, found)


def _turns(
    folder: Path, model: MergedModel, sets: Sequence[Sequence[str]], repeats: int, apart: bool
) -> tuple[list[float], list[dict[str, Measured]], list[dict[str, Any]]]:
    """Everything in turns, so that another program's load falls on all: seconds of nothing, steps apart, each set."""
    startup, steps = [], []
    turns: list[list[tuple[float, Measured, int]]] = [[] for _ in sets]
    for _ in range(repeats):
        if apart:
            steps.append(run_steps(folder, {kind for kinds in sets for kind in kinds}))
        startup.append(_export(folder, {}).seconds)
        for taken, kinds in zip(turns, sets, strict=True):
            taken.append(_once(folder, model, kinds))
    return startup, steps, [_set(kinds, taken, steps) for kinds, taken in zip(sets, turns, strict=True)]


def _file_system(folder: Path) -> str:
    """The type of the file system that ``folder`` is on (``tmpfs`` is memory)."""
    mounts = [line.split() for line in Path("/proc/mounts").read_text(encoding="utf-8").splitlines()]
    types = {mount[1]: mount[2] for mount in mounts}
    return next(types[str(place)] for place in (folder, *folder.parents) if str(place) in types)


def _once(folder: Path, model: MergedModel, kinds: Sequence[str]) -> tuple[float, Measured, int]:
    """Seconds of the arithmetic of one export, the export, and the bytes of its files."""
    files = {kind: folder / "out" / f"x-{kind}.gguf" for kind in kinds}
    arithmetic, run = _arithmetic(model, kinds), _export(folder, files)
    size = sum(path.stat().st_size for path in files.values())
    for path in files.values():
        path.unlink()
    return arithmetic, run, size


def _set(
    kinds: Sequence[str], taken: Sequence[tuple[float, Measured, int]], steps: Sequence[dict[str, Measured]]
) -> dict[str, Any]:
    """What was found of one set; of the steps apart their seconds in each turn."""
    runs = [run for _, run, _ in taken]
    record: dict[str, Any] = {
        "types": list(kinds),
        "seconds": [run.seconds for run in runs],
        "peak_rss": max(run.peak_rss for run in runs),
        "bytes": taken[0][2],
        "bytes_written": statistics.median(run.written for run in runs),
        "arithmetic_seconds": statistics.median(seconds for seconds, _, _ in taken),
    }
    if steps:
        once = [turn["merge"].seconds + turn["convert"].seconds for turn in steps]
        quantised = [sum(turn[kind].seconds for kind in kinds if kind in turn) for turn in steps]
        pairs = list(zip(once, quantised, strict=True))
        record["apart_seconds"] = [one + more for one, more in pairs]
        record["apart_seconds_one_after_another"] = [len(kinds) * one + more for one, more in pairs]
    return record


def _export(folder: Path, files: dict[str, Path]) -> Measured:
    arguments = {
        "base": str(folder / "base"), "adapter": str(folder / "adapter"), "merge_base": "original", "name": "x",
        "extra": {}, "files": {kind: str(path) for kind, path in files.items()}, "imatrix": None, "threads": 0,
    }  # fmt: skip
    job = json.dumps({"task": "write", "arguments": arguments, "partial": None})
    return measured([sys.executable, "-P", "-m", "socrates_export.child"], job)


def _arithmetic(model: MergedModel, kinds: Sequence[str]) -> float:
    """Seconds of ggml_quantize_chunk over the elements of all tensors, in all types, on all threads."""
    facts = MixFacts.of(model_metadata(model, "x"), imatrix=False)
    shapes = {spec.target: spec.shape for spec in model.specs}
    slabs = {width: _slab(width) for width in {shape[-1] for shape in shapes.values()}}
    jobs = []
    for kind in kinds:
        for name, tensor in tensor_types(kind, shapes, facts).items():
            if len(shape := shapes[name]) == 2:
                slab = slabs[shape[1]]
                jobs += [
                    (Encoder.of(name, tensor), slab[: shape[0] - at]) for at in range(0, shape[0], len(slab))
                ]
    started = time.monotonic()
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        for _ in pool.map(lambda job: job[0].encode(job[1], 0.1), jobs):
            pass
    return time.monotonic() - started


def _slab(width: int) -> NDArray[np.float32]:
    rows = max(1, SLAB_BYTES // (4 * width))
    return np.random.default_rng(0).standard_normal((rows, width), np.float32) * np.float32(0.02)
