"""metrics.json: its keys, its values on small data, its headline, its intervals and its warnings."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal
from scipy.stats import pearsonr, spearmanr

from socrates_fast.evaluate.answers import Answers, read_answers
from socrates_fast.evaluate.baselines import ByCell, oracle, uniform
from socrates_fast.evaluate.figures import FIGURES, SKILLED
from socrates_fast.evaluate.predictions import InMemory
from socrates_fast.evaluate.ragged import Floats
from socrates_fast.evaluate.scored import score, score_cells
from socrates_fast.evaluate.summary import Beside, figure_values, summarise

Cell = Callable[..., pl.DataFrame]
Experiment = Callable[..., pl.DataFrame]


def _metrics(
    rows: pl.DataFrame, probabilities: Floats | None = None, mass: float = 1.0, min_people: int = 2
) -> Any:
    answers = read_answers(rows)
    predicted = ByCell(uniform(answers.cells)) if probabilities is None else None
    flat = InMemory(probabilities if probabilities is not None else np.zeros(0), np.full(rows.height, mass))
    return summarise(answers, predicted or flat, "m.gguf", Beside(min_people=min_people)).metrics


def _known(answers: Answers) -> InMemory:
    found = oracle(answers)
    assert isinstance(found, InMemory)
    return found


def test_keys_of_metrics_json(survey: pl.DataFrame) -> None:
    metrics = _metrics(survey)
    assert set(metrics) == {
        "predictor", "rows_sha256", "rows", "cells", "studies", "headline", *FIGURES, "effects.p",
        "wasserstein.floor", "floor", "skill", "baselines", "against", "groups", "small_cells", "intervals", "banners", "notes",
    }  # fmt: skip
    assert [metrics[name]["value"] for name in ("rows", "cells", "studies")] == [720, 12, 6]
    assert list(metrics["baselines"]) == ["uniform", "midpoint", "pooled", "split_half", "oracle"]
    for name, baseline in metrics["baselines"].items():
        assert set(baseline) == {*FIGURES, "effects.p"} - (
            {"wasserstein.truth"} if name == "split_half" else set()
        )
    assert set(metrics["skill"]) == set(SKILLED)
    assert metrics["baselines"]["oracle"]["wasserstein.truth"]["value"] == pytest.approx(0, abs=1e-12)


def test_without_truth_there_is_no_figure_that_needs_it(cell: Cell) -> None:
    metrics = _metrics(cell([1, 2, 5]))
    assert "wasserstein.truth" not in metrics
    assert list(metrics["baselines"]) == ["uniform", "midpoint", "pooled", "split_half"]


def test_figures_worked_out_by_hand(cell: Cell) -> None:
    """Answers 1 and 3 on a scale from 1 to 3; predicted (.5, .5, 0) and (0, .5, .5)."""
    metrics = _metrics(cell([1, 3], 1, 3), np.array([0.5, 0.5, 0, 0, 0.5, 0.5]), mass=0.8)
    expected = {
        "answer_mass": 0.8,
        "mae": 0.25,  # means 1.5 and 2.5
        "rmse": 0.25,
        "correlation": 1.0,
        "spearman": 1.0,
        "correlation_within": 1.0,
        "spearman_within": 1.0,
        "accuracy": 0.75,
        "accuracy_median": 0.75,  # medians 1 and 2: errors 0 and a half
        "exact_match": 0.5,
        "log_score": math.log(2),
        "brier": 0.5,
        "ranked_probability": 0.125,  # of F - 1 only the step at 1 (at 2) is half off: 0.25 over a range of 2
        "wasserstein.stated": 0.25,  # mixture (.25, .5, .25) against (.5, 0, .5)
        "wasserstein.published": 0.25,
        "sd_ratio": 0.5,  # sqrt(1/2) of sqrt(2)
        # Entropies: predicted 1.5 ln 2; human ln 2 + (2 - 1) / 4
        "entropy_ratio": 1.5 * math.log(2) / (math.log(2) + 0.25),
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


def test_correlations_equal_scipys_and_are_null_for_a_constant(survey: pl.DataFrame) -> None:
    rng = np.random.default_rng(0)
    probabilities = rng.dirichlet(np.ones(5), size=survey.height)
    metrics = _metrics(survey, probabilities.ravel())
    means, given = probabilities @ np.arange(1, 6), survey["response"].to_numpy()
    assert metrics["correlation"]["value"] == pytest.approx(pearsonr(means, given).statistic)
    assert metrics["spearman"]["value"] == pytest.approx(spearmanr(means, given).statistic)
    cell = read_answers(survey).cell
    centred = [side - (np.bincount(cell, weights=side) / np.bincount(cell))[cell] for side in (means, given)]
    assert metrics["correlation_within"]["value"] == pytest.approx(pearsonr(*centred).statistic)
    assert metrics["baselines"]["uniform"]["correlation"] == {"value": None}
    assert metrics["baselines"]["pooled"]["spearman_within"] == {"value": None}


def test_one_distribution_a_cell_is_scored_alike_by_cell_and_by_row(experiment: Experiment) -> None:
    answers = read_answers(experiment(studies=3, people=30))
    rng = np.random.default_rng(0)
    distribution = rng.random(len(answers.cells.values))
    distribution /= answers.cells.shape.total(distribution)[answers.cells.shape.owner]
    by_cell = score_cells(answers.cells, distribution).estimates(3)
    by_row = score(answers, ByCell(distribution)).estimates(3)
    for name, estimate in by_cell.items():
        assert estimate.value == pytest.approx(by_row[name].value, nan_ok=True), name


def test_small_cells_stay_out_of_the_headline_and_stand_apart(experiment: Experiment) -> None:
    """Wherever they are: in studies of their own, and beside large cells of the same study."""
    large = experiment(studies=6, people=60)
    few = experiment(seed=1, studies=7, people=9).filter(pl.col("study_id").is_in(["study0", "study6"]))
    few = few.with_columns(task_num=pl.col("task_num") + 5, sample_id=pl.col("sample_id") + 10**7)
    answers, only = read_answers(pl.concat([large, few])), read_answers(large)
    metrics = summarise(answers, _known(answers), "m").metrics
    assert metrics["headline"]["cells"] == 36 and metrics["headline"]["studies"] == 6
    expected = summarise(only, _known(only), "m")
    for name in FIGURES:
        assert metrics[name]["value"] == pytest.approx(expected.metrics[name]["value"]), name
        for baseline in ("uniform", "pooled"):
            found, known = (one["baselines"][baseline][name]["value"] for one in (metrics, expected.metrics))
            assert found == pytest.approx(known, nan_ok=True), (baseline, name)
        if name in metrics["floor"]:
            assert metrics["floor"][name]["value"] == pytest.approx(
                expected.metrics["floor"][name]["value"]
            ), name
    assert metrics["small_cells"]["cells"] == 12 and metrics["small_cells"]["rows"] == 108
    assert metrics["small_cells"]["wasserstein.stated"]["value"] > 2 * metrics["wasserstein.stated"]["value"]
    assert any("12 of 48 cells hold fewer than 50 people" in note for note in metrics["notes"])
    by_study = summarise(answers, _known(answers), "m").studies.drop("rows", "cells", "study_id")[:6]
    assert_frame_equal(by_study, expected.studies.drop("rows", "cells", "study_id"))


def test_where_all_cells_are_small_the_headline_says_that_it_cannot_tell(experiment: Experiment) -> None:
    """The mistake of a distance over cells of two people, which looks like a result."""
    answers = read_answers(experiment(people=2))
    metrics = summarise(answers, _known(answers), "m").metrics
    assert metrics["headline"]["all_cells_small"] and metrics["headline"]["cells"] == 48
    assert metrics["banners"][0].startswith("Cannot tell: no cell holds 50 people")


def test_skill_is_0_for_guessing_and_1_for_the_floor(experiment: Experiment) -> None:
    answers = read_answers(experiment())
    guess = summarise(answers, ByCell(uniform(answers.cells)), "m").metrics["skill"]
    assert all(one["value"] == pytest.approx(0, abs=1e-9) for one in guess.values())
    metrics = summarise(answers, _known(answers), "m").metrics
    for name in SKILLED:
        one, base, floor = (
            part[name]["value"] for part in (metrics, metrics["baselines"]["uniform"], metrics["floor"])
        )
        assert metrics["skill"][name]["value"] == pytest.approx((one - base) / (floor - base))
    assert metrics["skill"]["wasserstein.stated"]["value"] == pytest.approx(1.0, abs=0.1)


def test_what_cannot_be_told_from_a_baseline_is_said(experiment: Experiment) -> None:
    answers = read_answers(experiment(studies=6))
    told = summarise(answers, _known(answers), "m").metrics
    against = told["against"]["uniform"]["wasserstein.stated"]
    difference = (
        told["wasserstein.stated"]["value"] - told["baselines"]["uniform"]["wasserstein.stated"]["value"]
    )
    assert against["value"] == pytest.approx(difference)
    assert against["high"] < 0 and not any("Cannot tell" in note for note in told["notes"])
    rng = np.random.default_rng(0)
    distribution = uniform(answers.cells) + rng.normal(0, 0.002, len(answers.cells.values))
    distribution /= answers.cells.shape.total(distribution)[answers.cells.shape.owner]
    notes = summarise(answers, ByCell(distribution), "guess").metrics["notes"]
    assert any(note.startswith("Cannot tell guess from uniform (") for note in notes)


def test_intervals_need_five_studies(experiment: Experiment) -> None:
    rows = experiment(studies=5)
    few = rows.filter(pl.col("study_id") < "study4")
    without, with_interval = (
        summarise(answers, _known(answers), "m").metrics for answers in map(read_answers, (few, rows))
    )
    assert set(without["accuracy"]) == {"value"}
    assert any("No intervals: there are 4 studies" in note for note in without["notes"])
    assert not any("No intervals" in note for note in with_interval["notes"])
    for name in FIGURES:
        figure = with_interval[name]
        assert set(figure) == {"value", "low", "high"}, name
        assert figure["low"] - 1e-9 <= figure["value"] <= figure["high"] + 1e-9


def test_figures_do_not_depend_on_the_order_of_rows(survey: pl.DataFrame) -> None:
    first, again = _metrics(survey), _metrics(survey.sample(fraction=1, shuffle=True, seed=1))
    assert first["rows_sha256"] == again["rows_sha256"]
    for name in FIGURES:
        assert again[name] == pytest.approx(first[name], nan_ok=True), name


def test_notes_say_what_a_reader_must_know(cell: Cell) -> None:
    rows = pl.concat([cell([3, 4, 98]), cell([4], task=1)])
    metrics = _metrics(rows, mass=0.4, probabilities=np.full(28, 1 / 7), min_people=3)
    notes = "\n".join(metrics["notes"])
    assert "1 of 2 cells hold fewer than 3 people" in notes
    assert "1 cell has one person only" in notes
    assert "1 cell has fewer than two people or one single human answer" in notes
    assert "Human answers off the stated scale: 1, in 1 of 2 cells" in notes
    assert "answers on the scale with probability 0.40 only" in notes
    assert "rewards collapsing to the middle" in notes
    assert "no nearer to people's answers" in notes


def test_nothing_to_warn_about_gives_no_note(survey: pl.DataFrame) -> None:
    answers = read_answers(survey)
    people = np.eye(5)[survey["response"].to_numpy() - 1]
    exact = InMemory(people.ravel(), np.ones(survey.height))
    metrics = summarise(answers, exact, "clairvoyant").metrics
    assert metrics["notes"] == metrics["banners"] == []


def test_frames_by_study_by_cell_and_by_pair_of_conditions(survey: pl.DataFrame) -> None:
    answers = read_answers(survey)
    summary = summarise(answers, _known(answers), "oracle")
    assert summary.studies.height == 6
    assert summary.studies["rows"].sum() == 720
    assert summary.cells.height == 12
    mean = summary.cells["stated"].mean()
    assert summary.metrics["wasserstein.stated"]["value"] == pytest.approx(mean)
    assert summary.effects.select("condition", "other").unique().rows() == [(0, 1)]
    assert summary.effects.height == 6


def test_values_alone_are_those_of_the_whole(experiment: Experiment) -> None:
    answers = read_answers(experiment())
    metrics = summarise(answers, _known(answers), "m").metrics
    values = figure_values(answers, _known(answers))
    assert set(values) == {name for name in FIGURES if not name.startswith("effects.")}
    for name, value in values.items():
        assert metrics[name]["value"] == pytest.approx(value)
