"""The two plots of a data card, as PNG on a light ground."""

from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from socrates_fast.runs import atomic_path

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK, MUTED, LINE, PAPER = "#101418", "#6b7480", "#d5dae0", "#ffffff"
COLOURS = {"train": "#3a6ea5", "validation": "#b4bcc6", "test": "#d97b29"}
"""Colours of the sides: blue, grey and orange, told apart also without seeing red or green, and in grey."""
SCALES, LENGTHS = "scales.png", "lengths.png"

_DPI = 150
_STYLE: dict[Any, Any] = {
    "figure.facecolor": PAPER,
    "axes.facecolor": PAPER,
    "font.size": 9,
    "text.color": INK,
    "axes.edgecolor": LINE,
    "axes.labelcolor": MUTED,
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.color": MUTED,
    "ytick.color": INK,
    "legend.frameon": False,
}


def draw(card: Mapping[str, Any], folder: Path) -> list[Path]:
    """Draw a card's scales and lengths into ``folder``; returns ``scales.png`` and ``lengths.png``."""
    import matplotlib

    with matplotlib.rc_context(_STYLE):
        plots = {SCALES: _scales(card["scales"]["kinds"]), LENGTHS: _lengths(card["lengths"])}
        for name, figure in plots.items():
            buffer = BytesIO()
            figure.savefig(buffer, format="png", dpi=_DPI, metadata={"Software": None})
            with atomic_path(folder / name) as partial:
                partial.write_bytes(buffer.getvalue())
    return [folder / name for name in plots]


def _scales(kinds: Mapping[str, Any]) -> "Figure":
    """Rows of each kind of scale, one bar a kind, parted by side."""
    figure, axes = _figure(6.4, 1.3 + 0.34 * len(kinds))
    position = np.arange(len(kinds))
    rows = np.array([[kind["rows"][side] for side in COLOURS] for kind in kinds.values()], dtype=float)
    starts, total = rows.cumsum(axis=1) - rows, rows.sum(axis=1)
    for at, (side, colour) in enumerate(COLOURS.items()):
        look: dict[str, Any] = {"height": 0.66, "color": colour, "edgecolor": PAPER, "linewidth": 0.6}
        axes.barh(position, rows[:, at], left=starts[:, at], label=side, **look)
    for at, (count, kind) in enumerate(zip(total.tolist(), kinds.values(), strict=True)):
        cells = f"{kind['cells']:,} {'cell' if kind['cells'] == 1 else 'cells'}"
        share = f"{count:,.0f} ({count / total.sum():.1%}), {cells}"
        axes.annotate(
            share, (count, at), (4, 0), textcoords="offset points", va="center", color=MUTED, fontsize=8
        )
    axes.set_yticks(position, list(kinds))
    axes.invert_yaxis()
    axes.set(title="Kinds of scale", xlabel="rows", xlim=(0, total.max() * 1.45))
    axes.xaxis.set_major_formatter(_count)
    axes.xaxis.grid(True, color=LINE, linewidth=0.6)
    axes.spines["left"].set_visible(False)
    figure.legend(loc="outside upper right", ncols=len(COLOURS))
    return figure


def _lengths(lengths: Mapping[str, Any] | None) -> "Figure":
    """Histogram of the rows' lengths, with the longest that training takes."""
    figure, axes = _figure(6.4, 3.2)
    if lengths is None:
        axes.set(title="Lengths were not measured")
        return figure
    counts, edges = lengths["histogram"]["counts"], np.array(lengths["histogram"]["edges"])
    axes.stairs(np.array(counts) / sum(counts), edges, fill=True, color=COLOURS["train"])
    unit = lengths["unit"]
    shorter = unit == "tokens" and lengths["max"] < lengths["max_length"]
    if unit == "tokens":
        _mark(
            axes,
            lengths["max_length"],
            f"model.max_length {lengths['max_length']:,}",
            COLOURS["test"],
            height=0.82,
        )
    _mark(axes, lengths["max"], f"longest {lengths['max']:,}", MUTED, right=shorter)
    how = "" if unit == "tokens" else " (no tokenizer was at hand)"
    axes.set(title=f"Length of prompt and answer{how}", xlabel=f"{unit} a row", ylabel="share of rows")
    axes.xaxis.set_major_formatter(_count)
    axes.yaxis.set_major_formatter(_percent)
    axes.yaxis.grid(True, color=LINE, linewidth=0.6)
    return figure


def _mark(axes: "Axes", at: float, text: str, colour: str, height: float = 0.94, right: bool = False) -> None:
    """A line at a length, and what it is, to its left or right; the bars are on its left."""
    axes.axvline(at, color=colour, linewidth=1.2)
    axes.annotate(
        text, (at, height), (4 if right else -4, 0), xycoords=("data", "axes fraction"), textcoords="offset points",
        ha="left" if right else "right", va="center", fontsize=8,
    )  # fmt: skip


def _count(value: float, _: float) -> str:
    return f"{value:,.0f}"


def _percent(share: float, _: float) -> str:
    return f"{100 * share:.3g}%"


def _figure(width: float, height: float) -> "tuple[Figure, Axes]":
    """A figure of ``width`` by ``height`` inches, drawn without a display and without pyplot's state."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.set_axisbelow(True)
    axes.tick_params(length=0)
    return figure, axes
