"""Speed and memory of training: Unsloth's backend beside the plain one, on the same batches from the same start.

Why it matters: a trainer's hours are what a study costs, and the plain backend is what everyone has.
Method: a base of a real shape with random weights and Qwen2.5's own tokenizer (train_base.py: nothing but llama.cpp's
source, which carries the vocabulary, is ever downloaded); made-up people asked ten tasks (train_rows.py). Each backend
trains in a process of its own with the product's ``train``, one after the other; train_watch.py stands in front of what that
calls. A step's seconds are from the end of the step before to its own end, with everything that happens in between. The
first steps compile and fill caches and are left out of every figure but the time to the first step.
Without ``--checkpointing`` or ``--no-checkpointing`` a GPU is tried without recomputation first, and with it if that does not
fit, each backend for itself.
Output: lines for each backend as soon as it is done, and for what Unsloth is beside the plain one.
Command: socrates-fast bench train --shape 14b --json
"""

import os
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from socrates_bench.children import Child
from socrates_bench.record import Bench, Measurement
from socrates_bench.train_base import SHAPES, config_of, ensure_base, parameters_of
from socrates_bench.train_figures import compare, figures
from socrates_bench.train_lines import WARM_UP, backend_lines, base_line, compared_lines, shared_of
from socrates_fast.errors import SocratesError

BACKENDS = ("unsloth", "transformers")
PRECISIONS = ("auto", "float32", "bfloat16", "float16")
ROWS_A_SEQUENCE = 4
"""At most, when rows are packed: none is shorter than a quarter of the longest sequence."""


@dataclass(frozen=True)
class Plan:
    """What to measure.

    Attributes:
        shape: a key of ``train_base.SHAPES``.
        backends: in the order in which they run.
        steps: optimiser steps, the first ``WARM_UP`` of which do not count.
        batch_size: rows of a forward pass.
        accumulation: forward passes of a step.
        packing: several rows in a sequence.
        checkpointing: whether to recompute activations; None: if it does not fit otherwise.
        precision: as in a recipe.
        four_bit: whether the base is quantised.
        memory_cap: GiB of the GPU's memory that may be used; None for all.
    """

    shape: str = "tiny"
    backends: Sequence[str] = BACKENDS
    steps: int = 20
    batch_size: int = 8
    accumulation: int = 1
    packing: bool = False
    checkpointing: bool | None = None
    precision: str = "auto"
    four_bit: bool = True
    memory_cap: float | None = None

    def __post_init__(self) -> None:
        for what, given, known in (
            ("shape", [self.shape], SHAPES),
            ("backend", self.backends, BACKENDS),
            ("precision", [self.precision], PRECISIONS),
        ):
            if not given or set(given) - set(known):
                raise SocratesError(f"no {what} {', '.join(given)}; choose from {', '.join(known)}")
        if self.steps < WARM_UP + 2:
            raise SocratesError(
                f"--steps {self.steps}: at least {WARM_UP + 2}, the first {WARM_UP} do not count"
            )
        if self.memory_cap is not None and self.memory_cap <= 0:
            raise SocratesError(f"--memory-cap {self.memory_cap:g}: give the GiB that may be used")

    @property
    def rows(self) -> int:
        """Rows to make: as many as the steps take."""
        return self.steps * self.batch_size * self.accumulation * (ROWS_A_SEQUENCE if self.packing else 1)

    def recipe(self, backend: str, checkpointing: bool) -> dict[str, Any]:
        """The recipe of one backend: nothing is saved before the end, and everything else is as users get it."""
        train = {
            "backend": backend, "max_steps": self.steps, "batch_size": self.batch_size, "accumulation": self.accumulation,
            "packing": self.packing, "gradient_checkpointing": checkpointing, "precision": self.precision,
            "save_steps": self.steps + 1, "save_minutes": None,
        }  # fmt: skip
        return {
            "name": "bench",
            "data": {"source": "synthetic"},
            "train": train,
            "model": {"load_in_4bit": self.four_bit},
        }


def measure(plan: Plan, keep: Path | None = None) -> Iterator[Measurement]:
    """Measure, backend by backend.

    Args:
        plan: what.
        keep: folder in which the base stays, and is found the next time.
    """
    bench, found = Bench.begin("train"), {}
    with tempfile.TemporaryDirectory() as place:
        began = time.monotonic()
        base = ensure_base(keep or Path(place), plan.shape)
        facts = {**asdict(plan), "config": config_of(plan.shape), "parameters": parameters_of(plan.shape),
                 "base_seconds": time.monotonic() - began}  # fmt: skip
        shared = shared_of(facts)
        yield base_line(bench, shared, facts)
        kind = {"config": facts["config"], "multiplied": facts["parameters"]["multiplied"]}
        for backend in plan.backends:
            found[backend] = _backend(backend, base, plan)
            yield from backend_lines(bench, shared, backend, found[backend], kind)
    if compared := compare(found):
        yield from compared_lines(bench, shared, compared)


def _backend(backend: str, base: Path, plan: Plan) -> dict[str, Any]:
    """One backend; with recomputation if it has to be and nothing was asked."""
    policies = [False, True] if plan.checkpointing is None else [plan.checkpointing]
    for checkpointing in policies:
        ready, answer = _run(backend, base, plan, checkpointing)
        if not answer.get("short_of_memory"):
            break
    facts = {"checkpointing": checkpointing, "tried": policies[: policies.index(checkpointing) + 1], **ready}
    if "error" in answer:
        if not answer.get("short_of_memory"):
            raise SocratesError(f"{backend}: {answer['error']}")
        return {**facts, "error": answer["error"]}
    found = figures(answer, parameters_of(plan.shape)["multiplied"], facts)
    print(f"{backend}: {found['examples_per_second']:.2f} examples/s", file=sys.stderr)
    return facts | found


def _run(backend: str, base: Path, plan: Plan, checkpointing: bool) -> tuple[dict[str, Any], dict[str, Any]]:
    """One training in a fresh process: what it said when it was ready, and what came of it."""
    device = os.environ.get("CUDA_VISIBLE_DEVICES", "0").split(",")[0]  # more than one would share a batch
    variables = {"CUDA_VISIBLE_DEVICES": device, "HF_HUB_OFFLINE": "1"}
    with tempfile.TemporaryDirectory() as folder:
        child = Child("socrates_bench.train_child", variables, backend=backend, folder=folder,
                      began=time.monotonic(), memory_cap=plan.memory_cap)  # fmt: skip
        with child:
            recipe = plan.recipe(backend, checkpointing)
            return child.ready, child.ask(base=str(base), rows=plan.rows, recipe=recipe)
