"""Qwen2, Qwen2.5 and Qwen3: rotary halves as llama.cpp has them, so no permutation."""

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

from socrates_export.architectures.common import Dense, Row, head_dim
from socrates_export.architectures.spec import Config


class Qwen2(Dense):
    """Qwen2 and Qwen2.5: always biases on q, k and v."""

    name = "qwen2"
    defaults: ClassVar[Mapping[str, Any]] = {"qkv_bias": True}
    biases: ClassVar[Mapping[str, str]] = {"attn_q": "qkv_bias", "attn_k": "qkv_bias", "attn_v": "qkv_bias"}

    def reasons(self, config: Config) -> Iterator[str]:
        """Besides the usual: llama.cpp takes the width of all heads for that of the embedding."""
        if head_dim(config) * config["num_attention_heads"] != config["hidden_size"]:
            yield f"head_dim * num_attention_heads is not hidden_size ({config['hidden_size']})"
        yield from super().reasons(config)

    def window_reasons(self, config: Config) -> Iterator[str]:
        """``sliding_window`` counts only if it is used."""
        if config.get("use_sliding_window"):
            yield f"use_sliding_window is true, and llama.cpp's {self.name} attends to everything"
        yield from super().window_reasons(config)


class Qwen3(Qwen2):
    """Qwen3: norms of queries and keys instead of biases; heads of any width."""

    name = "qwen3"
    defaults: ClassVar[Mapping[str, Any]] = {"head_dim": 128}
    biases: ClassVar[Mapping[str, str]] = {}

    def reasons(self, config: Config) -> Iterator[str]:
        """The usual."""
        yield from Dense.reasons(self, config)

    def norms(self, config: Config) -> list[Row]:
        """The usual norms, and those over each head of queries and keys."""
        return [
            *super().norms(config),
            ("self_attn.q_norm.weight", "attn_q_norm.weight", (head_dim(config),)),
            ("self_attn.k_norm.weight", "attn_k_norm.weight", (head_dim(config),)),
        ]
