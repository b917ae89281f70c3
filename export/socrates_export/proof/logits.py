"""Logits of a GGUF beside those of the original model.

Both read the same token ids. The GGUF's keys, values and attention are kept in float32, so that what is measured
is the file and not the run-time's own shortcuts.
"""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_softmax

from socrates_export.child import run_task
from socrates_export.proof.questions import Question

Arrays = list[NDArray[np.float32]]

SHARE_TOLERANCE = 0.5
"""How far from 1 the adapter's share may be where its effect is larger than everything else that differs."""


@dataclass(frozen=True)
class LogitDifference:
    """How far exported logits are from the original's.

    Attributes:
        nmse: mean((exported - original)^2) / mean(original^2).
        max_abs: largest absolute difference.
        kl: mean over positions of KL(original || exported), in nats.
        top1: share of positions at which both have the same most probable token.
        adapter: how much of what the adapter changes the exported logits show: 1 for all of it, 0 without it;
            None without an adapter.
        adapter_to_rest: the power of that change over the power of all else that differs.
    """

    nmse: float
    max_abs: float
    kl: float
    top1: float
    adapter: float | None = None
    adapter_to_rest: float | None = None

    @property
    def lacks_adapter(self) -> bool:
        """Whether the adapter's effect stands out, and is not there or not as large as it should be."""
        if self.adapter is None or self.adapter_to_rest is None:
            return False
        return self.adapter_to_rest > 1 and abs(self.adapter - 1) > SHARE_TOLERANCE


def gguf_logits(gguf: Path, questions: Sequence[Question]) -> Arrays:
    """Logits of a GGUF by llama.cpp on the CPU, of each question with positions; shape (positions, vocabulary).

    Raises:
        ExportError: llama.cpp cannot load or compute the file; the message has the last lines of its log.
    """
    compared = [question for question in questions if question.positions]
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "logits.npz"
        arguments = {
            "model": str(gguf),
            "sequences": [question.ids for question in compared],
            "positions": [question.positions for question in compared],
            "out": str(out),
        }
        run_task("logits", arguments, f"computing the logits of {gguf.name}")
        with np.load(out) as arrays:
            return [arrays[str(index)] for index in range(len(compared))]


def logit_difference(
    original: Sequence[NDArray[Any]],
    exported: Sequence[NDArray[Any]],
    without_adapter: Sequence[NDArray[Any]] | None = None,
) -> LogitDifference:
    """How far ``exported`` is from ``original``, over all prompts and positions.

    Args:
        original: per prompt, shape (positions, vocabulary).
        exported: of the same shapes.
        without_adapter: likewise, of the base alone.
    """
    squared = power = kl = 0.0
    largest: list[float] = []
    same: list[NDArray[np.bool_]] = []
    for expected, actual in zip(original, exported, strict=True):
        b, a = expected.astype(np.float64), actual.astype(np.float64)
        squared += float(np.sum((a - b) ** 2))
        power += float(np.sum(b**2))
        largest.append(float(np.max(np.abs(a - b))))
        log_p, log_q = log_softmax(b, axis=-1), log_softmax(a, axis=-1)
        kl += float(np.sum(np.exp(log_p) * (log_p - log_q)))
        same.append(np.argmax(a, axis=-1) == np.argmax(b, axis=-1))
    agree = np.concatenate(same)
    share = _adapter(original, exported, without_adapter) if without_adapter else (None, None)
    return LogitDifference(
        squared / power, float(np.max(largest)), kl / len(agree), float(agree.mean()), *share
    )


def _adapter(
    original: Sequence[NDArray[Any]], exported: Sequence[NDArray[Any]], base: Sequence[NDArray[Any]]
) -> tuple[float | None, float | None]:
    """The adapter's share in ``exported``, by least squares, and its power over that of the rest."""
    power = product = squared = 0.0
    for whole, actual, alone in zip(original, exported, base, strict=True):
        added, moved = (logits.astype(np.float64) - alone for logits in (whole, actual))
        power += float(np.sum(added**2))
        product += float(np.sum(added * moved))
        squared += float(np.sum(moved**2))
    if power == 0.0:  # an adapter that was never trained
        return None, None
    share = product / power
    return share, power / max(squared - share * product, power * 1e-12)
