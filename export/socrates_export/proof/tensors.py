"""The tensors of a GGUF beside those that it should hold: base + adapter in float32.

Logits cannot show a small fault below the noise of a type of few bits: a norm left out, an adapter half applied. The
tensors can, and they name it. Rounding moves a tensor by a known share of its length, whatever the model; and it does
not know the adapter, so how often the adapter is in the file can be read off to a percent, where the adapter changes a
weight by far less than its rounding:

    share = <file - base, added> / <added, added>,  added = what the adapter adds to the base

is 1 for this adapter, 0 without it, 2 if it was added twice. Rows are sampled evenly, so a 14B takes seconds.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from math import isfinite, sqrt
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from socrates_export.architectures.spec import TensorSpec
from socrates_export.proof.questions import spread
from socrates_export.source.merged import MergedModel
from socrates_fast.errors import ModelError
from socrates_fast.infer.header import Header, TensorInfo, read_header

PIECES, PIECE_ROWS = 16, 8
"""Rows of a matrix that are compared: so many pieces, evenly spread, of so many rows (or of those that stay together)."""

LARGEST_ERROR = {
    "F32": 1e-5, "F16": 2e-3, "BF16": 5e-3, "Q8_0": 0.03, "Q6_K": 0.1,
    "Q5_K": 0.2, "Q5_1": 0.2, "Q5_0": 0.2, "Q4_K": 0.3, "Q4_1": 0.3, "Q4_0": 0.3, "IQ4_XS": 0.3, "IQ4_NL": 0.5,
    "Q3_K": 0.4, "Q2_K": 0.6,
}  # fmt: skip
"""Most of a tensor's length by which rounding to a GGML type may move it: about twice what it moves normally
distributed weights, enough for heavy tails and importance matrices (measured: docs/exporting.md). A tensor that was
transposed, permuted or left out is moved by 1 or more."""

FAULTS = 4
"""Most faults of one file that are spelled out."""

OTHER_TYPE = 0.6
"""The same for a type that is not listed."""

SHARE_TOLERANCE = 0.1
"""How far from 1 the adapter's share may be, besides five standard errors of the estimate."""

Rows = NDArray[np.float64]


@dataclass
class TensorComparison:
    """How far a file's tensors are from what they should be.

    Attributes:
        errors: by name: length of the difference over length of the tensor, both over the sampled rows.
        adapter: how often the adapter is in the file; None without an adapter.
        adapter_error: standard error of that estimate.
        faults: what is wrong, in words.
        misfits: how many of them say that this is another kind of model; they come first.
    """

    errors: dict[str, float] = field(default_factory=dict)
    adapter: float | None = None
    adapter_error: float | None = None
    faults: list[str] = field(default_factory=list)
    misfits: int = 0

    def reject(self, fault: str) -> None:
        """Note that this is another kind of model."""
        self.faults.insert(self.misfits, fault)
        self.misfits += 1

    def summary(self) -> dict[str, Any]:
        """For ``parity.json``: how many were compared, the one that differs most, the adapter's share."""
        worst = max(self.errors, key=lambda name: self.errors[name], default=None)
        return {
            "tensors": len(self.errors),
            "worst": worst,
            "worst_error": self.errors[worst] if worst else None,
            "adapter": self.adapter,
            "adapter_error": self.adapter_error,
        }


def compare_tensors(model: MergedModel, gguf: Path) -> TensorComparison:
    """Compare every tensor of ``gguf`` with what ``model`` would write.

    Raises:
        ModelError: the file is not a whole GGUF.
    """
    header = read_header(gguf)
    stored = {tensor.name: tensor for tensor in header.tensors}
    result, share = TensorComparison(), _Share()
    expected = model.base.architecture.name
    if header.architecture != expected:
        result.reject(f"it is of architecture {header.architecture!r}, the base of {expected!r}")
    for spec in model.specs:
        tensor = stored.get(spec.target)
        if tensor is None:
            result.reject(f"{spec.target} is missing")
        elif tensor.shape[::-1] != spec.shape:
            shapes = f"{list(tensor.shape[::-1])} instead of {list(spec.shape)}"
            result.reject(f"{spec.target} has shape {shapes}")
        else:
            _compare(model, header, spec, tensor, result, share)
    share.judge(result)
    if len(result.faults) > FAULTS:
        result.faults[FAULTS:] = [
            f"and {len(result.faults) - FAULTS} faults more in {len(model.specs)} tensors"
        ]
    return result


def _compare(
    model: MergedModel,
    header: Header,
    spec: TensorSpec,
    tensor: TensorInfo,
    result: TensorComparison,
    share: "_Share",
) -> None:
    moved = length = 0.0
    for start, stop in _pieces(spec):
        found = read_rows(header, tensor, start, stop)
        wanted = model.slab(spec, start, stop).astype(np.float64)
        moved += float(np.sum((found - wanted) ** 2))
        length += float(np.sum(wanted**2))
        if spec.values is None and model.tensors[spec.source].edits:
            before = model.base.architecture.transform(
                spec, model.tensors[spec.source].source.rows(start, stop)
            )
            share.add(wanted - before, found - before)
    kind = _type_name(tensor)
    error = sqrt(moved) / max(sqrt(length), 1e-30)
    result.errors[spec.target] = error
    most = LARGEST_ERROR.get(kind, OTHER_TYPE)
    # Only a comparison that holds passes: none holds with NaN.
    if not error <= most:
        result.faults.append(
            f"{spec.target} is {error:.3g} of its length away from base + adapter (rounding to {kind} explains {most})"
        )


@dataclass
class _Share:
    """Sums for the adapter's share, over all tensors that it changes."""

    power: float = 0.0
    product: float = 0.0
    squared: float = 0.0
    count: int = 0

    def add(self, added: Rows, moved: Rows) -> None:
        """Count a piece: what the adapter adds to it, and how far the file is from the base."""
        self.power += float(np.sum(added**2))
        self.product += float(np.sum(added * moved))
        self.squared += float(np.sum(moved**2))
        self.count += added.size

    def judge(self, result: TensorComparison) -> None:
        """Tell ``result`` how often the adapter is in the file."""
        if self.power == 0.0:
            return
        share = self.product / self.power
        rest = max(self.squared - share * self.product, 0.0)
        error = sqrt(rest / self.power / self.count)
        result.adapter, result.adapter_error = share, error
        if not isfinite(share) or abs(share - 1) > SHARE_TOLERANCE + 5 * error:
            fault = f"the adapter is in it {round(share, 2) + 0.0:.2f} times instead of once: another adapter, another scale, or none"
            result.faults.insert(result.misfits, fault)  # tensors that differ may be but its consequence


def _pieces(spec: TensorSpec) -> Iterator[tuple[int, int]]:
    """First and last row (not included) of the pieces that are compared; all of a vector."""
    rows = spec.shape[0]
    if len(spec.shape) == 1:
        yield 0, rows
        return
    size = -(-PIECE_ROWS // spec.together) * spec.together
    for piece in spread(-(-rows // size), PIECES):
        yield piece * size, min((piece + 1) * size, rows)


def read_rows(header: Header, tensor: TensorInfo, start: int, stop: int) -> Rows:
    """Rows ``start`` to ``stop`` (not included) of a GGUF's tensor, as numbers; (elements,) of a vector.

    Raises:
        ModelError: the type is not known, or the file ends before the rows do.
    """
    from gguf import GGML_QUANT_SIZES, GGMLQuantizationType, dequantize

    try:
        kind = GGMLQuantizationType(tensor.type)
    except ValueError as error:
        raise ModelError(
            f"{header.path}: {tensor.name} is of type {tensor.type}, which is not known"
        ) from error
    elements, size = GGML_QUANT_SIZES[kind]
    vector = len(tensor.shape) == 1
    width = (stop - start if vector else tensor.shape[0]) // elements * size
    first = start // elements * size if vector else start * width
    count = 1 if vector else stop - start
    with header.path.open("rb") as file:
        file.seek(header.data_start + tensor.offset + first)
        raw = np.fromfile(file, np.uint8, count * width)
    if raw.size < count * width:
        raise ModelError(f"{header.path}: truncated inside {tensor.name}; copy or download it again")
    rows: Rows = dequantize(raw.reshape(count, width), kind).astype(np.float64)
    return rows[0] if vector else rows


def _type_name(tensor: TensorInfo) -> str:
    from gguf import GGMLQuantizationType

    return str(GGMLQuantizationType(tensor.type).name)
