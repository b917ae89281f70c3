"""Several predictors side by side, for the terminal."""

from collections.abc import Mapping
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

COLUMNS = {
    "wasserstein.truth": "W ↓\ntruth",
    "wasserstein.stated": "W ↓\nstated",
    "ranked_probability": "RPS\n↓",
    "accuracy": "accu-\nracy ↑",
    "correlation": "corre-\nlation ↑",
    "effects.correlation": "effects\n↑",
    "answer_mass": "answer\nmass ↑",
}
"""The figures shown and their headings; ``W``: Wasserstein distance, ``RPS``: ranked probability score."""

_ABOVE = ("uniform", "midpoint", "demographics", "item_mean", "pooled", "base")
_BELOW = ("oracle",)


def comparison_table(predictors: Mapping[str, Mapping[str, Any]], title: str = "") -> Table:
    """A table with one line a predictor.

    Args:
        predictors: by name, in the order of the lines: the content of a metrics.json or one of its
            ``baselines``. Figures that none of them has get no column.
        title: above the table.
    """
    shown = [name for name in COLUMNS if any(name in item for item in predictors.values())]
    table = Table(title=title or None, box=SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    table.add_column("", overflow="fold")
    for name in shown:
        table.add_column(COLUMNS[name], justify="right", no_wrap=True)
    for who, figures in predictors.items():
        table.add_row(Text(who), *(_cell(figures.get(name)) for name in shown))
    return table


def with_baselines(
    predictors: Mapping[str, Mapping[str, Any]],
) -> dict[str, Mapping[str, Any]]:
    """Predictors among the baselines of the first one, and the floor: what a perfect prediction would get.

    All of them must have been evaluated on the same rows, as baselines and floor are the same only then.
    """
    first = next(iter(predictors.values()))
    baselines = first["baselines"]
    above, below = (
        {name: baselines[name] for name in names if name in baselines and name not in predictors}
        for names in (_ABOVE, _BELOW)
    )
    return {**above, **predictors, "floor": first["floor"], **below}


def _cell(figure: Mapping[str, Any] | None) -> str:
    if figure is None or figure["value"] is None:
        return "-"
    return f"{figure['value']:.3f}"
