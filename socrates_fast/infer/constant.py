"""Baselines that read nothing but the scale."""

from collections.abc import Callable, Sequence

import numpy as np

from socrates_fast.errors import ScoringError
from socrates_fast.infer.predictor import AnswerDistribution, Predictor
from socrates_fast.prompt import Prompt


class UniformPredictor:
    """Every allowed answer is equally probable."""

    name = "uniform"

    def predict(self, prompts: Sequence[Prompt]) -> list[AnswerDistribution]:
        """One uniform distribution per prompt, in order.

        Raises:
            ScoringError: a prompt's scale is open.
        """
        return [_on_mask(prompt, number, middle=False) for number, prompt in enumerate(prompts)]


class MidpointPredictor:
    """All probability on the allowed answer nearest to the middle of the range; two equally near share it."""

    name = "midpoint"

    def predict(self, prompts: Sequence[Prompt]) -> list[AnswerDistribution]:
        """One distribution per prompt, in order.

        Raises:
            ScoringError: a prompt's scale is open.
        """
        return [_on_mask(prompt, number, middle=True) for number, prompt in enumerate(prompts)]


def _on_mask(prompt: Prompt, number: int, middle: bool) -> AnswerDistribution:
    scale = prompt.scale
    if not scale.values:
        raise ScoringError(
            f"prompt {number + 1}: its scale is open ({scale.low} to {scale.high}), and open scales "
            "are not scored yet; declare the allowed values or leave the task out"
        )
    values = np.array(scale.values, dtype=np.int64)
    distance = np.abs(2 * values - (scale.low + scale.high))  # doubled, so that it stays an integer
    chosen = distance == distance.min() if middle else np.ones(len(values), dtype=bool)
    return AnswerDistribution(values, chosen / chosen.sum(), 1.0)


BASELINES: dict[str, Callable[[], Predictor]] = {
    "uniform": UniformPredictor,
    "midpoint": MidpointPredictor,
}
"""By the name under which ``load_predictor`` knows them."""
