"""The report in a real browser, light and dark, on a desk and on a phone; screenshots lie in pytest's tmp_path."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pytest

from socrates_fast.evaluate.answers import Answers
from socrates_fast.evaluate.report import write_report
from socrates_fast.evaluate.summary import Summary
from tests.evaluate.test_report_sample import DETAILS, EVIL, made_up

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

__all__ = ["made_up"]

pytestmark = pytest.mark.browser

WIDTHS = (1280, 390)
SCHEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")

LEAST_CONTRAST = 4.5
"""Of text and background: level AA of the Web Content Accessibility Guidelines 2.2, criterion 1.4.3."""

CONTRASTS = """() => {
  const channels = (colour) => colour.match(/[\\d.]+/g).map(Number);
  const light = ([r, g, b]) => [r, g, b].map((c) => c / 255)
    .map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4))
    .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
  const behind = (element) => {
    for (let one = element; one; one = one.parentElement) {
      const colour = channels(getComputedStyle(one).backgroundColor);
      if (colour.length < 4 || colour[3] > 0) return colour;
    }
    return [255, 255, 255];
  };
  const texts = [...document.querySelectorAll("h1, h2, h3, p, li, th, td, small, strong, b, figcaption, summary, dt, dd, pre, code, svg text")];
  return texts.filter((one) => one.textContent.trim() && one.getClientRects().length).map((one) => {
    const style = getComputedStyle(one);
    const ink = channels(one.ownerSVGElement ? style.fill : style.color);
    const [x, y] = [light(ink), light(behind(one.ownerSVGElement ? one.ownerSVGElement.parentElement : one))];
    return [(Math.max(x, y) + 0.05) / (Math.min(x, y) + 0.05), one.tagName, one.textContent.trim().slice(0, 40)];
  });
}"""


@pytest.fixture(scope="session")
def browser() -> "Iterator[Browser]":
    reason = "no Playwright: pip install -r requirements/dev.txt"
    sync_api = pytest.importorskip("playwright.sync_api", reason=reason)
    names = ("chromium", "chromium-browser", "google-chrome")
    found = next(filter(None, map(shutil.which, names)), None)
    if found is None:
        pytest.skip("no Chromium: apt-get install chromium")
    # Chromium's sandbox refuses root, as in most containers; the page is our own
    arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=arguments)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def report(made_up: tuple[Answers, Summary], tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("report")
    write_report(out, f"Made-up survey of a model with a long name {'x' * 80} {EVIL}", *made_up, DETAILS)
    return out / "report.html"


class Looked:
    """A page and what went wrong on it."""

    def __init__(self, page: "Page", path: Path) -> None:
        self.page = page
        self.faults: list[str] = []
        self.requests: list[str] = []
        page.on("console", lambda message: self.faults.append(message.text))
        page.on("pageerror", lambda error: self.faults.append(str(error)))
        page.on("request", lambda request: self.requests.append(request.url))
        page.goto(path.as_uri())

    def column(self, place: int) -> list[str]:
        """The texts of a column of the studies."""
        return self.page.locator(f".studies tbody tr > :nth-child({place})").all_inner_texts()


def look(browser: "Browser", path: Path, width: int = 1280, **context: Any) -> Looked:
    page = browser.new_context(viewport={"width": width, "height": 900}, **context).new_page()
    return Looked(page, path)


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("scheme", SCHEMES)
def test_the_page_is_whole_and_readable(
    browser: "Browser", report: Path, tmp_path: Path, scheme: Literal["light", "dark"], width: int
) -> None:
    looked = look(browser, report, width, color_scheme=scheme)
    page = looked.page
    assert page.locator("svg").count() == 14
    page.screenshot(path=tmp_path / f"{scheme}-{width}.png", full_page=True)
    page.evaluate("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.evaluate("document.body.scrollWidth") <= width
    contrasts = page.evaluate(CONTRASTS)
    assert len(contrasts) > 500
    assert not [entry for entry in contrasts if entry[0] < LEAST_CONTRAST]
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == (
        "rgb(255, 255, 255)" if scheme == "light" else "rgb(17, 21, 26)"
    )
    assert looked.requests == [report.as_uri()]
    assert not looked.faults
    page.context.close()


def test_wide_tables_scroll_on_a_phone(browser: "Browser", report: Path) -> None:
    looked = look(browser, report, 390)
    box = looked.page.locator(".wide").first
    assert box.evaluate("(one) => one.scrollWidth > one.clientWidth")
    head = box.locator("tbody th").nth(1)
    before = head.bounding_box()
    box.evaluate("(one) => { one.scrollLeft = 300; }")
    assert head.bounding_box() == before  # names stay in sight
    looked.page.context.close()


def test_studies_sort_by_click(browser: "Browser", report: Path) -> None:
    looked = look(browser, report)
    page, heads = looked.page, looked.page.locator(".studies thead th")
    assert looked.column(4) == sorted(looked.column(4))
    rows = heads.nth(1)
    for order, direction in ((1, "ascending"), (-1, "descending")):
        rows.locator("button").click()
        numbers = [int(text.replace(",", "")) for text in looked.column(2)]
        assert numbers == sorted(numbers, reverse=order < 0)
        assert rows.get_attribute("aria-sort") == direction
        assert page.locator("th[aria-sort]").count() == 1
    heads.nth(0).locator("button").click()
    assert looked.column(1) == [f"study{number:02d}" for number in range(12)]
    assert not looked.faults
    page.context.close()


@pytest.mark.parametrize("key", ["Enter", "Space"])
def test_studies_sort_by_keyboard_with_missing_last(browser: "Browser", report: Path, key: str) -> None:
    looked = look(browser, report)
    page = looked.page
    page.evaluate("document.querySelector('.studies tbody').rows[0].cells[4].textContent = '–'")
    button = page.locator(".studies thead th button").nth(4)
    for _ in range(2):  # in either direction
        button.focus()
        page.keyboard.press(key)
        assert looked.column(5)[-1] == "–"
        assert "–" not in looked.column(5)[:-1]
    assert page.locator(".studies th[aria-sort='descending']").inner_text().startswith("Floor")
    page.keyboard.press("Shift+Tab")
    assert page.evaluate("document.activeElement.textContent") == "Wasserstein"
    page.context.close()


def test_studies_are_readable_without_script(browser: "Browser", report: Path, tmp_path: Path) -> None:
    looked = look(browser, report, java_script_enabled=False)
    assert len(looked.column(1)) == 12
    assert looked.page.locator(".studies button").count() == 0
    looked.page.locator(".studies").screenshot(path=tmp_path / "no-script.png")
    looked.page.context.close()


def test_no_other_script_runs(browser: "Browser", report: Path, tmp_path: Path) -> None:
    page = tmp_path / "report.html"
    html, other = report.read_text(encoding="utf-8"), "<script>document.title = 'mine'</script>"
    page.write_text(html.replace("</main>", f"{other}</main>"), encoding="utf-8")
    looked = look(browser, page)
    assert looked.page.title() != "mine"
    assert any("Content Security Policy" in fault for fault in looked.faults)
    looked.page.context.close()


@pytest.mark.parametrize("scheme", SCHEMES)
def test_print_is_dark_on_white_and_shows_everything(
    browser: "Browser", report: Path, tmp_path: Path, scheme: Literal["light", "dark"]
) -> None:
    looked = look(browser, report, 794, color_scheme=scheme)
    page = looked.page
    page.emulate_media(media="print", color_scheme=scheme)
    assert page.evaluate("getComputedStyle(document.body).color") == "rgb(16, 20, 24)"
    assert page.evaluate("getComputedStyle(document.querySelector('.studies')).overflowY") == "visible"
    assert page.locator("details pre").first.evaluate("(one) => one.getBoundingClientRect().height") > 0
    assert page.evaluate("document.documentElement.scrollWidth") <= 794
    page.screenshot(path=tmp_path / f"print-{scheme}.png", full_page=True)
    page.pdf(path=tmp_path / "report.pdf", format="A4")
    assert (tmp_path / "report.pdf").read_bytes().startswith(b"%PDF")
    page.context.close()


def test_plots_alone_are_shown_on_white(browser: "Browser", report: Path, tmp_path: Path) -> None:
    page = browser.new_page(color_scheme="dark")
    for plot in sorted((report.parent / "plots").glob("*.svg")):
        page.goto(plot.as_uri())
        assert page.evaluate("document.documentElement.tagName") == "svg"
        assert page.evaluate("getComputedStyle(document.querySelector('rect')).fill") == "rgb(255, 255, 255)"
    page.screenshot(path=tmp_path / "plot.png")
    page.close()
