"""Whether an adapter still lets a tied model's output matrix be its embedding, as PEFT 0.21 computes it.

PEFT wraps the modules that it trains and leaves the tied parameter alone. So on a tied model LoRA on the embedding
does not reach the output matrix, and the other way round; a copy in ``modules_to_save`` is one module's own. What
does reach both: tokens trained alone in the embedding, a stored ``base_layer`` (the tied parameter itself), and
whatever ``ensure_weight_tying`` shares. (PEFT's own merge_and_unload adds LoRA of either to both; its trained model
does not compute that.)
"""

from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np

from socrates_export.source.edits import LoraPair, RowSource
from socrates_export.source.lora import Adapter
from socrates_export.source.safetensors import StoredTensor, same_values
from socrates_fast.errors import ModelError

Held = TypeVar("Held")


@dataclass(frozen=True)
class Tied:
    """A tied parameter under an adapter.

    Attributes:
        adapter: as it applies to the two matrices.
        embedding: rows of the embedding before its edits.
        output: rows of the output matrix before its edits.
        same: whether both are the same after them.
    """

    adapter: Adapter
    embedding: RowSource
    output: RowSource
    same: bool


def tied(adapter: Adapter, parameter: StoredTensor, embedding: str, output: str) -> Tied:
    """What ``adapter`` makes of a tied ``parameter``; ``embedding`` and ``output`` are the names of its two uses.

    Raises:
        ModelError: the adapter says two things of the parameter, or PEFT could not compute it.
    """
    shared = _shared(adapter, embedding, output) or parameter
    adapter = _with_shared_edits(adapter, embedding, output)
    saved = (_saved(adapter, embedding) or shared, _saved(adapter, output) or shared)
    pairs = (adapter.pairs.get(embedding), adapter.pairs.get(output))
    tokens = (adapter.tokens.get(embedding), adapter.tokens.get(output))
    same = (
        not {embedding, output} & adapter.magnitudes.keys()
        and tokens[0] == tokens[1]
        and _same_delta(*pairs)
        and same_values(*saved)
    )
    return Tied(adapter, *saved, same)


def _saved(adapter: Adapter, name: str) -> StoredTensor | None:
    """A copy that was trained as a module of its own."""
    return adapter.replaced.get(name) if adapter.config.saves(name.removesuffix(".weight")) else None


def _shared(adapter: Adapter, *names: str) -> StoredTensor | None:
    """The tied parameter as the adapter stores it; PEFT stores what a wrapped embedding stands on."""
    found = [
        adapter.replaced[name] for name in names if name in adapter.replaced and not _saved(adapter, name)
    ]
    if len(found) == 2 and not same_values(*found):
        raise ModelError(
            f"{adapter.folder}: {' and '.join(names)} are one tied tensor, but are stored as two"
        )
    return found[0] if found else None


def _with_shared_edits(adapter: Adapter, embedding: str, output: str) -> Adapter:
    """The adapter with what reaches the output matrix by way of the embedding."""
    if embedding in adapter.tokens and output not in adapter.tokens:
        if output in adapter.pairs or _saved(adapter, output):
            raise ModelError(
                f"{adapter.folder}: tokens of the tied embedding and {output} were both trained, and PEFT can "
                "compute no such model"
            )
        adapter = replace(adapter, tokens={**adapter.tokens, output: adapter.tokens[embedding]})
    if adapter.config.ties:
        adapter = replace(
            adapter,
            pairs=_passed_on(adapter.pairs, embedding, output),
            replaced=_passed_on(adapter.replaced, embedding, output),
        )
    return adapter


def _passed_on(held: dict[str, Held], embedding: str, output: str) -> dict[str, Held]:
    """``held``, where the output matrix has what the embedding has unless it has its own."""
    return {output: held[embedding], **held} if embedding in held else held


def _same_delta(one: LoraPair | None, other: LoraPair | None) -> bool:
    if one is None or other is None:
        return one is other
    return np.array_equal(one.a, other.a) and np.array_equal(one.b, other.b)
