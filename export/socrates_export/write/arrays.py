"""A small GGUF of float32 arrays: an importance matrix, a LoRA adapter."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from socrates_export.architectures.spec import Metadata
from socrates_export.write.header import Entry, Keys, head
from socrates_fast.runs import atomic_path


def write_arrays(path: Path, metadata: Metadata, arrays: Mapping[str, NDArray[np.float32]]) -> None:
    """Write ``arrays`` (rows first) and the keys ``metadata`` to ``path``, whole or not at all.

    Raises:
        SocratesError: the file cannot be written.
    """
    entries = [Entry(name, array.shape, "F32") for name, array in arrays.items()]
    top = head(Keys.of(metadata), entries)
    with atomic_path(path) as partial, partial.open("wb") as file:
        file.write(top.content)
        for offset, array in zip(top.offsets, arrays.values(), strict=True):
            file.seek(offset)
            file.write(np.ascontiguousarray(array, np.float32).tobytes())
        file.truncate(top.size)
