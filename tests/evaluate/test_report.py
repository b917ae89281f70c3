"""The report: complete, self-contained, and deaf to what users write into names."""

import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from socrates_fast.evaluate.answers import read_answers
from socrates_fast.evaluate.baselines import predict_baseline
from socrates_fast.evaluate.plots import distribution_plot
from socrates_fast.evaluate.report import render_report

Cell = Callable[..., pl.DataFrame]

EVIL = '<script>alert("x")</script>'
VOID = {"meta", "br", "i"}


class _Tags(HTMLParser):
    """Collects tags and attributes, and complains about tags that are closed out of order."""

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []
        self.ids: list[str] = []
        self.references: list[str] = []
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.append(tag)
        for name, value in attrs:
            if name in ("src", "href", "action", "poster", "data"):
                self.references.append(value or "")
        if tag != "meta":
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def _report(rows: pl.DataFrame, title: str = "Report", **details: Any) -> str:
    from socrates_fast.evaluate.summary import summarise

    answers = read_answers(rows)
    summary = summarise(answers, predict_baseline("midpoint", answers), f"model {EVIL}")
    return render_report(title, answers, summary, details)


def _tags(html: str) -> _Tags:
    parser = _Tags()
    parser.feed(html)
    return parser


def test_the_report_needs_nothing_from_outside(survey: pl.DataFrame) -> None:
    html = _report(survey)
    tags = _tags(html)
    assert not tags.open
    assert all(reference.startswith("#") for reference in tags.references)
    assert not {"script", "link", "iframe", "img"} & set(tags.names)
    assert not re.search(r"https?:|//[a-z]|@import", html)
    assert all(target.startswith("#") for target in re.findall(r"url\(([^)]*)\)", html))


def test_all_parts_are_there(survey: pl.DataFrame) -> None:
    html = _report(survey, dropped={"response off the scale": 12}, recipe={"seed": 7})
    assert html.count("<svg") == 2 + 6 + 2
    for part in (
        "Figures beside baselines", "oracle", "Wasserstein, as published", "second worst", "study5",
        "response off the scale", "<td>12</td>", "seed: 7", "prefers-color-scheme: dark",
    ):  # fmt: skip
        assert part in html


def test_text_from_users_is_escaped(cell: Cell) -> None:
    rows = pl.concat([cell([1, 2, 7], study=EVIL), cell([3, 4, 4], study="$x_1$ & co")])
    html = _report(rows, EVIL, dropped={EVIL: 1}, recipe={EVIL: EVIL}, **{EVIL: "text"})
    assert EVIL not in html
    assert html.count("&lt;script&gt;") >= 7
    assert "script" not in _tags(html).names
    assert "$x_1$ &amp; co" in html


@pytest.mark.parametrize("responses", [[4], [4, 4], [1, 7, 98]])
def test_one_small_cell_makes_a_report(cell: Cell, responses: list[int]) -> None:
    html = _report(cell(responses))
    assert not _tags(html).open
    assert "nan" not in re.sub(r"<[^>]*>", "", html)


def test_details_may_hold_paths(cell: Cell) -> None:
    assert "model: runs/a/m.gguf" in _report(cell([1, 2]), files={"model": Path("runs/a/m.gguf")})


def test_plots_take_the_colours_of_the_page() -> None:
    svg = distribution_plot(np.arange(1.0, 6), np.full(5, 0.2), np.full(5, 0.2))
    assert {"var(--human)", "var(--predicted)"} <= set(re.findall(r"var\(--\w+\)", svg))
    assert not re.search(r"#(?:[0-9a-f]{6})\b", re.sub(r'"#\w+"|url\(#\w+\)', "", svg))
    assert "xmlns" not in svg
    assert svg == distribution_plot(np.arange(1.0, 6), np.full(5, 0.2), np.full(5, 0.2))


def test_long_scales_are_binned() -> None:
    values = np.arange(0.0, 101)
    svg = distribution_plot(values, np.full(101, 1 / 101), np.full(101, 1 / 101))
    assert "20+" not in svg
    labels = re.findall(r">(\d+)\+<", svg)
    assert labels == ["0", "11", "22", "33", "44", "55", "66", "77", "88", "99"]
