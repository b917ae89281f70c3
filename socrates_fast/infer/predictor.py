"""What a predictor is: anything that maps prompts to answer distributions."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import numpy as np
from numpy.typing import NDArray

from socrates_fast.errors import ScoringError
from socrates_fast.prompt import Prompt


@dataclass(frozen=True)
class AnswerDistribution:
    """How probable each allowed answer is, for one prompt.

    Attributes:
        values: the allowed answers, ascending; shape (k,), int64.
        probabilities: of ``values``, summing to 1 (renormalised over the scale); shape (k,), float64.
        answer_mass: probability, before renormalising, that the model answers with one of ``values``; in [0, 1].
        unexplored: most further probability of allowed answers that were not looked at (open scales, endpoints that
            show only their likeliest tokens); 0 where every allowed answer was. Sampling does not know it: NaN.
    """

    values: NDArray[np.int64]
    probabilities: NDArray[np.float64]
    answer_mass: float
    unexplored: float = 0.0

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


Result = AnswerDistribution | ScoringError
"""What a prompt leads to: its answer distribution, or why there is none."""


class Predictor(ABC):
    """Anything that maps prompts to answer distributions: a GGUF, a Hugging Face model, an endpoint, a baseline.

    Attributes:
        name: what reports call it.
    """

    name: str

    @abstractmethod
    def stream(self, prompts: Sequence[Prompt]) -> Iterator[tuple[int, Result]]:
        """Each prompt's number (from 0) and result, once each, in the order in which they become known.

        A prompt that cannot be scored gives a ``ScoringError`` as its result; the others go on.

        Raises:
            ScoringError: nothing further can be scored.
        """

    def predict(self, prompts: Sequence[Prompt]) -> list[AnswerDistribution]:
        """One distribution per prompt, in the prompts' order.

        Raises:
            ScoringError: a prompt cannot be scored; the message has its number, counted from 1.
        """
        found: dict[int, AnswerDistribution] = {}
        for number, result in self.stream(prompts):
            if isinstance(result, ScoringError):
                raise result
            found[number] = result
        if len(found) != len(prompts):
            raise ScoringError(f"{self.name} returned {len(found)} predictions for {len(prompts)} prompts")
        return [found[number] for number in range(len(prompts))]

    @property
    def notes(self) -> list[str]:
        """What a reader of the results should know of how they came about; final once all are known."""
        return []

    def close(self) -> None:  # noqa: B027 - most hold nothing
        """Give back what is held; safe to call again."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
