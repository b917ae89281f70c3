"""The files of a comparison: comparison.json, comparison.html, comparison.md, and its plot as SVG and PNG."""

from importlib.resources import files
from pathlib import Path
from typing import Any

from socrates_fast.evaluate import report
from socrates_fast.evaluate.compare import HEADLINE, Comparison, Line
from socrates_fast.evaluate.compare.plot import DESCRIPTION, forest_plot
from socrates_fast.evaluate.compare.words import (
    LEGEND,
    banners,
    conclusions,
    heading,
    interval,
    notes,
    percent,
    percent_interval,
    shown,
    size,
)
from socrates_fast.evaluate.report.markdown import escaped
from socrates_fast.runs import atomic_path, write_json, write_text

NAME = "comparison"
HTML = f"{NAME}.html"


def document(comparison: Comparison) -> dict[str, Any]:
    """The comparison as JSON: the evaluations, every figure with its differences, the conclusions and notes."""
    return {
        "rows_sha256": comparison.rows_sha256, "rows": comparison.rows, "headline": dict(comparison.headline),
        "intervals": dict(comparison.intervals),
        "evaluations": [
            {
                "key": entry.key, "name": entry.label, "predictor": entry.predictor, "folder": str(entry.folder),
                "reference": number == 0, "banners": list(entry.banners),
            }
            for number, entry in enumerate(comparison.entries)
        ],
        "headline_figures": [line.name for line in comparison.lines if line.name in HEADLINE],
        "figures": {line.name: _figure(line) for line in comparison.lines},
        "left_out": list(comparison.left_out),
        "conclusions": conclusions(comparison), "banners": banners(comparison), "notes": notes(comparison),
    }  # fmt: skip


def _figure(line: Line) -> dict[str, Any]:
    return {
        "label": line.figure.label, "best": line.figure.best, "floor": line.floor,
        "values": {key: dict(value) for key, value in line.values.items()},
        "against_reference": {
            found.key: {
                "difference": dict(found.difference), "better_by": dict(found.better_by),
                "improvement_percent": None if found.improvement is None else dict(found.improvement),
                "verdict": found.verdict, "why": found.why or None,
            }
            for found in line.differences
        },
    }  # fmt: skip


def write_comparison(out: Path, comparison: Comparison) -> list[Path]:
    """Write a comparison to ``out``, which is made if it does not exist; the files, each written whole or not at all.

    Raises:
        SocratesError: a file cannot be written.
    """
    inline, svg, png = forest_plot(comparison)
    found = [out / f"{NAME}.{kind}" for kind in ("json", "html", "md", "svg", "png")]
    write_json(found[0], document(comparison))
    write_text(found[1], render(comparison, "html", inline))
    write_text(found[2], render(comparison, "md"))
    write_text(found[3], svg)
    with atomic_path(found[4]) as partial:
        partial.write_bytes(png)
    return found


def render(comparison: Comparison, kind: str, plot: str = "") -> str:
    """The comparison as a page; text of users is escaped.

    Args:
        kind: html or md.
        plot: an ``<svg>`` element without text from users.
    """
    from jinja2 import Environment, StrictUndefined

    environment = Environment(
        autoescape=kind == "html",
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    filters: dict[str, Any] = {
        "shown": shown, "change": lambda value: shown(value, signed=True), "interval": interval,
        "change_interval": lambda value: interval(value, signed=True), "percent": percent,
        "percent_interval": percent_interval, "heading": heading, "plain": escaped,
    }  # fmt: skip
    environment.filters |= filters
    package = files(__package__)
    template = package.joinpath(f"compare.{kind}.j2").read_text(encoding="utf-8")
    return environment.from_string(template).render(
        comparison=comparison, entries=comparison.entries, conclusions=conclusions(comparison),
        notes=notes(comparison), size=size(comparison), legend=LEGEND, plot=plot, image=f"{NAME}.svg",
        banners=banners(comparison), description=DESCRIPTION,
        style=files(report).joinpath("style.css").read_text(encoding="utf-8"),
    )  # fmt: skip
