"""Reason first, then answer: how a model with ``prompt.reasoning`` is asked.

A reasoning is drawn from the model as it is (temperature 1, nothing cut off), and the answer's distribution is read after
it. The mean over draws estimates P(answer | prompt), the sum over all reasonings of P(reasoning) P(answer | reasoning),
without bias; one draw is enough where many rows of a cell are averaged.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np

from socrates_fast.errors import ScoringError
from socrates_fast.infer.predictor import AnswerDistribution, Result
from socrates_fast.prompt import REASONING_ENDS, Prompt, opening_of

MOST_TOKENS = 320
"""Of a reasoning; one that is longer is cut off there, and counted in the predictor's notes."""
ANSWER_TOKENS = 32
"""Of the context, left for the answer, and for a reasoning that takes more tokens when it is read than when it was drawn."""
REASONED_TOGETHER = 64
"""Prompts whose reasonings are drawn before the first of them is scored."""


def asks_for_reasoning(prompt: Prompt) -> bool:
    """Whether the model is still to reason."""
    return prompt.reasons and not prompt.opening


def opened(prompt: Prompt, text: str) -> Prompt:
    """The prompt after a reasoning that the model wrote; what it wrote after it, its answer, is not looked at."""
    return replace(prompt, opening=opening_of(text.partition(REASONING_ENDS)[0]))


def mixture(results: Sequence[Result]) -> Result:
    """The mean of distributions over the same answers, each with its answer mass; an error if one is none."""
    for result in results:
        if isinstance(result, ScoringError):
            return result
    found = [result for result in results if isinstance(result, AnswerDistribution)]
    if len(found) == 1:
        return found[0]
    values = np.unique(np.concatenate([each.values for each in found]))
    joint = np.zeros(len(values))
    for each in found:
        joint[np.searchsorted(values, each.values)] += each.probabilities * each.answer_mass / len(found)
    mass = float(joint.sum())
    if mass == 0:
        return ScoringError("the model gives no probability at all to any answer on the scale")
    unexplored = float(np.mean([each.unexplored for each in found]))
    return AnswerDistribution(values, joint / mass, min(mass, 1.0), unexplored)


def refuse_reasoning(prompts: Iterable[Prompt], name: str) -> None:
    """For predictors that cannot draw a reasoning.

    Raises:
        ScoringError: a prompt asks for one.
    """
    if any(map(asks_for_reasoning, prompts)):
        raise ScoringError(
            f"{name}: this model reasons before it answers (prompt.reasoning), which only a GGUF is asked to do; "
            f"export it and ask the file"
        )
