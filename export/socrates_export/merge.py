"""Merges a LoRA adapter into its base while the GGUF is written: W + scale * B @ A, in float32, slab by slab.

No merged folder is made, and nothing is rounded between the base's weights and the type of the file.
"""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

from socrates_export.architectures import Metadata, TensorSpec
from socrates_export.base import BaseModel
from socrates_export.gguf_writer import OutputTensor, Slab, write_gguf
from socrates_export.lora import Adapter
from socrates_export.progress import Progress
from socrates_export.tokenizer import tokenizer_metadata


def merged_tensors(base: BaseModel, adapter: Adapter | None) -> list[OutputTensor]:
    """The tensors of the merged model, in the order of writing.

    Raises:
        ModelError: the adapter belongs to another model.
    """
    if adapter is not None:
        adapter.check(base.shapes)
    return [
        OutputTensor(spec.target, spec.shape, partial(_slabs, base, adapter, spec)) for spec in base.specs
    ]


def _slabs(base: BaseModel, adapter: Adapter | None, spec: TensorSpec) -> Iterator[Slab]:
    pair = adapter.pairs.get(spec.source) if adapter is not None else None
    for start, rows in base.tensors[spec.source].slabs():
        merged = rows if pair is None else rows + pair.delta(start, start + len(rows))
        yield base.architecture.transform(spec, merged)


def write_merged(
    path: Path,
    base: BaseModel,
    adapter: Adapter | None,
    kind: str,
    name: str,
    progress: Progress | None = None,
    extra: Metadata | None = None,
) -> None:
    """Write base + adapter to ``path`` as a GGUF of type ``kind`` (``f32``, ``f16`` or ``bf16``).

    ``extra`` is further metadata that the file carries.

    Raises:
        ModelError: the adapter belongs to another model, the tokenizer is not one that llama.cpp knows, or a
            tensor holds NaN.
        SocratesError: the disk is full, or a value is too large for ``kind``.
    """
    metadata: Metadata = {
        "general.architecture": base.architecture.name,
        "general.type": "model",
        "general.name": name,
        **base.architecture.metadata(base.config),
        **tokenizer_metadata(base),
        **(extra or {}),
    }
    write_gguf(path, metadata, merged_tensors(base, adapter), kind, progress)
