"""Errors by group: right counts, gaps that are there, and no gap where the groups are alike."""

from collections.abc import Callable
from typing import Any

import numpy as np
import polars as pl
import pytest
from scipy.stats import wasserstein_distance

from socrates_fast.errors import DataError
from socrates_fast.evaluate.answers import Answers, read_answers
from socrates_fast.evaluate.baselines import ByCell, oracle, pooled
from socrates_fast.evaluate.fairness import LEAST_PEOPLE
from socrates_fast.evaluate.predictions import InMemory, Predictions
from socrates_fast.evaluate.summary import summarise

Experiment = Callable[..., pl.DataFrame]


def _groups(answers: Answers, predicted: Predictions | None = None) -> Any:
    known = predicted or oracle(answers)
    assert known is not None
    return summarise(answers, known, "m").metrics["groups"]


@pytest.fixture
def answers(experiment: Experiment) -> Answers:
    return read_answers(experiment(studies=10, people=160), ("age", "gender", "ethnicity"))


def test_levels_are_counted_and_fields_nobody_has_are_left_out(answers: Answers) -> None:
    groups = _groups(answers)
    assert set(groups) == {"age", "gender"}
    assert list(groups["age"]["levels"]) == ["18-29", "30-44", "45-59", "60-74", "75+"]
    for field in groups.values():
        assert sum(level["rows"] for level in field["levels"].values()) == answers.height


def test_a_model_that_ignores_gender_is_wrong_about_both_and_one_that_knows_is_not(answers: Answers) -> None:
    known, blind = _groups(answers), _groups(answers, ByCell(pooled(answers.cells)))
    for level in ("Female", "Male"):
        told, guessed = known["gender"]["levels"][level], blind["gender"]["levels"][level]
        assert guessed["wasserstein"]["value"] > 1.3 * told["wasserstein"]["value"]
        assert told["wasserstein"]["value"] == pytest.approx(told["wasserstein.floor"]["value"], rel=0.2)


def test_a_model_that_is_wrong_about_one_group_has_a_gap(answers: Answers) -> None:
    truth = oracle(answers)
    assert isinstance(truth, InMemory)
    women = answers.groups["gender"].code == answers.groups["gender"].levels.index("Female")
    lowest = answers.shape.offsets == 0
    wrong = np.where(women[answers.shape.owner], lowest.astype(float), truth.probabilities)
    gap = _groups(answers, InMemory(wrong, np.ones(answers.height)))["gender"]["gap.mae"]
    assert gap["worst"] == "Female" and gap["best"] == "Male"
    assert gap["low"] > 0.05
    fair = _groups(answers)["gender"]["gap.mae"]
    assert fair["value"] < 0.02 and fair["low"] <= 0.0


def test_a_groups_distance_equals_scipys(experiment: Experiment) -> None:
    answers = read_answers(experiment(studies=1, conditions=1, tasks=1, people=90), ("gender",))
    truth = oracle(answers)
    assert isinstance(truth, InMemory)
    grouping, scale = answers.groups["gender"], answers.cells.scales[0]
    by_row = truth.probabilities.reshape(answers.height, -1)
    for number, level in enumerate(grouping.levels):
        own = grouping.code == number
        assert own.sum() >= LEAST_PEOPLE
        expected = wasserstein_distance(scale, answers.response[own], by_row[own].mean(axis=0))
        found = _groups(answers)["gender"]["levels"][level]["wasserstein"]["value"]
        assert found == pytest.approx(expected / answers.cells.span[0])


def test_small_groups_are_shown_and_not_compared(experiment: Experiment) -> None:
    rows = experiment(studies=2, conditions=1, people=60)
    groups = _groups(read_answers(rows, ("age",)))["age"]
    small = [name for name, level in groups["levels"].items() if level["rows"] < 100]
    assert small
    assert groups["gap.mae"]["value"] is None or groups["gap.mae"]["worst"] not in small


def test_unknown_and_endless_fields_are_refused(experiment: Experiment) -> None:
    rows = experiment(studies=1)
    with pytest.raises(DataError, match="no demographic field shoe_size; there are age, gender"):
        read_answers(rows, ("shoe_size",))
    states = (pl.int_range(pl.len()) % 50).cast(pl.String)
    many = rows.with_columns(pl.col("demographic").struct.with_fields(states.alias("location")))
    with pytest.raises(DataError, match="location has 50 levels, more than 30"):
        read_answers(many, ("location",))
