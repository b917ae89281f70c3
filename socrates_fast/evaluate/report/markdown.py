"""report.md: the same for a repository, in GitHub's Markdown."""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from socrates_fast.evaluate.report import tables, words
from socrates_fast.evaluate.report.gallery import Gallery
from socrates_fast.evaluate.report.headline import cards
from socrates_fast.evaluate.report.page import DROPPED
from socrates_fast.evaluate.summary import Summary

PLOTS = "plots"
"""Folder of the plots' files."""

_PARTS = {
    "bars": "Beside baselines", "cells": "Predicted and human answers", "effects": "Treatment effects",
    "calibration": "Calibration", "all_cells": "All cells",
}  # fmt: skip
_TRAINING = {"training": "Training"}


def escaped(text: object) -> str:
    """Text that Markdown shows as it is: one line, in which no column, code, HTML, link or formula begins.

    It must not stand at the start of a line, where other signs have a meaning.
    """
    line = " ".join(str(text).split())
    line = line.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    line = re.sub(r"([\\`*_{}\[\]#~!$])", r"\\\1", line)
    return re.sub(r"(?i)://|www\.|@|\|", lambda found: f"&#{ord(found[0][0])};{found[0][1:]}", line)


def render_markdown(title: str, summary: Summary, details: Mapping[str, Any], gallery: Gallery) -> str:
    """The report as Markdown; all text that comes from users is escaped.

    Args:
        title: the headline.
        summary: the figures.
        details: see ``report.render_report``.
        gallery: the plots, whose files lie in ``PLOTS``.
    """
    metrics = summary.metrics
    sections = [
        *_head(title, metrics),
        *_figures(metrics),
        *_plots(gallery, _PARTS),
        *_groups(metrics),
        *_plots(gallery, _TRAINING),
        *_left_out(metrics, details.get(DROPPED, {})),
        *_made(metrics, details),
    ]
    return "\n\n".join(sections) + "\n"


def _head(title: str, metrics: Mapping[str, Any]) -> Iterator[str]:
    yield f"# {escaped(title)}"
    counts = ", ".join(f"{metrics[name]['value']:,} {name}" for name in ("rows", "cells", "studies"))
    yield f"Predictor: {escaped(metrics['predictor'])}; {counts}."
    for banner in metrics["banners"]:
        yield f"> [!CAUTION]\n> {escaped(banner)}"
    yield _table(
        ("Figure", "Value:", "95 % interval:", ""),
        [
            (card.label, words.number(card.figure), words.interval(card.figure), _joined("; ", card.hint, card.beside))
            for card in cards(metrics)
        ],
    )  # fmt: skip
    if metrics["notes"]:
        yield "\n".join(f"- {escaped(note)}" for note in metrics["notes"])


def _figures(metrics: Mapping[str, Any]) -> Iterator[str]:
    yield "## Figures beside baselines"
    known = tables.baselines(metrics)
    lines: list[tuple[str, ...]] = []
    for about, rows in tables.figure_rows(metrics):
        lines.append((f"**{about}**",))
        lines += [_figure_line(row) for row in rows]
    yield _table(("Figure", "model:", "floor:", "skill:", *(f"{escaped(name)}:" for name in known)), lines)
    yield "↓ smaller is better, ↑ larger is better, →1 best at 1. Ranges are 95 % intervals over studies."
    yield "\n".join(f"- *{escaped(name)}*: {escaped(meaning)}" for name, meaning in known.items())


def _figure_line(row: tables.Row) -> tuple[str, ...]:
    label = f"{row.figure.label} {words.ARROWS[row.figure.best]}"
    model = _joined(" ", f"**{words.number(row.model)}**", words.interval(row.model))
    beside = (row.floor, row.skill, *row.others)
    return label, model, *(_joined(" ", words.number(figure), words.interval(figure)) for figure in beside)


def _joined(between: str, *texts: str) -> str:
    return between.join(filter(None, texts))


def _plots(gallery: Gallery, parts: Mapping[str, str]) -> Iterator[str]:
    for part, heading in parts.items():
        if gallery[part]:
            yield f"## {heading}"
        for plot in gallery[part]:
            yield f"![{plot.description}]({PLOTS}/{plot.name}.svg)"
            yield f"**{plot.heading or heading}** · {escaped(plot.caption)}"


def _groups(metrics: Mapping[str, Any]) -> Iterator[str]:
    found = tables.fields(metrics)
    if not found:
        return
    yield "## Groups of people"
    yield tables.NOT_PARITY
    lines = [
        (escaped(field.name), gap.label, escaped(gap.sentence), f"**{gap.verdict}**" if gap.verdict else "")
        for field in found
        for gap in field.gaps
    ]
    yield _table(("Field", "Figure", "Largest gap", ""), lines)


def _left_out(metrics: Mapping[str, Any], dropped: Mapping[str, Any]) -> Iterator[str]:
    yield "## What was left out"
    found = tables.left_out(metrics, dropped)
    if not found:
        yield "Nothing."
        return
    lines = [(escaped(item.reason), words.count(item.rows), escaped(item.example)) for item in found]
    yield _table(("Reason", "Rows:", "First"), lines)


def _made(metrics: Mapping[str, Any], details: Mapping[str, Any]) -> Iterator[str]:
    yield "## How this was made"
    yield f"sha256 of the rows: `{metrics['rows_sha256']}`"
    for name, value in details.items():
        if name != DROPPED:
            text = words.as_yaml(value).rstrip()
            fence = "`" * (2 + max(1, *(len(ticks) for ticks in re.findall("`+", text)), 0))
            yield f"### {escaped(name)}\n\n{fence}yaml\n{text}\n{fence}"


def _table(head: tuple[str, ...], lines: Iterable[tuple[str, ...]]) -> str:
    """A table; columns whose head ends with ":" hold numbers. Cells that lack are empty."""
    rule = tuple("---:" if name.endswith(":") else "---" for name in head)
    head = tuple(name.removesuffix(":") for name in head)
    full = [(*line, *[""] * (len(head) - len(line))) for line in lines]
    return "\n".join("| " + " | ".join(line) + " |" for line in (head, rule, *full))
