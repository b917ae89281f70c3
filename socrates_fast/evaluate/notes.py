"""What a reader must know before believing the figures, in sentences."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import polars as pl

from socrates_fast.evaluate.answers import Answers
from socrates_fast.evaluate.uncertainty import MIN_STUDIES

NOISY_CELL = 50
"""People below which a cell's Wasserstein distance is mostly noise: two samples are 0.06 apart."""

LOW_ANSWER_MASS = 0.9


def notes(metrics: Mapping[str, Any], answers: Answers, cells: pl.DataFrame) -> list[str]:
    """The warnings that apply.

    Args:
        metrics: the content of metrics.json so far.
        answers: what people answered.
        cells: the frame ``Summary.cells``.
    """
    found = [
        *_about_cells(cells),
        *_about_answers(answers),
        *_about_predictor(metrics),
    ]
    studies = len(answers.studies)
    if studies < MIN_STUDIES:
        found.append(
            f"No intervals: there are {studies} studies, and at least {MIN_STUDIES} are needed to "
            "tell how much the figures would change with other studies."
        )
    return found


def _about_cells(cells: pl.DataFrame) -> list[str]:
    found = []
    small = int((cells["people"] < NOISY_CELL).sum())
    if small:
        found.append(
            f"{small} of {cells.height} cells hold fewer than {NOISY_CELL} people: a Wasserstein "
            "distance there is mostly noise. Read it beside the floor, which is itself too low for "
            "cells of fewer than about 20."
        )
    single = int((cells["people"] < 2).sum())
    if single:
        found.append(f"{_cells(single)} one person only, so no floor; the floor is that of the other cells.")
    skipped = cells["published"].null_count()
    if skipped:
        found.append(
            f"{_cells(skipped)} fewer than two people or one single human answer; the published "
            "convention leaves them out."
        )
    return found


def _about_answers(answers: Answers) -> list[str]:
    found = []
    off = (answers.response < answers.low) | (answers.response > answers.low + answers.span)
    if off.any():
        touched = len(np.unique(answers.cell[off]))
        found.append(
            f"Human answers off the stated scale: {int(off.sum())}, in {touched} of "
            f"{len(answers.cells.people)} cells. They widen the observed range there, which "
            "shrinks the published distance; the stated distance counts them where they lie."
        )
    if 0 < answers.rows_with_truth < answers.keys.height:
        found.append(
            f"Only {answers.rows_with_truth} of {answers.keys.height} rows have a true "
            "distribution, so there is no distance to the truth and no oracle."
        )
    return found


def _about_predictor(metrics: Mapping[str, Any]) -> list[str]:
    found = []
    name, baselines = metrics["predictor"], metrics["baselines"]
    mass = metrics["answer_mass"]["value"]
    if mass < LOW_ANSWER_MASS:
        found.append(
            f"{name} answers on the scale with probability {mass:.2f} only; its distributions are "
            "what remains after leaving everything else out."
        )
    accuracy, constant = metrics["accuracy"]["value"], baselines["midpoint"]["accuracy"]["value"]
    if accuracy < constant:
        found.append(
            f"Always answering the middle of the scale has accuracy {constant:.3f}, {name} "
            f"{accuracy:.3f}: accuracy rewards collapsing to the middle, so do not rank predictors "
            "by it."
        )
    stated, guess = (item["wasserstein.stated"]["value"] for item in (metrics, baselines["uniform"]))
    if stated >= guess:
        found.append(
            f"{name} is no nearer to people's answers ({stated:.3f}) than uniform guessing ({guess:.3f})."
        )
    return found


def _cells(number: int) -> str:
    return "1 cell has" if number == 1 else f"{number} cells have"
