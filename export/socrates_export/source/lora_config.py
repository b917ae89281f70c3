"""What an adapter's ``adapter_config.json`` says about merging; whatever cannot be merged is refused by name."""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from socrates_export.source.files import read_json
from socrates_fast.errors import ModelError

Patterns = tuple[tuple[re.Pattern[str], float], ...]
"""Numbers by regular expression of the module."""

CONFIG = "adapter_config.json"

_READ = {
    "peft_type", "r", "lora_alpha", "use_rslora", "rank_pattern", "alpha_pattern", "use_dora", "lora_bias",
    "modules_to_save", "trainable_token_indices", "ensure_weight_tying",
}  # fmt: skip
_NO_EFFECT_ON_MERGING = {
    "auto_mapping", "base_model_name_or_path", "corda_config", "eva_config", "exclude_modules", "inference_mode",
    "layers_pattern", "layers_to_transform", "loftq_config", "lora_dropout", "lora_ga_config", "megatron_core",
    "peft_version", "qalora_group_size", "revision", "runtime_config", "target_modules", "task_type",
    "velora_config",
}  # fmt: skip
_PLAIN_VALUES: dict[str, tuple[object, ...]] = {
    "bias": ("none", "all", "lora_only"),
    # These choose where A and B begin and leave the base as it is.
    "init_lora_weights": (True, "gaussian", "orthogonal", "eva", "mica"),
}
_CHANGE_THE_BASE = ("pissa", "olora", "corda", "lora_ga")
_UNTIL_CONVERTED = (
    "it changes the base's own weights. Save the adapter as a plain LoRA: model.save_pretrained(folder, "
    "path_initial_model_for_weight_conversion=...) with the adapter as it was before training (see PEFT's guide)"
)
_LOFTQ = (
    "it was trained on a base that LoftQ had changed. Save that base with save_pretrained, give its folder as the "
    "base, and set init_lora_weights to true in the adapter's config"
)


@dataclass(frozen=True)
class LoraConfig:
    """What of an adapter's config decides how it is merged.

    Attributes:
        path: the file.
        rank: rank where no pattern says otherwise.
        alpha: numerator of the scale where no pattern says otherwise.
        rank_pattern: ranks by regular expression of the module.
        alpha_pattern: alphas by regular expression of the module.
        rslora: whether the scale is alpha / sqrt(rank) instead of alpha / rank.
        dora: whether magnitudes are trained apart.
        lora_bias: whether B has a bias.
        saved: ends of the names of modules that were trained whole.
        tokens: rows of an embedding that were trained alone, by the end of the embedding's name.
        ties: whether the output matrix shares what the embedding was given (``ensure_weight_tying``).
        every_layer: whether it applies to all layers of its base model.
    """

    path: Path
    rank: int
    alpha: float
    rank_pattern: Patterns
    alpha_pattern: Patterns
    rslora: bool
    dora: bool
    lora_bias: bool
    saved: tuple[str, ...]
    tokens: Mapping[str, tuple[int, ...]]
    ties: bool
    every_layer: bool

    def rank_of(self, module: str) -> int:
        """The rank of a module's A and B."""
        return int(_by_pattern(self.rank_pattern, module, self.rank))

    def scale_of(self, module: str) -> float:
        """The factor before B @ A of a module."""
        rank = self.rank_of(module)
        alpha = _by_pattern(self.alpha_pattern, module, self.alpha)
        return alpha / (math.sqrt(rank) if self.rslora else rank)

    def saves(self, module: str) -> bool:
        """Whether a module, or one that it is part of, was copied to be trained whole (``modules_to_save``)."""
        parts = module.split(".")
        paths = [".".join(parts[:end]) for end in range(1, len(parts) + 1)]
        return any(path.endswith(self.saved) for path in paths)

    def tokens_of(self, module: str) -> tuple[int, ...]:
        """The rows of ``module`` that were trained alone."""
        return next((rows for end, rows in self.tokens.items() if module.endswith(end)), ())


def _by_pattern(patterns: Patterns, module: str, default: float) -> float:
    """The value of the first pattern that matches the end of the module's path, as in PEFT."""
    return next((value for pattern, value in patterns if pattern.match(module)), default)


def read_config(folder: Path) -> LoraConfig:
    """Read the config of the PEFT adapter in ``folder``.

    Raises:
        ModelError: it is missing or damaged, or the adapter is of a kind that cannot be merged.
    """
    path = folder / CONFIG
    config = read_json(path)
    _refuse_unsupported(path, config)
    read = _Reader(path, config)
    return LoraConfig(
        path,
        read.number("r", whole=True),
        read.number("lora_alpha"),
        read.patterns("rank_pattern", whole=True),
        read.patterns("alpha_pattern"),
        bool(config.get("use_rslora")),
        bool(config.get("use_dora")),
        bool(config.get("lora_bias")),
        read.names("modules_to_save"),
        read.tokens(),
        bool(config.get("ensure_weight_tying")),
        _adapts_every_layer(config),
    )


def _refuse_unsupported(path: Path, config: Mapping[str, Any]) -> None:
    if config.get("peft_type") != "LORA":
        raise ModelError(f"{path}: peft_type is {config.get('peft_type')!r}, not 'LORA'")
    for key, value in config.items():
        # A key that a newer PEFT adds is harmless while it is switched off.
        if key in _READ | _NO_EFFECT_ON_MERGING or not value or value in _PLAIN_VALUES.get(key, ()):
            continue
        why = "is not supported by the export"
        if key == "init_lora_weights" and str(value).startswith(_CHANGE_THE_BASE):
            why = f"cannot be merged: {_UNTIL_CONVERTED}"
        elif key == "init_lora_weights" and value == "loftq":
            why = f"cannot be merged: {_LOFTQ}"
        raise ModelError(f"{path}: {key} = {value!r:.80} {why}")


def _adapts_every_layer(config: Mapping[str, Any]) -> bool:
    targets = config.get("target_modules")
    plain_names = isinstance(targets, list) and not any("." in str(target) for target in targets)
    chosen = config.get("layers_to_transform") is not None or config.get("exclude_modules")
    return plain_names and not chosen


@dataclass(frozen=True)
class _Reader:
    """Reads values of a config and refuses those of a wrong type."""

    path: Path
    config: Mapping[str, Any]

    def number(self, key: str, whole: bool = False) -> Any:
        """A positive number."""
        return self._positive(key, self.config.get(key), whole)

    def patterns(self, key: str, whole: bool = False) -> Patterns:
        """Positive numbers by regular expression; none if the key is absent."""
        values = self.config.get(key) or {}
        if not isinstance(values, dict):
            raise self._wrong(key, values, "names and numbers")
        return tuple(
            (self._pattern(key, name), self._positive(key, value, whole)) for name, value in values.items()
        )

    def _pattern(self, key: str, text: str) -> re.Pattern[str]:
        try:
            return re.compile(rf"(.*\.)?({text})$")
        except (re.error, RecursionError, OverflowError) as error:
            raise ModelError(f"{self.path}: {key} has {text!r}, no regular expression ({error})") from error

    def names(self, key: str) -> tuple[str, ...]:
        """Names; none if the key is absent."""
        values = self.config.get(key) or []
        if not (isinstance(values, list) and all(isinstance(value, str) for value in values)):
            raise self._wrong(key, values, "a list of names")
        return tuple(values)

    def tokens(self) -> dict[str, tuple[int, ...]]:
        """``trainable_token_indices``: a list is for the input embedding, a mapping names the embeddings."""
        key = "trainable_token_indices"
        values = self.config.get(key) or {}
        tokens = {"": values} if isinstance(values, list) else values
        if not isinstance(tokens, dict) or not all(_indices(rows) for rows in tokens.values()):
            raise self._wrong(key, values, "token ids")
        return {name: tuple(rows) for name, rows in tokens.items()}

    def _positive(self, key: str, value: Any, whole: bool) -> Any:
        kinds = (int,) if whole else (int, float)
        if type(value) not in kinds or not (0 < value < 2**31):
            raise self._wrong(key, value, "a positive whole number" if whole else "a positive number")
        return value

    def _wrong(self, key: str, value: Any, expected: str) -> ModelError:
        return ModelError(f"{self.path}: {key} = {value!r:.80}, where {expected} should be")


def _indices(values: Any) -> bool:
    return isinstance(values, list) and all(type(value) is int and value >= 0 for value in values)
