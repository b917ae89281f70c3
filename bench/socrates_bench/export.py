"""How fast the export is, how much memory it takes, and how far it is from the quantiser's own arithmetic.

Why it matters: merging, converting and quantising apart writes a 14B model three times and holds it in memory.
Method: a random checkpoint of a real shape with a LoRA adapter of rank 16, on one disk, in one run. The export's
worker is one process that opens, merges and writes all types asked for. The steps apart are what a user would run:
PEFT's merge_and_unload to a folder, llama.cpp's converter to F16, llama_model_quantize for each type; each a process of
its own. The arithmetic is ggml_quantize_chunk over as many random elements of the same tensor types, rows in a
core's cache, on as many threads; the export is compared with it without its start-up, which is that of an export of
nothing (Python, tokenizer, headers) and does not grow with the model. All inputs have been read once, so they come from the page cache.
Output: one JSON record; ``--json`` prints nothing else on stdout.
Command: socrates-fast bench export --shape 0.5b --json
"""

import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from socrates_bench.demo import cpu_name
from socrates_bench.llama_source import llama_source
from socrates_bench.steps import Measured, measured
from socrates_bench.synthetic import SHAPES, write_adapter, write_base
from socrates_export.source.merged import MergedModel, open_merged
from socrates_export.write.files import SLAB_BYTES, model_metadata
from socrates_export.write.ggml import Encoder
from socrates_export.write.types import FILE_TYPES, FLOATS, MixFacts, check_kinds, tensor_types
from socrates_fast.errors import SocratesError
from socrates_fast.runs import environment

SETS = (("f16",), ("q8_0",), ("q4_k_m",), ("f16", "q8_0", "q6_k", "q4_k_m"))
"""What is exported: types alone, and four at once."""


def measure(
    shape: str, sets: Sequence[Sequence[str]] = SETS, repeats: int = 3, apart: bool = True
) -> dict[str, Any]:
    """Measure the export of one shape.

    Args:
        shape: a key of ``synthetic.SHAPES``.
        sets: the types of each export.
        repeats: exports of each set; the median counts.
        apart: also run the steps apart, once (needs PEFT and llama.cpp's source distribution).
    """
    if shape not in SHAPES:
        raise SocratesError(f"no shape {shape}; choose from {', '.join(SHAPES)}")
    for kinds in sets:
        check_kinds(list(kinds))
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        vocabulary = llama_source() / "models" / "ggml-vocab-qwen2.gguf" if apart else None
        write_base(folder / "base", shape, vocabulary)
        write_adapter(folder / "adapter", shape)
        model = open_merged(folder / "base", folder / "adapter")
        steps = _apart(folder, {kind for kinds in sets for kind in kinds}) if apart else {}
        startup = statistics.median(_export(folder, {}).seconds for _ in range(repeats))
        results = [_one(folder, model, kinds, repeats, steps, startup) for kinds in sets]
        adapter = (folder / "adapter" / "adapter_model.safetensors").stat().st_size
        parameters = sum(int(np.prod(spec.shape)) for spec in model.specs)
        where = _file_system(folder)
    return {
        "bench": "export", "shape": shape, "parameters": parameters, "adapter_bytes": adapter,
        "threads": len(os.sched_getaffinity(0)), "file_system": where, "startup_seconds": startup, "exports": results,
        "steps_apart": {name: asdict(step) for name, step in steps.items()},
        "n": repeats, "load_average_at_start": load, "cpu": cpu_name(), "environment": environment(),
    }  # fmt: skip


def _file_system(folder: Path) -> str:
    """The type of the file system that ``folder`` is on (``tmpfs`` is memory)."""
    mounts = [line.split() for line in Path("/proc/mounts").read_text(encoding="utf-8").splitlines()]
    types = {mount[1]: mount[2] for mount in mounts}
    return next(types[str(place)] for place in (folder, *folder.parents) if str(place) in types)


def _one(
    folder: Path,
    model: MergedModel,
    kinds: Sequence[str],
    repeats: int,
    steps: dict[str, Measured],
    startup: float,
) -> dict[str, Any]:
    runs, arithmetic = [], []
    files = {kind: folder / "out" / f"x-{kind}.gguf" for kind in kinds}
    for _ in range(repeats):
        arithmetic.append(_arithmetic(model, kinds))
        runs.append(_export(folder, files))
    size = sum(path.stat().st_size for path in files.values())
    for path in files.values():
        path.unlink()
    seconds = statistics.median(run.seconds for run in runs)
    record: dict[str, Any] = {
        "types": list(kinds),
        "seconds": {"median": seconds, "all": [run.seconds for run in runs]},
        "peak_rss": max(run.peak_rss for run in runs),
        "bytes": size,
        "bytes_written": statistics.median(run.written for run in runs),
        "arithmetic_seconds": statistics.median(arithmetic),
        "over_arithmetic": (seconds - startup) / statistics.median(arithmetic),
    }
    if steps:
        once = steps["merge"].seconds + steps["convert"].seconds
        quantised = sum(steps[kind].seconds for kind in kinds if kind in steps)
        record["apart_seconds"] = once + quantised
        record["times_faster"] = (once + quantised) / seconds
        record["times_faster_than_one_after_another"] = (len(kinds) * once + quantised) / seconds
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


def _apart(folder: Path, kinds: set[str]) -> dict[str, Measured]:
    """The steps that the export replaces, each measured once."""
    python, merged, float_file = sys.executable, folder / "merged", folder / "apart-f16.gguf"
    merge = [
        python,
        "-m",
        "socrates_bench.peft_merge",
        str(folder / "base"),
        str(folder / "adapter"),
        str(merged),
    ]
    steps = {"merge": measured(merge)}
    converter = str(llama_source() / "convert_hf_to_gguf.py")
    convert = [python, converter, str(merged), "--outfile", str(float_file), "--outtype", "f16"]
    steps["convert"] = measured(convert)
    for kind in kinds - set(FLOATS):
        target, number = folder / "apart.gguf", str(FILE_TYPES[kind].number)
        quantise = [python, "-m", "socrates_bench.llama_quantize", str(float_file), str(target), number]
        steps[kind] = measured(quantise)
        target.unlink()
    return steps


def print_record(record: dict[str, Any]) -> None:
    """The record for people."""
    print(f"{record['shape']}: {record['parameters'] / 1e6:,.0f} M parameters, {record['threads']} threads")
    for one in record["exports"]:
        print(
            f"{'+'.join(one['types']):<24}{one['seconds']['median']:>8.1f} s, {one['over_arithmetic']:.2f} x its "
            f"arithmetic, {one['peak_rss'] / 2**20:,.0f} MiB at most"
            + (f", {one['times_faster']:.1f} x faster than apart" if "times_faster" in one else "")
        )
