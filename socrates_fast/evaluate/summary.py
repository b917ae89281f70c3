"""All figures of one evaluation: what goes into metrics.json and what the report shows.

To add a figure: compute it per row in ``metrics`` or per cell in ``wasserstein``, and give it a
line in ``_estimates``; its interval, the baselines' values, the per-study table and metrics.json
follow. ``FIGURES`` says how people read it.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from socrates_fast.evaluate import metrics as row
from socrates_fast.evaluate import wasserstein as cell
from socrates_fast.evaluate.answers import Answers, Predictions
from socrates_fast.evaluate.baselines import available, predict_baseline
from socrates_fast.evaluate.notes import notes
from socrates_fast.evaluate.ragged import Floats, weighted_count
from socrates_fast.evaluate.uncertainty import (
    Estimate,
    correlation_of_rows,
    mean_of_rows,
    mean_of_studies,
    root_mean_square_of_rows,
)


class Figure(NamedTuple):
    """How a figure is read: its words, whether smaller is better, and one sentence of meaning."""

    label: str
    lower_is_better: bool
    meaning: str


FIGURES = {
    "wasserstein.truth": Figure(
        "Wasserstein to the truth", True,
        "Distance of each row's predicted distribution from the true one, stated range.",
    ),
    "wasserstein.stated": Figure(
        "Wasserstein, stated range", True,
        "Distance of predicted from human answers per cell, as a share of the stated range.",
    ),
    "wasserstein.published": Figure(
        "Wasserstein, as published", True,
        "The same with the range observed in the cell; only for comparing with published figures.",
    ),
    "accuracy": Figure(
        "Accuracy (drawn answer)", False,
        "1 - error of an answer drawn from the prediction. Rewards collapsing to the middle.",
    ),
    "accuracy_median": Figure(
        "Accuracy (median answer)", False,
        "1 - error of the predicted median, as a share of the stated range.",
    ),
    "mae": Figure(
        "MAE of the mean", True, "Mean error of the expected answer, as a share of the range."
    ),
    "rmse": Figure(
        "RMSE of the mean", True, "Root mean squared error of the expected answer, likewise."
    ),
    "correlation": Figure(
        "Correlation", False,
        "Pearson correlation of expected and human answers as shares of the range, over rows.",
    ),
    "answer_mass": Figure(
        "Answer mass", False, "Probability that the predictor answers on the scale at all."
    ),
}  # fmt: skip
"""Every figure a predictor has, in the order in which tables show them."""


@dataclass(frozen=True)
class Summary:
    """The figures of one predictor.

    Attributes:
        metrics: the content of metrics.json.
        studies: one line a study: rows, cells, and the figures of that study alone.
        cells: one line a cell: key, people, distances, floor, human and predicted mean as shares of
            the range.
        mixture: predicted distribution of each cell; probabilities of ``Answers.cells.values``,
            shape (s,).
    """

    metrics: dict[str, Any]
    studies: pl.DataFrame
    cells: pl.DataFrame
    mixture: Floats


def summarise(answers: Answers, predicted: Predictions, name: str) -> Summary:
    """Compute every figure for a predictor and the baselines.

    Args:
        answers: what people answered.
        predicted: what was predicted for the same rows.
        name: the predictor's name.
    """
    floors = cell.floor(answers.cells)
    mixture = cell.mixture(answers, predicted.probabilities)
    estimates = _estimates(answers, predicted, mixture)
    estimates["wasserstein.floor"] = mean_of_studies(answers.cells.study, floors, len(answers.studies))
    cells = _cells_frame(answers, mixture, floors)
    baselines = {
        baseline: _figures(_baseline_estimates(answers, baseline)) for baseline in available(answers)
    }
    metrics = {
        "predictor": name,
        "rows": {"value": answers.keys.height},
        "cells": {"value": cells.height},
        "studies": {"value": len(answers.studies)},
        **_figures(estimates),
        "baselines": baselines,
    }
    metrics["notes"] = notes(metrics, answers, cells)
    return Summary(metrics, _studies_frame(answers, estimates), cells, mixture)


def figure_values(answers: Answers, predicted: Predictions) -> dict[str, float]:
    """Every figure of ``FIGURES`` that these rows allow and that is defined, without intervals and baselines."""
    estimates = _estimates(answers, predicted, cell.mixture(answers, predicted.probabilities))
    return {name: item.value for name, item in estimates.items() if np.isfinite(item.value)}


def _figures(estimates: dict[str, Estimate]) -> dict[str, Any]:
    return {name: estimate.figure() for name, estimate in estimates.items()}


def _baseline_estimates(answers: Answers, name: str) -> dict[str, Estimate]:
    predicted = predict_baseline(name, answers)
    return _estimates(answers, predicted, cell.mixture(answers, predicted.probabilities))


def _estimates(answers: Answers, predicted: Predictions, mixture: Floats) -> dict[str, Estimate]:
    """The figures of ``FIGURES`` that these rows allow."""
    values, shape, span = answers.values, answers.shape, answers.span
    probabilities, response = predicted.probabilities, answers.response
    mean = row.expected_answer(values, probabilities, shape)
    median = row.median_answer(values, probabilities, shape)
    drawn_error = row.expected_absolute_error(values, probabilities, shape, response)
    error = (mean - response) / span
    rows, cells, studies = answers.study, answers.cells, len(answers.studies)
    stated = cell.stated_wasserstein(cells, mixture)
    published = cell.published_wasserstein(cells, mixture)
    estimates = {
        "answer_mass": mean_of_rows(rows, predicted.answer_mass, studies),
        "mae": mean_of_rows(rows, np.abs(error), studies),
        "rmse": root_mean_square_of_rows(rows, error, studies),
        "correlation": correlation_of_rows(
            rows, (mean - answers.low) / span, (response - answers.low) / span, studies
        ),
        "accuracy": mean_of_rows(rows, row.accuracy(drawn_error, span), studies),
        "accuracy_median": mean_of_rows(rows, row.accuracy(np.abs(median - response), span), studies),
        "wasserstein.stated": mean_of_studies(cells.study, stated, studies),
        "wasserstein.published": mean_of_studies(cells.study, published, studies),
    }
    if answers.truth is not None:
        distance = row.row_wasserstein(values, probabilities - answers.truth, shape) / span
        estimates["wasserstein.truth"] = mean_of_rows(rows, distance, studies)
    return estimates


def _cells_frame(answers: Answers, mixture: Floats, floors: Floats) -> pl.DataFrame:
    cells = answers.cells
    people = weighted_count(answers.cell, answers.response, cells.keys.height) / cells.people
    predicted = cells.shape.total(mixture * cells.values)
    return cells.keys.with_columns(
        people=pl.Series(cells.people),
        stated=pl.Series(cell.stated_wasserstein(cells, mixture)),
        published=pl.Series(cell.published_wasserstein(cells, mixture)).fill_nan(None),
        floor=pl.Series(floors).fill_nan(None),
        human_mean=pl.Series((people - cells.low) / cells.span),
        predicted_mean=pl.Series((predicted - cells.low) / cells.span),
    )


def _studies_frame(answers: Answers, estimates: dict[str, Estimate]) -> pl.DataFrame:
    studies = len(answers.studies)
    columns = {name: pl.Series(item.by_study).fill_nan(None) for name, item in estimates.items()}
    return pl.DataFrame(
        {
            "study_id": answers.studies,
            "rows": np.bincount(answers.study, minlength=studies),
            "cells": np.bincount(answers.cells.study, minlength=studies),
            **columns,
        }
    )
