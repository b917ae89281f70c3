"""A process that trains for some steps with one backend and says how it went; ``children`` speaks to it.

One a backend: Unsloth changes Transformers and TRL in the process that imports it.
"""

import os
import time
from pathlib import Path
from typing import Any

from socrates_bench.children import Answer, memory, serve
from socrates_fast.errors import SocratesError
from socrates_fast.optional import need

GIB = 2**30


def start(backend: str, folder: str, began: float, memory_cap: float | None) -> tuple[dict[str, Any], Answer]:
    """Import what the backend needs, as ``train`` would.

    Args:
        backend: ``unsloth`` or ``transformers``.
        folder: of the run.
        began: the monotonic clock before this process was started.
        memory_cap: GiB of the GPU's memory that may be used.
    """
    from socrates_fast.train.backends import prepare_environment

    prepare_environment(Path(folder) / "unsloth_compiled_cache")
    import torch

    # Unsloth before the libraries that it changes. All now, so that importing is not in the seconds of the rest.
    first = ["unsloth"] if backend == "unsloth" else []
    for module in (*first, "datasets", "peft", "trl"):
        need(module, "training", "train")
    device = _device()
    ready = {**device, "threads": torch.get_num_threads(), "import_seconds": time.monotonic() - began}
    refused = _cap(device, memory_cap)

    def answer(**job: Any) -> dict[str, Any]:
        return {"error": refused} if refused else _train(Path(folder), began, **job)

    return ready, answer


def _device() -> dict[str, Any]:
    """The GPU, or null where there is none."""
    import torch

    if not torch.cuda.is_available():
        return {"gpu": None, "gpu_bytes": 0}
    facts = torch.cuda.get_device_properties(0)
    capability = f"{facts.major}.{facts.minor}"
    return {
        "gpu": facts.name,
        "gpu_bytes": facts.total_memory,
        "capability": capability,
        "cuda": torch.version.cuda,
    }


def _cap(device: dict[str, Any], gib: float | None) -> str | None:
    """Let torch have no more than so much of the GPU's memory; why not, if not."""
    import torch

    if gib is None:
        return None
    if not device["gpu"]:
        return "--memory-cap limits a GPU's memory, and there is no GPU"
    if gib * GIB > device["gpu_bytes"]:
        return f"--memory-cap {gib:g}: the GPU has {device['gpu_bytes'] / GIB:.1f} GiB"
    torch.cuda.set_per_process_memory_fraction(gib * GIB / device["gpu_bytes"], 0)
    return None


def _train(folder: Path, began: float, base: str, rows: int, recipe: dict[str, Any]) -> dict[str, Any]:
    """Train with the product's own ``train``; what ``Watch`` wrote down, or the error with whether it was the memory."""
    import torch

    from socrates_bench.train_rows import rows_of
    from socrates_bench.train_watch import Watch
    from socrates_fast.recipe import Recipe
    from socrates_fast.runs import Run
    from socrates_fast.train import sft

    watch, used = Watch(), Memory()
    module: Any = sft
    watch.stand_before(module)
    module.load = used.after(module.load)
    try:
        prepared = rows_of(rows)
        done = sft.train(Recipe.model_validate(recipe), Path(base), {"train": prepared}, Run(folder), "bench",
                         watch.progress, lambda _: None)  # fmt: skip
    except SocratesError as error:
        short = isinstance(error.__cause__, torch.OutOfMemoryError | MemoryError)
        return {"error": str(error).replace(str(folder), "RUN"), "short_of_memory": short}
    return {
        "rows": len(prepared), "steps": watch.steps, "seconds": watch.seconds, "switches": watch.switches,
        "own": {part: [each[step] for step in range(done.steps)] for part, each in watch.own.items()},
        "memory": used.figures(), "trainable": done.trainable, "parameters": done.parameters,
        "to_first_step": watch.first_step_ended - began,
    }  # fmt: skip


class Memory:
    """Bytes: of the GPU what torch allocated, without one the process's resident set."""

    def __init__(self) -> None:
        self._loaded = self._load_peak = 0

    def after(self, load: Any) -> Any:
        """``load``, after which the base's memory is noted and the GPU's peak begins anew."""

        def noted(*arguments: Any) -> Any:
            import torch

            loaded = load(*arguments)
            if torch.cuda.is_available():
                self._loaded, self._load_peak = (
                    torch.cuda.memory_allocated(),
                    torch.cuda.max_memory_allocated(),
                )
                torch.cuda.reset_peak_memory_stats()
            else:
                now = memory(os.getpid())
                self._loaded, self._load_peak = now["own"] + now["files"], now["peak"]
            return loaded

        return noted

    def figures(self) -> dict[str, int]:
        """``peak`` of all, ``load_peak`` up to the loaded base, ``loaded`` then, ``train_peak`` after it."""
        import torch

        found = {"loaded": self._loaded, "load_peak": self._load_peak}
        if torch.cuda.is_available():
            peak = torch.cuda.max_memory_allocated()
            found["reserved"] = torch.cuda.max_memory_reserved()
        else:
            peak = memory(os.getpid())["peak"]
        return {"peak": max(peak, self._load_peak), "train_peak": peak, **found}


if __name__ == "__main__":
    serve(start)
