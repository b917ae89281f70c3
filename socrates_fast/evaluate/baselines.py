"""Predictors that need no model: what any figure has to be compared with.

uniform    every allowed answer is equally probable
midpoint   always the allowed answer nearest to the middle of the stated range; two that are
           equally near share it
oracle     the true distribution of each row (made-up data only): the best that is possible
"""

from collections.abc import Callable

import numpy as np
import polars as pl

from socrates_fast.errors import DataError
from socrates_fast.evaluate.answers import Answers, Predictions, read_answers
from socrates_fast.evaluate.frame import predictions_frame
from socrates_fast.evaluate.ragged import Floats


def uniform(answers: Answers) -> Floats:
    """1 / number of allowed answers; shape (m,)."""
    return 1.0 / answers.shape.lengths[answers.shape.owner]


def midpoint(answers: Answers) -> Floats:
    """All mass on the allowed answer nearest to low + span / 2, or on both; shape (m,).

    On scales without gaps its mean is the middle, and its expected absolute error that of the
    middle itself.
    """
    shape = answers.shape
    middle = answers.low + answers.span / 2
    distance = np.abs(answers.values - middle[shape.owner])
    nearest: Floats = np.minimum.reduceat(distance, shape.starts)
    chosen: Floats = (distance == nearest[shape.owner]).astype(np.float64)
    return chosen / shape.total(chosen)[shape.owner]


def oracle(answers: Answers) -> Floats:
    """The true distribution; shape (m,).

    Raises:
        DataError: not every row has one.
    """
    if answers.truth is None:
        raise DataError(
            "the oracle needs the true distribution of every row, and "
            f"{answers.rows_with_truth} of {answers.keys.height} rows have one; only made-up data "
            "do"
        )
    return answers.truth


BASELINES: dict[str, Callable[[Answers], Floats]] = {
    "uniform": uniform,
    "midpoint": midpoint,
    "oracle": oracle,
}


def predict_baseline(name: str, answers: Answers) -> Predictions:
    """The baseline's predictions as arrays.

    Raises:
        DataError: no such baseline, or it cannot be computed from these rows.
    """
    if name not in BASELINES:
        raise DataError(f"there is no baseline {name!r}; choose one of {', '.join(BASELINES)}")
    return Predictions(BASELINES[name](answers), np.ones(answers.keys.height))


def available(answers: Answers) -> list[str]:
    """Names of the baselines that these rows allow."""
    return [name for name in BASELINES if name != "oracle" or answers.truth is not None]


def baseline_frame(name: str, rows: pl.DataFrame) -> pl.DataFrame:
    """The baseline's predictions for a prepared frame, in the columns of ``predictions.parquet``.

    Raises:
        DataError: as ``predict_baseline`` and ``read_answers``.
    """
    answers = read_answers(rows)
    predicted = predict_baseline(name, answers)
    return predictions_frame(
        answers.keys, answers.shape, answers.values, predicted.probabilities, predicted.answer_mass
    )
