"""What follows from a model's ``config.json``: its matrices, its parameters, the size of its files.

The tensors are those of the exporter's own architecture table, so a count here is the count of what is later written.
"""

import difflib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

from socrates_export.architectures import ARCHITECTURES, architecture_of
from socrates_export.write.types import MixFacts, row_bytes, tensor_types
from socrates_fast.errors import ModelError
from socrates_fast.plan.models import MODELS
from socrates_fast.recipe import TINY, Model

GGUF_VOCABULARY_BYTES = 40
"""Of a GGUF's header for each token: its text, its length, its type and about two merges."""


@dataclass(frozen=True)
class Shape:
    """A model without its weights.

    Attributes:
        name: how the recipe calls it.
        config: its ``config.json``, complete.
        tensors: shape of every tensor by Hugging Face name, rows first.
        exported: shape of every tensor by GGUF name.
    """

    name: str
    config: Mapping[str, Any]
    tensors: Mapping[str, tuple[int, ...]]
    exported: Mapping[str, tuple[int, ...]]

    @property
    def layers(self) -> int:
        """Number of blocks."""
        return int(self.config["num_hidden_layers"])

    @property
    def hidden(self) -> int:
        """Width of the residual stream."""
        return int(self.config["hidden_size"])

    @property
    def vocabulary(self) -> int:
        """Rows of the output matrix."""
        return int(self.config["vocab_size"])

    @property
    def longest(self) -> int:
        """Most positions, in tokens."""
        return int(self.config["max_position_embeddings"])

    @property
    def parameters(self) -> int:
        """All of them; a tied matrix counts once."""
        return sum(prod(shape) for shape in self.tensors.values())

    @property
    def linear(self) -> int:
        """Parameters of the blocks' matrices: what NF4 holds, and what an adapter can be put on."""
        return sum(prod(shape) for shape in self.matrices().values())

    @property
    def multiplied(self) -> int:
        """Parameters that each token is multiplied with: the blocks' matrices and the output matrix."""
        return self.linear + self.vocabulary * self.hidden

    def matrices(self) -> dict[str, tuple[int, ...]]:
        """Matrices of the blocks, by full name."""
        blocks = ((name, shape) for name, shape in self.tensors.items() if ".layers." in name)
        return {name: shape for name, shape in blocks if len(shape) == 2}

    def targets(self) -> dict[str, tuple[int, ...]]:
        """Matrices of one block by the name that ``train.lora.targets`` uses."""
        first = {name: shape for name, shape in self.matrices().items() if ".layers.0." in name}
        return {name.removesuffix(".weight").rsplit(".", 1)[-1]: shape for name, shape in first.items()}

    def adapter(self, rank: int, targets: tuple[str, ...]) -> int:
        """Parameters of a LoRA adapter: rank * (in + out) for each target, in every block (arXiv 2106.09685)."""
        known = self.targets()
        return self.layers * sum(rank * sum(known[name]) for name in targets if name in known)

    def file_bytes(self, kind: str) -> int:
        """Bytes of a GGUF of a type: the tensors exactly, the tokenizer roughly."""
        config = self.config
        heads_kv = int(config.get("num_key_value_heads") or config["num_attention_heads"])
        name = ARCHITECTURES[str(config["model_type"])].name
        facts = MixFacts(name, self.layers, int(config["num_attention_heads"]), heads_kv, imatrix=False)
        types = tensor_types(kind, self.exported, facts)
        sizes = (prod(s[:-1]) * row_bytes(types[name], s[-1]) for name, s in self.exported.items())
        return sum(sizes) + GGUF_VOCABULARY_BYTES * self.vocabulary


def shape_of(model: Model) -> Shape:
    """The shape of a recipe's base: built in, a folder's, or a known id's.

    Raises:
        ModelError: a folder without a readable ``config.json``, or an id that the table does not have.
    """
    if model.base == TINY:
        from socrates_fast.train.tiny import SHAPE, VOCABULARY

        fixed = {"model_type": "qwen2", "vocab_size": VOCABULARY, "tie_word_embeddings": True}
        return shape_from(TINY, {**fixed, **SHAPE})
    folder = Path(model.base).expanduser()
    if folder.is_dir():
        return _of_folder(folder)
    known = MODELS.get(model.base)
    if known is None:
        raise ModelError(_unknown(model.base))
    return shape_from(model.base, known.config)


def known_shape(name: str) -> Shape:
    """The shape of an id of the table."""
    return shape_from(name, MODELS[name].config)


def _of_folder(folder: Path) -> Shape:
    path = folder / "config.json"
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelError(
            f"model.base: {path} cannot be read ({error}); give a Hugging Face model folder"
        ) from error
    architecture_of(config, path)
    return shape_from(str(folder), config)


def shape_from(name: str, config: Mapping[str, Any]) -> Shape:
    """The shape that the content of a ``config.json`` describes."""
    architecture = ARCHITECTURES[str(config["model_type"])]
    complete = architecture.complete({"rms_norm_eps": 1e-6, **config})
    specs = architecture.tensors(complete)
    stored = {spec.source: spec.shape for spec in specs if spec.source}
    kind = {"model_type": config["model_type"]}
    return Shape(name, {**complete, **kind}, stored, {spec.target: spec.shape for spec in specs})


def _unknown(name: str) -> str:
    near = difflib.get_close_matches(name, MODELS, n=1, cutoff=0.5)
    hint = f"Did you mean {near[0]}? " if near else ""
    return (
        f"model.base: the shape of {name} is not known here, so nothing can be planned. {hint}Otherwise download its "
        f"config.json alone (hf download {name} config.json --local-dir DIR) and plan with --set model.base=DIR"
    )
