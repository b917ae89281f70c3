"""Plots of dots: one a cell, or one a pair of conditions."""

from typing import TYPE_CHECKING

import numpy as np

from socrates_fast.evaluate.effects import CLEAR
from socrates_fast.evaluate.ragged import Bools, Floats, Ints
from socrates_fast.evaluate.report.drawing import (
    BASELINE,
    DASHED,
    HUMAN,
    LINE,
    MUTED,
    PREDICTED,
    canvas,
    style,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MAX_DOTS, MAX_PAIRS = 1500, 400
"""More cells, or pairs of conditions, make a heavy page and no clearer picture."""
_SIZES = (3.0, 4.5, 6.0, 7.5)
"""Diameters of dots, in points: few different ones, which SVG then writes once each."""
_MANY = 300
"""Dots from which on they are drawn smaller and paler, to show where they are dense."""


def evenly(number: int, most: int) -> Ints:
    """Which of ``number`` things are drawn: all, or ``most`` at even steps."""
    if number <= most:
        return np.arange(number)
    return np.linspace(0, number - 1, most).round().astype(np.int64)


def means_plot(human: Floats, predicted: Floats, people: Floats) -> "Figure":
    """Predicted against human mean of every cell, as shares of the stated range; all of shape (cells,)."""
    with style():
        figure, axes = canvas(4.2, 4.2)
        _dots(axes, human, predicted, people)
        low = min(0.0, float(human.min()), float(predicted.min()))
        high = max(1.0, float(human.max()), float(predicted.max()))
        axes.set(xlim=(low - 0.02, high + 0.02), ylim=(low - 0.02, high + 0.02), aspect="equal")
        axes.set(xlabel="people's mean answer", ylabel="predicted mean answer")
        return figure


def floors_plot(floor: Floats, distance: Floats, people: Floats) -> "Figure":
    """Stated-range distance of every cell against its floor; all of shape (cells,)."""
    with style():
        figure, axes = canvas(4.2, 4.2)
        _dots(axes, floor, distance, people)
        axes.set_xlim(0.0, max(float(floor.max()) * 1.06, 0.01))
        axes.set_ylim(0.0, max(float(distance.max()) * 1.06, 0.01))
        axes.set(xlabel="floor of the cell", ylabel="distance to people's answers")
        return figure


def effects_plot(predicted: Floats, human: Floats, error: Floats, slope: float | None) -> "Figure":
    """Human against predicted differences between conditions, with 95 % intervals of the human ones.

    Args:
        predicted: in standard deviations of people's answers; shape (pairs,).
        human: likewise.
        error: standard error of ``human``.
        slope: of the line through the origin that fits; None for no line.
    """
    clear = np.abs(human) >= CLEAR * error
    most = float(np.max(np.abs(np.concatenate([predicted, human, [1e-3]])))) * 1.08
    with style():
        figure, axes = canvas(4.2, 4.2)
        _frame(axes)
        axes.axhline(0, color=LINE, linewidth=1)
        axes.axvline(0, color=LINE, linewidth=1)
        for some, colour in ((~clear, BASELINE), (clear, PREDICTED)):
            _intervals(axes, predicted[some], human[some], CLEAR * error[some], colour)
        if slope is not None:
            axes.axline((0, 0), slope=slope, color=HUMAN, linewidth=1.6)
        axes.set(xlim=(-most, most), ylim=(-most, most), aspect="equal")
        axes.locator_params(nbins=6)
        axes.set(xlabel="predicted difference (SD)", ylabel="people's difference (SD)")
        return figure


def _intervals(axes: "Axes", x: Floats, y: Floats, half: Floats, colour: str) -> None:
    """Dots with vertical bars; the bars are one line with gaps, which SVG writes once."""
    alpha = 0.45 if len(x) < _MANY / 3 else 0.25  # many bars would hide the dots
    gap = np.full(len(x), np.nan)
    bars = np.stack([y - half, y + half, gap], axis=1).ravel()
    axes.plot(np.repeat(x, 3), bars, color=colour, alpha=alpha, linewidth=0.9)
    axes.plot(x, y, "o", markersize=3.5, color=colour, alpha=0.9, markeredgewidth=0)


def _dots(axes: "Axes", x: Floats, y: Floats, people: Floats) -> None:
    """One dot a cell over the line where ``x`` and ``y`` are equal; larger dots hold more people."""
    _frame(axes)
    class_ = np.minimum(len(_SIZES) * np.sqrt(people / people.max()), len(_SIZES) - 1).astype(np.int64)
    scale, alpha = (0.6, 0.35) if len(x) > _MANY else (1.0, 0.55)
    for number, size in enumerate(_SIZES):
        some: Bools = class_ == number
        axes.plot(
            x[some], y[some], "o", markersize=scale * size, color=PREDICTED, alpha=alpha, markeredgewidth=0
        )


def _frame(axes: "Axes") -> None:
    axes.axline((0, 0), slope=1, color=MUTED, linewidth=1, linestyle=DASHED, zorder=3)
    axes.grid(True, color=LINE, linewidth=0.6)
