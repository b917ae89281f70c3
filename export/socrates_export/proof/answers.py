"""Answer distributions of a GGUF beside those of the original model.

The GGUF's come from the scorer that people use, on the CPU and with ``exact`` on: keys, values and attention in
float32, so that what is measured is the file.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from socrates_export.proof.questions import Question
from socrates_fast.infer.predictor import AnswerDistribution

CONTEXT = 2048
"""Least tokens of the KV cache: room for prompts that are decoded together."""


@dataclass(frozen=True)
class AnswerDifference:
    """How far exported answer distributions are from the original's.

    Attributes:
        kl: mean over prompts of KL(original || exported) over the scale's values, in nats.
        kl_max: the largest.
        wasserstein: mean over prompts of the Wasserstein-1 distance, as a share of the scale's range.
        wasserstein_max: the largest.
        top1: share of prompts on which both have the same most probable answer.
        answer_mass: mean probability that the exported model answers on the scale at all.
        answer_mass_original: the same of the original.
        answer_mass_max: largest difference of the two on one prompt.
    """

    kl: float
    kl_max: float
    wasserstein: float
    wasserstein_max: float
    top1: float
    answer_mass: float
    answer_mass_original: float
    answer_mass_max: float


def gguf_answers(gguf: Path, questions: Sequence[Question]) -> list[AnswerDistribution]:
    """Answer distributions of a GGUF, of each question with an answer trie.

    Raises:
        ModelError: the file is not a whole GGUF, or llama.cpp cannot load it.
        ScoringError: a prompt cannot be scored, or the worker died.
    """
    from socrates_fast.infer.gguf_model import GgufPredictor

    asked = [question for question in questions if question.trie is not None]
    context = max([CONTEXT, *(question.longest for question in asked)])
    with GgufPredictor(gguf, context=context, gpu_layers=0, exact=True) as predictor:
        return predictor.predict([question.prompt for question in asked])


def answer_difference(
    original: Sequence[AnswerDistribution], exported: Sequence[AnswerDistribution]
) -> AnswerDifference:
    """How far ``exported`` is from ``original``, prompt by prompt; at least one prompt."""
    pairs = list(zip(original, exported, strict=True))
    kl = np.array([kullback_leibler(p.probabilities, q.probabilities) for p, q in pairs])
    distance = np.array([wasserstein(p, q) for p, q in pairs])
    mass = np.array([(p.answer_mass, q.answer_mass) for p, q in pairs])
    return AnswerDifference(
        kl=float(kl.mean()),
        kl_max=float(kl.max()),
        wasserstein=float(distance.mean()),
        wasserstein_max=float(distance.max()),
        top1=float(np.mean([p.mode == q.mode for p, q in pairs])),
        answer_mass=float(mass[:, 1].mean()),
        answer_mass_original=float(mass[:, 0].mean()),
        answer_mass_max=float(np.abs(mass[:, 0] - mass[:, 1]).max()),
    )


def kullback_leibler(p: NDArray[np.float64], q: NDArray[np.float64]) -> float:
    """KL(p || q) in nats, finite: a probability too small for a float64 counts as the smallest there is."""
    possible = p > 0
    smallest = np.finfo(np.float64).tiny
    return float(np.sum(p[possible] * np.log(p[possible] / np.maximum(q[possible], smallest))))


def wasserstein(p: AnswerDistribution, q: AnswerDistribution) -> float:
    """Wasserstein-1 distance of two distributions on the same values, as a share of the values' range."""
    span = float(p.values[-1] - p.values[0])
    moved = np.abs(np.cumsum(p.probabilities - q.probabilities))[:-1] @ np.diff(p.values)
    return float(moved) / span if span else 0.0
