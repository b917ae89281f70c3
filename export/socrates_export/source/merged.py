"""The model that is exported: a base, with what an adapter does to it, as float32 rows in llama.cpp's layout.

Everything is computed slab by slab in float32 when a slab is asked for. No merged folder is made, and nothing is
rounded between the base's weights and the type of the file.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from socrates_export.architectures.spec import Config, TensorSpec
from socrates_export.source.base import BaseModel, open_base
from socrates_export.source.edits import EditedTensor, RowSource
from socrates_export.source.lora import Adapter, load_adapter
from socrates_export.source.nf4 import RoundTripped
from socrates_export.source.tying import tied
from socrates_fast.errors import ModelError

MERGE_BASES = ("original", "nf4")
"""The weights that an adapter can be merged into."""

_EMBEDDING, _OUTPUT = "token_embd.weight", "output.weight"
"""Names in the GGUF, the same for every architecture."""


@dataclass(frozen=True)
class MergedModel:
    """A base model and the adapter that is merged into it while it is read.

    Attributes:
        base: the base model's folder.
        adapter: the adapter, or None for the base as it is.
        config: the base's config, as it is after merging.
        specs: the tensors to write, in the order of writing.
        tensors: their rows after merging, by Hugging Face name.
    """

    base: BaseModel
    adapter: Adapter | None
    config: Config
    specs: list[TensorSpec]
    tensors: Mapping[str, EditedTensor]

    def slab(self, spec: TensorSpec, start: int, stop: int) -> NDArray[np.float32]:
        """Rows ``start`` to ``stop`` (multiples of ``spec.together``, or the end) of one tensor, as written.

        May be called from several threads.

        Raises:
            ModelError: the file ends before the rows do.
        """
        if spec.values is not None:
            return np.array(spec.values[start:stop], np.float32)
        rows = self.tensors[spec.source].rows(start, stop)
        return self.base.architecture.transform(spec, rows)


def open_merged(
    base: Path, adapter: Path | None, merge_base: str = "original", precision: str = "float32"
) -> MergedModel:
    """Open base and adapter, and check that they fit each other.

    Args:
        base: folder of the base model.
        adapter: folder of the PEFT adapter, or None.
        merge_base: ``original`` adds the adapter to the base's weights as they are; ``nf4`` to what the 4-bit
            quantisation that QLoRA trains on leaves of them.
        precision: the type that training computed in (``float32``, ``bfloat16``, ``float16``), to which bitsandbytes
            rounds dequantised weights; it counts for ``nf4`` only.

    Raises:
        ModelError: one of them cannot be exported, or the adapter belongs to another model.
    """
    if merge_base not in MERGE_BASES:
        raise ModelError(f"cannot merge into {merge_base!r} weights; choose from {', '.join(MERGE_BASES)}")
    model = open_base(base)
    lora = load_adapter(adapter) if adapter is not None else None
    plan = _plan(model, lora)
    sources = dict(plan.sources)
    if merge_base == "nf4":
        sources |= {name: RoundTripped(model.tensors[name], precision) for name in _quantised(model, lora)}
    tensors = {
        name: plan.adapter.merged(name, source) if plan.adapter else EditedTensor(source)
        for name, source in sources.items()
    }
    return MergedModel(model, lora, plan.config, plan.specs, tensors)


@dataclass(frozen=True)
class _Plan:
    """What is written, after it is settled whether the output matrix is the embedding.

    Attributes:
        adapter: as it applies to each tensor.
        config: of the model.
        specs: the tensors to write.
        sources: rows before the adapter's edits, by Hugging Face name.
    """

    adapter: Adapter | None
    config: Config
    specs: list[TensorSpec]
    sources: dict[str, RowSource]


def _plan(model: BaseModel, adapter: Adapter | None) -> _Plan:
    """Check that base and adapter fit; untie the output matrix if the adapter makes it another than the embedding."""
    sources: dict[str, RowSource] = {name: model.tensors[name] for name in model.shapes}
    if adapter is None:
        return _Plan(None, model.config, model.specs, sources)
    shapes = {name: source.shape for name, source in sources.items()}
    if _source(model.specs, _OUTPUT):
        adapter.check(shapes)
        return _Plan(adapter, model.config, model.specs, {**sources, **adapter.replaced})
    config = {**model.config, "tie_word_embeddings": False}
    specs = model.architecture.tensors(config)
    embedding, output = _source(specs, _EMBEDDING), _source(specs, _OUTPUT)
    adapter.check({**shapes, output: shapes[embedding]})
    both = tied(adapter, model.tensors[embedding], embedding, output)
    sources = {**sources, **adapter.replaced, embedding: both.embedding, output: both.output}
    if both.same:
        return _Plan(both.adapter, model.config, model.specs, sources)
    if reason := model.architecture.refuse(config):
        raise ModelError(
            f"{adapter.folder}: it trained {embedding} and {output} apart, and {reason}; train with "
            "ensure_weight_tying, or neither of the two"
        )
    return _Plan(both.adapter, config, specs, sources)


def _source(specs: Sequence[TensorSpec], target: str) -> str:
    """The Hugging Face name of what is written as ``target``, empty if nothing is."""
    return next((spec.source for spec in specs if spec.target == target), "")


def _quantised(model: BaseModel, adapter: Adapter | None) -> list[str]:
    """What bitsandbytes quantises when Transformers loads the base in 4 bits: linear layers but the output matrix.

    Embeddings, norms and biases it leaves alone; tensors that the adapter replaces were trained in full.
    """
    return [
        spec.source
        for spec in model.specs
        if spec.values is None
        and len(spec.shape) == 2
        and spec.target not in (_EMBEDDING, _OUTPUT)
        and not (adapter and spec.source in adapter.replaced)
    ]
