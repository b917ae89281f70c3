"""Plots as SVG text that sits inside an HTML page and follows its colours, light or dark.

Matplotlib draws with fixed colours; these are replaced by CSS variables of the page. No text from
users enters a plot: names of studies stand in the page around it, where they are escaped.
"""

import re
from collections.abc import Mapping, Sequence
from io import StringIO
from typing import TYPE_CHECKING, Any

import numpy as np

from socrates_fast.evaluate.ragged import Floats, weighted_count

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK, MUTED, LINE = "#101418", "#6b7480", "#d5dae0"
HUMAN, PREDICTED, BASELINE = "#3a6ea5", "#d97b29", "#b4bcc6"
_VARIABLES = {
    INK: "ink",
    MUTED: "muted",
    LINE: "line",
    HUMAN: "human",
    PREDICTED: "predicted",
    BASELINE: "baseline",
}

MAX_BARS = 12
"""Scales with more answers than this are shown in bins."""

_STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",  # text stays text: small, searchable, in the page's font
    "svg.hashsalt": "socrates-fast",  # the same plot gives the same bytes
    "font.size": 9,
    "text.color": INK,
    "axes.edgecolor": LINE,
    "axes.labelcolor": MUTED,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "legend.frameon": False,
}


def distribution_plot(values: Floats, human: Floats, predicted: Floats) -> str:
    """Bars of how often each answer was given and predicted.

    Args:
        values: the answers, ascending; shape (k,).
        human: share of people; shape (k,).
        predicted: predicted probability; shape (k,).
    """
    labels, human, predicted = _binned(values, human, predicted)
    with _style():
        figure, axes = _figure(3.4, 2.1)
        position = np.arange(len(labels))
        axes.bar(position - 0.2, human, width=0.38, color=HUMAN)
        axes.bar(position + 0.2, predicted, width=0.38, color=PREDICTED)
        axes.set_xticks(position, labels, rotation=45 if max(map(len, labels)) > 2 else 0)
        axes.tick_params(length=0)
        axes.yaxis.set_major_formatter(_percent)
        axes.yaxis.grid(True, color=LINE, linewidth=0.6)
        axes.set_axisbelow(True)
        return _svg(figure, "Share of people and predicted probability of each answer")


def means_plot(human: Floats, predicted: Floats, people: Floats) -> str:
    """Predicted against human mean of every cell, as shares of the stated range.

    Larger dots hold more people. All arguments have shape (cells,).
    """
    with _style():
        figure, axes = _figure(4.2, 4.2)
        _dots(axes, human, predicted, people)
        low = min(0.0, float(human.min()), float(predicted.min()))
        high = max(1.0, float(human.max()), float(predicted.max()))
        axes.set(xlim=(low - 0.02, high + 0.02), ylim=(low - 0.02, high + 0.02), aspect="equal")
        axes.set(xlabel="people's mean answer", ylabel="predicted mean answer")
        return _svg(figure, "Predicted against human mean answer of every cell")


def floors_plot(floor: Floats, distance: Floats, people: Floats) -> str:
    """Stated-range distance of every cell against its floor; larger dots hold more people.

    All arguments have shape (cells,).
    """
    with _style():
        figure, axes = _figure(4.2, 4.2)
        _dots(axes, floor, distance, people)
        axes.set_xlim(left=0.0)
        axes.set_ylim(bottom=0.0)
        axes.set(xlabel="floor of the cell", ylabel="distance to people's answers")
        return _svg(figure, "Distance of every cell against its floor")


def _dots(axes: "Axes", x: Floats, y: Floats, people: Floats) -> None:
    """One dot a cell over the line where ``x`` and ``y`` are equal."""
    axes.axline((0, 0), slope=1, color=MUTED, linewidth=1, linestyle=(0, (3, 2)))
    size = 12 + 60 * np.sqrt(people / people.max())
    axes.scatter(x, y, s=size, color=PREDICTED, alpha=0.55, linewidths=0)
    axes.tick_params(length=0)
    axes.grid(True, color=LINE, linewidth=0.6)
    axes.set_axisbelow(True)


def figure_bars(figures: Mapping[str, Mapping[str, Any]], floor: float | None, description: str) -> str:
    """One metric of several predictors as horizontal bars with intervals.

    Args:
        figures: {"value", "low"?, "high"?} by the predictor's (fixed) name, the model first; a null
            value has no bar.
        floor: where a line stands; None for no line.
        description: what is drawn, for readers who cannot see it.
    """
    shown = [(name, figure) for name, figure in figures.items() if figure["value"] is not None]
    with _style():
        figure, axes = _figure(4.2, 0.55 + 0.36 * len(shown))
        for index, (_, item) in enumerate(shown):
            axes.barh(index, item["value"], height=0.6, color=BASELINE if index else PREDICTED)
            if "low" in item:
                axes.plot([item["low"], item["high"]], [index, index], color=INK, linewidth=1.2)
            end = max(item["value"], item.get("high", 0.0))
            axes.annotate(
                f"{item['value']:.3f}",
                (end, index),
                (4, 0),
                textcoords="offset points",
                va="center",
            )
        if floor is not None:
            axes.axvline(floor, color=HUMAN, linewidth=1.4, linestyle=(0, (3, 2)))
        axes.set_yticks(range(len(shown)), [name for name, _ in shown])
        axes.invert_yaxis()
        axes.margins(x=0.18)
        axes.set_xlim(left=min(0.0, axes.get_xlim()[0]) if _any_negative(shown) else 0.0)
        axes.tick_params(length=0)
        axes.spines["left"].set_visible(False)
        return _svg(figure, description)


def _any_negative(shown: Sequence[tuple[str, Mapping[str, Any]]]) -> bool:
    return any(figure.get("low", figure["value"]) < 0 for _, figure in shown)


def _binned(values: Floats, human: Floats, predicted: Floats) -> tuple[list[str], Floats, Floats]:
    """Labels and shares of single answers or, on long scales, of equally wide bins."""
    if len(values) <= MAX_BARS:
        return [f"{value:g}" for value in values], human, predicted
    width = max(1.0, np.ceil((values[-1] - values[0] + 1) / 10))
    index = ((values - values[0]) // width).astype(np.int64)
    starts = values[0] + width * np.arange(index[-1] + 1)
    human, predicted = (weighted_count(index, share, len(starts)) for share in (human, predicted))
    return [f"{start:g}+" for start in starts], human, predicted


def _percent(share: float, _: float) -> str:
    return f"{100 * share:.0f}%"


def _style() -> Any:
    import matplotlib

    return matplotlib.rc_context(_STYLE)


def _figure(width: float, height: float) -> tuple["Figure", "Axes"]:
    """A figure of ``width`` by ``height`` inches, drawn without a display."""
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasSVG(figure)
    return figure, figure.add_subplot()


def _svg(figure: "Figure", description: str) -> str:
    """The figure as one ``<svg>`` element without namespaces, metadata and fixed size."""
    buffer = StringIO()
    empty = dict.fromkeys(("Creator", "Date", "Format", "Type"))
    figure.savefig(buffer, format="svg", transparent=True, metadata=empty)
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    box = re.search(r'viewBox="[^"]*"', text)
    if box is None:
        raise ValueError("the drawn SVG has no viewBox")
    text = text[text.index(">") + 1 :].replace("xlink:href", "href")
    text = re.sub(r' id="[A-Za-z0-9.]+_\d+"', "", text)  # "axes_1": the same in every plot of a page
    for colour, name in _VARIABLES.items():
        text = text.replace(colour, f"var(--{name})")
    # Fonts come from the page; matplotlib would name one that readers may not have
    text = re.sub(r"font: ([\d.]+px)[^;\"]*", r"font-size: \1", text)
    return f'<svg {box[0]} role="img" aria-label="{description}">{text}'
