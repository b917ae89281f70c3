"""What other builds of llama.cpp cost on this machine: prompt speed (pp512.py) of the same files, in turns.

Why it matters: a build that lacks what the processor has works, only slowly, and nothing says so; ``doctor`` does, with
these figures.
Method: each build is a folder of llama.cpp's libraries of the pinned version (LLAMA_CPP_LIB_PATH), each in a process of
its own on the same GGUF, all alive together, one prompt each in turn; medians, of the ratios turn by turn. How to make such a folder: bench/README.md.
Output: one JSON record; ``--json`` prints nothing else on stdout.
Command: socrates-fast bench builds random-q8_0.gguf --lib no-avx2=lib-no-avx2 --json
"""

import os
import statistics
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from socrates_bench.children import Child
from socrates_bench.demo import cpu_name
from socrates_fast.errors import SocratesError
from socrates_fast.infer.probe import thread_candidates
from socrates_fast.runs import environment

INSTALLED = "installed"


def measure(
    models: Sequence[Path], libraries: Mapping[str, Path], tokens: int, repeats: int
) -> dict[str, Any]:
    """Prompt speed of each build on each file.

    Args:
        models: GGUF files.
        libraries: by name, folders of llama.cpp's libraries; the installed ones are measured besides.
        tokens: of the prompt; llama-bench has 512, a build a hundred times slower needs fewer.
        repeats: prompts for each.

    Raises:
        SocratesError: a folder holds no llama.cpp, or a build cannot load a file.
    """
    load = os.getloadavg()[0]
    places = {INSTALLED: None, **{name: path.resolve() for name, path in libraries.items()}}
    for path in libraries.values():
        if not list(path.glob("*llama.*")):
            raise SocratesError(f"{path}: there is no llama.cpp library in it")
    threads = thread_candidates()[0]
    files = {path.name: _one(path.resolve(), places, threads, tokens, repeats) for path in models}
    return {
        "bench": "builds", "tokens": tokens, "threads": threads, "repeats": repeats, "files": files,
        "load_average_at_start": load, "cpu": cpu_name(), "environment": environment(),
    }  # fmt: skip


def _one(
    model: Path, places: Mapping[str, Path | None], threads: int, tokens: int, repeats: int
) -> dict[str, Any]:
    with ExitStack() as stack:
        children = {
            name: stack.enter_context(
                Child(
                    "socrates_bench.pp512", environment={"LLAMA_CPP_LIB_PATH": str(place)} if place else {},
                    path=str(model), threads=threads, gpu_layers=0, tokens=tokens,
                )
            )
            for name, place in places.items()
        }  # fmt: skip
        speeds: dict[str, list[float]] = {name: [] for name in children}
        for _ in range(repeats):
            for name, child in children.items():
                speeds[name] += child.ask(repetitions=1)["tokens_per_second"]
        return {
            name: {
                "system_info": child.ready["system_info"],
                "tokens_per_second": {"median": statistics.median(speeds[name]), "all": speeds[name]},
                "times_slower": statistics.median(
                    usual / one for usual, one in zip(speeds[INSTALLED], speeds[name], strict=True)
                ),
            }
            for name, child in children.items()
        }


def print_record(record: dict[str, Any]) -> None:
    """The record for people."""
    for model, builds in record["files"].items():
        for name, found in builds.items():
            print(
                f"{model:<28}{name:<16}{found['tokens_per_second']['median']:>8.1f} tokens/s, "
                f"{found['times_slower']:.2f} times slower"
            )
