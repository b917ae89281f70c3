"""What a predictor is: anything that maps prompts to answer distributions."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from socrates_fast.prompt import Prompt


@dataclass(frozen=True)
class AnswerDistribution:
    """How probable each allowed answer is, for one prompt.

    Attributes:
        values: the allowed answers, ascending; shape (k,), int64.
        probabilities: of ``values``, summing to 1 (renormalised over the scale); shape (k,), float64.
        answer_mass: probability, before renormalising, that the model answers on the scale at all; in [0, 1].
    """

    values: NDArray[np.int64]
    probabilities: NDArray[np.float64]
    answer_mass: float

    @property
    def mean(self) -> float:
        """Expected answer, in the answer's unit."""
        return float(self.values @ self.probabilities)

    @property
    def median(self) -> int:
        """Smallest answer whose cumulative probability reaches one half."""
        index = int(np.searchsorted(np.cumsum(self.probabilities), 0.5 - 1e-12))
        return int(self.values[min(index, len(self.values) - 1)])

    @property
    def mode(self) -> int:
        """Most probable answer."""
        return int(self.values[int(np.argmax(self.probabilities))])


class Predictor(Protocol):
    """Anything that maps prompts to answer distributions: a GGUF, a baseline, ..."""

    name: str

    def predict(self, prompts: Sequence[Prompt]) -> list[AnswerDistribution]:
        """One distribution per prompt, in the prompts' order."""
        ...
