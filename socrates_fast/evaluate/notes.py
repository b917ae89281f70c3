"""What a reader must know before believing the figures, in sentences: banners for what undermines them, notes for the rest."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import polars as pl

from socrates_fast.evaluate.answers import Answers
from socrates_fast.evaluate.uncertainty import MIN_STUDIES

LOW_ANSWER_MASS = 0.9


def banners(metrics: Mapping[str, Any]) -> list[str]:
    """What makes the figures mean something else than they seem to.

    Args:
        metrics: the content of metrics.json so far.
    """
    return [*_about_size(metrics), *_about_rows(metrics), *_about_blindness(metrics)]


def notes(metrics: Mapping[str, Any], answers: Answers, cells: pl.DataFrame) -> list[str]:
    """The warnings that apply.

    Args:
        metrics: the content of metrics.json so far.
        answers: what people answered.
        cells: the frame ``Summary.cells``.
    """
    found = [
        *_about_cells(metrics, cells), *_about_answers(answers), *_about_predictor(metrics),
        *_about_rivals(metrics),
    ]  # fmt: skip
    studies = metrics["headline"]["studies"]
    if studies < MIN_STUDIES:
        found.append(
            f"No intervals: there {'is one study' if studies == 1 else f'are {studies} studies'}, and at least {MIN_STUDIES} are needed to "
            "tell how much the figures would change with other studies."
        )
    return found


def _about_size(metrics: Mapping[str, Any]) -> list[str]:
    headline = metrics["headline"]
    if not headline["all_cells_small"]:
        return []
    floor = metrics["wasserstein.floor"]["value"]
    reach = "has no floor at all" if floor is None else f"is at least {floor:.3f} for a perfect model too"
    return [
        f"Cannot tell: no cell holds {headline['min_people']} people, so distances to their answers are mostly chance. "
        f"With cells of this size the Wasserstein distance {reach}."
    ]


def _about_rows(metrics: Mapping[str, Any]) -> list[str]:
    found = []
    seen = metrics.get("seen_in_training")
    if seen and seen["rows"]:
        found.append(
            f"{seen['rows']} of {metrics['rows']['value']} rows are of {seen['what']} that the model was trained on: "
            "its figures say nothing about new ones."
        )
    unscorable = metrics.get("unscorable")
    if unscorable and unscorable["rows"]:
        found.append(
            f"{unscorable['rows']} rows ({100 * unscorable['value']:.1f} %) could not be scored and are missing from all "
            f"figures; the first: {unscorable['example']}"
        )
    mixed = metrics.get("mixed_scales")
    if mixed and mixed["cells"]:
        found.append(
            f"{mixed['cells']} cells with {mixed['rows']} rows are left out, because their people were asked on "
            f"different scales (the first is study {mixed['example'][0]}, condition {mixed['example'][1]}, task "
            f"{mixed['example'][2]}): they have no common distribution. Give each scale its own task_num."
        )
    return found


def _about_blindness(metrics: Mapping[str, Any]) -> list[str]:
    """A distance that a model wins without seeing the condition."""
    pooled = metrics["baselines"]["pooled"]["wasserstein.stated"]["value"]
    sensitivity = metrics.get("effects.sensitivity", {"value": None})["value"]
    if sensitivity is None or sensitivity > 0.1:
        return []
    return [
        f"{metrics['predictor']} hardly sees the condition: its answers differ between conditions {sensitivity:.2f} times "
        f"as much as people's. A small distance does not help then: the pooled answers, which know no condition, are at "
        f"{pooled:.3f}."
    ]


def _about_cells(metrics: Mapping[str, Any], cells: pl.DataFrame) -> list[str]:
    found = []
    least = metrics["headline"]["min_people"]
    small = int((cells["people"] < least).sum())
    if small and not metrics["headline"]["all_cells_small"]:
        found.append(
            f"{small} of {cells.height} cells hold fewer than {least} people: a Wasserstein distance there is mostly "
            "noise. They are not in the headline and stand apart."
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
    low = answers.cells.low[answers.cell]
    off = (answers.response < low) | (answers.response > low + answers.cells.span[answers.cell])
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


def _about_rivals(metrics: Mapping[str, Any]) -> list[str]:
    """Baselines from which the predictor cannot be told by its distance."""
    alike = [
        f"{name} ({difference['low']:+.3f} to {difference['high']:+.3f})"
        for name, figures in metrics["against"].items()
        if "low" in (difference := figures["wasserstein.stated"])
        and difference["low"] <= 0 <= difference["high"]
        and metrics["predictor"] != name
    ]
    if not alike:
        return []
    return [
        f"Cannot tell {metrics['predictor']} from {', '.join(alike)} by its distance: the interval of their difference "
        "holds zero."
    ]


def _cells(number: int) -> str:
    return "1 cell has" if number == 1 else f"{number} cells have"
