"""Baselines that read nothing but the scale."""

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from socrates_fast.errors import ScoringError
from socrates_fast.infer.predictor import AnswerDistribution, Predictor, Result
from socrates_fast.prompt import Prompt


class UniformPredictor(Predictor):
    """Every allowed answer is equally probable."""

    name = "uniform"

    def stream(self, prompts: Sequence[Prompt]) -> Iterator[tuple[int, Result]]:
        """Uniform distributions, in order; an error for an open scale."""
        return _each(prompts, middle=False)


class MidpointPredictor(Predictor):
    """All probability on the allowed answer nearest to the middle of the range; two equally near share it."""

    name = "midpoint"

    def stream(self, prompts: Sequence[Prompt]) -> Iterator[tuple[int, Result]]:
        """Midpoint distributions, in order; an error for an open scale."""
        return _each(prompts, middle=True)


def _each(prompts: Sequence[Prompt], middle: bool) -> Iterator[tuple[int, Result]]:
    for number, prompt in enumerate(prompts):
        try:
            yield number, _on_mask(prompt, number, middle)
        except ScoringError as error:
            yield number, error


def _on_mask(prompt: Prompt, number: int, middle: bool) -> AnswerDistribution:
    scale = prompt.scale
    if not scale.values:
        raise ScoringError(
            f"prompt {number + 1}: its scale is open ({scale.low} to {scale.high}), and open scales "
            "have no such baseline; declare the allowed values or leave the task out"
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
