"""A PEFT LoRA adapter: what it does to each tensor of its base, in every form that PEFT 0.21 can merge.

    W + scale * B @ A                   linear layers, embeddings, the output matrix; scale by patterns, rsLoRA
    m * (W + scale * B @ A) / length    DoRA
    b + scale * lora_B.bias             lora_bias
    rows of the adapter instead of W    modules_to_save, trained biases, tokens trained alone

``scale`` is alpha / r, or alpha / sqrt(r) with rsLoRA (Kalajdzievski 2023, arXiv:2312.03732). What cannot be merged
is refused by name.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from socrates_export.source.edits import (
    ColumnMagnitudes,
    Edit,
    EditedTensor,
    LoraPair,
    RowMagnitudes,
    RowSource,
    Shift,
    TokenRows,
)
from socrates_export.source.lora_config import CONFIG, LoraConfig, read_config
from socrates_export.source.safetensors import StoredTensor, read_header
from socrates_fast.errors import ModelError

__all__ = ["CONFIG", "WEIGHTS", "WRAPPERS", "Adapter", "load_adapter"]

WEIGHTS = "adapter_model.safetensors"

_KEY = re.compile(
    r"base_model\.model\.(?P<module>.+?)\.(?P<part>lora_[AB]\.weight|lora_B\.bias|lora_embedding_[AB]|"
    r"lora_magnitude_vector(?:\.weight)?|token_adapter\.trainable_tokens_delta|(?:base_layer\.)?(?:weight|bias))"
)
WRAPPERS = re.compile(r"(?<![^.])(?:_orig_mod|_fsdp_wrapped_module|_checkpoint_wrapped_module)\.")
"""Names that compiling, sharding and checkpointing put into those of modules."""

_LAYER = re.compile(r"\.layers\.(\d+)\.")

Parts = Mapping[str, StoredTensor]
"""What the adapter holds of one module, by the end of its key."""


@dataclass(frozen=True)
class Adapter:
    """A LoRA adapter. The mappings are by name of the base tensor (``model.layers.0.self_attn.q_proj.weight``).

    Attributes:
        folder: where it was read.
        config: what its config says of merging.
        pairs: what is added to matrices.
        magnitudes: DoRA's lengths of rows, or of an embedding's columns.
        shifts: what is added to biases.
        tokens: rows that replace the base's.
        replaced: tensors that replace the base's.
    """

    folder: Path
    config: LoraConfig
    pairs: dict[str, LoraPair] = field(default_factory=dict)
    magnitudes: dict[str, StoredTensor] = field(default_factory=dict)
    shifts: dict[str, Shift] = field(default_factory=dict)
    tokens: dict[str, TokenRows] = field(default_factory=dict)
    replaced: dict[str, StoredTensor] = field(default_factory=dict)

    def merged(self, name: str, source: RowSource) -> EditedTensor:
        """The base tensor ``name``, of which ``source`` gives the rows before merging, after it."""
        found = (self.pairs.get(name), self.shifts.get(name), self.tokens.get(name))
        edits: tuple[Edit, ...] = tuple(edit for edit in found if edit is not None)
        if name in self.magnitudes:
            before, lengths = EditedTensor(source, edits), self.magnitudes[name]
            columns = self.pairs[name].embedding
            edits += (ColumnMagnitudes(lengths, before) if columns else RowMagnitudes(lengths),)
        return EditedTensor(source, edits)

    def check(self, shapes: Mapping[str, tuple[int, ...]]) -> None:
        """Refuse a base model, given by its tensors' shapes, that this adapter was not trained on.

        Raises:
            ModelError: a tensor or its shape differs, or the number of layers does.
        """
        for name, shape in self._shapes():
            if name not in shapes:
                raise self._absent(name)
            if shape != shapes[name]:
                raise self._different(name, shape, shapes[name])
        for name, rows in self.tokens.items():
            self._check_tokens(name, rows, shapes)
        adapted, present = _layers(self.pairs), _layers(shapes)
        if self.config.every_layer and 0 < adapted < present:
            raise ModelError(
                f"{self.folder}: adapter of another model: it has {adapted} layers, the base has {present}"
            )

    def _shapes(self) -> Iterable[tuple[str, tuple[int, ...]]]:
        """The shape that each base tensor must have."""
        yield from ((name, pair.shape) for name, pair in self.pairs.items())
        yield from ((name, tensor.shape) for name, tensor in self.replaced.items())
        yield from ((name, shift.vector.shape) for name, shift in self.shifts.items())

    def _absent(self, name: str) -> ModelError:
        if name in self.shifts:
            return ModelError(
                f"{self.folder}: lora_bias trained {name}, and that layer of the base has no bias to merge it "
                "into (PEFT cannot merge it either); train without lora_bias"
            )
        return ModelError(
            f"{self.folder}: adapter of another model, or of a part that is not exported: it changes {name}, "
            "which the base does not have"
        )

    def _different(self, name: str, shape: tuple[int, ...], base: tuple[int, ...]) -> ModelError:
        if len(shape) == len(base) == 2 and shape[1] == base[1] and re.search("embed|lm_head", name):
            return ModelError(
                f"{self.folder}: {name} has {shape[0]} rows in the adapter and {base[0]} in the base: the "
                "vocabulary was resized for training. Resize the base in the same way (resize_token_embeddings), "
                "save it and its tokenizer with save_pretrained, and give that folder as the base"
            )
        return ModelError(
            f"{self.folder}: adapter of another model: {name} has shape {list(shape)} in the adapter and "
            f"{list(base)} in the base"
        )

    def _check_tokens(self, name: str, rows: TokenRows, shapes: Mapping[str, tuple[int, ...]]) -> None:
        if name not in shapes:
            raise self._absent(name)
        count, *width = shapes[name]
        if rows.values.shape != (len(rows.tokens), *width):
            raise ModelError(
                f"{self.folder}: {name} has rows of shape {list(rows.values.shape)} for {len(rows.tokens)} tokens "
                f"of trainable_token_indices and a base of width {width}"
            )
        if max(rows.tokens) >= count:
            raise ModelError(
                f"{self.folder}: trainable_token_indices names token {max(rows.tokens)}, {name} has {count} rows"
            )


def _layers(names: Iterable[str]) -> int:
    return max((int(m[1]) + 1 for name in names if (m := _LAYER.search(name))), default=0)


def load_adapter(folder: Path) -> Adapter:
    """Read the PEFT adapter in ``folder``; its matrices are read when they are needed.

    Raises:
        ModelError: a file is missing or damaged, or the adapter is of a kind that cannot be merged.
    """
    config = read_config(folder)
    weights = folder / WEIGHTS
    if not weights.is_file():
        raise ModelError(f"{folder}: no {WEIGHTS}; save the adapter with save_pretrained")
    modules: dict[str, dict[str, StoredTensor]] = defaultdict(dict)
    for key, tensor in read_header(weights).items():
        match = _KEY.fullmatch(key)
        if match is None or "lora_" in match["module"]:
            raise ModelError(f"{weights}: {key} is nothing that the export knows how to merge")
        part = match["part"].removeprefix("base_layer.")
        part = part.removesuffix(".weight") if part.startswith("lora_magnitude") else part
        if part in modules[match["module"]]:
            raise ModelError(f"{weights}: {key} is there twice, under another name")
        modules[match["module"]][part] = tensor
    if not modules:
        raise ModelError(f"{weights}: it holds no LoRA tensors")
    adapter, seen = Adapter(folder, config), set()
    for module, parts in modules.items():
        name = WRAPPERS.sub("", module)
        if name in seen:
            raise ModelError(f"{weights}: {name} is there twice, once as {module}")
        seen.add(name)
        _add(adapter, name, module, parts)
    return adapter


def _add(adapter: Adapter, name: str, module: str, parts: Parts) -> None:
    """Enter what the adapter holds of the module ``name``, which PEFT knew as ``module``."""
    config, weight, bias = adapter.config, f"{name}.weight", f"{name}.bias"
    for part, target in (("weight", weight), ("bias", bias)):
        if part in parts:
            adapter.replaced[target] = parts[part]
    sides = sorted(part for part in parts if part.startswith("lora_"))
    if sides:
        embedding = sides[0].startswith("lora_embedding")
        _check_sides(adapter, name, sides, embedding)
        adapter.pairs[weight] = _pair(config, module, parts, embedding)
    if "lora_B.bias" in parts:
        adapter.shifts[bias] = Shift(parts["lora_B.bias"], config.scale_of(module))
    if "lora_magnitude_vector" in parts:
        adapter.magnitudes[weight] = _magnitudes(adapter, weight, parts["lora_magnitude_vector"])
    if delta := parts.get("token_adapter.trainable_tokens_delta"):
        adapter.tokens[weight] = _tokens(adapter, module, sides, delta)


def _check_sides(adapter: Adapter, module: str, sides: list[str], embedding: bool) -> None:
    """The adapter holds of a LoRA module all that its config says, and nothing else."""
    config = adapter.config
    wanted = ["lora_embedding_A", "lora_embedding_B"] if embedding else ["lora_A.weight", "lora_B.weight"]
    wanted += ["lora_magnitude_vector"] if config.dora else []
    wanted += ["lora_B.bias"] if config.lora_bias else []
    for part in sorted(set(wanted) - set(sides)):
        raise ModelError(
            f"{adapter.folder}: {module} has {', '.join(sides)} without {part}, which belongs to it by {CONFIG}"
        )
    for part in sorted(set(sides) - set(wanted)):
        raise ModelError(f"{adapter.folder}: {module} has {part}, which {CONFIG} says nothing of")


def _pair(config: LoraConfig, module: str, parts: Parts, embedding: bool) -> LoraPair:
    a, b = (parts[f"lora_embedding_{s}"] if embedding else parts[f"lora_{s}.weight"] for s in "AB")
    rank = config.rank_of(module)
    if not (len(a.shape) == len(b.shape) == 2 and a.shape[0] == b.shape[1] == rank):
        raise ModelError(
            f"{module}: {CONFIG} says rank {rank}, the tensors are A {list(a.shape)} and B {list(b.shape)}"
        )
    scale = config.scale_of(module)
    return LoraPair(b, a, scale, embedding) if embedding else LoraPair(a, b, scale)


def _magnitudes(adapter: Adapter, weight: str, lengths: StoredTensor) -> StoredTensor:
    pair = adapter.pairs[weight]
    if lengths.shape != (pair.shape[1 if pair.embedding else 0],):
        raise ModelError(
            f"{adapter.folder}: {weight} has shape {list(pair.shape)} and {list(lengths.shape)} DoRA magnitudes"
        )
    return lengths


def _tokens(adapter: Adapter, module: str, sides: list[str], delta: StoredTensor) -> TokenRows:
    if sides:
        raise ModelError(
            f"{adapter.folder}: {module} has both LoRA and tokens trained alone, and PEFT can compute no such model"
        )
    tokens = adapter.config.tokens_of(module)
    if not tokens:
        raise ModelError(f"{adapter.folder}: trainable_token_indices names no token of {module}")
    return TokenRows(tokens, delta)
