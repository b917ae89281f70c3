"""training.html: well-formed, deaf to names, and whole or not at all."""

from html.parser import HTMLParser
from pathlib import Path

import pytest

from socrates_fast.curves.history import History
from socrates_fast.curves.page import render_page, write_page
from socrates_fast.errors import SocratesError
from tests.curves.logs import steps

EVIL = "<script>alert(1)</script>"


class Balanced(HTMLParser):
    """Complains about tags that are closed out of order."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.names: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.append(tag)
        assert not any(name in ("src", "href") or name.startswith("on") for name, _ in attrs)
        if tag != "meta":
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


@pytest.fixture
def history() -> History:
    history = History()
    for line in steps(1, 6, every=3):
        history.add(line)
    return history


@pytest.mark.parametrize("running", [True, False])
def test_a_page_needs_nothing_else_and_holds_no_foreign_markup(history: History, running: bool) -> None:
    page = Balanced()
    html = render_page(EVIL, history, 12, running)
    page.feed(html)
    assert not page.open
    assert "script" not in page.names and EVIL not in html
    assert page.names.count("svg") == 6
    assert "prefers-color-scheme: dark" in html


def test_an_open_page_looks_again_as_long_as_it_trains(history: History) -> None:
    running, done = (render_page("r", history, 12, on) for on in (True, False))
    assert 'http-equiv="refresh"' in running and "Step 6 of 12, 0:00:03 of training so far." in running
    assert "refresh" not in done and "6 of 12 steps in 0:00:03." in done


def test_before_the_first_step_there_is_a_page_without_curves() -> None:
    assert "<svg" not in render_page("r", History(), 12, True)


def test_a_page_that_cannot_be_written_leaves_the_old_one(history: History, tmp_path: Path) -> None:
    written = write_page(tmp_path, history, 12, True)
    assert written.name == "training.html"
    before = written.read_bytes()
    write_page(tmp_path, history, 12, True)
    assert written.read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["training.html"]
    blocked = tmp_path / "file"
    blocked.write_text("", encoding="utf-8")
    with pytest.raises(SocratesError, match="cannot write"):
        write_page(blocked, history, 12, True)
