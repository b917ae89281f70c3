"""Logits, answers and metrics of GGUF files beside those of the original model, and whether the bounds are kept."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from math import isfinite
from pathlib import Path
from typing import Any

from socrates_export.progress import Progress
from socrates_export.proof.answers import AnswerDifference, answer_difference, gguf_answers
from socrates_export.proof.logits import LogitDifference, gguf_logits, logit_difference
from socrates_export.proof.original import Original
from socrates_export.proof.questions import Question
from socrates_fast.errors import ScoringError
from socrates_fast.infer.predictor import AnswerDistribution
from socrates_fast.recipe import Bounds

Judge = Callable[[Sequence[int], Sequence[AnswerDistribution]], Mapping[str, float]]
"""Figures of the evaluation by name, of the answer distributions of some of the prompts, given by their numbers."""

Blame = Callable[[Path, str], None]
"""Is told of a file's fault, in words."""

NO_SCALE = "not compared: no prompt with a closed scale"
NO_ANSWERS = "not compared: nobody's answers to these prompts are known"


@dataclass(frozen=True)
class Comparison:
    """Some files beside the original model.

    Attributes:
        files: by type.
        bounds: by type; a type that has none is not judged.
        questions: what was asked.
        original: what the original model computes.
        blame: told what is out of bounds.
        tell: told what is compared.
    """

    files: Mapping[str, Path]
    bounds: Mapping[str, Bounds]
    questions: Sequence[Question]
    original: Original
    blame: Blame
    tell: Progress

    def run(self, judge: Judge | None) -> dict[str, Any]:
        """The parts ``logits``, ``answers``, ``metrics`` and ``bounds`` of ``parity.json``."""
        content: dict[str, Any] = {"logits": self._logits()}
        answers: dict[str, list[AnswerDistribution]] = {}
        if self._asked:
            content["answers"] = self._answers(answers)
            content["metrics"] = self._metrics(answers, judge) if judge else NO_ANSWERS
        else:
            content["answers"] = content["metrics"] = NO_SCALE
        content["bounds"] = {kind: self._bound(kind).model_dump() for kind in self.files}
        return content

    @property
    def _asked(self) -> list[Question]:
        """Those whose answers are compared."""
        return [question for question in self.questions if question.trie is not None]

    def _bound(self, kind: str) -> Bounds:
        return self.bounds.get(kind, Bounds())

    def _logits(self) -> dict[str, Any]:
        types = {}
        for kind, file in self.files.items():
            exported = gguf_logits(file, self.questions)
            found = logit_difference(self.original.logits, exported, self.original.without_adapter)
            self.tell(f"{kind}: NMSE of the logits {found.nmse:.2e}")
            self._judge_logits(kind, file, found)
            types[kind] = asdict(found)
        compared = [len(question.positions) for question in self.questions if question.positions]
        return {"prompts": len(compared), "positions": sum(compared), "types": types}

    def _judge_logits(self, kind: str, file: Path, found: LogitDifference) -> None:
        self._at_most(kind, file, "nmse", found.nmse, "NMSE of its logits")
        if found.lacks_adapter:
            self.blame(file, f"its logits show {found.adapter:.0%} of what the adapter changes")

    def _answers(self, answers: dict[str, list[AnswerDistribution]]) -> dict[str, Any]:
        """Fills ``answers`` with what was computed, by type."""
        types = {}
        for kind, file in self.files.items():
            try:
                answers[kind] = gguf_answers(file, self._asked)
            except ScoringError as error:
                self.blame(file, str(error))
                continue
            found = answer_difference(self.original.answers, answers[kind])
            self.tell(
                f"{kind}: answers differ by KL {found.kl:.2e} nats, Wasserstein {found.wasserstein:.4f}"
            )
            self._judge_answers(kind, file, found)
            types[kind] = asdict(found)
        return {
            "prompts": len(self._asked),
            "arithmetic": "float32 keys, values and attention",
            "types": types,
        }

    def _judge_answers(self, kind: str, file: Path, found: AnswerDifference) -> None:
        self._at_most(kind, file, "kl", found.kl, "KL of its answers in nats")
        self._at_most(kind, file, "wasserstein", found.wasserstein, "Wasserstein distance of its answers")
        least = self._bound(kind).top1
        if least is not None and found.top1 < least:
            where = f"export.parity.bounds.{kind}.top1"
            self.blame(
                file, f"share of equal most probable answers: {found.top1:.3g}, less than {least} ({where})"
            )

    def _at_most(self, kind: str, file: Path, name: str, value: float, what: str) -> None:
        """Blame ``file`` if ``value`` is more than its bound called ``name``; what is no number always is."""
        most: float | None = getattr(self._bound(kind), name)
        if not isfinite(value) or (most is not None and value > most):
            bound = "not a number" if most is None else f"more than {most}"
            self.blame(file, f"{what}: {value:.3g}, {bound} (export.parity.bounds.{kind}.{name})")

    def _metrics(self, answers: Mapping[str, Sequence[AnswerDistribution]], judge: Judge) -> dict[str, Any]:
        numbers = [question.number for question in self._asked]
        original = judge(numbers, self.original.answers)
        types = {
            kind: {
                name: {"value": value, "difference": value - original[name]}
                for name, value in judge(numbers, found).items()
            }
            for kind, found in answers.items()
        }
        return {"rows": len(numbers), "original": dict(original), "types": types}
