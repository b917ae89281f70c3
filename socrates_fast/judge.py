"""What an export changes in the evaluation's figures: given to the exporter, which does not know the evaluation."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import polars as pl

from socrates_fast.infer.predictor import AnswerDistribution


def judge_by(
    rows: pl.DataFrame,
) -> Callable[[Sequence[int], Sequence[AnswerDistribution]], Mapping[str, float]]:
    """The figures of ``metrics.json``, by name, of answer distributions beside what the people of ``rows`` answered.

    Args:
        rows: prepared rows.

    Returns:
        A function of the numbers of some rows (from 0) and of their answer distributions.
    """
    from socrates_fast.evaluate.answers import read_answers
    from socrates_fast.evaluate.predictions import InMemory
    from socrates_fast.evaluate.summary import figure_values

    def judge(numbers: Sequence[int], distributions: Sequence[AnswerDistribution]) -> Mapping[str, float]:
        probabilities = np.concatenate([one.probabilities for one in distributions])
        mass = np.array([one.answer_mass for one in distributions])
        return figure_values(read_answers(rows[list(numbers)]), InMemory(probabilities, mass))

    return judge
