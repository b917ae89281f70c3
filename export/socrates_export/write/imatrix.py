"""Importance matrices in llama.cpp's GGUF format: how much each input column of a matrix matters.

For every matrix W that is multiplied by activations x, the file holds the sum of x squared over all rows of x, per
column (``W.in_sum2``), and the number of rows (``W.counts``). Their ratio weighs the rounding error of W's columns.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from socrates_export.architectures.spec import Metadata
from socrates_export.write.arrays import write_arrays
from socrates_fast.errors import ModelError

_SUM, _COUNT = ".in_sum2", ".counts"


@dataclass(frozen=True)
class Imatrix:
    """An importance matrix.

    Attributes:
        name: of its file.
        datasets: what it was collected on.
        chunks: number of texts it was collected on.
        values: mean square of each input column, by GGUF tensor: float32, shape (columns,).
    """

    name: str
    datasets: list[str]
    chunks: int
    values: Mapping[str, NDArray[np.float32]]

    @property
    def metadata(self) -> Metadata:
        """The keys that llama.cpp's own quantiser leaves in a file that was made with it."""
        return {
            "quantize.imatrix.file": self.name,
            "quantize.imatrix.dataset": ", ".join(self.datasets),
            "quantize.imatrix.entries_count": len(self.values),
            "quantize.imatrix.chunks_count": self.chunks,
        }

    def check(self, shapes: Mapping[str, tuple[int, ...]]) -> None:
        """Refuse a model, given by its tensors' shapes, that this was not collected on.

        Raises:
            ModelError: it knows another tensor, or one of another width.
        """
        for name, values in self.values.items():
            if name not in shapes:
                raise ModelError(f"{self.name}: imatrix of another model: there is no {name} in this one")
            if shapes[name][-1] != len(values):
                raise ModelError(
                    f"{self.name}: imatrix of another model: {name} has {len(values)} columns in it, "
                    f"{shapes[name][-1]} in the model"
                )


def write_imatrix(
    path: Path,
    dataset: str,
    chunks: int,
    chunk_size: int,
    sums: Mapping[str, tuple[NDArray[np.float64], int]],
) -> None:
    """Write an importance matrix.

    Args:
        path: the file.
        dataset: what it was collected on, in words.
        chunks: number of texts.
        chunk_size: tokens of the longest.
        sums: per GGUF tensor, the sum of squares of each column, shape (columns,), and the number of rows.
    """
    arrays: dict[str, NDArray[np.float32]] = {}
    for name, (total, count) in sorted(sums.items()):
        arrays[name + _SUM] = total[None].astype(np.float32)
        arrays[name + _COUNT] = np.array([[count]], np.float32)
    metadata: Metadata = {
        "general.type": "imatrix",
        "imatrix.datasets": [dataset],
        "imatrix.chunk_count": chunks,
        "imatrix.chunk_size": chunk_size,
    }
    write_arrays(path, metadata, arrays)


def read_imatrix(path: Path) -> Imatrix:
    """Read an importance matrix, ours or llama.cpp's.

    Raises:
        ModelError: it is not there, not a GGUF importance matrix, or holds what is not a number.
    """
    from gguf import GGUFReader

    if not path.is_file():
        raise ModelError(f"{path}: no such file; give an importance matrix in GGUF, or auto")
    try:
        reader = GGUFReader(path)
        kind = reader.fields["general.type"].contents()
        datasets = reader.fields["imatrix.datasets"].contents()
        chunks = int(reader.fields["imatrix.chunk_count"].contents())
        arrays = {tensor.name: np.array(tensor.data, np.float32) for tensor in reader.tensors}
    except (ValueError, KeyError, IndexError, TypeError, OverflowError, MemoryError) as error:
        raise ModelError(
            f"{path}: not an importance matrix in GGUF ({error}); older .dat files are converted by "
            "llama-imatrix --in-file OLD.dat -o NEW.gguf"
        ) from error
    if kind != "imatrix":
        raise ModelError(f"{path}: a GGUF of type {kind!r}, not an importance matrix")
    return Imatrix(path.name, _texts(datasets), chunks, _values(path, arrays))


def _texts(datasets: str | Sequence[str]) -> list[str]:
    return [datasets] if isinstance(datasets, str) else list(datasets)


def _values(path: Path, arrays: Mapping[str, NDArray[np.float32]]) -> dict[str, NDArray[np.float32]]:
    values = {}
    for name in (key.removesuffix(_SUM) for key in arrays if key.endswith(_SUM)):
        sums, count = arrays[name + _SUM], arrays.get(name + _COUNT)
        if count is None or count.size != 1 or sums.size != sums.shape[-1]:
            raise ModelError(
                f"{path}: {name} is not that of a dense model (it has several matrices or no count)"
            )
        if count.item() > 0:  # a tensor that was never used has no weights
            values[name] = np.ascontiguousarray(sums.reshape(-1) / count.item())
            if not np.isfinite(values[name]).all() or values[name].min() < 0:
                raise ModelError(
                    f"{path}: {name} holds what is not a mean square (NaN, infinite or negative)"
                )
    if not values:
        raise ModelError(f"{path}: it holds no importance at all")
    return values
