"""Whether an evaluation found what its made-up rows hold: figure by figure, what was put in and how far off it may be."""

import json
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl

from socrates_bench.evaluate_rows import TRUTH
from socrates_bench.evaluate_truth import distance, effects, expected_losses, floor
from socrates_fast.errors import SocratesError

ERRORS = 5.0
"""Standard errors of sampling people that a figure may be off."""
ROUNDING = 0.02
"""What standardising effects by a sample's deviations may add to that."""


class Check(NamedTuple):
    """One figure beside what it must be.

    Attributes:
        found: what the evaluation says; None if it says nothing.
        put_in: what was put in.
        within: how far apart they may be.
    """

    found: float | None
    put_in: float
    within: float

    @property
    def good(self) -> bool:
        """Whether they are near enough."""
        return self.found is not None and abs(self.found - self.put_in) <= self.within


def checked(folder: Path, out: Path, min_people: int) -> dict[str, dict[str, Any]]:
    """All checks of the evaluation in ``out`` against the truth in ``folder``, by name.

    Raises:
        SocratesError: figures are not what was put in; with each of them.
    """
    metrics = json.loads((out / "metrics.json").read_text(encoding="utf-8"))
    found = checks(metrics, pl.read_parquet(folder / TRUTH), min_people)
    wrong = [
        f"{name}: {one.found}, not {one.put_in:.6g} ± {one.within:.2g}"
        for name, one in found.items()
        if not one.good
    ]
    if wrong:
        raise SocratesError("the evaluation did not find what was put in:\n" + "\n".join(wrong))
    return {name: one._asdict() for name, one in found.items()}


def checks(metrics: dict[str, Any], truth: pl.DataFrame, min_people: int) -> dict[str, Check]:
    """What figures must be, of the headline's cells.

    Args:
        metrics: the content of metrics.json.
        truth: one line a cell, see ``evaluate_rows``.
        min_people: people below which a cell stays out of the headline.
    """
    cells = truth.filter(pl.col("people") >= min_people)
    known = metrics["baselines"]["base"]
    return {
        **_counts(metrics, truth, cells), **_losses(metrics, known, cells), **_distances(metrics, known, cells),
        **_calibration(known, cells), **_effects(metrics, cells),
    }  # fmt: skip


def _value(figures: dict[str, Any], name: str) -> float | None:
    value: float | None = figures[name]["value"] if name in figures else None
    return value


def _counts(metrics: dict[str, Any], truth: pl.DataFrame, cells: pl.DataFrame) -> dict[str, Check]:
    ages = sum(level["rows"] for level in metrics["groups"]["age"]["levels"].values())  # everybody has one
    rows, chosen = (int(frame["people"].sum()) for frame in (truth, cells))
    counts = {
        "rows": (_value(metrics, "rows"), rows), "cells": (_value(metrics, "cells"), truth.height),
        "studies": (_value(metrics, "studies"), truth["study_id"].n_unique()),
        "headline rows": (metrics["headline"]["rows"], chosen), "rows by age": (ages, chosen),
    }  # fmt: skip
    return {name: Check(count, put_in, 0.0) for name, (count, put_in) in counts.items()}


def _losses(metrics: dict[str, Any], known: dict[str, Any], cells: pl.DataFrame) -> dict[str, Check]:
    return {
        f"{predictor}: {name}": Check(_value(figures, name), put_in, ERRORS * error)
        for predictor, figures in (("model", metrics), ("known", known))
        for name, (put_in, error) in expected_losses(cells, predictor).items()
    }


def _distances(metrics: dict[str, Any], known: dict[str, Any], cells: pl.DataFrame) -> dict[str, Check]:
    """Whoever knows the distributions is at the floor; the other is no further from its true distance than the floor is.

    (The triangle inequality: people's answers lie about a floor away from their distributions.)
    """
    name, least = "wasserstein.stated", floor(cells)
    spread = 0.1 + 3.0 / cells.height**0.5  # people differ: 0.1; a cell's distance varies by half of its mean
    return {
        "wasserstein.floor": Check(_value(metrics, "wasserstein.floor"), least, spread * least),
        f"known: {name}": Check(_value(known, name), least, spread * least),
        f"model: {name}": Check(_value(metrics, name), distance(cells), (1 + spread) * least),
    }


def _calibration(known: dict[str, Any], cells: pl.DataFrame) -> dict[str, Check]:
    """Known distributions are calibrated but for chance."""
    chance = ERRORS / float(cells["people"].sum()) ** 0.5
    return {
        f"known: {name}": Check(_value(known, name), 0.0, chance)
        for name in ("calibration.places", "calibration.confidence")
    }


def _effects(metrics: dict[str, Any], cells: pl.DataFrame) -> dict[str, Check]:
    """Sampling people makes a correlation smaller, by the floor's own; it leaves the slope as it is."""
    found = {}
    for name, (put_in, error) in effects(cells).items():
        most = _value(metrics["floor"], name) or 1.0
        value = _value(metrics, name)
        found[name] = Check(None if value is None else value / most, put_in, ERRORS * error / most + ROUNDING)
    return found
