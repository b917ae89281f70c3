"""Rotary position embedding: reading it from old and new configs, and saying it in GGUF.

Transformers 5 keeps everything in ``rope_parameters`` (one dict, or one for each type of layer); 4 had
``rope_theta`` beside ``rope_scaling``, whose ``type`` is now ``rope_type``. llama.cpp has keys for linear and YaRN
scaling, and tensors of factors for what Llama 3 and LongRoPE do.
"""

from collections.abc import Collection, Iterator
from math import isclose, log, pi, sqrt
from typing import Any

import numpy as np

from socrates_export.architectures.spec import Config, Metadata

Rope = dict[str, Any]
"""``rope_type``, ``rope_theta``, ``original_max_position_embeddings``, and what the type needs besides."""

_OLD_NAMES = {"su": "longrope"}


def rope_of(config: Config, layers: str = "full_attention") -> Rope:
    """How positions are embedded in layers of the type ``layers``."""
    given = config.get("rope_parameters") or config.get("rope_scaling") or {}
    if given.keys() & {"full_attention", "sliding_attention"}:
        given = given.get(layers) or {}
    kind = given.get("rope_type", given.get("type", "default"))
    original = config.get("original_max_position_embeddings") or given.get("original_max_position_embeddings")
    return {
        "rope_theta": config.get("rope_theta", 10000.0),
        **given,
        "rope_type": _OLD_NAMES.get(kind, kind),
        "original_max_position_embeddings": original or config["max_position_embeddings"],
    }


def rope_reasons(rope: Rope, supported: Collection[str]) -> Iterator[str]:
    """Why llama.cpp could not compute this, if it could not."""
    kind = rope["rope_type"]
    if kind not in supported:
        yield f"rope type {kind!r} is not supported, only {', '.join(map(repr, sorted(supported)))}"
    elif kind == "yarn":
        yield from _yarn_reasons(rope)


def _yarn_reasons(rope: Rope) -> Iterator[str]:
    """llama.cpp has YaRN's published constants only; for these architectures it reads no keys for others."""
    plain: dict[str, Any] = {"beta_fast": 32, "beta_slow": 1, "extrapolation_factor": 1, "truncate": True}
    for key, value in plain.items():
        if rope.get(key) not in (None, value):
            yield f"YaRN with {key} = {rope[key]!r}, which llama.cpp does not read (it has {value!r})"
    if rope.get("mscale") and rope.get("mscale_all_dim"):
        yield "YaRN with mscale and mscale_all_dim, which llama.cpp does not read"
    usual = 0.1 * log(max(1.0, _factor(rope))) + 1
    for key in ("attention_factor", "attn_factor"):
        if rope.get(key) is not None and not isclose(rope[key], usual, rel_tol=1e-6):
            yield f"YaRN with {key} = {rope[key]!r}, which llama.cpp does not read (it has {usual:.6g})"


def _factor(rope: Rope) -> float:
    if rope.get("factor") is None:
        raise KeyError("factor (of rope_parameters)")
    return float(rope["factor"])


def scaling_keys(rope: Rope) -> Metadata:
    """Keys of linear and YaRN scaling; none for the other types."""
    if rope["rope_type"] not in ("linear", "yarn"):
        return {}
    keys: Metadata = {"rope.scaling.type": rope["rope_type"], "rope.scaling.factor": _factor(rope)}
    if rope["rope_type"] == "yarn":
        keys["rope.scaling.original_context_length"] = int(rope["original_max_position_embeddings"])
    return keys


def llama3_factors(rope: Rope, size: int) -> tuple[float, ...]:
    """What Llama 3.1's scaling divides each of the ``size / 2`` frequencies by, as float32.

    Wavelengths below ``original / high_freq_factor`` stay, those above ``original / low_freq_factor`` are divided
    by ``factor``, and between them it is interpolated.
    """
    one = np.float32(1)
    exponents = np.arange(0, size, 2, dtype=np.float32) / np.float32(size)
    frequencies = one / np.power(np.float32(rope["rope_theta"]), exponents)
    lengths = np.float32(2 * pi) / frequencies
    factor, original = _factor(rope), rope["original_max_position_embeddings"]
    low, high = rope["low_freq_factor"], rope["high_freq_factor"]
    smooth = (np.float32(original) / lengths - np.float32(low)) / np.float32(high - low)
    between = one / ((one - smooth) / np.float32(factor) + smooth)
    found = np.where(lengths > original / low, np.float32(factor), between)
    return tuple(float(x) for x in np.where(lengths < original / high, one, found))


def longrope_attention_factor(config: Config, rope: Rope) -> float:
    """What LongRoPE multiplies sine and cosine by (arXiv:2402.13753)."""
    if rope.get("attention_factor") is not None:
        return float(rope["attention_factor"])
    original = rope["original_max_position_embeddings"]
    factor = rope.get("factor") or config["max_position_embeddings"] / original
    return sqrt(1 + log(factor) / log(original)) if factor > 1 else 1.0
