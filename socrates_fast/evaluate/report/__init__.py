"""The report of an evaluation: report.html to read, report.md for a repository, and every plot as SVG and PNG.

Curves of the training are SVG only.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from socrates_fast.curves.history import History
from socrates_fast.evaluate.answers import Answers
from socrates_fast.evaluate.report.drawing import Plot
from socrates_fast.evaluate.report.gallery import draw
from socrates_fast.evaluate.report.markdown import PLOTS, render_markdown
from socrates_fast.evaluate.report.page import DROPPED, render_page
from socrates_fast.evaluate.summary import Summary
from socrates_fast.runs import atomic_path, write_text

__all__ = ["DROPPED", "render_report", "write_report"]


def render_report(
    title: str, answers: Answers, summary: Summary, details: Mapping[str, Any], history: History | None = None
) -> str:
    """The report as HTML; all text that comes from users is escaped.

    Args:
        title: the headline.
        answers: what people answered.
        summary: the figures.
        details: what made them (recipe, versions, ...), shown as YAML by key;
            ``details["dropped"]`` maps reasons to numbers of rows left out.
        history: how the predictor was trained; None, or one without a step, where it was not or nobody knows.
    """
    return render_page(title, summary, details, draw(answers, summary, history))


def write_report(
    out: Path,
    title: str,
    answers: Answers,
    summary: Summary,
    details: Mapping[str, Any],
    history: History | None = None,
) -> list[Path]:
    """Write report.html, report.md and plots/ to ``out``; the files written. Arguments as for ``render_report``.

    Raises:
        SocratesError: a file cannot be written.
    """
    gallery = draw(answers, summary, history)
    texts = {
        "report.html": render_page(title, summary, details, gallery),
        "report.md": render_markdown(title, summary, details, gallery),
    }
    plots = [plot for part in gallery.values() for plot in part]
    texts |= {f"{PLOTS}/{plot.name}.svg": plot.svg for plot in plots}
    for name, text in texts.items():
        write_text(out / name, text)
    pictures = {f"{PLOTS}/{plot.name}.png": plot.png for plot in plots if isinstance(plot, Plot)}
    for name, picture in pictures.items():
        with atomic_path(out / name) as partial:
            partial.write_bytes(picture)
    return [out / name for name in (*texts, *pictures)]
