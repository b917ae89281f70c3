"""Forward passes of a causal language model in Transformers: chosen next-token probabilities, keys and values kept.

The caches hold all keys and values of every layer, those of layers with a sliding window too (their masks look at
distances), so that any beginning of a row can be gone on from.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from socrates_fast.errors import ModelError, ScoringError
from socrates_fast.infer.hf_batches import Ids, common_length

Wanted = Mapping[int, NDArray[np.int64]]
"""What is read of a row: by the place of a token in it, the columns (token ids) of the probabilities after it."""


@dataclass(frozen=True)
class Held:
    """Keys and values that rows go on from.

    Attributes:
        cache: a ``DynamicCache``; its rows end together, so that shorter ones have something meaningless in front.
        lengths: tokens of each row.
    """

    cache: Any
    lengths: list[int]


class Passes:
    """Forward passes of ``model``, a causal language model of Transformers, adapted or not.

    Attributes:
        computed: tokens computed so far, those that fill rows up included.
        seconds: spent in the passes so far.
        shares: whether rows can go on from kept keys and values.

    Raises:
        ModelError: it is not such a model.
    """

    def __init__(self, model: Any) -> None:
        self._head = getattr(model, "get_output_embeddings", lambda: None)()
        if self._head is None:
            raise ModelError(f"{type(model).__name__} is not a causal language model of Transformers")
        self._model = model
        self.device = model.device
        self.computed = 0
        self.seconds = 0.0
        # Models that others have patched (Unsloth's) take one token after a cache, or none; others keep a state.
        own = type(model).forward.__module__.startswith("transformers.")
        self.shares = own and not getattr(model, "_is_stateful", False)

    def read(
        self, rows: Sequence[Ids], wanted: Sequence[Wanted], held: Held | None = None
    ) -> tuple[list[dict[int, NDArray[np.float64]]], Any]:
        """Log probabilities at the wanted places of each row, and the cache that has the rows now.

        Args:
            rows: token ids; shorter rows are filled up on the right, where attention does not look.
            wanted: per row, what to read; at least one place.
            held: what the rows go on from, one row for each.

        Raises:
            ScoringError: the GPU's memory is too small.
        """
        import torch

        started = time.monotonic()
        longest = max(map(len, rows))
        filled = np.zeros((len(rows), longest), dtype=np.int64)
        for number, row in enumerate(rows):
            filled[number, : len(row)] = row
        places = _padded([list(places) for places in wanted])
        arguments = self._arguments(held, longest)
        try:
            with torch.inference_mode(), _reading(self._head, self._tensor(places)):
                output = self._model(input_ids=self._tensor(filled), **arguments)
                found = self._picked(output.logits, wanted)
        except torch.OutOfMemoryError as error:
            raise ScoringError(
                f"the GPU's memory is too small for {len(rows)} rows of {longest} tokens; ask for a smaller "
                "batch (tokens in a pass), or load the model in 4 bits (load_in_4bit)"
            ) from error
        self.computed += filled.size
        self.seconds += time.monotonic() - started
        return found, arguments.get("past_key_values")

    def _arguments(self, held: Held | None, longest: int) -> dict[str, Any]:
        import torch
        from transformers import DynamicCache

        if not self.shares:
            return {"use_cache": False}
        if held is None:
            return {"use_cache": True, "past_key_values": DynamicCache()}
        lengths = torch.tensor(held.lengths, device=self.device)[:, None]
        arguments = {
            "use_cache": True,
            "past_key_values": held.cache,
            "position_ids": lengths + torch.arange(longest, device=self.device),
        }
        width = max(held.lengths)
        if min(held.lengths) < width:
            known = torch.arange(width, device=self.device) >= width - lengths
            new = known.new_ones(len(held.lengths), longest)
            arguments["attention_mask"] = torch.cat([known, new], dim=1).long()
        return arguments

    def _picked(self, logits: Any, wanted: Sequence[Wanted]) -> list[dict[int, NDArray[np.float64]]]:
        """Log-softmax of ``logits``, (rows, places, vocabulary), at the wanted columns."""
        sizes = [len(columns) for places in wanted for columns in places.values()]
        spots = [(row, place) for row, places in enumerate(wanted) for place in range(len(places))]
        row, place = (self._tensor(np.repeat(part, sizes)) for part in np.array(spots).T)
        column = self._tensor(np.concatenate([c for places in wanted for c in places.values()]))
        if logits.device.type == "mps":  # it has no float64
            logits, row, place, column = (tensor.cpu() for tensor in (logits, row, place, column))
        totals = logits.double().logsumexp(-1)
        found = (logits[row, place, column].double() - totals[row, place]).cpu().numpy()
        parts = iter(np.split(found, np.cumsum(sizes)[:-1]))
        return [{place: next(parts) for place in places} for places in wanted]

    def branched(self, cache: Any, picks: Sequence[tuple[int, int]]) -> Held:
        """A cache of its own for ``picks``: the first so many tokens of the row of that number.

        Args:
            cache: its rows begin together.
            picks: row and length, at least one token.
        """
        import torch
        from transformers import DynamicCache

        lengths = [length for _, length in picks]
        rows = torch.tensor([row for row, _ in picks], device=self.device)[:, None, None]
        width = max(lengths)
        gaps = width - torch.tensor(lengths, device=self.device)
        places = (torch.arange(width, device=self.device) - gaps[:, None]).clamp(min=0)[:, None, :]
        taken = DynamicCache()
        for number, layer in enumerate(cache.layers):
            heads = torch.arange(layer.keys.shape[1], device=self.device)[None, :, None]
            taken.update(layer.keys[rows, heads, places], layer.values[rows, heads, places], number)
        return Held(taken, lengths)

    def _tensor(self, array: NDArray[Any]) -> Any:
        import torch

        return torch.from_numpy(np.ascontiguousarray(array)).to(self.device)


class Beginning:
    """The beginning of a batch's prompts, computed once; what the next batch shares of it stays.

    Args:
        passes: of the model.
    """

    def __init__(self, passes: Passes) -> None:
        self._passes = passes
        self._ids: Ids = np.zeros(0, dtype=np.int32)
        self._cache: Any = None

    def held(self, ids: Ids, rows: int) -> Held | None:
        """Keys and values of ``ids`` for so many rows; None if there are no ids."""
        if not len(ids):
            return None
        kept = common_length(self._ids, ids)
        if kept < len(ids):
            held = self._passes.branched(self._cache, [(0, kept)]) if kept else None
            rest = ids[kept:]
            unread = {len(rest) - 1: np.zeros(1, dtype=np.int64)}
            self._cache = self._passes.read([rest], [unread], held)[1]
            self._ids = ids
        return self._passes.branched(self._cache, [(0, len(ids))] * rows)


@contextmanager
def _reading(head: Any, places: Any) -> Iterator[None]:
    """Have the output matrix compute the logits at ``places``, (rows, places), of each row only.

    All logits of a batch would be gigabytes.

    Raises:
        ModelError: the model does not call its output matrix.
    """
    import torch

    rows = torch.arange(len(places), device=places.device)[:, None]
    calls = []

    def pick(_: Any, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
        calls.append(rows)
        return (inputs[0][rows, places], *inputs[1:])

    hook = head.register_forward_pre_hook(pick)
    try:
        yield
    finally:
        hook.remove()
    if not calls:
        raise ModelError("the model computes its logits in a way of its own; score an exported GGUF instead")


def _padded(lists: Sequence[list[int]]) -> NDArray[np.int64]:
    longest = max(map(len, lists))
    return np.array([[*row, *row[-1:] * (longest - len(row))] for row in lists], dtype=np.int64)
