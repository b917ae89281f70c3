"""Made-up surveys on which every part of a report appears; what the other tests of the report evaluate."""

from functools import cache
from typing import Any

import numpy as np
import polars as pl
import pytest

from socrates_fast.data.schema import DEMOGRAPHIC, PREPARED
from socrates_fast.evaluate.answers import Answers, read_answers
from socrates_fast.evaluate.predictions import InMemory
from socrates_fast.evaluate.ragged import Floats
from socrates_fast.evaluate.summary import Beside, Summary, summarise

SCALES = ((1, 7), (0, 10), (0, 100))
GROUPS = ("age", "gender")
EVIL = '<script>alert("x")</script>'

DETAILS: dict[str, Any] = {
    "dropped": {"response off the scale": 1200, "no scale found in the stimulus": 34},
    "recipe": {"name": "made-up", "seed": 7, "evaluate": {"groups": list(GROUPS), "min_people": 50}},
    "model": {"file": "made-up-q4_k_m.gguf", "sha256": "3f" * 32},
}
FACTS = {
    "unscorable": {
        "value": 0.01,
        "rows": 52,
        "example": "study study03, sample 17: the prompt has 9000 tokens",
    },
    "mixed_scales": {"cells": 2, "rows": 130, "example": ["study05", 1, 0]},
}


def survey(
    studies: int = 12, tasks: int = 2, conditions: int = 3, people: tuple[int, int] = (5, 200), seed: int = 5
) -> tuple[pl.DataFrame, Floats]:
    """A prepared frame, and predictions that see half of each effect and are too narrow."""
    rng = np.random.default_rng(seed)
    cells = [
        _cell(
            rng, SCALES[study % len(SCALES)], f"study{study:02d}", task, condition, int(rng.integers(*people))
        )
        for study in range(studies)
        for task in range(tasks)
        for condition in range(conditions)
    ]
    return pl.concat(frame for frame, _ in cells), np.concatenate([predicted for _, predicted in cells])


def _cell(
    rng: np.random.Generator, scale: tuple[int, int], study: str, task: int, condition: int, people: int
) -> tuple[pl.DataFrame, Floats]:
    low, high = scale
    values = np.arange(low, high + 1, dtype=np.float64)
    age, gender = rng.integers(18, 90, people), rng.integers(0, 3, people)
    base, effect = 0.3 + 0.04 * ((int(study[5:]) + 3 * task) % 8), rng.normal(0, 0.08)
    person = 0.15 * (age > 60) - 0.05 * (gender == 1)
    truth = _around(values, base + effect + person, 0.22)
    predicted = _around(values, base + 0.03 + effect / 2 + rng.normal(0, 0.02) + person / 3, 0.17)
    response = [int(rng.choice(values, p=each)) for each in truth]
    number = np.arange(people) + 1000 * (100 * condition + task)
    demographic = [
        {"age": int(a), "gender": ("female", "male", "other|`x`")[g]}
        for a, g in zip(age, gender, strict=True)
    ]
    frame = pl.DataFrame({
        "study_id": study, "condition_num": condition, "task_num": task, "participant": number, "sample_id": number,
        "response": response, "low": low, "high": high,
    }).with_columns(
        values=pl.Series([list(range(low, high + 1))] * people), truth=pl.Series(truth.tolist()), demographic=pl.Series(demographic, dtype=DEMOGRAPHIC)
    )  # fmt: skip
    return frame.select(pl.col(name).cast(PREPARED[name]) for name in frame.columns), predicted.ravel()


def _around(values: Floats, centre: Floats, width: float) -> Floats:
    """Discretised bell curves; ``centre`` and ``width`` are shares of the range."""
    place = (values - values[0]) / (values[-1] - values[0])
    curve = np.exp(-(((place - centre[:, None]) / width) ** 2) / 2) + 1e-4
    return np.asarray(curve / curve.sum(axis=1, keepdims=True))


def summary_of(rows: pl.DataFrame, predicted: Floats, name: str = "made-up") -> tuple[Answers, Summary]:
    """The figures of those predictions, beside some of each kind of baseline."""
    answers = read_answers(rows, GROUPS)
    flat = np.concatenate([np.full(length, 1 / length) for length in answers.shape.lengths])
    training = read_answers(survey(seed=6)[0], GROUPS)
    beside = Beside(training, InMemory(flat, np.ones(answers.height)), facts=FACTS)
    mass = np.linspace(0.9, 1.0, answers.height)
    return answers, summarise(answers, InMemory(predicted, mass), name, beside)


@cache  # the fixture is imported by several modules, and would be set up for each
def _made_up() -> tuple[Answers, Summary]:
    return summary_of(*survey())


@pytest.fixture(scope="session")
def made_up() -> tuple[Answers, Summary]:
    """Twelve studies, with groups, effects, small cells, intervals and banners."""
    return _made_up()


def test_the_sample_has_every_part(made_up: tuple[Answers, Summary]) -> None:
    metrics = made_up[1].metrics
    assert metrics["banners"]
    assert metrics["notes"]
    assert metrics["small_cells"]["cells"]
    assert metrics["headline"]["condition_pairs"] > 10
    assert set(metrics["groups"]) == set(GROUPS)
    assert "low" in metrics["effects.correlation"]
    assert {"oracle", "base", "item_mean", "demographics"} <= set(metrics["baselines"])
