"""What each GGUF type changes in a model, and how fast each file reads prompts: quality beside speed.

Why it matters: whoever chooses a type trades answers for speed and memory, and both depend on the model and the machine.
Method: an export of several types has left ``parity.json``: each file compared with the original weights and adapter in
float32 (tensors, logits, answers). It is read, not computed again. The files' prompt speed (pp512.py) is measured in turns,
each in a process of its own, all alive together.
Output: two lines for each type: the answers' Kullback-Leibler divergence, and the speed with the same quality.
Command: socrates-fast export runs/tiny --quant f16,q8_0,q4_k_m --out all; socrates-fast bench parity all --json
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from socrates_bench.children import Child
from socrates_bench.record import Bench, Figure, Measurement, Model
from socrates_fast.errors import DataError
from socrates_fast.infer.probe import thread_candidates

QUALITY = {"answers": ("kl", "kl_max", "wasserstein", "wasserstein_max", "top1"), "logits": ("nmse",)}
TOKENS = 512


def measure(folder: Path, repeats: int = 5, threads: int | None = None) -> Iterator[Measurement]:
    """The lines of an export's folder.

    Args:
        folder: with ``parity.json`` and the files that it names.
        repeats: prompts for each file.
        threads: CPU threads; all by default.

    Raises:
        DataError: there is no such export, or its answers were not compared.
    """
    facts = types_of(folder)
    threads = threads or thread_candidates()[0]
    bench = Bench.begin("parity", threads)
    for kind, one in facts.items():
        yield quality_line(bench, Model(quantisation=kind, bytes=one["bytes"]), one["settings"], one["found"])
    yield from _speeds(bench, folder, facts, repeats, threads)


def types_of(folder: Path) -> dict[str, dict[str, Any]]:
    """By type: ``file``, ``bytes``, ``settings`` and what was ``found``, of an export's ``parity.json``."""
    path = folder / "parity.json"
    try:
        parity = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: cannot be read ({error}); name the folder of an export") from error
    if isinstance(parity["answers"], str):
        raise DataError(f"{path}: answers were not compared; export without --no-verify")
    asked = {"prompts": parity["answers"]["prompts"], "positions": parity["logits"]["positions"]}
    parts = ("tensors", "logits", "answers", "metrics")
    return {
        kind: {
            "file": fact["file"], "bytes": fact["bytes"],
            "settings": {"name": fact["file"].removesuffix(f"-{kind}.gguf"), **asked},
            "found": {part: parity[part]["types"][kind] for part in parts if _has(parity[part], kind)},
        }
        for kind, fact in parity["files"].items()
    }  # fmt: skip


def _has(part: Any, kind: str) -> bool:
    return isinstance(part, dict) and kind in part.get("types", {})


def quality_of(found: Mapping[str, Any]) -> dict[str, float]:
    """The figures by which types are told apart."""
    return {name: found[part][name] for part, names in QUALITY.items() for name in names if part in found}


def quality_line(
    bench: Bench, model: Model, settings: Mapping[str, Any], found: Mapping[str, Any]
) -> Measurement:
    """What a type changes; everything that was compared is in the details.

    Args:
        bench: the run.
        model: the file's.
        settings: how much was compared.
        found: by part (``tensors``, ``logits``, ``answers``, ``metrics``), its figures.
    """
    return bench.measured("divergence of the answers, mean over prompts", Figure.of([found["answers"]["kl"]], "nats"),
                          model=model, settings=settings, quality=quality_of(found), details=found)  # fmt: skip


def _speeds(
    bench: Bench, folder: Path, facts: dict[str, dict[str, Any]], repeats: int, threads: int
) -> Iterator[Measurement]:
    """The prompt speed of each file, in turns."""
    with ExitStack() as stack:
        children = {
            kind: stack.enter_context(
                Child("socrates_bench.pp512", path=str(folder / one["file"]), threads=threads, gpu_layers=0)
            )
            for kind, one in facts.items()
        }
        speeds: dict[str, list[float]] = {kind: [] for kind in children}
        for _ in range(repeats):
            for kind, child in children.items():
                speeds[kind] += child.ask(repetitions=1)["tokens_per_second"]
        for kind, child in children.items():
            one = facts[kind]
            yield bench.measured(
                "prompt speed", Figure.of(speeds[kind], "tokens/s", warm_up=1),
                model=Model(quantisation=kind, bytes=one["bytes"]), quality=quality_of(one["found"]),
                settings={**one["settings"], "tokens": TOKENS, "repeats": repeats}, llama=child.ready["system_info"],
            )  # fmt: skip
