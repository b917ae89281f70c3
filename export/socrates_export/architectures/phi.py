"""Phi-3, Phi-3.5 and Phi-4: q, k and v in one matrix, gate and up in another, and LongRoPE."""

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

from socrates_export.architectures.common import Dense, Row, head_dim, heads_kv
from socrates_export.architectures.llama import context_within_window
from socrates_export.architectures.rope import longrope_attention_factor, rope_of
from socrates_export.architectures.spec import Config, Metadata, TensorSpec


class Phi3(Dense):
    """Phi-3 and its successors.

    Transformers gives the 4k models a sliding window, which llama.cpp has switched off for them: the same up to
    the window's length, so that is the context the file declares.
    """

    name = "phi3"
    defaults: ClassVar[Mapping[str, Any]] = {"original_max_position_embeddings": 4096}
    ropes: ClassVar[frozenset[str]] = frozenset({"default", "longrope"})

    def reasons(self, config: Config) -> Iterator[str]:
        """Besides the usual: the width of the heads, and factors of the right number."""
        if head_dim(config) * config["num_attention_heads"] != config["hidden_size"]:
            yield f"head_dim * num_attention_heads is not hidden_size ({config['hidden_size']})"
        yield from super().reasons(config)
        rope = rope_of(config)
        for key in ("long_factor", "short_factor") if rope["rope_type"] == "longrope" else ():
            if len(rope[key]) != _rotated(config) // 2:
                yield f"{key} has {len(rope[key])} numbers for {_rotated(config)} rotated dimensions"

    def keys(self, config: Config) -> Metadata:
        """The sizes, what is rotated, and LongRoPE's constants."""
        rope = rope_of(config)
        found: Metadata = {
            **self.sizes(config),
            "context_length": context_within_window(config),
            "rope.scaling.original_context_length": int(rope["original_max_position_embeddings"]),
            "rope.dimension_count": _rotated(config),
            "rope.freq_base": float(rope["rope_theta"]),
            "attention.sliding_window": int(config.get("sliding_window") or 0),
        }
        if rope["rope_type"] == "longrope":
            found["rope.scaling.attn_factor"] = longrope_attention_factor(config, rope)
        return found

    def computed(self, config: Config) -> list[TensorSpec]:
        """LongRoPE's factors: for contexts longer than the original one, and for others."""
        rope = rope_of(config)
        if rope["rope_type"] != "longrope":
            return []
        factors = {length: tuple(map(float, rope[f"{length}_factor"])) for length in ("long", "short")}
        return [
            TensorSpec("", f"rope_factors_{length}.weight", (len(values),), values=values)
            for length, values in factors.items()
        ]

    def attention(self, config: Config) -> list[Row]:
        """Queries, keys and values in one matrix, as llama.cpp takes them too."""
        width, size = config["hidden_size"], head_dim(config)
        queries, keys = config["num_attention_heads"] * size, heads_kv(config) * size
        return [
            ("self_attn.qkv_proj.weight", "attn_qkv.weight", (queries + 2 * keys, width)),
            ("self_attn.o_proj.weight", "attn_output.weight", (width, queries)),
        ]

    def feed_forward(self, config: Config) -> list[Row]:
        """Gate and up in one matrix, as llama.cpp takes them too."""
        width, inner = config["hidden_size"], config["intermediate_size"]
        return [
            ("mlp.gate_up_proj.weight", "ffn_up.weight", (2 * inner, width)),
            ("mlp.down_proj.weight", "ffn_down.weight", (width, inner)),
        ]


def _rotated(config: Config) -> int:
    """How many dimensions of a head are rotated."""
    rope = rope_of(config)
    share = rope.get("partial_rotary_factor") or config.get("partial_rotary_factor") or 1.0
    return int(head_dim(config) * share)
