"""Evaluations to compare: made-up surveys, and predictions of them that are as good as a test wants."""

from pathlib import Path

import numpy as np
import polars as pl

from socrates_fast.evaluate.answers import read_answers
from socrates_fast.evaluate.baselines import baseline_frame
from socrates_fast.evaluate.run import Setting, evaluate_predictions
from socrates_fast.evaluate.summary import Beside
from tests.evaluate.conftest import _cell


def survey(studies: int = 8, people: int = 60, seed: int = 0) -> pl.DataFrame:
    """Studies of two tasks and two conditions; people answer from 1 to 5 by true distributions of their own."""
    rng = np.random.default_rng(seed)
    frames = []
    for study in range(studies):
        for task in range(2):
            middle = rng.dirichlet(np.ones(5))
            for condition in range(2):
                truth = rng.dirichlet(1 + 8 * middle)
                answers = rng.choice(5, people, p=truth) + 1
                rows = _cell(
                    answers.tolist(), 1, 5, truth=truth.tolist(), study=f"study{study:02d}", task=task, condition=condition
                )  # fmt: skip
                frames.append(rows)
    return pl.concat(frames)


def predicted(rows: pl.DataFrame, knowledge: float, noise: float = 0.0, seed: int = 0) -> pl.DataFrame:
    """Predictions between uniform guessing (``knowledge`` 0) and the truth (1), each row's shaken by ``noise``."""
    frame = baseline_frame("uniform", read_answers(rows))
    truth = np.stack([row.to_numpy() for row in rows["truth"]])
    mixed = knowledge * truth + (1 - knowledge) / 5
    mixed = mixed * np.exp(np.random.default_rng(seed).normal(0, noise, mixed.shape))
    shares = mixed / mixed.sum(axis=1, keepdims=True)
    return frame.with_columns(probabilities=pl.Series(shares.tolist(), dtype=pl.List(pl.Float64)))


def evaluated(
    rows: pl.DataFrame, frame: pl.DataFrame, folder: Path, name: str = "model", min_people: int = 50
) -> Path:
    """The folder of an evaluation of predictions; all but its report, which is slow to draw and not read."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    predictions = folder.with_suffix(".predictions")
    frame.write_parquet(predictions)
    setting = Setting(name, beside=Beside(min_people=min_people), report=False)
    evaluate_predictions(rows, predictions, folder, name, setting)
    return folder
