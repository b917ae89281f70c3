"""The model that is exported: a base, with what an adapter adds, as float32 rows in llama.cpp's layout.

W + scale * B @ A is computed slab by slab in float32 when a slab is asked for. No merged folder is made, and
nothing is rounded between the base's weights and the type of the file.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from socrates_export.architectures.spec import Config, TensorSpec
from socrates_export.source.base import BaseModel, open_base
from socrates_export.source.lora import Adapter, load_adapter


@dataclass(frozen=True)
class MergedModel:
    """A base model and the adapter that is merged into it while it is read.

    Attributes:
        base: the base model's folder.
        adapter: the adapter, or None for the base as it is.
        config: the base's config, as it is after merging.
        specs: the tensors to write, in the order of writing.
    """

    base: BaseModel
    adapter: Adapter | None
    config: Config
    specs: list[TensorSpec]

    def slab(self, spec: TensorSpec, start: int, stop: int) -> NDArray[np.float32]:
        """Rows ``start`` to ``stop`` (multiples of ``spec.together``, or the end) of one tensor, as written.

        May be called from several threads.

        Raises:
            ModelError: the file ends before the rows do.
        """
        if spec.values is not None:
            return np.array(spec.values[start:stop], np.float32)
        rows = self.base.tensors[spec.source].rows(start, stop)
        pair = self.adapter.pairs.get(spec.source) if self.adapter is not None else None
        merged = rows if pair is None else rows + pair.delta(start, stop)
        return self.base.architecture.transform(spec, merged)


def open_merged(base: Path, adapter: Path | None) -> MergedModel:
    """Open base and adapter, and check that they fit each other.

    Args:
        base: folder of the base model.
        adapter: folder of the PEFT adapter, or None.

    Raises:
        ModelError: one of them cannot be exported, or the adapter belongs to another model.
    """
    model = open_base(base)
    lora = load_adapter(adapter) if adapter is not None else None
    if lora is not None:
        lora.check(model.shapes)
    return MergedModel(model, lora, model.config, model.specs)
