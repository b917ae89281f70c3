"""report.html: one file that needs no network, reads on a phone and prints."""

import json
from collections.abc import Mapping
from importlib.resources import files
from typing import Any

import numpy as np
import polars as pl

from socrates_fast.evaluate.answers import Answers
from socrates_fast.evaluate.notes import NOISY_CELL
from socrates_fast.evaluate.plots import (
    distribution_plot,
    figure_bars,
    floors_plot,
    means_plot,
)
from socrates_fast.evaluate.ragged import Floats
from socrates_fast.evaluate.summary import FIGURES, Summary

DROPPED = "dropped"
"""Key of ``details`` whose value, rows left out by reason, gets a table of its own."""

MODEL = "predictor"

_STUDY_COLUMNS = {
    "wasserstein.stated": "Wasserstein",
    "wasserstein.floor": "Floor",
    "wasserstein.published": "As published",
    "accuracy": "Accuracy",
    "mae": "MAE",
    "correlation": "Correlation",
    "answer_mass": "Answer mass",
}


def render_report(title: str, answers: Answers, summary: Summary, details: Mapping[str, Any]) -> str:
    """The report as HTML; all text that comes from users is escaped.

    Args:
        title: the headline.
        answers: what people answered.
        summary: the figures.
        details: what made them (recipe, versions, ...), shown as YAML by key;
            ``details["dropped"]`` maps reasons to numbers of rows left out.
    """
    from jinja2 import Environment, StrictUndefined

    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {"number": _number, "decimals": _decimals}
    template = files(__package__).joinpath("report.html.j2").read_text(encoding="utf-8")
    metrics = summary.metrics
    return environment.from_string(template).render(
        title=title,
        metrics=metrics,
        headline=_headline(metrics),
        columns=[MODEL, *metrics["baselines"]],
        rows=_rows(metrics),
        bars=_bars(metrics),
        shown_from=_shown_from(summary.cells),
        cells=_example_cells(answers, summary),
        scatters=_scatters(summary.cells),
        study_columns=_STUDY_COLUMNS,
        studies=summary.studies.sort("wasserstein.stated").to_dicts(),
        dropped=details.get(DROPPED, {}),
        details={name: _yaml(value) for name, value in details.items() if name != DROPPED},
    )


def _headline(metrics: Mapping[str, Any]) -> list[tuple[str, Mapping[str, Any], str]]:
    uniform = metrics["baselines"]["uniform"]["wasserstein.stated"]
    truth = metrics.get("wasserstein.truth")
    return [
        ("Wasserstein", metrics["wasserstein.stated"], "distance to people's answers; 0 is best"),
        ("Floor", metrics["wasserstein.floor"], "a perfect prediction, cells of this size"),
        ("Uniform", uniform, "distance of guessing without any knowledge"),
        *([("To the truth", truth, "distance to the true distributions")] if truth else []),
        ("Correlation", metrics["correlation"], "of predicted and given answers"),
        ("Answer mass", metrics["answer_mass"], "probability of a valid answer"),
    ]


def _rows(metrics: Mapping[str, Any]) -> list[dict[str, Any]]:
    predictors = [metrics, *metrics["baselines"].values()]
    return [
        {**figure._asdict(), "figures": [item.get(name) for item in predictors]}
        for name, figure in FIGURES.items()
        if name in metrics
    ]


def _bars(metrics: Mapping[str, Any]) -> list[tuple[str, str]]:
    floor = metrics["wasserstein.floor"]["value"]
    predictors = {MODEL: metrics, **metrics["baselines"]}

    def drawn(name: str, line: float | None) -> str:
        figures = {who: item[name] for who, item in predictors.items()}
        return figure_bars(figures, line, f"{FIGURES[name].label} by predictor")

    return [
        (
            "Wasserstein distance, stated range; smaller is better. Dashed: the floor.",
            drawn("wasserstein.stated", floor),
        ),
        (
            "Accuracy of a drawn answer; larger is better, but a constant in the middle does well.",
            drawn("accuracy", None),
        ),
    ]


def _shown_from(cells: pl.DataFrame) -> int:
    """Fewest people of a cell that is shown as example: at least half of the cells can be."""
    return min(NOISY_CELL, int(np.median(cells["people"])))


def _example_cells(answers: Answers, summary: Summary) -> list[dict[str, Any]]:
    """The two best, middle and worst cells with their plots (fewer if there are fewer cells)."""
    ranked = (
        summary.cells.with_row_index("index")
        .filter(pl.col("people") >= _shown_from(summary.cells))
        .sort("stated")
        .to_dicts()
    )
    last = len(ranked) - 1
    half = last // 2
    ranks = {half: "middle", half + 1: "middle", last - 1: "second worst", 1: "second best"}
    ranks |= {last: "worst", 0: "best"}  # with few cells these names win
    chosen = sorted(rank for rank in ranks if 0 <= rank < len(ranked))
    return [
        {
            **ranked[rank],
            "rank": ranks[rank],
            "plot": _cell_plot(answers, summary.mixture, ranked[rank]["index"]),
        }
        for rank in chosen
    ]


def _cell_plot(answers: Answers, mixture: Floats, index: int) -> str:
    cells = answers.cells
    start = cells.shape.starts[index]
    support = slice(start, start + cells.shape.lengths[index])
    given = cells.human.cell == index
    values = np.union1d(cells.values[support], cells.human.answer[given])
    human, predicted = np.zeros(len(values)), np.zeros(len(values))
    human[np.searchsorted(values, cells.human.answer[given])] = cells.human.count[given] / cells.people[index]
    predicted[np.searchsorted(values, cells.values[support])] = mixture[support]
    return distribution_plot(values, human, predicted)


def _scatters(cells: pl.DataFrame) -> list[tuple[str, str]]:
    def columns(*names: str) -> list[Floats]:
        return [cells[name].cast(pl.Float64).to_numpy() for name in names]

    means = means_plot(*columns("human_mean", "predicted_mean", "people"))
    floors = floors_plot(*columns("floor", "stated", "people"))
    return [
        (
            "Mean answers as shares of the stated range. On the line, prediction and people agree.",
            means,
        ),
        (
            "Distances against floors. On the line, a cell is predicted as well as its number of "
            "people lets anyone tell; far above it, the prediction is wrong.",
            floors,
        ),
    ]


def _number(figure: Mapping[str, Any] | None) -> str:
    return _decimals(figure["value"] if figure else None)


def _decimals(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _yaml(value: Any) -> str:
    import yaml

    if isinstance(value, str):
        return value
    plain = json.loads(json.dumps(value, default=str))  # paths and the like become text
    return str(yaml.safe_dump(plain, sort_keys=False, allow_unicode=True))
