"""The tables of a report, as a template or a Markdown file shows them."""

from collections.abc import Iterator, Mapping
from itertools import groupby
from typing import Any, NamedTuple

import polars as pl

from socrates_fast.evaluate.fairness import LEAST_ROWS
from socrates_fast.evaluate.figures import BASELINES, FIGURES, Figure
from socrates_fast.evaluate.report.words import interval, number

FigureOrNone = Mapping[str, Any] | None

NOT_PARITY = (
    "A gap is a difference of errors between groups: how much worse the predictions are for some people than for others. "
    "It is not the SOCRATES paper's demographic parity figure, whose definition is not published."
)

_STUDY_COLUMNS = {
    "rows": ("Rows", "answers of the study"),
    "cells": ("Cells", "its conditions times tasks"),
    "wasserstein.stated": ("Wasserstein", ""),
    "wasserstein.floor": ("Floor", "Wasserstein distance of a perfect prediction, cells of these sizes"),
    "ranked_probability": ("RPS", ""),
    "mae": ("MAE", ""),
    "sd_ratio": ("SD ratio", ""),
    "correlation_within": ("Corr. within", ""),
    "effects.correlation": ("Effects", ""),
    "answer_mass": ("Answer mass", ""),
}


class Row(NamedTuple):
    """One figure of the model and of what stands beside it.

    Attributes:
        figure: how it is read.
        model: {"value", "low"?, "high"?}.
        floor: of a perfect prediction; None if the figure has none.
        skill: None if the figure has none.
        others: the baselines', in the order of ``baselines``.
        small: the model's in cells that are too small for the headline; None if there are none.
    """

    figure: Figure
    model: Mapping[str, Any]
    floor: FigureOrNone
    skill: FigureOrNone
    others: list[FigureOrNone]
    small: FigureOrNone


def baselines(metrics: Mapping[str, Any]) -> dict[str, str]:
    """The baselines that there are, with what each is."""
    return {name: BASELINES.get(name, "") for name in metrics["baselines"]}


def figure_rows(metrics: Mapping[str, Any]) -> list[tuple[str, list[Row]]]:
    """All figures that there are, by what they are about."""
    return [(about, list(rows)) for about, rows in groupby(_rows(metrics), key=lambda row: row.figure.about)]


def _rows(metrics: Mapping[str, Any]) -> Iterator[Row]:
    for name, figure in FIGURES.items():
        if name in metrics:
            others = [item.get(name) for item in metrics["baselines"].values()]
            floor, skill, small = (metrics[side].get(name) for side in ("floor", "skill", "small_cells"))
            yield Row(figure, metrics[name], floor, skill, others, small)


class Column(NamedTuple):
    """A column of the table of studies."""

    name: str
    label: str
    meaning: str


def study_columns(studies: pl.DataFrame) -> list[Column]:
    """The columns that there are."""
    return [
        Column(name, label, meaning or FIGURES[name].meaning)
        for name, (label, meaning) in _STUDY_COLUMNS.items()
        if name in studies.columns
    ]


class Gap(NamedTuple):
    """The largest gap of a field.

    Attributes:
        label: of the figure.
        sentence: how large it is, and between whom; may hold text from users.
        verdict: "differs", "cannot tell", or "" where there is no gap.
    """

    label: str
    sentence: str
    verdict: str


class Field(NamedTuple):
    """A demographic field.

    Attributes:
        name: of the field.
        levels: per level its rows, cells and figures.
        gaps: between two of its levels.
    """

    name: str
    levels: Mapping[str, Mapping[str, Any]]
    gaps: list[Gap]


def fields(metrics: Mapping[str, Any]) -> list[Field]:
    """The groups of people that were compared."""
    labels = {"mae": "MAE", "wasserstein": "Wasserstein"}
    return [
        Field(name, found["levels"], [gap(label, found[f"gap.{key}"]) for key, label in labels.items()])
        for name, found in metrics["groups"].items()
    ]


def gap(label: str, found: Mapping[str, Any]) -> Gap:
    """A gap in words; it differs if its interval leaves out zero."""
    if found["value"] is None:
        return Gap(label, f"not compared: fewer than two groups have {LEAST_ROWS} rows and this figure", "")
    sides = f"{found['worst']} (worse) and {found['best']} (better)"
    between = interval(found)
    if not between:
        return Gap(label, f"{number(found)} between {sides}; no interval", "cannot tell")
    differs = found["low"] > 0 or found["high"] < 0
    return Gap(label, f"{number(found)} ({between}) between {sides}", "differs" if differs else "cannot tell")


class Left(NamedTuple):
    """Rows that are in no figure."""

    reason: str
    rows: Any
    example: str


def left_out(metrics: Mapping[str, Any], dropped: Mapping[str, Any]) -> list[Left]:
    """What was left out and why, before the evaluation and by it.

    Args:
        metrics: the content of metrics.json.
        dropped: rows by reason that preparing the data left out.
    """
    found = [Left(str(reason), rows, "") for reason, rows in dropped.items()]
    mixed, unscorable = metrics.get("mixed_scales"), metrics.get("unscorable")
    if mixed and mixed["cells"]:
        study, condition, task = mixed["example"]
        reason = f"people of one cell were asked on different scales ({mixed['cells']:,} cells)"
        found.append(Left(reason, mixed["rows"], f"study {study}, condition {condition}, task {task}"))
    if unscorable and unscorable["rows"]:
        found.append(Left("the predictor could not score them", unscorable["rows"], unscorable["example"]))
    return found
