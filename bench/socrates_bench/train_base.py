"""The bases of ``bench train``: Qwen2.5's shapes with random weights, which train without a download.

Norms are ones, as any model begins: with random ones the output is nearly flat, and every loss would equal every other.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from socrates_bench import synthetic
from socrates_bench.llama_source import llama_source
from socrates_bench.score_work import prompts_of_people
from socrates_fast.runs import atomic_folder
from socrates_fast.train import tiny

_BIGGER = {"vocab_size": 152_064, "tie_word_embeddings": False}
SHAPES: dict[str, dict[str, Any]] = {
    "tiny": {**tiny.SHAPE, "vocab_size": tiny.VOCABULARY},
    "0.5b": synthetic.SHAPES["0.5b"],
    "1.5b": synthetic.SHAPES["1.5b"],
    "7b": {"hidden_size": 3584, "intermediate_size": 18_944, "num_hidden_layers": 28, "num_attention_heads": 28,
           "num_key_value_heads": 4, **_BIGGER},
    "14b": {"hidden_size": 5120, "intermediate_size": 13_824, "num_hidden_layers": 48, "num_attention_heads": 40,
            "num_key_value_heads": 8, **_BIGGER},
}  # fmt: skip
"""``config.json`` of Qwen2.5-0.5B, 1.5B, 7B and 14B where they differ, and the shape of the built-in base."""

_ONE = 0x3F80
"""1 in bfloat16."""


def config_of(shape: str) -> dict[str, Any]:
    """``config.json`` of a shape."""
    return {**synthetic.config_of("0.5b"), **SHAPES[shape]}


def parameters_of(shape: str) -> dict[str, int]:
    """Parameters by what they do: ``all``, and ``multiplied``, with which each token is multiplied.

    Those are the blocks' matrices and the output matrix; the embedding is only looked up.
    """
    config = config_of(shape)
    shapes = _shapes(config)
    blocks = sum(prod(each) for name, each in shapes.items() if "_proj.weight" in name)
    return {
        "all": sum(map(prod, shapes.values())),
        "multiplied": blocks + config["vocab_size"] * config["hidden_size"],
    }


def _shapes(config: dict[str, Any]) -> dict[str, tuple[int, ...]]:
    return {spec.source: spec.shape for spec in synthetic.tensor_specs(config)}


def ensure_base(folder: Path, shape: str) -> Path:
    """The base of a shape in ``folder``; written if it is not there (2 bytes a parameter, 29.5 GB for 14b)."""
    target = folder / f"random-{shape}"
    if target.is_dir():  # it takes its name when it is whole
        return target
    config = config_of(shape)
    big = config["vocab_size"] > 100_000
    texts = [prompt.user for prompt in prompts_of_people(20, "persona_first")]
    vocabulary = llama_source() / "models/ggml-vocab-qwen2.gguf" if big else texts
    with atomic_folder(target) as partial:
        (partial / "config.json").write_text(json.dumps(config), encoding="utf-8")
        synthetic.write_tokenizer(partial, vocabulary, config["vocab_size"])
        _write_weights(partial, _shapes(config))
    return target


def _write_weights(folder: Path, shapes: Mapping[str, tuple[int, ...]]) -> None:
    norms = {name: shape for name, shape in shapes.items() if name.endswith("norm.weight")}
    rest = _shards((name, shape) for name, shape in shapes.items() if name not in norms)
    random = synthetic.random_bfloat16()
    weight_map: dict[str, str] = {}
    for number, (some, source) in enumerate(
        [(norms, _ones()), *((shard, random) for shard in rest)], start=1
    ):
        name = f"model-{number:05}-of-{len(rest) + 1:05}.safetensors"
        synthetic.write_safetensors(folder / name, some, source)
        weight_map |= dict.fromkeys(some, name)
    index = {"metadata": {}, "weight_map": weight_map}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index), encoding="utf-8")


def _shards(tensors: Iterable[tuple[str, tuple[int, ...]]]) -> list[dict[str, tuple[int, ...]]]:
    shards: list[dict[str, tuple[int, ...]]] = [{}]
    for name, shape in tensors:
        if sum(2 * prod(each) for each in shards[-1].values()) > synthetic.SHARD_BYTES:
            shards.append({})
        shards[-1][name] = shape
    return shards


def _ones() -> Iterator[NDArray[np.uint16]]:
    block = np.full(2**16, _ONE, np.uint16)
    while True:
        yield block
