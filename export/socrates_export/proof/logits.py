"""The second half of the parity gate: the GGUF computes the logits of the original model.

Both models read the same token ids. The GGUF's keys, values and attention are kept in float32, so that what is
measured is the file and not the run-time's own shortcuts.
"""

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_softmax

from socrates_export.child import run_task

POSITIONS = 64
"""Most positions of one prompt that are compared; they are spread evenly and include the last."""

Arrays = list[NDArray[np.float32]]


@dataclass(frozen=True)
class LogitDifference:
    """How far exported logits are from the reference.

    Attributes:
        nmse: mean((exported - reference)^2) / mean(reference^2).
        max_abs: largest absolute difference.
        kl: mean over positions of KL(reference || exported), in nats.
        top1: share of positions at which both have the same most probable token.
    """

    nmse: float
    max_abs: float
    kl: float
    top1: float


@dataclass(frozen=True)
class Probe:
    """What both models are asked: token ids, and at which positions of them the logits are compared."""

    sequences: list[list[int]]
    positions: list[list[int]]

    @classmethod
    def of(cls, sequences: Sequence[list[int]]) -> "Probe":
        """A probe of ``sequences`` at up to ``POSITIONS`` positions each."""
        spread = [np.linspace(0, len(ids) - 1, min(len(ids), POSITIONS)) for ids in sequences]
        return cls(list(sequences), [[int(x) for x in np.unique(points.round())] for points in spread])

    @property
    def size(self) -> int:
        """Number of positions compared."""
        return sum(len(wanted) for wanted in self.positions)


def reference_logits(base: Path, adapter: Path | None, probe: Probe) -> Arrays:
    """Logits of base + adapter by Transformers and PEFT in float32; per sequence (positions, vocabulary).

    Raises:
        ExportError: the model could not be loaded or computed; the message has the last lines of its log.
    """
    arguments = {"base": str(base), "adapter": str(adapter) if adapter else None}
    return _compute("reference", arguments, "computing the original model's logits", probe)


def gguf_logits(gguf: Path, probe: Probe) -> Arrays:
    """Logits of a GGUF by llama.cpp on the CPU; per sequence (positions, vocabulary).

    Raises:
        ExportError: llama.cpp cannot load or compute the file; the message has the last lines of its log.
    """
    return _compute("logits", {"model": str(gguf)}, f"computing the logits of {gguf.name}", probe)


def _compute(task: str, arguments: Mapping[str, Any], doing: str, probe: Probe) -> Arrays:
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "logits.npz"
        asked = {"sequences": probe.sequences, "positions": probe.positions, "out": str(out)}
        run_task(task, {**arguments, **asked}, doing)
        with np.load(out) as arrays:
            return [arrays[str(index)] for index in range(len(probe.sequences))]


def difference(reference: Sequence[NDArray[Any]], exported: Sequence[NDArray[Any]]) -> LogitDifference:
    """How far ``exported`` is from ``reference``, over all sequences and positions.

    Args:
        reference: per sequence, shape (positions, vocabulary).
        exported: of the same shapes.
    """
    squared = power = kl = 0.0
    largest: list[float] = []
    same: list[NDArray[np.bool_]] = []
    for expected, actual in zip(reference, exported, strict=True):
        b, a = expected.astype(np.float64), actual.astype(np.float64)
        squared += float(np.sum((a - b) ** 2))
        power += float(np.sum(b**2))
        largest.append(float(np.max(np.abs(a - b))))
        log_p, log_q = log_softmax(b, axis=-1), log_softmax(a, axis=-1)
        kl += float(np.sum(np.exp(log_p) * (log_p - log_q)))
        same.append(np.argmax(a, axis=-1) == np.argmax(b, axis=-1))
    agree = np.concatenate(same)
    return LogitDifference(squared / power, float(np.max(largest)), kl / len(agree), float(agree.mean()))
