"""Tokens, examples, seconds and memory of training, counted where the model takes its batches."""

import time
from typing import Any

from socrates_fast.plan.utilisation import peak_teraflops, utilisation
from socrates_fast.train.distributed import ALONE

COUNTED = ("places", "tokens", "supervised", "examples")
"""What is added up over the processes."""


class Meter:
    """Counts the tokens of every batch that a model is given while it trains.

    It looks at the model's own input, so whatever packs, pads or sorts the rows is counted as it is. Sums stay on the
    device until they are read: nothing waits for the GPU at every step.

    Attributes:
        world: the processes that train together, whose tokens are added up; alone unless set.
    """

    def __init__(self, model: Any) -> None:
        self.world = ALONE
        self._totals: dict[str, Any] = {}
        self._examples_known = True
        self._multiplied, self._peak = multiplied(model), peak_teraflops(_gpu())
        self._began = time.monotonic()
        self._handle = model.register_forward_pre_hook(self._count, with_kwargs=True)

    def _count(self, model: Any, args: Any, kwargs: dict[str, Any]) -> None:
        import torch

        ids = kwargs.get("input_ids")
        validates, is_reference = not model.training, not torch.is_grad_enabled()
        if ids is None or validates or is_reference:
            return
        mask, labels = kwargs.get("attention_mask"), kwargs.get("labels")
        self._add("places", ids.numel())
        self._add("tokens", ids.numel() if mask is None or mask.dim() != 2 else mask.sum().detach())
        if labels is not None:
            self._add("supervised", (labels != -100).sum().detach())
        examples = examples_in(kwargs)
        self._examples_known &= examples is not None
        self._add("examples", 0 if examples is None else examples)

    def _add(self, name: str, value: Any) -> None:
        self._totals[name] = self._totals.get(name, 0) + value

    def read(self) -> dict[str, float]:
        """Since the last reading, of all processes together: ``tokens`` that are no padding, ``tokens_per_second``, ``padding`` (share of places),
        ``supervised`` tokens, ``examples_per_second`` where it can be known; ``mfu``, the share of the GPU's peak, where
        that is known; and ``peak_memory`` in bytes, of the GPU or else of the process, where it is largest.

        Processes that train together must all read.
        """
        counted = {name: float(self._totals.get(name, 0)) for name in COUNTED}
        totals = {name: int(value) for name, value in self.world.total(counted).items()}
        self._totals.clear()
        now = time.monotonic()
        seconds, self._began = max(now - self._began, 1e-9), now
        places = totals["places"]
        if not places:
            return {}
        found = {
            "tokens": totals["tokens"],
            "tokens_per_second": round(totals["tokens"] / seconds, 1),
            "padding": round(1 - totals["tokens"] / places, 4),
            "supervised": totals["supervised"],
            "peak_memory": int(self.world.largest({"bytes": peak_memory()})["bytes"]),
        }
        if self._examples_known:
            found["examples_per_second"] = round(totals["examples"] / seconds, 3)
        if self._peak:
            each = totals["tokens"] / seconds / self.world.size
            found["mfu"] = float(f"{utilisation(each, self._multiplied, self._peak):.4g}")
        return found

    def skip(self) -> None:
        """The time since the last reading was none of training."""
        self._began = time.monotonic()

    def close(self) -> None:
        """Stop counting."""
        self._handle.remove()


def examples_in(batch: dict[str, Any]) -> Any:
    """How many sequences the model's input holds, as a number or on its device; None if it cannot be known.

    Packed sequences are told apart by their lengths (Unsloth) or by positions that begin again (Transformers).
    """
    lengths, places = batch.get("packed_seq_lengths"), batch.get("position_ids")
    if lengths is not None:
        return lengths.numel()
    if batch.get("attention_mask") is not None:  # one row each; positions of padding are 0 as well
        return batch["input_ids"].shape[0]
    if places is not None and places.dim() == 2:
        return (places == 0).sum().detach()
    return None


def multiplied(model: Any) -> int:
    """Parameters of the base that each token is multiplied with: its blocks' matrices and the output matrix."""
    from torch.nn import Linear  # what is in 4 bits is one as well, of the same sides

    return sum(
        module.in_features * module.out_features
        for name, module in model.named_modules()
        if isinstance(module, Linear) and "lora_" not in name
    )


def _gpu() -> str | None:
    """What its driver calls the GPU; None if there is none."""
    import torch

    return torch.cuda.get_device_name() if torch.cuda.is_available() else None


def peak_memory() -> int:
    """Bytes: the most that was allocated on the GPU, or, without one, the process's largest resident set."""
    import torch

    if torch.cuda.is_available():
        return int(torch.cuda.max_memory_allocated())
    import resource

    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
