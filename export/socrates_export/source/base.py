"""A base model's folder: its config, its architecture and where its tensors are; checked before anything is written."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from socrates_export.architectures import architecture_of
from socrates_export.architectures.spec import Architecture, TensorSpec
from socrates_export.source.files import read_json
from socrates_export.source.safetensors import StoredTensor, folder_tensors
from socrates_fast.errors import ModelError

_OUTPUT = "lm_head.weight"
_RECOMPUTED = (".rotary_emb.inv_freq", ".attention.bias", ".attention.masked_bias")
"""Buffers that old checkpoints hold and that llama.cpp computes itself."""


@dataclass(frozen=True)
class BaseModel:
    """A Hugging Face model folder.

    Attributes:
        folder: holds ``config.json``, the safetensors and the tokenizer.
        config: content of ``config.json``, completed (see ``Architecture.complete``).
        generation: content of ``generation_config.json``, empty if there is none.
        architecture: what the export knows about its ``model_type``.
        specs: the tensors to write.
        tensors: where each tensor is, by its name in the model as Transformers builds it.
    """

    folder: Path
    config: Mapping[str, Any]
    generation: Mapping[str, Any]
    architecture: Architecture
    specs: list[TensorSpec]
    tensors: Mapping[str, StoredTensor]

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Shape of each tensor that is read and written, by its name in the model."""
        return {spec.source: spec.shape for spec in self.specs if spec.values is None}


def open_base(folder: Path) -> BaseModel:
    """Open a base model's folder.

    Raises:
        ModelError: no safetensors, an unknown architecture, or tensors that are not those the config describes.
    """
    stored = folder_tensors(folder)
    given = read_json(folder / "config.json")
    architecture = architecture_of(given, folder / "config.json")
    config = architecture.complete(given)
    names = {name: architecture.module_name(name) for name in stored}
    generation = folder / "generation_config.json"
    base = BaseModel(
        folder,
        config,
        read_json(generation) if generation.is_file() else {},
        architecture,
        architecture.tensors(config),
        {name: stored[old] for old, name in names.items() if name is not None},
    )
    _check_tensors(base)
    return base


def _check_tensors(base: BaseModel) -> None:
    for name, shape in base.shapes.items():
        if name not in base.tensors:
            raise ModelError(f"{base.folder}: the safetensors do not hold {name}")
        if base.tensors[name].shape != shape:
            raise ModelError(
                f"{base.folder}: {name} has shape {list(base.tensors[name].shape)}, "
                f"config.json says {list(shape)}"
            )
    for name in sorted(base.tensors.keys() - base.shapes.keys()):
        if name == _OUTPUT:
            _check_tied(base)
        elif not name.endswith(_RECOMPUTED):
            raise ModelError(
                f"{base.folder}: {name} is no tensor of a {base.architecture.name} model, so it "
                "would be lost in the export"
            )


def _check_tied(base: BaseModel) -> None:
    """A tied output matrix is not written; one that differs from the embedding was not really tied."""
    source = next(spec.source for spec in base.specs if spec.target == "token_embd.weight")
    output, embedding = base.tensors[_OUTPUT], base.tensors[source]
    same = output.shape == embedding.shape and all(
        np.array_equal(rows, embedding.rows(start, start + len(rows))) for start, rows in output.slabs()
    )
    if not same:
        raise ModelError(
            f"{base.folder}: config.json ties {_OUTPUT} to the embedding, but the two differ; "
            "set tie_word_embeddings to false"
        )
