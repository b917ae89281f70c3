"""Checkpoints of real shapes with random weights, for measurements: a Qwen2.5 base in bfloat16 and a LoRA adapter."""

import json
from collections.abc import Iterator, Sequence
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from socrates_export.architectures import ARCHITECTURES
from socrates_export.architectures.spec import TensorSpec
from socrates_export.vocabulary import QWEN2_SPLIT

SHAPES: dict[str, dict[str, int]] = {
    "tiny": {"hidden_size": 256, "intermediate_size": 512, "num_hidden_layers": 4, "num_attention_heads": 4,
             "num_key_value_heads": 2, "vocab_size": 8192},
    "0.5b": {"hidden_size": 896, "intermediate_size": 4864, "num_hidden_layers": 24, "num_attention_heads": 14,
             "num_key_value_heads": 2, "vocab_size": 151936},
    "1.5b": {"hidden_size": 1536, "intermediate_size": 8960, "num_hidden_layers": 28, "num_attention_heads": 12,
             "num_key_value_heads": 2, "vocab_size": 151936},
    "3b": {"hidden_size": 2048, "intermediate_size": 11008, "num_hidden_layers": 36, "num_attention_heads": 16,
           "num_key_value_heads": 2, "vocab_size": 151936},
}  # fmt: skip
"""Shapes of Qwen2.5-0.5B, 1.5B and 3B, and a small one to try the bench itself."""

CONTROL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
CHATML = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
TRAINED_TOKENS = 1300
"""Of a tokenizer trained on the texts that it will read: with these it makes about as many tokens as a real one."""
SHARD_BYTES = 2 * 10**9
_BLOCK = 2**22


def config_of(shape: str) -> dict[str, Any]:
    """``config.json`` of a shape."""
    return {
        "architectures": ["Qwen2ForCausalLM"], "model_type": "qwen2", "torch_dtype": "bfloat16",
        "hidden_act": "silu", "max_position_embeddings": 32768, "rms_norm_eps": 1e-6, "rope_theta": 1e6,
        "tie_word_embeddings": True, "use_sliding_window": False, "initializer_range": 0.02, **SHAPES[shape],
    }  # fmt: skip


def tensor_specs(config: dict[str, Any]) -> list[TensorSpec]:
    """The tensors of a Qwen2 of this configuration."""
    architecture = ARCHITECTURES["qwen2"]
    return architecture.tensors(architecture.complete(config))


def write_base(folder: Path, shape: str, vocabulary: Path | Sequence[str] | None) -> None:
    """Write a base model of random weights.

    Args:
        folder: where to; made.
        shape: a key of ``SHAPES``.
        vocabulary: llama.cpp's ``ggml-vocab-qwen2.gguf``, for Qwen2's real tokenizer; texts, for a small one trained
            on them; None for single bytes. llama.cpp's converter recognises the first only.
    """
    folder.mkdir(parents=True)
    config = config_of(shape)
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    write_tokenizer(folder, vocabulary, config["vocab_size"])
    specs = tensor_specs(config)
    shards: list[dict[str, tuple[int, ...]]] = [{}]
    for spec in specs:
        if sum(2 * prod(shape) for shape in shards[-1].values()) > SHARD_BYTES:
            shards.append({})
        shards[-1][spec.source] = spec.shape
    weight_map: dict[str, str] = {}
    random = random_bfloat16()
    for number, shapes in enumerate(shards, start=1):
        name = f"model-{number:05}-of-{len(shards):05}.safetensors"
        write_safetensors(folder / name, shapes, random)
        weight_map |= dict.fromkeys(shapes, name)
    index = {"metadata": {}, "weight_map": weight_map}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index), encoding="utf-8")


def random_bfloat16() -> Iterator[NDArray[np.uint16]]:
    """Endless random numbers of standard deviation 0.02, from one block at changing offsets."""
    rng = np.random.default_rng(0)
    block = (rng.standard_normal(_BLOCK, np.float32) * 0.02).view(np.uint32) >> 16
    twice = np.concatenate([block, block]).astype(np.uint16)
    while True:
        start = int(rng.integers(_BLOCK))
        yield twice[start : start + _BLOCK]


def write_safetensors(
    path: Path, shapes: dict[str, tuple[int, ...]], random: Iterator[NDArray[np.uint16]]
) -> None:
    """Write random tensors of some shapes as one safetensors file in bfloat16."""
    header, offset = {}, 0
    for name, shape in shapes.items():
        end = offset + 2 * prod(shape)
        header[name] = {"dtype": "BF16", "shape": list(shape), "data_offsets": [offset, end]}
        offset = end
    raw = json.dumps(header).encode()
    with path.open("wb") as file:
        file.write(len(raw).to_bytes(8, "little") + raw)
        for shape in shapes.values():
            left = prod(shape)
            while left:
                left -= file.write(next(random)[:left].data) // 2


def _vocabulary(source: Path | Sequence[str] | None, size: int) -> tuple[list[str], list[str]]:
    """Tokens by id without the control tokens, and merges ("a b")."""
    from tokenizers import Regex, Tokenizer, models, pre_tokenizers, trainers

    if source is None:
        return sorted(pre_tokenizers.ByteLevel.alphabet()), []
    if isinstance(source, Path):
        from gguf import GGUFReader

        fields = GGUFReader(source).fields
        tokens = fields["tokenizer.ggml.tokens"].contents()[: min(151_643, size - len(CONTROL))]
        return tokens, fields["tokenizer.ggml.merges"].contents() if size > 151_643 else []
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(QWEN2_SPLIT), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=TRAINED_TOKENS, initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator(source, trainer)
    model = json.loads(tokenizer.to_str())["model"]
    return sorted(model["vocab"], key=model["vocab"].__getitem__), [
        " ".join(pair) for pair in model["merges"]
    ]


def write_tokenizer(folder: Path, vocabulary: Path | Sequence[str] | None, size: int) -> None:
    """Write a tokenizer's files: of a GGUF's vocabulary, of some texts, or of bytes alone; ``size`` tokens."""
    tokens, merges = _vocabulary(vocabulary, size)
    added = [
        {"id": len(tokens) + n, "content": text, "special": True, "normalized": False, "lstrip": False,
         "rstrip": False, "single_word": False}
        for n, text in enumerate(CONTROL)
    ]  # fmt: skip
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": False, "use_regex": False}
    split = {"type": "Split", "pattern": {"Regex": QWEN2_SPLIT}, "behavior": "Isolated", "invert": False}
    content = {
        "version": "1.0", "truncation": None, "padding": None, "added_tokens": added,
        "normalizer": {"type": "NFC"},
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [split, byte_level]},
        "post_processor": byte_level, "decoder": byte_level,
        "model": {"type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": "",
                  "end_of_word_suffix": "", "fuse_unk": False, "byte_fallback": False, "ignore_merges": False,
                  "vocab": {text: n for n, text in enumerate(tokens)}, "merges": merges},
    }  # fmt: skip
    (folder / "tokenizer.json").write_text(json.dumps(content), encoding="utf-8")
    settings = {"tokenizer_class": "Qwen2Tokenizer", "eos_token": CONTROL[2], "pad_token": CONTROL[0],
                "chat_template": CHATML}  # fmt: skip
    (folder / "tokenizer_config.json").write_text(json.dumps(settings), encoding="utf-8")


def write_adapter(folder: Path, shape: str, rank: int = 16) -> None:
    """Write a LoRA adapter of all linear layers, with random A and B, in PEFT's format."""
    from safetensors.numpy import save_file

    folder.mkdir(parents=True)
    rng = np.random.default_rng(1)
    tensors = {}
    for spec in tensor_specs(config_of(shape)):
        if "_proj.weight" in spec.source:
            key = f"base_model.model.{spec.source.removesuffix('.weight')}"
            tensors[f"{key}.lora_A.weight"] = rng.standard_normal(
                (rank, spec.shape[1]), np.float32
            ) * np.float32(0.02)
            tensors[f"{key}.lora_B.weight"] = rng.standard_normal(
                (spec.shape[0], rank), np.float32
            ) * np.float32(0.02)
    save_file(tensors, folder / "adapter_model.safetensors")
    names = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
    config = {"peft_type": "LORA", "task_type": "CAUSAL_LM", "r": rank, "lora_alpha": 2 * rank,
              "target_modules": names, "bias": "none", "base_model_name_or_path": ""}  # fmt: skip
    (folder / "adapter_config.json").write_text(json.dumps(config), encoding="utf-8")
