"""A PEFT LoRA adapter, as what it adds to each base tensor: scale * B @ A.

``scale`` is alpha / r, or alpha / sqrt(r) with rsLoRA (Kalajdzievski 2023, arXiv:2312.03732), where alpha and
r may be set per module by ``alpha_pattern`` and ``rank_pattern``. What cannot be merged this way is refused.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import sqrt
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from socrates_export.source.files import read_json
from socrates_export.source.safetensors import StoredTensor, read_header
from socrates_fast.errors import ModelError

CONFIG = "adapter_config.json"
WEIGHTS = "adapter_model.safetensors"

_READ = {"peft_type", "r", "lora_alpha", "use_rslora", "rank_pattern", "alpha_pattern"}
_NO_EFFECT_ON_MERGING = {
    "auto_mapping", "base_model_name_or_path", "exclude_modules", "inference_mode", "layers_pattern",
    "layers_to_transform", "lora_dropout", "megatron_core", "peft_version", "qalora_group_size",
    "revision", "runtime_config", "target_modules", "task_type",
}  # fmt: skip
_PLAIN_VALUES: dict[str, tuple[object, ...]] = {
    "bias": ("none",),
    # Other initialisations (PiSSA, OLoRA, CorDA, LoftQ, ...) change the base model itself.
    "init_lora_weights": (True, "gaussian", "orthogonal"),
}
_KEY = re.compile(r"base_model\.model\.(?P<module>.+)\.lora_(?P<side>[AB])\.weight")
_LAYER = re.compile(r"\.layers\.(\d+)\.")


@dataclass(frozen=True)
class LoraPair:
    """What an adapter adds to one base tensor.

    Attributes:
        a: float32, shape (r, in).
        b: float32, shape (out, r).
        scale: the factor before B @ A.
    """

    a: NDArray[np.float32]
    b: NDArray[np.float32]
    scale: float

    @property
    def shape(self) -> tuple[int, int]:
        """Shape of the base tensor that it fits: (out, in)."""
        return self.b.shape[0], self.a.shape[1]

    def delta(self, start: int, stop: int) -> NDArray[np.float32]:
        """Rows ``start`` to ``stop`` of scale * B @ A, float32, shape (stop - start, in)."""
        return (self.b[start:stop] @ self.a) * np.float32(self.scale)


@dataclass(frozen=True)
class Adapter:
    """A LoRA adapter.

    Attributes:
        folder: where it was read.
        pairs: by name of the base tensor (``model.layers.0.self_attn.q_proj.weight``).
        every_layer: whether its config applies it to all layers of its base model.
    """

    folder: Path
    pairs: Mapping[str, LoraPair]
    every_layer: bool

    def check(self, shapes: Mapping[str, tuple[int, ...]]) -> None:
        """Refuse a base model, given by its tensors' shapes, that this adapter was not trained on.

        Raises:
            ModelError: a tensor or its shape differs, or the number of layers does.
        """
        for name, pair in self.pairs.items():
            if name not in shapes:
                raise ModelError(
                    f"{self.folder}: adapter of another model, or of a part that is not merged: it "
                    f"changes {name}, which the base does not have (or ties to its embedding)"
                )
            if shapes[name] != pair.shape:
                raise ModelError(
                    f"{self.folder}: adapter of another model: {name} has shape {list(pair.shape)} in "
                    f"the adapter and {list(shapes[name])} in the base"
                )
        adapted, present = _layers(self.pairs), _layers(shapes)
        if self.every_layer and adapted < present:
            raise ModelError(
                f"{self.folder}: adapter of another model: it has {adapted} layers, the base has {present}"
            )


def _layers(names: Iterable[str]) -> int:
    return max((int(m[1]) + 1 for name in names if (m := _LAYER.search(name))), default=0)


def load_adapter(folder: Path) -> Adapter:
    """Read the PEFT adapter in ``folder``.

    Raises:
        ModelError: a file is missing or damaged, or the adapter is of a kind that is not supported.
    """
    config = read_json(folder / CONFIG)
    _refuse_unsupported(folder, config)
    if not (folder / WEIGHTS).is_file():
        raise ModelError(f"{folder}: no {WEIGHTS}; save the adapter with save_pretrained")
    sides: dict[str, dict[str, StoredTensor]] = defaultdict(dict)
    for key, tensor in read_header(folder / WEIGHTS).items():
        match = _KEY.fullmatch(key)
        if match is None:
            raise ModelError(
                f"{folder / WEIGHTS}: {key} is not supported; only LoRA A and B of linear layers are "
                "(no embeddings, DoRA, biases or fully trained modules)"
            )
        sides[match["module"]][match["side"]] = tensor
    if not sides:
        raise ModelError(f"{folder / WEIGHTS}: it holds no LoRA tensors")
    pairs = {f"{module}.weight": _pair(config, module, side) for module, side in sides.items()}
    return Adapter(folder, pairs, _adapts_every_layer(config))


def _refuse_unsupported(folder: Path, config: Mapping[str, Any]) -> None:
    if config.get("peft_type") != "LORA":
        raise ModelError(f"{folder / CONFIG}: peft_type is {config.get('peft_type')!r}, not 'LORA'")
    for key, value in config.items():
        # A key that a newer PEFT adds is harmless while it is switched off.
        if key in _READ | _NO_EFFECT_ON_MERGING or not value:
            continue
        if value not in _PLAIN_VALUES.get(key, ()):
            raise ModelError(f"{folder / CONFIG}: {key} = {value!r} is not supported by the export")


def _adapts_every_layer(config: Mapping[str, Any]) -> bool:
    targets = config.get("target_modules")
    plain_names = isinstance(targets, list) and not any("." in target for target in targets)
    return plain_names and not (config.get("layers_to_transform") or config.get("exclude_modules"))


def _pair(config: Mapping[str, Any], module: str, sides: Mapping[str, StoredTensor]) -> LoraPair:
    if sides.keys() != {"A", "B"}:
        raise ModelError(f"{module}: the adapter has lora_{''.join(sides)} without its other half")
    a, b = (sides[side].rows(0, sides[side].shape[0]) for side in "AB")
    rank = _by_pattern(config.get("rank_pattern"), module, config["r"])
    alpha = _by_pattern(config.get("alpha_pattern"), module, config["lora_alpha"])
    if not (a.ndim == b.ndim == 2 and a.shape[0] == b.shape[1] == rank):
        raise ModelError(
            f"{module}: {CONFIG} says rank {rank}, the tensors are A {list(a.shape)} and B {list(b.shape)}"
        )
    return LoraPair(a, b, alpha / (sqrt(rank) if config.get("use_rslora") else rank))


def _by_pattern(patterns: Mapping[str, float] | None, module: str, default: float) -> float:
    """The value of the first pattern that matches the end of the module's path, as in PEFT."""
    for pattern, value in (patterns or {}).items():
        if re.match(rf"(.*\.)?({pattern})$", module):
            return value
    return default
