"""Small prepared frames whose right figures can be worked out by hand."""

from collections.abc import Callable, Sequence

import numpy as np
import polars as pl
import pytest

from socrates_fast.data.schema import DEMOGRAPHIC, PREPARED
from socrates_fast.recipe import PERSONA_FIELDS as DEMOGRAPHIC_FIELDS

Cell = Callable[..., pl.DataFrame]

COLUMNS = (
    "study_id", "condition_num", "task_num", "participant", "sample_id", "response", "low", "high",
    "values", "truth",
)  # fmt: skip


@pytest.fixture
def cell() -> Cell:
    """Builds the rows of one cell: ``cell(responses, low, high, ...)``."""
    return _cell


def _cell(
    responses: Sequence[int],
    low: int = 1,
    high: int = 7,
    *,
    values: Sequence[int] | None = None,
    truth: Sequence[float] | None = None,
    study: str = "aaaaa",
    condition: int = 0,
    task: int = 0,
) -> pl.DataFrame:
    allowed = list(range(low, high + 1) if values is None else values)
    first = 1000 * (100 * condition + task)
    return pl.DataFrame(
        [
            (
                study, condition, task, number, first + number, response, low, high, allowed,
                None if truth is None else list(truth),
            )
            for number, response in enumerate(responses)
        ],
        schema={name: PREPARED[name] for name in COLUMNS},
        orient="row",
    )  # fmt: skip


@pytest.fixture
def survey(cell: Cell) -> pl.DataFrame:
    """Six studies of two conditions with true distributions; people answer off the middle."""
    truth = [0.05, 0.1, 0.15, 0.3, 0.4]
    counts = [3, 6, 9, 18, 24]
    shifted = counts[1:] + counts[:1]
    frames = [
        cell(
            [value + 1 for value, count in enumerate(given) for _ in range(count)],
            1,
            5,
            truth=truth,
            study=f"study{number}",
            condition=condition,
        )
        for number in range(6)
        for condition, given in enumerate((counts, shifted))
    ]
    return pl.concat(frames)


@pytest.fixture
def experiment() -> Callable[..., pl.DataFrame]:
    """Builds a made-up experiment with known truth: see ``_experiment``."""
    return _experiment


def _experiment(
    seed: int = 0,
    studies: int = 8,
    conditions: int = 3,
    tasks: int = 2,
    people: int = 120,
    effect: float = 1.0,
) -> pl.DataFrame:
    """Rows on scales 1-7, 0-10 and 1-5: answers move with the condition, and with age and gender.

    ``truth`` is each row's own distribution: a softmax around a centre that is the task's, plus ``effect`` times the
    condition's, plus the person's.
    """
    rng = np.random.default_rng(seed)
    frames = []
    for study in range(studies):
        for task in range(tasks):
            low, high = ((1, 7), (0, 10), (1, 5))[(study + task) % 3]
            allowed = np.arange(low, high + 1)
            base = rng.uniform(0.3, 0.7)
            for condition in range(conditions):
                moved = effect * rng.normal(0, 0.12)
                age = rng.integers(18, 80, people)
                gender = rng.choice(["Female", "Male"], people)
                centre = base + moved + 0.15 * (gender == "Male") - 0.002 * (age - 45)
                place = (allowed - low) / (high - low)
                weight = np.exp(-((place - centre[:, None]) ** 2) / 0.08)
                truth = weight / weight.sum(axis=1, keepdims=True)
                answer = low + (truth.cumsum(axis=1) < rng.random((people, 1))).sum(axis=1)
                number = np.arange(people) + people * condition
                frames.append(
                    pl.DataFrame(
                        {
                            "study_id": [f"study{study}"] * people, "condition_num": [condition] * people,
                            "task_num": [task] * people, "participant": number,
                            "sample_id": number + 100_000 * task, "response": answer.clip(low, high),
                            "low": [low] * people, "high": [high] * people,
                            "values": [allowed.tolist()] * people, "truth": truth.tolist(),
                            "open": [False] * people,
                            "demographic": [
                                {**dict.fromkeys(DEMOGRAPHIC_FIELDS), "age": int(years), "gender": str(name)}
                                for years, name in zip(age, gender, strict=True)
                            ],
                        },
                        schema_overrides={**{name: PREPARED[name] for name in COLUMNS}, "demographic": DEMOGRAPHIC},
                    )
                )  # fmt: skip
    return pl.concat(frames)
