"""An answer distribution as a bar chart in the terminal."""

from collections.abc import Mapping

import numpy as np
from rich.bar import Bar
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from socrates_fast.infer.predictor import AnswerDistribution

MAX_ROWS = 21
BAR_WIDTH = 40
TOLD = 0.005
"""Unexplored probability above which the chart says so."""


def print_chart(
    distribution: AnswerDistribution,
    labels: Mapping[int, str] | None = None,
    console: Console | None = None,
) -> None:
    """Print ``chart(distribution, labels)`` on ``console`` (stdout)."""
    (console or Console()).print(chart(distribution, labels))


def chart(distribution: AnswerDistribution, labels: Mapping[int, str] | None = None) -> RenderableType:
    """Bars with value, label and percent, then mean, median and answer mass.

    Args:
        distribution: what to show.
        labels: what values mean. Ranges with more than 21 values are put in bins of neighbouring values, and a bin
            shows the labels of its values; of longer lists with gaps, as open scales have, the likeliest are shown.
    """
    rows = charted(distribution, labels or {})
    longest = max(probability for _, _, probability in rows)
    table = Table.grid(padding=(0, 1))
    table.add_column(justify="right")
    table.add_column(max_width=32, overflow="ellipsis", no_wrap=True)
    table.add_column(width=BAR_WIDTH)
    table.add_column(justify="right")
    for values, label, probability in rows:
        bar = Bar(longest, 0, probability, width=BAR_WIDTH, color="cyan")
        table.add_row(Text(values), Text(label), bar, Text(f"{probability:.1%}"))
    summary = (
        f"mean {distribution.mean:.2f}   median {distribution.median}   "
        f"answer mass {distribution.answer_mass:.1%}"
    )
    lines = [Text(summary)]
    if distribution.unexplored > TOLD:  # never of NaN: draws do not know it
        lines.append(Text(f"at most {distribution.unexplored:.1%} more was not looked at"))
    return Group(table, *lines)


def charted(distribution: AnswerDistribution, labels: Mapping[int, str]) -> list[tuple[str, str, float]]:
    """At most 22 rows: which value or values, their labels, their probability."""
    values = distribution.values
    if len(values) <= MAX_ROWS or int(values[-1]) - int(values[0]) == len(values) - 1:
        return binned(distribution, labels)
    return likeliest(distribution, labels)


def binned(distribution: AnswerDistribution, labels: Mapping[int, str]) -> list[tuple[str, str, float]]:
    """At most 21 rows of neighbouring values: which ("0 to 4"), their labels, their probability."""
    width = -(-len(distribution.values) // MAX_ROWS)
    rows = []
    for start in range(0, len(distribution.values), width):
        values = distribution.values[start : start + width].tolist()
        name = str(values[0]) if len(values) == 1 else f"{values[0]} to {values[-1]}"
        label = "; ".join(labels[value] for value in values if value in labels)
        probability = np.sum(distribution.probabilities[start : start + width])
        rows.append((name, label, float(probability)))
    return rows


def likeliest(distribution: AnswerDistribution, labels: Mapping[int, str]) -> list[tuple[str, str, float]]:
    """The 21 most probable values, ascending, and what the others have together."""
    chosen = np.sort(np.argsort(-distribution.probabilities, kind="stable")[:MAX_ROWS])
    rows = [
        (str(value), labels.get(value, ""), float(probability))
        for value, probability in zip(
            distribution.values[chosen].tolist(), distribution.probabilities[chosen], strict=True
        )
    ]
    rest = max(0.0, 1 - sum(probability for _, _, probability in rows))
    return [*rows, ("others", f"{len(distribution.values) - MAX_ROWS} values", rest)]
