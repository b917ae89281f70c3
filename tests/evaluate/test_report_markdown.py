"""report.md: complete, and deaf to what users write into names."""

import re
from html.parser import HTMLParser
from itertools import pairwise

import pytest
from markdown_it import MarkdownIt

from socrates_fast.evaluate.answers import Answers
from socrates_fast.evaluate.report.gallery import draw
from socrates_fast.evaluate.report.markdown import escaped, render_markdown
from socrates_fast.evaluate.summary import Summary
from tests.evaluate.test_report_sample import DETAILS, EVIL, made_up

__all__ = ["made_up"]

NASTY = f"a|b\n\n# c `d` {EVIL} [e](http://f.g) ![h](i) *j* _k_ ~~l~~ $m$ &amp; \\| www.n.org <!-- o"


class _Text(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.text, self.names = "", list[str]()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.append(tag)

    def handle_data(self, data: str) -> None:
        self.text += data


def _rendered(markdown: str) -> _Text:
    parser = _Text()
    parser.feed(MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"]).render(markdown))
    return parser


def _markdown(made_up: tuple[Answers, Summary], title: str = "Report", **details: object) -> str:
    return render_markdown(title, made_up[1], {**DETAILS, **details}, draw(*made_up))


def test_all_parts_are_there(made_up: tuple[Answers, Summary]) -> None:
    text = _markdown(made_up)
    for part in (
        "# Report\n", "> [!CAUTION]\n> 52 rows", "floor 0.0", "| Skill |", "- 24 of 72 cells", "| **Treatment effects** |",
        "| Log score ↓ |", "| oracle |", "(plots/effects.svg)", "(plots/cell_best.svg)", "## Groups of people",
        "**cannot tell**", "response off the scale | 1,200", "sha256 of the rows", "```yaml\nname: made-up",
    ):  # fmt: skip
        assert part in text, part
    links = re.findall(r"\]\(([^)]*)\)", text)
    assert links
    assert all(re.fullmatch(r"plots/\w+\.svg", link) for link in links)


def test_tables_have_as_many_cells_as_heads(made_up: tuple[Answers, Summary]) -> None:
    lines = [line for line in _markdown(made_up).splitlines() if line.startswith("|")]
    for above, line in pairwise(lines):
        if line.startswith("| ---"):
            columns = above.count("|")
        if line.count("|") != columns:
            assert lines[lines.index(line) + 1].startswith("| ---"), line  # the head of the next table


@pytest.mark.parametrize("text", [NASTY, "", "- a", "plain_name-1.5b"])
def test_escaped_text_shows_as_it_is(text: str) -> None:
    page = _rendered(f"before {escaped(text)} after")
    assert page.names == ["p"]
    assert page.text.strip() == f"before {' '.join(text.split())} after".replace("  ", " ") or not text


def test_escaped_text_stays_in_its_cell() -> None:
    page = _rendered(f"| a | b |\n| --- | --- |\n| {escaped(NASTY)} | x |")
    assert page.names.count("td") == 2
    assert " ".join(NASTY.split()) in page.text


def test_escaped_text_is_no_link() -> None:
    assert "://" not in escaped(NASTY)
    assert "www." not in escaped(NASTY)


def test_text_from_users_is_escaped(made_up: tuple[Answers, Summary]) -> None:
    answers, summary = made_up
    metrics = {**summary.metrics, "predictor": NASTY, "banners": [NASTY], "notes": [NASTY]}
    metrics["groups"] = {
        NASTY: {
            "levels": {},
            "gap.mae": {"value": 0.1, "worst": NASTY, "best": NASTY},
            "gap.wasserstein": {"value": None},
        }
    }
    changed = Summary(**{**summary.__dict__, "metrics": metrics})
    details = {"dropped": {NASTY: 1}, NASTY: {"text": "```\n" + NASTY}}
    page = _rendered(render_markdown(NASTY, changed, details, draw(answers, summary)))
    assert not {"script", "a", "del"} & set(page.names)
    assert page.names.count("h1") == 1
    assert page.names.count("img") == 14
    assert " ".join(NASTY.split()) in page.text
