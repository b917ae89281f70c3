"""Plots of calibration: do predicted probabilities come true?"""

from typing import TYPE_CHECKING

import numpy as np

from socrates_fast.evaluate.ragged import Floats
from socrates_fast.evaluate.report.drawing import DASHED, LINE, MUTED, PREDICTED, canvas, percent, style

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def places_plot(rows: Floats) -> "Figure":
    """Histogram of the probability integral transform.

    Args:
        rows: answers by their place in the predicted distribution; shape (places,).
    """
    edges = np.linspace(0, 1, len(rows) + 1)
    with style():
        figure, axes = canvas(4.2, 3.0)
        axes.bar(edges[:-1], rows / rows.sum(), width=0.92 / len(rows), align="edge", color=PREDICTED)
        axes.axhline(1 / len(rows), color=MUTED, linewidth=1, linestyle=DASHED)
        axes.yaxis.set_major_formatter(percent)
        axes.yaxis.grid(True, color=LINE, linewidth=0.6)
        axes.set(xlim=(0, 1), xlabel="place of the answer in the prediction", ylabel="share of answers")
        return figure


def reliability_plot(confidence: Floats, hits: Floats, rows: Floats) -> "Figure":
    """How often the likeliest answer is given, against its probability; larger dots hold more answers.

    Args:
        confidence: summed probability of the likeliest answer by bin; shape (bins,).
        hits: how often it was given.
        rows: answers in the bin.
    """
    filled = rows > 0
    confidence, hits, rows = confidence[filled], hits[filled], rows[filled]
    with style():
        figure, axes = canvas(4.2, 3.0)
        axes.axline((0, 0), slope=1, color=MUTED, linewidth=1, linestyle=DASHED)
        axes.plot(confidence / rows, hits / rows, color=PREDICTED, linewidth=1.2)
        sizes = 12 + 90 * np.sqrt(rows / rows.max())
        axes.scatter(confidence / rows, hits / rows, s=sizes, color=PREDICTED, linewidths=0)
        axes.grid(True, color=LINE, linewidth=0.6)
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_formatter(percent)
        axes.set(xlim=(0, 1), ylim=(0, 1))
        axes.set(xlabel="probability of the likeliest answer", ylabel="how often it was given")
        return figure
