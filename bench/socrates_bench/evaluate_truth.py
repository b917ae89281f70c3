"""What an evaluation of made-up rows must find, worked out from the distributions that the answers were drawn from.

Nothing of ``socrates_fast.evaluate`` is used here: what would check the evaluation must not share its mistakes.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl

from socrates_bench.evaluate_people import Floats, Scale

LOSSES = ("log_score", "mae", "brier")
"""Figures of rows whose expectation is known."""
PREDICTORS = ("model", "known")
TASK = ("study_id", "task_num", "values")
"""Cells that agree in these are conditions of one task."""


def of_cell(scale: Scale, right: Floats, guess: Floats) -> dict[str, Any]:
    """What is true of one cell's rows.

    Args:
        scale: its answers, k.
        right: the distributions from which the answers are drawn, those of the model that knows; (u, k).
        guess: those of the other model; (u, k).

    Returns:
        ``people``; the mean distributions ``known`` and ``model``; for each of both and each of ``LOSSES`` the sum over
        rows of its expectation, and of its variance, under ``<predictor>.<loss>`` and ``<predictor>.<loss>.variance``.
    """
    found: dict[str, Any] = {
        "people": len(right),
        "known": right.mean(axis=0).tolist(),
        "model": guess.mean(axis=0).tolist(),
    }
    for predictor, distribution in (("known", right), ("model", guess)):
        for name, loss in _losses(scale, distribution).items():
            mean = (right * loss).sum(axis=1)
            found[f"{predictor}.{name}"] = float(mean.sum())
            found[f"{predictor}.{name}.variance"] = float(((right * loss**2).sum(axis=1) - mean**2).sum())
    return found


def _losses(scale: Scale, distribution: Floats) -> dict[str, Floats]:
    """What each possible answer would cost each row; each (u, k)."""
    mean = distribution @ scale.values
    return {
        "log_score": -np.log(np.maximum(distribution, 1e-6)),
        "mae": np.abs(mean[:, None] - scale.values) / (scale.high - scale.low),
        "brier": (distribution**2).sum(axis=1)[:, None] - 2 * distribution + 1,
    }


def expected_losses(truth: pl.DataFrame, predictor: str) -> dict[str, tuple[float, float]]:
    """The mean of each loss over some cells' rows, and its standard error."""
    rows = int(truth["people"].sum())
    found = {}
    for name in LOSSES:
        total, variance = (
            float(truth[f"{predictor}.{name}{kind}"].to_numpy().sum()) for kind in ("", ".variance")
        )
        found[name] = (total / rows, variance**0.5 / rows)
    return found


def distance(truth: pl.DataFrame) -> float:
    """Distance of the model's mean distributions from the known ones, stated range: mean over studies of means of cells."""
    return _mean_distance(truth, truth["model"].to_list())


def floor(truth: pl.DataFrame, seed: int = 1) -> float:
    """The same of as many answers as each cell has people, drawn from the known mean distributions."""
    random = np.random.default_rng(seed)
    drawn = [
        random.multinomial(people, known) / people
        for people, known in truth.select("people", "known").iter_rows()
    ]
    return _mean_distance(truth, drawn)


def _mean_distance(truth: pl.DataFrame, others: Iterable[Sequence[float] | Floats]) -> float:
    cells = truth.select("known", "values", "low", "high").iter_rows()
    each = [
        float(np.abs(np.cumsum(np.subtract(other, known)))[:-1] @ np.diff(values)) / (high - low)
        for (known, values, low, high), other in zip(cells, others, strict=True)
    ]
    by_study = truth.select("study_id", each=pl.Series(each)).group_by("study_id").agg(pl.col("each").mean())
    return float(by_study["each"].to_numpy().mean())


def effects(truth: pl.DataFrame) -> Mapping[str, tuple[float, float]]:
    """Correlation and slope of true and predicted effects over some cells, and what sampling people makes of each.

    An effect is a condition's mean less that of its task's conditions, in standard deviations of answers within them.
    """
    found = _standardised(truth)
    if found.is_empty():
        return {}
    model, known, error = (found[name].to_numpy() for name in ("model_effect", "known_effect", "error"))
    both, own = model @ known, model @ model
    noise = float(np.sqrt(model**2 @ error**2))  # the model's effects sum to 0 in a task: centring adds none
    scale = float(np.sqrt(own * (known @ known)))
    return {
        "effects.correlation": (float(both / scale), noise / scale),
        "effects.slope": (float(both / own), float(noise / own)),
    }


def _standardised(truth: pl.DataFrame) -> pl.DataFrame:
    """The cells of tasks with several conditions, with both effects and the human mean's standard error, in units."""
    moments = [
        (
            _mean(model, values),
            _mean(known, values),
            _mean(known, np.square(values)) - _mean(known, values) ** 2,
        )
        for model, known, values in truth.select("model", "known", "values").iter_rows()
    ]
    frame = truth.select(*TASK, "people").hstack(
        pl.DataFrame(moments, ["model_mean", "known_mean", "variance"], orient="row")
    )
    people = pl.col("people")
    unit = ((people * pl.col("variance")).sum() / people.sum()).sqrt().over(TASK)
    return frame.filter(pl.len().over(TASK) > 1).select(
        *((pl.col(f"{who}_mean") - pl.col(f"{who}_mean").mean().over(TASK)).truediv(unit).alias(f"{who}_effect") for who in PREDICTORS),
        error=(pl.col("variance") / people).sqrt() / unit,
    )  # fmt: skip


def _mean(probabilities: Floats, values: Floats) -> float:
    return float(np.dot(probabilities, values))
