"""Small random checkpoints of every architecture, through Transformers' own classes.

Sizes are odd on purpose: few are multiples of 256 or 32, heads are wider or narrower than hidden / heads where the
architecture allows it, keys and values have fewer heads, windows are shorter than the prompts.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

VOCABULARY = 512
_COMMON: dict[str, Any] = {
    "vocab_size": VOCABULARY, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2,
    "max_position_embeddings": 1024, "bos_token_id": 0, "eos_token_id": 1, "pad_token_id": 2,
}  # fmt: skip


@dataclass(frozen=True)
class Kind:
    """A checkpoint to make.

    Attributes:
        config: name of its config class in Transformers.
        sizes: what differs from the common sizes.
        old: how its config.json is changed into the form that Transformers 4 wrote; None leaves it.
        dtype: of the weights.
    """

    config: str
    sizes: Mapping[str, Any] = field(default_factory=dict)
    old: Mapping[str, Any] | None = None
    dtype: str = "float32"


def _rope(**more: Any) -> dict[str, Any]:
    return {"rope_type": "default", "rope_theta": 50_000.0, **more}


_LLAMA3 = {
    "rope_type": "llama3", "rope_theta": 500_000.0, "factor": 8.0, "low_freq_factor": 1.0,
    "high_freq_factor": 4.0, "original_max_position_embeddings": 64,
}  # fmt: skip
_YARN = {
    "rope_type": "yarn", "rope_theta": 10_000.0, "factor": 4.0, "original_max_position_embeddings": 256,
}  # fmt: skip
_GEMMA = {"hidden_size": 80, "intermediate_size": 200, "head_dim": 24, "query_pre_attn_scalar": 24}
_LONG = {
    "rope_type": "longrope", "rope_theta": 10_000.0,
    "short_factor": [1.0 + 0.1 * i for i in range(9)], "long_factor": [1.5 + 0.7 * i for i in range(9)],
}  # fmt: skip

KINDS: dict[str, Kind] = {
    "qwen2": Kind("Qwen2Config", {"hidden_size": 80, "intermediate_size": 100, "rope_parameters": _rope()}),
    "qwen2-old-tied": Kind(
        "Qwen2Config",
        {"hidden_size": 72, "intermediate_size": 112, "tie_word_embeddings": True, "rope_parameters": _rope()},
        old={"rope_theta": 50_000.0, "rope_scaling": None},
    ),
    "qwen2-yarn": Kind("Qwen2Config", {"hidden_size": 64, "intermediate_size": 96, "rope_parameters": _YARN}),
    "qwen3": Kind(
        "Qwen3Config",
        {"hidden_size": 72, "intermediate_size": 100, "head_dim": 32, "rope_parameters": _rope()},
        dtype="bfloat16",
    ),
    "qwen3-tied": Kind(
        "Qwen3Config",
        {"hidden_size": 96, "intermediate_size": 80, "head_dim": 20, "tie_word_embeddings": True,
         "num_key_value_heads": 1, "rope_parameters": _rope()},
    ),
    "llama2": Kind(
        "LlamaConfig",
        {"hidden_size": 96, "intermediate_size": 130, "num_key_value_heads": 4, "rope_parameters": _rope()},
        dtype="float16",
    ),
    "llama3": Kind(
        "LlamaConfig",
        {"hidden_size": 80, "intermediate_size": 144, "head_dim": 32, "tie_word_embeddings": True,
         "rope_parameters": _LLAMA3},
        dtype="bfloat16",
    ),
    "llama3-old": Kind(
        "LlamaConfig",
        {"hidden_size": 96, "intermediate_size": 144, "rope_parameters": _LLAMA3},
        old={"rope_theta": 500_000.0, "rope_scaling": {k: v for k, v in _LLAMA3.items() if k != "rope_theta"}},
    ),
    "llama-biases-linear": Kind(
        "LlamaConfig",
        {"hidden_size": 72, "intermediate_size": 100, "attention_bias": True, "mlp_bias": True,
         "rope_parameters": _rope(rope_type="linear", factor=2.5)},
    ),
    "llama-yarn": Kind("LlamaConfig", {"hidden_size": 80, "intermediate_size": 90, "rope_parameters": _YARN}),
    "smollm2": Kind(
        "LlamaConfig",
        {"hidden_size": 90, "intermediate_size": 96, "num_attention_heads": 9, "num_key_value_heads": 3,
         "tie_word_embeddings": True, "rope_parameters": _rope()},
    ),
    "mistral": Kind(
        "MistralConfig",
        {"hidden_size": 80, "intermediate_size": 112, "head_dim": 16, "sliding_window": None,
         "rope_parameters": _rope()},
        dtype="bfloat16",
    ),
    "mistral-window": Kind(
        "MistralConfig",
        {"hidden_size": 64, "intermediate_size": 96, "sliding_window": 512, "rope_parameters": _rope()},
    ),
    "gemma2": Kind(
        "Gemma2Config",
        {**_GEMMA, "num_hidden_layers": 3, "sliding_window": 20, "attn_logit_softcapping": 5.0,
         "final_logit_softcapping": 3.0},
        dtype="bfloat16",
    ),
    "gemma3": Kind(
        "Gemma3TextConfig",
        {**_GEMMA, "num_hidden_layers": 7, "sliding_window": 20},
        dtype="bfloat16",
    ),
    "gemma3-old-linear": Kind(
        "Gemma3TextConfig",
        {**_GEMMA, "num_hidden_layers": 6, "sliding_window": 24, "final_logit_softcapping": 4.0,
         "rope_parameters": {
             "full_attention": {"rope_type": "linear", "factor": 8.0, "rope_theta": 1e6},
             "sliding_attention": {"rope_type": "default", "rope_theta": 1e4}}},
        old={"rope_theta": 1e6, "rope_local_base_freq": 1e4, "rope_scaling": {"rope_type": "linear", "factor": 8.0},
             "layer_types": None},
    ),
    "gemma3-multimodal": Kind(
        "Gemma3Config",
        {"text_config": {**_COMMON, **_GEMMA, "num_hidden_layers": 6, "sliding_window": 20},
         "vision_config": {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 1,
                           "num_attention_heads": 2, "image_size": 28, "patch_size": 14},
         "image_token_index": 500, "boi_token_index": 501, "eoi_token_index": 502},
    ),
    "phi3": Kind(
        "Phi3Config",
        {"hidden_size": 72, "intermediate_size": 100, "sliding_window": 700, "rope_parameters": _rope()},
        dtype="bfloat16",
    ),
    "phi3-long": Kind(
        "Phi3Config",
        {"hidden_size": 96, "intermediate_size": 100, "original_max_position_embeddings": 256,
         "tie_word_embeddings": True, "rope_parameters": {**_LONG, "partial_rotary_factor": 0.75}},
    ),
    "phi3-long-old": Kind(
        "Phi3Config",
        {"hidden_size": 72, "intermediate_size": 100, "original_max_position_embeddings": 256,
         "rope_parameters": _LONG},
        old={"rope_theta": 10_000.0, "rope_scaling": {
            "type": "longrope", "short_factor": _LONG["short_factor"], "long_factor": _LONG["long_factor"]}},
    ),
}  # fmt: skip
"""By the name that tests show."""


def write_checkpoint(folder: Path, kind: Kind, shard: str = "5GB", **changes: Any) -> None:
    """Write a random model of ``kind``: config.json and safetensors, without a tokenizer."""
    import torch
    import transformers

    config = getattr(transformers, kind.config)(**{**_COMMON, **kind.sizes, **changes})
    torch.manual_seed(11)
    model = transformers.AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    with torch.no_grad():
        # Fresh biases are zero and norms one, which would hide that they are lost or swapped.
        for name, parameter in model.named_parameters():
            centre = 1.0 if "norm" in name and "gemma" not in config.model_type else 0.0
            parameter.copy_(centre + 0.15 * torch.randn_like(parameter))
    model.to(getattr(torch, kind.dtype)).save_pretrained(folder, max_shard_size=shard)
    if kind.old is not None:
        _write_old(folder / "config.json", kind.old)


def _write_old(path: Path, old: Mapping[str, Any]) -> None:
    content = json.loads(path.read_text())
    content.pop("rope_parameters")
    content["torch_dtype"] = content.pop("dtype")
    content["transformers_version"] = "4.44.0"
    path.write_text(json.dumps({**content, **old}, indent=2))
