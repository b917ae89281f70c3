"""What other builds of llama.cpp cost on this machine: prompt speed (pp512.py) of the same files, in turns.

Why it matters: a build that lacks what the processor has works, only slowly, and nothing says so; ``doctor`` does, with
these figures.
Method: each build is a folder of llama.cpp's libraries of the pinned version (LLAMA_CPP_LIB_PATH), each in a process of
its own on the same GGUF, all alive together, one prompt each in turn; medians, of the ratios turn by turn. How to make such
a folder: bench/README.md.
Output: two lines for each file and build, the speed and how many times slower it is than the installed build.
Command: socrates-fast bench builds random-q8_0.gguf --lib no-avx2=lib-no-avx2 --json
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from socrates_bench.children import Child
from socrates_bench.record import Bench, Figure, Measurement, Model
from socrates_fast.errors import SocratesError
from socrates_fast.infer.probe import thread_candidates

INSTALLED = "installed"


def measure(
    models: Sequence[Path], libraries: Mapping[str, Path], tokens: int, repeats: int
) -> Iterator[Measurement]:
    """Prompt speed of each build on each file.

    Args:
        models: GGUF files.
        libraries: by name, folders of llama.cpp's libraries; the installed ones are measured besides.
        tokens: of the prompt; llama-bench has 512, a build a hundred times slower needs fewer.
        repeats: prompts for each.

    Raises:
        SocratesError: a folder holds no llama.cpp, or a build cannot load a file.
    """
    places = {INSTALLED: None, **{name: path.resolve() for name, path in libraries.items()}}
    for path in libraries.values():
        if not list(path.glob("*llama.*")):
            raise SocratesError(f"{path}: there is no llama.cpp library in it")
    threads = thread_candidates()[0]
    bench = Bench.begin("builds", threads)
    for path in models:
        found = _one(path.resolve(), places, threads, tokens, repeats)
        settings = {"file": path.name, "tokens": tokens, "repeats": repeats}
        yield from lines(bench, Model(bytes=path.stat().st_size), settings, found)


def _one(
    model: Path, places: Mapping[str, Path | None], threads: int, tokens: int, repeats: int
) -> dict[str, Any]:
    """By build: its system line, and tokens per second of each prompt."""
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
            name: {"system_info": child.ready["system_info"], "speeds": speeds[name]}
            for name, child in children.items()
        }


def lines(
    bench: Bench, model: Model, settings: Mapping[str, Any], found: Mapping[str, Any]
) -> list[Measurement]:
    """The speed of each build, and how many times slower it is, turn by turn.

    Args:
        bench: the run.
        model: the file's.
        settings: of the run on this file.
        found: by build, ``system_info`` and ``speeds`` in tokens/s, one a turn.
    """
    usual, made = found[INSTALLED]["speeds"], []
    for name, one in found.items():
        shared: dict[str, Any] = {
            "model": model, "settings": {**settings, "build": name}, "llama": one["system_info"],
        }  # fmt: skip
        slower = [ours / theirs for ours, theirs in zip(usual, one["speeds"], strict=True)]
        made += [
            bench.measured("prompt speed", Figure.of(one["speeds"], "tokens/s", warm_up=1), **shared),
            bench.measured("times slower than the installed build", Figure.of(slower, "x"), **shared),
        ]
    return made
