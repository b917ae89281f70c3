"""Which plots a report has, and how each is read."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl

from socrates_fast.curves.drawing import Curve
from socrates_fast.curves.gallery import curves
from socrates_fast.curves.history import History
from socrates_fast.evaluate.answers import Answers
from socrates_fast.evaluate.figures import FIGURES
from socrates_fast.evaluate.ragged import Floats
from socrates_fast.evaluate.report.bars import distribution_plot, figure_bars
from socrates_fast.evaluate.report.calibration import places_plot, reliability_plot
from socrates_fast.evaluate.report.drawing import Plot
from socrates_fast.evaluate.report.scatters import (
    MAX_DOTS,
    MAX_PAIRS,
    effects_plot,
    evenly,
    floors_plot,
    means_plot,
)
from socrates_fast.evaluate.report.words import decimals
from socrates_fast.evaluate.summary import Summary

MODEL = "predictor"

Gallery = Mapping[str, Sequence[Plot | Curve]]
"""The plots by the part of the report that they stand in: bars, cells, effects, calibration, all_cells, training."""

_BARS = {
    "wasserstein.stated": "Dashed: the floor, what a perfect prediction would get. Smaller is better.",
    "ranked_probability": "Dashed: the floor. Smaller is better, and the middle is not rewarded.",
    "effects.correlation": "Dashed: the ceiling, what a perfect prediction would reach. Larger is better.",
}


def draw(answers: Answers, summary: Summary, history: History | None = None) -> Gallery:
    """All plots that these figures allow, and those of the predictor's training, where that is known."""
    return {
        "bars": list(_bars(summary.metrics)),
        "cells": list(_cells(answers, summary)),
        "effects": list(_effects(summary)),
        "calibration": list(_calibration(summary)),
        "all_cells": list(_all_cells(summary.cells)),
        "training": curves(history) if history else [],
    }


def _bars(metrics: Mapping[str, Any]) -> Iterator[Plot]:
    predictors = {MODEL: metrics, **metrics["baselines"]}
    for name, caption in _BARS.items():
        figures = {who: item[name] for who, item in predictors.items() if name in item}
        if all(figure["value"] is None for figure in figures.values()):
            continue
        floor = metrics["floor"].get(name, {"value": None})["value"]
        label = FIGURES[name].label
        drawn = figure_bars(figures, floor)
        yield Plot(name.replace(".", "_"), f"{label} by predictor", drawn, label, caption)


def _cells(answers: Answers, summary: Summary) -> Iterator[Plot]:
    """The two best, middle and worst cells of the headline (fewer if there are fewer cells)."""
    cells = summary.cells.with_row_index("index").filter(pl.col("headline")).sort("stated").to_dicts()
    last = len(cells) - 1
    half = last // 2
    ranks = {half: "middle", half + 1: "next to middle", last - 1: "second worst", 1: "second best"}
    ranks |= {last: "worst", 0: "best"}  # with few cells these names win
    for rank in sorted(rank for rank in ranks if 0 <= rank < len(cells)):
        cell = cells[rank]
        yield Plot(
            "cell_" + ranks[rank].replace(" ", "_"),
            "Share of people and predicted probability of each answer",
            _cell(answers, summary.scored.mixture, cell["index"]),
            ranks[rank],
            f"study {cell['study_id']}, condition {cell['condition_num']}, task {cell['task_num']} · "
            f"{cell['people']} people · distance {decimals(cell['stated'])}, floor {decimals(cell['floor'])}",
        )


def _cell(answers: Answers, mixture: Floats, index: int) -> Any:
    cells = answers.cells
    start = cells.shape.starts[index]
    support = slice(start, start + cells.shape.lengths[index])
    given = cells.human.cell == index
    values = np.union1d(cells.values[support], cells.human.answer[given])
    human, predicted = np.zeros(len(values)), np.zeros(len(values))
    human[np.searchsorted(values, cells.human.answer[given])] = cells.human.count[given] / cells.people[index]
    predicted[np.searchsorted(values, cells.values[support])] = mixture[support]
    return distribution_plot(values, human, predicted)


def _effects(summary: Summary) -> Iterator[Plot]:
    if not summary.effects.height:
        return
    drawn = evenly(summary.effects.height, MAX_PAIRS)
    predicted, human, error = (
        summary.effects[name].to_numpy()[drawn] for name in ("predicted", "human", "error")
    )
    slope = summary.metrics["effects.slope"]["value"]
    fitted = "" if slope is None else f" Solid line: the fitted slope, {decimals(slope)}."
    yield Plot(
        "effects",
        "Human against predicted differences between conditions, with intervals",
        effects_plot(predicted, human, error, slope),
        caption="One dot a pair of conditions of a task, in standard deviations of people's answers; bars are 95 % "
        "intervals of people's difference, and pale dots those whose interval holds zero. Dashed: prediction and "
        f"people agree.{fitted}{_of(len(drawn), summary.effects.height, 'pairs')}",
    )


def _calibration(summary: Summary) -> Iterator[Plot]:
    tally, chosen = summary.scored.tally, summary.chosen
    places = tally.places[chosen].sum(axis=0)
    if places.sum() > 0:
        yield Plot(
            "places",
            "Share of answers by their place in the predicted distribution",
            places_plot(places),
            "Places of answers",
            "Dashed: a calibrated prediction (probability integral transform). A bowl: predictions are too narrow; a "
            "hill: too wide; more on the right: people answer higher than predicted.",
        )
    confidence, hits, rows = (sums[chosen].sum(axis=0) for sums in tally.reliability)
    if rows.sum() > 0:
        yield Plot(
            "reliability",
            "How often the likeliest answer was given, by its predicted probability",
            reliability_plot(confidence, hits, rows),
            "Reliability of the likeliest answer",
            "Dashed: probabilities come true. Below it, the prediction is too sure. Larger dots hold more answers.",
        )


def _all_cells(cells: pl.DataFrame) -> Iterator[Plot]:
    yield _cell_dots(
        cells, "means", ("human_mean", "predicted_mean"), "Mean answers",
        "Predicted against human mean answer of every cell",
        "As shares of the stated range. On the line, prediction and people agree.",
    )  # fmt: skip
    with_floor = cells.filter(pl.col("floor").is_not_null())
    if with_floor.height:
        yield _cell_dots(
            with_floor, "floors", ("floor", "stated"), "Distances against floors",
            "Distance of every cell against its floor",
            "On the line, a cell is predicted as well as its number of people lets anyone tell; far above it, the "
            "prediction is wrong.",
        )  # fmt: skip


def _cell_dots(
    cells: pl.DataFrame, name: str, axes: tuple[str, str], heading: str, description: str, caption: str
) -> Plot:
    drawn = evenly(cells.height, MAX_DOTS)
    x, y, people = (cells[column].cast(pl.Float64).to_numpy()[drawn] for column in (*axes, "people"))
    figure = means_plot(x, y, people) if name == "means" else floors_plot(x, y, people)
    return Plot(name, description, figure, heading, caption + _of(len(drawn), cells.height, "cells"))


def _of(drawn: int, number: int, what: str) -> str:
    """How many are drawn, where not all are."""
    return "" if drawn == number else f" {drawn:,} of {number:,} {what} are drawn, at even steps."
