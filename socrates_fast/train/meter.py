"""Tokens, seconds and memory of training, counted where the model takes its batches."""

import time
from typing import Any


class Meter:
    """Counts the tokens of every batch that a model is given while it trains.

    It looks at the model's own input, so whatever packs, pads or sorts the rows is counted as it is. Sums stay on the
    device until they are read: nothing waits for the GPU at every step.
    """

    def __init__(self, model: Any) -> None:
        self._totals: dict[str, Any] = {}
        self._began = time.monotonic()
        self._handle = model.register_forward_pre_hook(self._count, with_kwargs=True)

    def _count(self, model: Any, args: Any, kwargs: dict[str, Any]) -> None:
        ids = kwargs.get("input_ids")
        if ids is None or not model.training:
            return
        mask, labels = kwargs.get("attention_mask"), kwargs.get("labels")
        self._add("places", ids.numel())
        self._add("tokens", ids.numel() if mask is None or mask.dim() != 2 else mask.sum().detach())
        if labels is not None:
            self._add("supervised", (labels != -100).sum().detach())

    def _add(self, name: str, value: Any) -> None:
        self._totals[name] = self._totals.get(name, 0) + value

    def read(self) -> dict[str, float]:
        """Since the last reading: ``tokens`` that are no padding, ``tokens_per_second``, ``padding`` (share of places),
        ``supervised`` tokens; and ``peak_memory`` in bytes, of the GPU or else of the process.
        """
        totals = {name: int(value) for name, value in self._totals.items()}
        self._totals.clear()
        now = time.monotonic()
        seconds, self._began = now - self._began, now
        places = totals.get("places", 0)
        if not places:
            return {}
        return {
            "tokens": totals["tokens"],
            "tokens_per_second": round(totals["tokens"] / max(seconds, 1e-9), 1),
            "padding": round(1 - totals["tokens"] / places, 4),
            "supervised": totals.get("supervised", 0),
            "peak_memory": peak_memory(),
        }

    def close(self) -> None:
        """Stop counting."""
        self._handle.remove()


def peak_memory() -> int:
    """Bytes: the most that was allocated on the GPU, or, without one, the process's largest resident set."""
    import torch

    if torch.cuda.is_available():
        return int(torch.cuda.max_memory_allocated())
    import resource

    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
