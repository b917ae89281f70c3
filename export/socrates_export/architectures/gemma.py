"""Gemma 2 and Gemma 3: norms whose weights are stored as the difference from one, and alternating windows."""

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from socrates_export.architectures.common import Dense, Row, head_dim
from socrates_export.architectures.rope import rope_of, rope_reasons
from socrates_export.architectures.spec import Config, Metadata, TensorSpec

_SLIDING, _FULL = "sliding_attention", "full_attention"


class _Gemma(Dense):
    activation = "gelu_pytorch_tanh"
    period: ClassVar[int]
    """Every so many layers one attends to everything; llama.cpp has the number built in."""
    largest: ClassVar[int]
    """Number of layers by which llama.cpp knows the 27B model, whose attention it scales otherwise."""

    def reasons(self, config: Config) -> Iterator[str]:
        """Besides the usual: llama.cpp computes the scale of attention itself."""
        yield from super().reasons(config)
        scale = head_dim(config)
        if config["num_hidden_layers"] == self.largest:
            scale = config["hidden_size"] // config["num_attention_heads"]
        if config["query_pre_attn_scalar"] != scale:
            given = config["query_pre_attn_scalar"]
            yield f"query_pre_attn_scalar is {given}, and llama.cpp's {self.name} has {scale}"

    def act(self, config: Config) -> str:
        """Under its own key; ``hidden_act`` of old configs is not read by Transformers either."""
        return str(config.get("hidden_activation") or self.activation)

    def window_reasons(self, config: Config) -> Iterator[str]:
        """The window has a size, and the layers alternate as llama.cpp has it."""
        usual = [
            _FULL if block % self.period == self.period - 1 else _SLIDING
            for block in range(config["num_hidden_layers"])
        ]
        pattern = config.get("sliding_window_pattern") or self.period
        if (config.get("layer_types") or usual) != usual or pattern != self.period:
            yield (
                f"its sliding windows are not in all layers but each {self.period}th, as in llama.cpp's {self.name}"
            )
        if not config.get("sliding_window"):
            yield "sliding_window is missing"

    def keys(self, config: Config) -> Metadata:
        """The usual keys, with the width of the heads and the window."""
        window: Metadata = {"attention.sliding_window": int(config["sliding_window"])}
        return super().keys(config) | self.head_sizes(config) | window

    def norms(self, config: Config) -> list[Row]:
        """A norm before and one after attention and feed-forward."""
        width = (config["hidden_size"],)
        return [
            ("input_layernorm.weight", "attn_norm.weight", width),
            ("post_attention_layernorm.weight", "post_attention_norm.weight", width),
            ("pre_feedforward_layernorm.weight", "ffn_norm.weight", width),
            ("post_feedforward_layernorm.weight", "post_ffw_norm.weight", width),
        ]

    def transform(self, spec: TensorSpec, rows: NDArray[np.float32]) -> NDArray[np.float32]:
        """One more for each norm, in float32 as Transformers computes it; llama.cpp multiplies by the weight."""
        return rows + np.float32(1) if spec.target.endswith("norm.weight") else rows


class Gemma2(_Gemma):
    """Gemma 2: attention and output are capped; the output is always tied to the embedding."""

    name = "gemma2"
    period = 2
    largest = 46
    defaults: ClassVar[Mapping[str, Any]] = {
        "tie_word_embeddings": True, "head_dim": 256, "query_pre_attn_scalar": 256, "sliding_window": 4096,
        "attn_logit_softcapping": 50.0, "final_logit_softcapping": 30.0,
    }  # fmt: skip

    def reasons(self, config: Config) -> Iterator[str]:
        """Besides the usual: the two caps and the tied output are built in."""
        yield from super().reasons(config)
        for key in ("attn_logit_softcapping", "final_logit_softcapping"):
            if not config[key]:
                yield f"{key} is {config[key]!r}, and llama.cpp's gemma2 always caps"
        if not config["tie_word_embeddings"]:
            yield "llama.cpp's gemma2 has no output matrix of its own; it must be tied to the embedding"

    def keys(self, config: Config) -> Metadata:
        """The usual keys and the caps."""
        caps: Metadata = {
            "attn_logit_softcapping": float(config["attn_logit_softcapping"]),
            "final_logit_softcapping": float(config["final_logit_softcapping"]),
        }
        return super().keys(config) | caps


class Gemma3(_Gemma):
    """Gemma 3's text models: norms of queries and keys, and a rope of its own in layers with a window."""

    name = "gemma3"
    period = 6
    largest = 62
    defaults: ClassVar[Mapping[str, Any]] = {
        "tie_word_embeddings": True, "head_dim": 256, "query_pre_attn_scalar": 256, "sliding_window": 4096,
        "num_attention_heads": 8, "num_key_value_heads": 4, "rms_norm_eps": 1e-6, "vocab_size": 262_208,
        "max_position_embeddings": 131_072, "rope_theta": 1_000_000.0, "rope_local_base_freq": 10_000.0,
    }  # fmt: skip

    def reasons(self, config: Config) -> Iterator[str]:
        """Besides the usual: no cap on attention, and no scaling in the layers with a window."""
        yield from super().reasons(config)
        if config.get("attn_logit_softcapping"):
            yield "attn_logit_softcapping is set, and llama.cpp's gemma3 has none"
        yield from rope_reasons(self._local_rope(config), {"default"})

    def _local_rope(self, config: Config) -> dict[str, Any]:
        new = _SLIDING in (config.get("rope_parameters") or {})
        return (
            rope_of(config, _SLIDING)
            if new
            else {"rope_type": "default", "rope_theta": config["rope_local_base_freq"]}
        )

    def keys(self, config: Config) -> Metadata:
        """The usual keys, the base of the local rope, and the cap on the output if there is one."""
        found = super().keys(config)
        found["rope.freq_base_swa"] = float(self._local_rope(config)["rope_theta"])
        if config.get("final_logit_softcapping"):
            found["final_logit_softcapping"] = float(config["final_logit_softcapping"])
        return found

    def norms(self, config: Config) -> list[Row]:
        """Gemma 2's norms, and those over each head of queries and keys."""
        return [
            *super().norms(config),
            ("self_attn.q_norm.weight", "attn_q_norm.weight", (head_dim(config),)),
            ("self_attn.k_norm.weight", "attn_k_norm.weight", (head_dim(config),)),
        ]


class Gemma3Multimodal(Gemma3):
    """The text model inside Gemma 3's 4B, 12B and 27B; what sees images is left out, as in llama.cpp's own files."""

    prefix = "model.language_model."

    def complete(self, config: Config) -> Config:
        """The text model's config, with what only the whole model's says (its end tokens, for one)."""
        whole = {key: value for key, value in config.items() if not key.endswith("_config")}
        return super().complete({**whole, **config["text_config"]})

    def module_name(self, stored: str) -> str | None:
        """Checkpoints have kept the names of older Transformers."""
        if "vision_tower." in stored or "multi_modal_projector." in stored:
            return None
        renamed = stored.replace("language_model.model.", "model.language_model.", 1)
        return renamed.replace("language_model.lm_head.", "lm_head.", 1)
