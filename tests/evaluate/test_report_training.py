"""How a model was trained, in the report of its evaluation: there where it is known, and nowhere else."""

from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from socrates_fast.curves.history import History
from socrates_fast.evaluate.answers import Answers, read_answers
from socrates_fast.evaluate.baselines import baseline_frame
from socrates_fast.evaluate.predictions import Stored
from socrates_fast.evaluate.report import render_report, write_report
from socrates_fast.evaluate.summary import Summary, summarise
from tests.curves.logs import steps

CURVES = 6


@pytest.fixture
def evaluated(cell: Callable[..., pl.DataFrame]) -> tuple[Answers, Summary]:
    answers = read_answers(cell([1, 2, 7]))
    return answers, summarise(answers, Stored(baseline_frame("midpoint", answers)), "model")


def trained() -> History:
    history = History()
    for line in steps(1, 30, every=10):
        history.add(line)
    return history


@pytest.mark.parametrize("history", [None, History()])
def test_no_training_no_picture(evaluated: tuple[Answers, Summary], history: History | None) -> None:
    html = render_report("Report", *evaluated, {}, history)
    assert "<h2>Training</h2>" not in html
    assert html == render_report("Report", *evaluated, {})


def test_the_page_shows_the_training_beside_its_figures(evaluated: tuple[Answers, Summary]) -> None:
    without, html = (render_report("Report", *evaluated, {}, history) for history in (None, trained()))
    assert html.count("<svg") == without.count("<svg") + CURVES
    part = html.partition("<h2>Training</h2>")[2].partition("<h2>What was left out</h2>")[0]
    assert part.count("<figure>") == part.count("</figure>") == CURVES
    for words in ("<b>Loss</b>", "lowest 2.500 at step 10", "<b>Learning rate</b>", "<b>Speed</b>", "<b>Padding</b>",
                  "<b>Peak memory</b>", "30,000 tokens, 300 of them supervised"):  # fmt: skip
        assert words in part
    assert "NaN" not in part and "nan" not in part


def test_the_files_hold_its_curves(evaluated: tuple[Answers, Summary], tmp_path: Path) -> None:
    written = write_report(tmp_path, "Report", *evaluated, {}, trained())
    assert sorted(written) == sorted(path for path in tmp_path.rglob("*") if path.is_file())
    assert len(list(tmp_path.glob("plots/training_*.svg"))) == CURVES
    markdown = (tmp_path / "report.md").read_text(encoding="utf-8")
    assert "## Training" in markdown
    assert markdown.count("](plots/training_") == CURVES
