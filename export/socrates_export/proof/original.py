"""What the original model computes: base + adapter, logits and answers, from a child process."""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from socrates_export.child import run_task
from socrates_export.progress import Progress, Step
from socrates_export.proof.questions import Question
from socrates_fast.infer.predictor import AnswerDistribution
from socrates_fast.infer.trie import normalised

Logits = list[NDArray[np.float32]]


@dataclass(frozen=True)
class Original:
    """What the original model computes.

    Attributes:
        logits: of each question that has positions; shape (positions, vocabulary).
        without_adapter: the same of the base alone; None if there is no adapter.
        answers: of each question that has an answer trie.
    """

    logits: Logits
    without_adapter: Logits | None
    answers: list[AnswerDistribution]


def compute_original(
    base: Path,
    adapter: Path | None,
    questions: Sequence[Question],
    progress: Progress | None = None,
    merge_base: str = "original",
) -> Original:
    """Ask base + adapter, by Transformers and PEFT in float32.

    Args:
        base: the base model's folder.
        adapter: the PEFT adapter's folder, or None.
        questions: what is asked.
        progress: told in words how far it is.
        merge_base: which weights the adapter was merged into.

    Raises:
        ExportError: the model could not be loaded or computed; the message has the last lines of its log.
        ScoringError: the model's probabilities are not numbers.
    """
    doing = "computing the original model's logits and answers"
    step = Step(progress, f"{doing} ({len(questions)} prompts)")
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "reference.npz"
        arguments = {
            "base": str(base),
            "adapter": str(adapter) if adapter else None,
            "questions": [question.as_task() for question in questions],
            "out": str(out),
            "merge_base": merge_base,
        }
        run_task("reference", arguments, doing, progress=step.at)
        with np.load(out) as arrays:
            return read_original(dict(arrays), questions)


def read_original(arrays: dict[str, NDArray[Any]], questions: Sequence[Question]) -> Original:
    """The arrays that the task ``reference`` writes, as what was asked."""
    compared = [index for index, question in enumerate(questions) if question.positions]
    answers = []
    for index, question in enumerate(questions):
        if question.trie is not None:
            rows = [arrays[f"answers-{index}-{node}"] for node in range(len(question.trie.nodes))]
            answers.append(normalised(question.trie.values, question.trie.log_probabilities(rows)))
    with_base = all(f"base-{index}" in arrays for index in compared)
    return Original(
        [arrays[f"logits-{index}"] for index in compared],
        [arrays[f"base-{index}"] for index in compared] if with_base and compared else None,
        answers,
    )
