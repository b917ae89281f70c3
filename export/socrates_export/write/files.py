"""Writes a merged model as GGUF files of several types."""

from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path

from socrates_export.architectures.spec import Metadata, TensorSpec
from socrates_export.progress import Progress
from socrates_export.source.merged import MergedModel
from socrates_export.vocabulary import tokenizer_metadata
from socrates_export.write.gguf_writer import OutputTensor, Slab, write_gguf

SLAB_BYTES = 2**20


def model_metadata(model: MergedModel, name: str) -> Metadata:
    """The GGUF keys of a merged model, but for those of its file type."""
    return {
        "general.architecture": model.base.architecture.name,
        "general.type": "model",
        "general.name": name,
        **model.base.architecture.metadata(model.config),
        **tokenizer_metadata(model.base),
    }


def write_files(
    model: MergedModel,
    metadata: Metadata,
    files: Mapping[str, Path],
    progress: Progress | None = None,
) -> None:
    """Write ``files`` (by type); each whole or not at all."""
    tensors = [OutputTensor(spec.target, spec.shape, partial(_slabs, model, spec)) for spec in model.specs]
    for kind, path in files.items():
        write_gguf(path, metadata, tensors, kind, progress)


def _slabs(model: MergedModel, spec: TensorSpec) -> Iterator[Slab]:
    width = 4
    for size in spec.shape[1:]:
        width *= size
    rows = max(1, SLAB_BYTES // width // spec.together) * spec.together
    for start in range(0, spec.shape[0], rows):
        yield model.slab(spec, start, min(start + rows, spec.shape[0]))
