"""The forest plot of a comparison: one line a figure and evaluation, right is better.

Figures have different units, so a gain is drawn as a share of what the reference lacks: its distance to the best value
there is (0, or 1). Where 0 is best that is the improvement in percent; 100 would be perfect. Dividing an interval by one
number leaves it where it is: it includes 0 in the plot if, and only if, it does in the table.
"""

import warnings
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from socrates_fast.evaluate.compare import HEADLINE, Comparison, Difference, Line
from socrates_fast.evaluate.compare.words import heading, shown
from socrates_fast.evaluate.report.drawing import HUMAN, INK, LINE, MUTED, PREDICTED, Plot, canvas, style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLOURS = {"better": HUMAN, "worse": PREDICTED, "cannot tell": MUTED, "same": MUTED}
"""Blue, orange and grey: told apart also without seeing red or green. The side of the line says the same."""
DESCRIPTION = "Gains over the reference, figure by figure, with their intervals"

_WIDTH, _ROW, _CLOSE_ROW = 7.2, 0.2, 0.16
"""Inches; rows are closer where figures have several."""
_MARGIN = -200
"""Where titles begin: points left of the axis, enough for the longest figure's name."""
_LONGEST = 70
"""Characters of an evaluation's name in the plot."""


class _Row(NamedTuple):
    """One line of the plot; numbers are percent of what the reference lacks.

    Attributes:
        at: how far down it stands, in rows.
        line: the figure.
        found: the difference.
        first: whether the figure's name stands before it.
        gain: how much better.
        ends: of the interval; None if there is none.
    """

    at: float
    line: Line
    found: Difference
    first: bool
    gain: float
    ends: tuple[float, float] | None


def forest_plot(comparison: Comparison) -> tuple[str, str, bytes]:
    """The plot as an ``<svg>`` element for a page, and as the content of a .svg and of a .png file.

    The element holds no text from users; the files name the evaluations. The same comparison gives the same plots.
    """
    with style():
        page, alone = (Plot("gains", DESCRIPTION, _draw(comparison, named)) for named in (False, True))
    with warnings.catch_warnings():
        warnings.filterwarnings(
            "ignore", message="Glyph .* missing"
        )  # a name in a script that the font lacks
        return page.inline, alone.svg, alone.png


def _rows(comparison: Comparison) -> tuple[list[_Row], dict[float, str]]:
    """What can be drawn, and the titles of the sections by where they stand."""
    rows: list[_Row] = []
    titles: dict[float, str] = {}
    at = 0.0
    for title, lines in comparison.sections:
        drawn = [list(_scaled(line)) for line in lines]
        if not any(drawn):
            continue
        titles[at] = title
        at += 1.0
        for line, gains in zip(lines, drawn, strict=True):
            for number, (found, gain, ends) in enumerate(gains):
                rows.append(_Row(at, line, found, number == 0, gain, ends))
                at += 1.0
            at += 0.35 if len(comparison.entries) > 2 else 0.0
        at += 0.4
    return rows, titles


def _scaled(line: Line) -> Iterator[tuple[Difference, float, tuple[float, float] | None]]:
    """Those differences that have a gain, in percent of what the reference lacks."""
    reference = next(iter(line.values.values()))["value"]
    for found in line.differences:
        gain = found.better_by
        if gain["value"] is None:
            continue
        if found.verdict == "same":
            yield found, 0.0, None
        elif reference != line.best:  # what is best already lacks nothing, and nothing is a share of that
            lacks = abs(reference - line.best) / 100
            yield (
                found,
                gain["value"] / lacks,
                (gain["low"] / lacks, gain["high"] / lacks) if "low" in gain else None,
            )


def _draw(comparison: Comparison, named: bool) -> "Figure":
    rows, titles = _rows(comparison)
    several = len(comparison.entries) > 2
    names = [_named(comparison, number) for number in range(len(comparison.entries))] if named else []
    pitch = _CLOSE_ROW if several else _ROW
    figure, axes = canvas(
        _WIDTH, 0.8 + 0.17 * len(names) + pitch * (1.6 + max((row.at for row in rows), default=0))
    )
    if names:
        axes.annotate(
            "\n".join(names), (0, 1), (_MARGIN, 20), xycoords="axes fraction", textcoords="offset points", parse_math=False
        )  # fmt: skip
    _frame(axes, rows, titles)
    axes.tick_params(axis="y", pad=14 if several else 4, colors=INK)
    for row in rows:
        _add(axes, row, several)
    return figure


def _named(comparison: Comparison, number: int) -> str:
    entry = comparison.entries[number]
    name = entry.label if len(entry.label) <= _LONGEST else entry.label[: _LONGEST - 1] + "…"
    return f"{entry.key}  {name}" + ("  (the reference)" if number == 0 else "")


def _frame(axes: "Axes", rows: Sequence[_Row], titles: dict[float, str]) -> None:
    low, high = _limits(rows)
    last = max((row.at for row in rows), default=0)
    axes.set(xlim=(low, high), ylim=(last + 0.8, -0.8))
    axes.set_xlabel("gain in % of what the reference lacks to the best value (100 would be perfect)")
    axes.axvline(0, color=INK, linewidth=0.9)
    for side, text, place in (("left", "better →", 4), ("right", "← worse", -4)):
        axes.annotate(text, (0, 1), (place, 5), xycoords=axes.get_xaxis_transform(), textcoords="offset points",
                      ha=side, color=MUTED)  # fmt: skip
    for at, title in titles.items():
        axes.annotate(title, (0, at), (_MARGIN, 0), xycoords=axes.get_yaxis_transform(), textcoords="offset points",
                      va="center", weight="bold")  # fmt: skip
    firsts = [row for row in rows if row.first]
    axes.set_yticks([row.at for row in firsts], [heading(row.line) for row in firsts])
    axes.xaxis.grid(True, color=LINE, linewidth=0.5)
    for side in ("left", "right", "top"):
        axes.spines[side].set_visible(False)


def _limits(rows: Sequence[_Row]) -> tuple[float, float]:
    """Where the axis ends: a few intervals far outside must not squeeze all others to dots; the headline's fit."""
    if not rows:
        return -1.0, 1.0
    ends = np.array([[*(row.ends or ()), row.gain, row.gain][:2] for row in rows])
    reach = np.abs(ends).max(axis=1)
    headline = [far for far, row in zip(reach.tolist(), rows, strict=True) if row.line.name in HEADLINE]
    usual = max(1.5 * float(np.quantile(reach, 0.8)), *headline, 0.1)
    usual = usual if reach.max() > 1.6 * usual else float(reach.max())
    low, high = max(-usual, min(0.0, ends.min())), min(usual, max(0.0, ends.max()))
    room = 0.06 * (high - low) or 1.0
    return low - room, high + room


def _add(axes: "Axes", row: _Row, several: bool) -> None:
    """Point, interval and values of one line; what lies outside ends in an arrow."""
    colour = COLOURS[row.found.verdict]
    low, high = axes.get_xlim()
    room = 0.012 * (high - low)
    if row.ends is not None:
        axes.plot(row.ends, [row.at, row.at], color=colour, linewidth=1.5, solid_capstyle="butt")
    for end in row.ends or (row.gain, row.gain):
        if not low <= end <= high:
            edge, marker = (low + room, "<") if end < low else (high - room, ">")
            axes.plot([edge], [row.at], marker, color=colour, markersize=5)
    if low <= row.gain <= high:
        axes.plot(
            [row.gain],
            [row.at],
            "o",
            color=colour,
            markersize=4.5,
            markeredgewidth=0,
            clip_on=False,
            zorder=3,
        )
    values = f"{shown(next(iter(row.line.values.values())))} → {shown(row.line.values[row.found.key])}"
    texts = [(values, 1.015, "left"), *([(row.found.key, -0.015, "right")] if several else [])]
    for text, place, side in texts:
        axes.text(
            place, row.at, text, transform=axes.get_yaxis_transform(), ha=side, va="center", color=MUTED
        )
