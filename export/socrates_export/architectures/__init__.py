"""What the export must know about each model architecture: a class per architecture, and the table of them.

To add one, write a class that does what ``Architecture`` says and enter it under its ``model_type``.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from socrates_export.architectures.spec import Architecture, Config, Metadata, TensorSpec
from socrates_fast.errors import ModelError


class Qwen2:
    """Qwen2 and Qwen2.5: biases on q, k and v; rotary halves as llama.cpp has them, so no permutation."""

    name = "qwen2"

    def refuse(self, config: Config) -> str | None:
        """Why llama.cpp's qwen2 could not compute what this config says, or None if it can."""
        heads, width = config["num_attention_heads"], config["hidden_size"]
        if (config.get("head_dim") or width // heads) * heads != width:
            return f"head_dim * num_attention_heads is not hidden_size ({width})"
        if config.get("hidden_act", "silu") != "silu":
            return f"hidden_act is {config['hidden_act']!r}, not 'silu'"
        if config.get("use_sliding_window"):
            return "use_sliding_window is true, and llama.cpp's qwen2 attends to everything"
        kind = _rope(config).get("rope_type", _rope(config).get("type", "default"))
        return None if kind == "default" else f"rope type {kind!r} is not supported, only 'default'"

    def metadata(self, config: Config) -> Metadata:
        """The ``qwen2.*`` keys."""
        heads = config["num_attention_heads"]
        # Transformers 5 keeps theta in rope_parameters, 4 beside them.
        theta = _rope(config).get("rope_theta", config.get("rope_theta", 10000.0))
        values: Metadata = {
            "block_count": config["num_hidden_layers"],
            "context_length": config["max_position_embeddings"],
            "embedding_length": config["hidden_size"],
            "feed_forward_length": config["intermediate_size"],
            "attention.head_count": heads,
            "attention.head_count_kv": _heads_kv(config),
            "attention.layer_norm_rms_epsilon": float(config["rms_norm_eps"]),
            "rope.freq_base": float(theta),
        }
        return {f"{self.name}.{key}": value for key, value in values.items()}

    def tensors(self, config: Config) -> list[TensorSpec]:
        """Embedding, blocks, final norm, and the output matrix unless it is tied to the embedding."""
        vocabulary, width = config["vocab_size"], config["hidden_size"]
        specs = [TensorSpec("model.embed_tokens.weight", "token_embd.weight", (vocabulary, width))]
        for block in range(config["num_hidden_layers"]):
            specs += self._block(config, block)
        specs.append(TensorSpec("model.norm.weight", "output_norm.weight", (width,)))
        if not config.get("tie_word_embeddings", False):
            specs.append(TensorSpec("lm_head.weight", "output.weight", (vocabulary, width)))
        return specs

    def _block(self, config: Config, block: int) -> list[TensorSpec]:
        width, feed_forward = config["hidden_size"], config["intermediate_size"]
        width_kv = width // config["num_attention_heads"] * _heads_kv(config)
        table: list[tuple[str, str, tuple[int, ...]]] = [
            ("input_layernorm.weight", "attn_norm.weight", (width,)),
            ("self_attn.q_proj.weight", "attn_q.weight", (width, width)),
            ("self_attn.q_proj.bias", "attn_q.bias", (width,)),
            ("self_attn.k_proj.weight", "attn_k.weight", (width_kv, width)),
            ("self_attn.k_proj.bias", "attn_k.bias", (width_kv,)),
            ("self_attn.v_proj.weight", "attn_v.weight", (width_kv, width)),
            ("self_attn.v_proj.bias", "attn_v.bias", (width_kv,)),
            ("self_attn.o_proj.weight", "attn_output.weight", (width, width)),
            ("post_attention_layernorm.weight", "ffn_norm.weight", (width,)),
            ("mlp.gate_proj.weight", "ffn_gate.weight", (feed_forward, width)),
            ("mlp.up_proj.weight", "ffn_up.weight", (feed_forward, width)),
            ("mlp.down_proj.weight", "ffn_down.weight", (width, feed_forward)),
        ]
        return [
            TensorSpec(f"model.layers.{block}.{source}", f"blk.{block}.{target}", shape)
            for source, target, shape in table
        ]

    def transform(self, spec: TensorSpec, rows: NDArray[np.float32]) -> NDArray[np.float32]:
        """The rows as they are."""
        return rows


def _rope(config: Config) -> Mapping[str, Any]:
    return config.get("rope_parameters") or config.get("rope_scaling") or {}


def _heads_kv(config: Config) -> int:
    return int(config.get("num_key_value_heads") or config["num_attention_heads"])


ARCHITECTURES: dict[str, Architecture] = {"qwen2": Qwen2()}
"""By the ``model_type`` of ``config.json``."""


def architecture_of(config: Config, path: Path) -> Architecture:
    """The architecture of the model whose ``config.json`` is ``path``.

    Raises:
        ModelError: the architecture is not supported, or not with this config.
    """
    architecture = ARCHITECTURES.get(str(config.get("model_type")))
    if architecture is None:
        raise ModelError(
            f"{path}: model_type {config.get('model_type')!r} cannot be exported; "
            f"supported: {', '.join(sorted(ARCHITECTURES))}"
        )
    if config.get("quantization_config"):
        raise ModelError(f"{path}: this base is quantised; give the original 16-bit model it was made from")
    try:
        reason = architecture.refuse(config)
        architecture.metadata(config), architecture.tensors(config)
    except KeyError as error:
        raise ModelError(f"{path}: it does not say {error}") from error
    if reason:
        raise ModelError(f"{path}: {reason}")
    return architecture
