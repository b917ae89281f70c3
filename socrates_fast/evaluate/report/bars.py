"""Plots of bars: figures of several predictors, and the answers of one cell."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from socrates_fast.evaluate.ragged import Floats, weighted_count
from socrates_fast.evaluate.report.drawing import (
    BASELINE,
    DASHED,
    HUMAN,
    INK,
    LINE,
    PREDICTED,
    canvas,
    percent,
    style,
)
from socrates_fast.evaluate.report.words import decimals

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MAX_BARS = 12
"""Scales with more answers than this are shown in bins."""
_BINS = 10


def figure_bars(figures: Mapping[str, Mapping[str, Any]], floor: float | None) -> "Figure":
    """One figure of several predictors as horizontal bars with intervals.

    Args:
        figures: {"value", "low"?, "high"?} by the predictor's (fixed) name, the model first; a null value has no bar.
        floor: where a line stands; None for no line.
    """
    shown = [(name, item) for name, item in figures.items() if item["value"] is not None]
    with style():
        figure, axes = canvas(4.2, 0.55 + 0.36 * len(shown))
        for index, (_, item) in enumerate(shown):
            axes.barh(index, item["value"], height=0.6, color=BASELINE if index else PREDICTED)
            if "low" in item:
                axes.plot([item["low"], item["high"]], [index, index], color=INK, linewidth=1.2)
            place: dict[str, Any] = {"xycoords": ("axes fraction", "data"), "textcoords": "offset points"}
            axes.annotate(decimals(item["value"]), (1, index), (34, 0), ha="right", va="center", **place)
        if floor is not None:
            axes.axvline(floor, color=HUMAN, linewidth=1.4, linestyle=DASHED)
        axes.set_yticks(range(len(shown)), [name for name, _ in shown])
        axes.invert_yaxis()
        axes.margins(x=0.05)
        axes.set_xlim(left=axes.get_xlim()[0] if _any_negative(shown) else 0.0)
        axes.spines["left"].set_visible(False)
        return figure


def _any_negative(shown: Sequence[tuple[str, Mapping[str, Any]]]) -> bool:
    return any(item.get("low", item["value"]) < 0 for _, item in shown)


def distribution_plot(values: Floats, human: Floats, predicted: Floats) -> "Figure":
    """Bars of how often each answer was given and predicted.

    Args:
        values: the answers, ascending; shape (k,).
        human: share of people; shape (k,).
        predicted: predicted probability; shape (k,).
    """
    labels, human, predicted = binned(values, human, predicted)
    with style():
        figure, axes = canvas(3.4, 2.1)
        position = np.arange(len(labels))
        axes.bar(position - 0.2, human, width=0.38, color=HUMAN, label="people")
        axes.bar(position + 0.2, predicted, width=0.38, color=PREDICTED, label="predicted")
        # A file that leaves the page has no other key.
        figure.legend(loc="outside upper right", ncols=2, fontsize=8)
        long = len("".join(labels))
        axes.set_xticks(position, labels, rotation=45 if long > 32 else 0, fontsize=8 if long > 20 else 9)
        axes.yaxis.set_major_formatter(percent)
        axes.yaxis.grid(True, color=LINE, linewidth=0.6)
        return figure


def binned(values: Floats, human: Floats, predicted: Floats) -> tuple[list[str], Floats, Floats]:
    """Labels and shares of single answers or, on long scales, of equally wide bins; the last takes in the end."""
    if len(values) <= MAX_BARS:
        return [f"{value:g}" for value in values], human, predicted
    span = values[-1] - values[0]
    width = _round_width(span / _BINS)
    bins = int(np.ceil(span / width))
    index = np.minimum((values - values[0]) // width, bins - 1).astype(np.int64)
    human, predicted = (weighted_count(index, share, bins) for share in (human, predicted))
    return [f"{values[0] + width * place:g}+" for place in range(bins)], human, predicted


def _round_width(least: float) -> float:
    """The smallest of 1, 2, 5, 10, 20, ... that is at least ``least``."""
    power = 10.0 ** max(0.0, np.floor(np.log10(least)))
    return float(next(step * power for step in (1, 2, 5, 10) if step * power >= least))
