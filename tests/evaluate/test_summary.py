"""metrics.json: its keys, its values on small data, its intervals and its warnings."""

from collections.abc import Callable
from typing import Any

import numpy as np
import polars as pl
import pytest
from scipy.stats import pearsonr

from socrates_fast.evaluate.answers import Predictions, read_answers
from socrates_fast.evaluate.baselines import predict_baseline
from socrates_fast.evaluate.ragged import Floats
from socrates_fast.evaluate.summary import FIGURES, summarise
from socrates_fast.evaluate.uncertainty import mean_of_rows, mean_of_studies

Cell = Callable[..., pl.DataFrame]


def _metrics(rows: pl.DataFrame, probabilities: Floats | None = None, mass: float = 1.0) -> Any:
    answers = read_answers(rows)
    predicted = predict_baseline("uniform", answers).probabilities
    chosen = predicted if probabilities is None else probabilities
    masses = np.full(rows.height, mass)
    return summarise(answers, Predictions(chosen, masses), "m.gguf").metrics


def test_keys_of_metrics_json(survey: pl.DataFrame) -> None:
    metrics = _metrics(survey)
    assert set(metrics) == {
        "predictor", "rows", "cells", "studies", *FIGURES, "wasserstein.floor", "baselines",
        "notes",
    }  # fmt: skip
    assert [metrics[name]["value"] for name in ("rows", "cells", "studies")] == [720, 12, 6]
    assert list(metrics["baselines"]) == ["uniform", "midpoint", "oracle"]
    for baseline in metrics["baselines"].values():
        assert set(baseline) == set(FIGURES)
    assert metrics["baselines"]["oracle"]["wasserstein.truth"]["value"] == pytest.approx(0, abs=1e-12)


def test_without_truth_there_is_no_figure_that_needs_it(cell: Cell) -> None:
    metrics = _metrics(cell([1, 2, 5]))
    assert "wasserstein.truth" not in metrics
    assert list(metrics["baselines"]) == ["uniform", "midpoint"]


def test_figures_worked_out_by_hand(cell: Cell) -> None:
    """Answers 1 and 3 on a scale from 1 to 3; predicted (.5, .5, 0) and (0, .5, .5)."""
    metrics = _metrics(cell([1, 3], 1, 3), np.array([0.5, 0.5, 0, 0, 0.5, 0.5]), mass=0.8)
    expected = {
        "answer_mass": 0.8,
        "mae": 0.25,  # means 1.5 and 2.5
        "rmse": 0.25,
        "correlation": 1.0,
        "accuracy": 0.75,
        "accuracy_median": 0.75,  # medians 1 and 2: errors 0 and a half
        "wasserstein.stated": 0.25,  # mixture (.25, .5, .25) against (.5, 0, .5)
        "wasserstein.published": 0.25,
    }
    assert {name: metrics[name]["value"] for name in expected} == pytest.approx(expected)


def test_distances_are_averaged_within_studies_first(cell: Cell) -> None:
    rows = pl.concat(
        [
            cell([1, 1], 1, 2, study="a"),
            cell([1, 2], 1, 2, study="b"),
            cell([1, 2], 1, 2, study="b", task=1),
        ]
    )
    assert _metrics(rows)["wasserstein.stated"]["value"] == pytest.approx((0.5 + 0) / 2)


def test_correlation_equals_scipy_and_is_null_for_a_constant(survey: pl.DataFrame) -> None:
    rng = np.random.default_rng(0)
    probabilities = rng.dirichlet(np.ones(5), size=survey.height)
    metrics = _metrics(survey, probabilities.ravel())
    means = probabilities @ np.arange(1, 6)
    expected = pearsonr(means, survey["response"].to_numpy()).statistic
    assert metrics["correlation"]["value"] == pytest.approx(expected)
    assert metrics["baselines"]["uniform"]["correlation"] == {"value": None}


def test_intervals_need_five_studies(survey: pl.DataFrame) -> None:
    few = survey.filter(pl.col("study_id") < "study4")
    many = survey.filter(pl.col("study_id") < "study5")
    without, with_interval = _metrics(few), _metrics(many)
    assert set(without["accuracy"]) == {"value"}
    assert any("No intervals: there are 4 studies" in note for note in without["notes"])
    assert set(with_interval["accuracy"]) == {"value", "low", "high"}
    assert not any("No intervals" in note for note in with_interval["notes"])
    for name in FIGURES:
        figure = with_interval[name]
        if figure["value"] is not None:
            assert figure["low"] - 1e-9 <= figure["value"] <= figure["high"] + 1e-9


def test_interval_of_a_mean_is_that_of_resampled_studies() -> None:
    """With equally large studies: the normal interval of a mean of 40 study means."""
    rng = np.random.default_rng(5)
    effects = rng.normal(size=40)
    study = np.repeat(np.arange(40), 10)
    figure = mean_of_rows(study, effects[study], 40).figure()
    half = 1.96 * effects.std() / np.sqrt(40)
    assert figure["low"] == pytest.approx(effects.mean() - half, abs=0.15 * half)
    assert figure["high"] == pytest.approx(effects.mean() + half, abs=0.15 * half)


def test_studies_without_a_scored_cell_do_not_count() -> None:
    figure = np.array([0.1, 0.3, np.nan, np.nan, 0.4])
    estimate = mean_of_studies(np.array([0, 0, 0, 1, 2]), figure, 3)
    assert estimate.value == pytest.approx((0.2 + 0.4) / 2)
    assert np.isnan(estimate.by_study).tolist() == [False, True, False]
    assert mean_of_studies(np.array([0]), np.array([np.nan]), 1).figure() == {"value": None}


def test_figures_do_not_depend_on_the_order_of_rows(survey: pl.DataFrame) -> None:
    shuffled = survey.sample(fraction=1, shuffle=True, seed=1)
    assert _metrics(shuffled)["wasserstein.floor"] == _metrics(survey)["wasserstein.floor"]
    assert _metrics(shuffled)["rmse"]["value"] == pytest.approx(_metrics(survey)["rmse"]["value"])


def test_notes_say_what_a_reader_must_know(cell: Cell) -> None:
    rows = pl.concat([cell([3, 4, 98]), cell([4], task=1)])
    notes = "\n".join(_metrics(rows, mass=0.4)["notes"])
    assert "2 of 2 cells hold fewer than 50 people" in notes
    assert "1 cell has one person only" in notes
    assert "1 cell has fewer than two people or one single human answer" in notes
    assert "Human answers off the stated scale: 1, in 1 of 2 cells" in notes
    assert "answers on the scale with probability 0.40 only" in notes
    assert "rewards collapsing to the middle" in notes
    assert "no nearer to people's answers" in notes


def test_nothing_to_warn_about_gives_no_note(survey: pl.DataFrame) -> None:
    answers = read_answers(survey)
    people = np.eye(5)[survey["response"].to_numpy() - 1]
    exact = Predictions(people.ravel(), np.ones(survey.height))
    assert summarise(answers, exact, "clairvoyant").metrics["notes"] == []


def test_frames_by_study_and_by_cell(survey: pl.DataFrame) -> None:
    answers = read_answers(survey)
    summary = summarise(answers, predict_baseline("oracle", answers), "oracle")
    assert summary.studies.height == 6
    assert summary.studies["rows"].sum() == 720
    assert summary.cells.height == 12
    mean = summary.cells["stated"].mean()
    assert summary.metrics["wasserstein.stated"]["value"] == pytest.approx(mean)
