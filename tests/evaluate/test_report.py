"""The report's page: complete, self-contained, and deaf to what users write into names."""

import re
from base64 import b64encode
from collections.abc import Callable
from hashlib import sha256
from html.parser import HTMLParser
from importlib.resources import files
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from socrates_fast.errors import SocratesError
from socrates_fast.evaluate.answers import Answers, read_answers
from socrates_fast.evaluate.baselines import baseline_frame
from socrates_fast.evaluate.predictions import Stored
from socrates_fast.evaluate.report import render_report, write_report
from socrates_fast.evaluate.report.headline import cards, track
from socrates_fast.evaluate.report.tables import gap, left_out, study_columns
from socrates_fast.evaluate.summary import Summary, summarise
from tests.evaluate.test_report_sample import DETAILS, EVIL, made_up

__all__ = ["made_up"]

Cell = Callable[..., pl.DataFrame]

VOID = {"meta", "br"}


class _Tags(HTMLParser):
    """Collects tags, attributes and script, and complains about tags that are closed out of order."""

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []
        self.ids: list[str] = []
        self.references: list[str] = []
        self.open: list[str] = []
        self.scripts: list[str] = []
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.append(tag)
        for name, value in attrs:
            assert not name.startswith("on"), (tag, name)
            if name in ("src", "href", "xlink:href", "action", "poster", "data", "srcset"):
                self.references.append(value or "")
            if name == "id":
                self.ids.append(value or "")
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        inside = self.open[-1] if self.open else ""
        if inside == "script":
            self.scripts.append(data)
        elif inside != "style":
            self.text.append(data)


def _report(rows: pl.DataFrame, title: str = "Report", **details: Any) -> str:
    answers = read_answers(rows)
    predicted = Stored(baseline_frame("midpoint", answers))
    return render_report(title, answers, summarise(answers, predicted, f"model {EVIL}"), details)


@pytest.fixture(scope="module")
def html(made_up: tuple[Answers, Summary]) -> str:
    return render_report("Report", *made_up, DETAILS)


def _tags(html: str) -> _Tags:
    parser = _Tags()
    parser.feed(html)
    return parser


def test_the_page_needs_nothing_from_outside(html: str) -> None:
    tags = _tags(html)
    assert not tags.open
    assert all(reference.startswith("#") for reference in tags.references)
    assert not {"link", "iframe", "img", "object", "form", "base"} & set(tags.names)
    assert not re.search(r"https?:|//[a-z]|@import", re.sub(r"(?m)^ *// .*$", "", html))
    assert all(target.startswith("#") for target in re.findall(r"url\(([^)]*)\)", html))
    assert len(tags.ids) == len(set(tags.ids))
    assert {reference[1:] for reference in tags.references} <= set(tags.ids)


def test_the_script_is_always_the_same_and_the_only_one_allowed(survey: pl.DataFrame) -> None:
    script = files("socrates_fast.evaluate.report").joinpath("sort.js").read_text(encoding="utf-8")
    html = _report(survey, EVIL, recipe={EVIL: "</script>"})
    assert "".join(_tags(html).scripts) == script
    assert html.count("<script>") == html.count("</script>") == 1
    digest = b64encode(sha256(script.encode()).digest()).decode()
    assert f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{digest}'" in html


def test_all_parts_are_there_in_order(html: str, made_up: tuple[Answers, Summary]) -> None:
    assert html.count("<svg") == 3 + 6 + 1 + 2 + 2
    parts = (
        "<h1>Report</h1>", "Predictor: made-up", 'role="alert"', "could not be scored", "Wasserstein, stated range",
        'class="track"', "Correlation of effects", "a perfect prediction would reach", "Condition sensitivity",
        "Answer mass", "Before you read on", "Figures beside baselines", "demographics", "split_half", "oracle",
        "Single answers", "Ranked probability score", "Treatment effects", "always says the middle of the scale",
        "Predicted and human answers", "<b>best</b>", "<b>next to middle</b>", "<b>worst</b>",
        "the fitted slope", "Calibration", "probability integral transform", "Reliability", "All cells", "<h2>Studies",
        'aria-sort="ascending"', "study11", "Groups of people", "demographic parity", "18-29", "Largest gap in MAE",
        "Small cells", "What was left out", "response off the scale", "<td>1,200</td>", "different scales (2 cells)",
        "could not score them", "How this was made", "1,000 bootstrap draws", made_up[1].metrics["rows_sha256"],
        "seed: 7", "3f" * 32,
    )  # fmt: skip
    place = 0
    for part in parts:
        found = html.find(part, place)
        assert found >= 0, part
        place = found
    assert "prefers-color-scheme: dark" in html


def test_every_figure_and_baseline_has_its_meaning(html: str) -> None:
    assert 'title="half of the people predict the other half"' in html
    for words in ("SD ratio&nbsp;→1", "Log score&nbsp;↓", "Exact match&nbsp;↑"):
        assert words in html


def test_text_from_users_is_escaped(cell: Cell) -> None:
    rows = pl.concat([cell([1, 2, 7], study=EVIL), cell([3, 4, 4], study="$x_1$ & co")])
    html = _report(rows, EVIL, dropped={EVIL: 1}, recipe={EVIL: EVIL}, **{EVIL: "text"})
    assert EVIL not in html
    assert html.count("&lt;script&gt;") >= 7
    assert _tags(html).names.count("script") == 1
    assert "$x_1$ &amp; co" in html


def test_names_of_groups_are_escaped(made_up: tuple[Answers, Summary]) -> None:
    answers, summary = made_up
    groups = {f"field {EVIL}": dict(summary.metrics["groups"]["gender"])}
    level = {f'level" {EVIL}': value for value in groups[f"field {EVIL}"]["levels"].values()}
    groups[f"field {EVIL}"]["levels"] = level
    groups[f"field {EVIL}"]["gap.mae"] = {"value": 0.1, "low": 0.0, "high": 0.2, "worst": EVIL, "best": EVIL}
    changed = Summary(**{**summary.__dict__, "metrics": {**summary.metrics, "groups": groups}})
    html = render_report("Report", answers, changed, {})
    assert EVIL not in html
    assert _tags(html).names.count("script") == 1


@pytest.mark.parametrize("responses", [[4], [4, 4], [1, 7, 98]])
def test_one_small_cell_makes_a_report(cell: Cell, responses: list[int]) -> None:
    html = _report(cell(responses))
    tags = _tags(html)
    assert not tags.open
    assert not re.search(r"\b(nan|inf|None)\b", " ".join(tags.text))
    assert "No task has two conditions" in html


def test_details_may_hold_paths(cell: Cell) -> None:
    assert "model: runs/a/m.gguf" in _report(cell([1, 2]), files={"model": Path("runs/a/m.gguf")})


def test_nothing_left_out_is_said(cell: Cell) -> None:
    assert re.search(r"What was left out</h2>\s*<p>Nothing.</p>", _report(cell([1, 2])))


def test_undefined_figures_are_dashes(made_up: tuple[Answers, Summary]) -> None:
    answers, summary = made_up
    empty = {"value": None}
    metrics = summary.metrics | {name: empty for name in summary.metrics if name.startswith("effects")}
    metrics |= {"skill": dict.fromkeys(metrics["skill"], empty), "groups": {}}
    metrics |= {"floor": {"wasserstein.stated": empty}}
    changed = Summary(**{**summary.__dict__, "metrics": metrics})
    html = render_report("Report", answers, changed, {})
    assert "<strong>–</strong>" in html
    assert 'class="track"' not in html
    assert "floor –, uniform guessing" in html
    assert "Groups of people" not in html


def test_the_track_shows_where_the_model_lies() -> None:
    def place(value: float, **interval: float) -> Any:
        return track({"value": value, **interval}, 0.1, 0.3)

    assert place(0.2, low=0.15, high=0.25)[:5] == pytest.approx((0, 100, 50, 25, 50))
    assert place(0.35).uniform == pytest.approx(80)
    assert place(0.35).model == 100
    assert place(9.0).uniform == pytest.approx(place(0.38).uniform)  # the track ends somewhere
    assert place(0.02).floor == pytest.approx(100 * 0.15 / 1.15)
    assert place(0.2).width == 0
    assert track({"value": None}, 0.1, 0.3) is None
    assert track({"value": 0.2}, None, 0.3) is None
    assert track({"value": 0.2}, 0.3, 0.3) is None


def test_a_report_without_true_distributions_has_no_card_for_them(made_up: tuple[Answers, Summary]) -> None:
    metrics = dict(made_up[1].metrics)
    assert [card.label for card in cards(metrics)][-1] == "To the truth"
    del metrics["wasserstein.truth"]
    assert [card.label for card in cards(metrics)][-1] == "Answer mass"


@pytest.mark.parametrize(
    ("found", "verdict"),
    [
        ({"value": 0.1, "low": 0.02, "high": 0.2, "worst": "a", "best": "b"}, "differs"),
        ({"value": 0.1, "low": -0.02, "high": 0.2, "worst": "a", "best": "b"}, "cannot tell"),
        ({"value": 0.1, "worst": "a", "best": "b"}, "cannot tell"),
        ({"value": None}, ""),
    ],
)
def test_a_gap_differs_if_its_interval_leaves_out_zero(found: dict[str, Any], verdict: str) -> None:
    assert gap("MAE", found).verdict == verdict


def test_what_was_left_out_may_be_unknown() -> None:
    assert left_out({}, {}) == []
    unscorable = {"value": 0.0, "rows": 0, "example": ""}
    mixed = {"cells": 0, "rows": 0, "example": None}
    assert left_out({"unscorable": unscorable, "mixed_scales": mixed}, {}) == []


def test_every_column_of_studies_is_explained(made_up: tuple[Answers, Summary]) -> None:
    columns = study_columns(made_up[1].studies)
    names = {"rows", "wasserstein.stated", "wasserstein.floor", "effects.correlation"}
    assert names <= {one.name for one in columns}
    assert all(one.meaning for one in columns)


def test_files_of_a_report(html: str, made_up: tuple[Answers, Summary], tmp_path: Path) -> None:
    written = write_report(tmp_path, "Report", *made_up, DETAILS)
    assert sorted(written) == sorted(path for path in tmp_path.rglob("*") if path.is_file())
    names = {str(path.relative_to(tmp_path)) for path in written}
    assert {"report.html", "report.md", "plots/effects.svg", "plots/cell_best.png"} <= names
    svg, png = ([path.stem for path in written if path.suffix == end] for end in (".svg", ".png"))
    assert svg == png
    assert len(svg) == 14
    assert (tmp_path / "report.html").read_text(encoding="utf-8") == html
    assert sum(path.stat().st_size for path in written) < 2_000_000


def test_a_folder_that_cannot_be_written_is_named(made_up: tuple[Answers, Summary], tmp_path: Path) -> None:
    (tmp_path / "plots").write_text("a file", encoding="utf-8")
    with pytest.raises(SocratesError, match=r"cannot write .*plots"):
        write_report(tmp_path, "Report", *made_up, {})
