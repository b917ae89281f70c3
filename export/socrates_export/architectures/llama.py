"""Llama (2 to 3.3, SmolLM2, TinyLlama and what else is built so) and Mistral, which llama.cpp runs as ``llama``.

llama.cpp rotates neighbouring rows of a head, Transformers a head's first half against its second: the rows of
q and k are interleaved accordingly.
"""

from collections.abc import Mapping
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from socrates_export.architectures.common import Dense, head_dim
from socrates_export.architectures.rope import llama3_factors, rope_of
from socrates_export.architectures.spec import Config, Metadata, TensorSpec

_ROTATED = ("attn_q.weight", "attn_q.bias", "attn_k.weight", "attn_k.bias")


class Llama(Dense):
    """Llama and its kin."""

    name = "llama"
    ropes: ClassVar[frozenset[str]] = frozenset({"default", "linear", "yarn", "llama3"})
    biases: ClassVar[Mapping[str, str]] = {
        **dict.fromkeys(("attn_q", "attn_k", "attn_v", "attn_output"), "attention_bias"),
        **dict.fromkeys(("ffn_gate", "ffn_up", "ffn_down"), "mlp_bias"),
    }

    def keys(self, config: Config) -> Metadata:
        """The usual keys, the vocabulary's size and how much of a head is rotated: all of it."""
        extra: Metadata = {"vocab_size": config["vocab_size"], "rope.dimension_count": head_dim(config)}
        return super().keys(config) | extra

    def computed(self, config: Config) -> list[TensorSpec]:
        """The frequency factors of Llama 3.1's rope scaling."""
        rope = rope_of(config)
        if rope["rope_type"] != "llama3":
            return []
        values = llama3_factors(rope, head_dim(config))
        return [TensorSpec("", "rope_freqs.weight", (len(values),), values=values)]

    def spec(self, config: Config, source: str, target: str, shape: tuple[int, ...]) -> TensorSpec:
        """Rows of q and k can be interleaved head by head."""
        together = head_dim(config) if target.endswith(_ROTATED) else 1
        return TensorSpec(source, target, shape, together)

    def transform(self, spec: TensorSpec, rows: NDArray[np.float32]) -> NDArray[np.float32]:
        """Heads of q and k with the rows of their two halves interleaved."""
        if spec.together == 1:
            return rows
        halves = rows.reshape(-1, 2, spec.together // 2, *rows.shape[1:])
        return halves.swapaxes(1, 2).reshape(rows.shape)


class Mistral(Llama):
    """Mistral 7B (all versions) and Nemo.

    Version 0.1 attends through a sliding window, which llama.cpp's llama does not have: the same up to the
    window's length, so that is the context the file declares.
    """

    biases: ClassVar[Mapping[str, str]] = {}

    def sizes(self, config: Config) -> Metadata:
        """The usual sizes, with a context no longer than the window."""
        return super().sizes(config) | {"context_length": context_within_window(config)}


def context_within_window(config: Config) -> int:
    """The longest context in which a sliding window, if there is one, hides nothing."""
    longest = int(config["max_position_embeddings"])
    return min(longest, int(config.get("sliding_window") or longest))
