"""What a comparison looks like: the terminal's table, the files, and names that are markup."""

import json
import re
import struct
from html.parser import HTMLParser
from io import StringIO
from pathlib import Path
from xml.etree import ElementTree

import pytest
from rich.console import Console

from socrates_fast.errors import SocratesError
from socrates_fast.evaluate.compare import Comparison, compare
from socrates_fast.evaluate.compare.files import document, write_comparison
from socrates_fast.evaluate.compare.table import print_comparison
from socrates_fast.evaluate.compare.words import (
    banners,
    conclusions,
    decimals,
    interval,
    notes,
    number,
    percent,
    percent_interval,
    shown,
)
from tests.evaluate.comparing import evaluated, predicted, survey

ROWS = survey()
NAME = "<script>alert(1)</script>|a*b|_c_ $x^2$ [red]d[/red] `e` 東京 {{ 7 * 7 }}"
NAMES = ("comparison.json", "comparison.html", "comparison.md", "comparison.svg", "comparison.png")


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Base, tuned, tuned with noise, and tuned under a name full of markup."""
    out = tmp_path_factory.mktemp("evaluations")
    return [
        evaluated(ROWS, predicted(ROWS, 0.3), out / "base", "base"),
        evaluated(ROWS, predicted(ROWS, 0.8), out / "tuned", "tuned-with-a-rather-long-name-q8_0"),
        evaluated(
            ROWS, predicted(ROWS, 0.8, noise=0.02), out / "shaken", "tuned-with-a-rather-long-name-q4_k_m"
        ),
        evaluated(ROWS, predicted(ROWS, 0.7), out / "<b>evil|</b>", NAME),
    ]


@pytest.fixture(scope="module")
def pair(folders: list[Path]) -> Comparison:
    return compare(folders[:2])


@pytest.fixture(scope="module")
def all_four(folders: list[Path]) -> Comparison:
    return compare(folders)


@pytest.fixture(scope="module")
def written(all_four: Comparison, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("written") / "new" / "folder"
    assert [path.name for path in write_comparison(out, all_four)] == list(NAMES)
    return out


def terminal(comparison: Comparison, width: int = 80) -> str:
    file = StringIO()
    print_comparison(comparison, Console(file=file, width=width, highlight=False, color_system=None))
    return file.getvalue()


# --- the terminal -------------------------------------------------------------------------------------------


def test_two_evaluations_have_one_line_a_figure_of_80_columns(pair: Comparison) -> None:
    text = terminal(pair)
    assert max(map(len, text.splitlines())) <= 80
    stated = pair.sections[0][1][0]
    found = stated.differences[0]
    line = next(line for line in text.splitlines() if line.startswith("Wasserstein, "))
    for part in (
        shown(stated.values["A"]), shown(stated.values["B"]), shown(found.difference, signed=True),
        interval(found.difference, signed=True), percent(found.improvement, brief=True), "better",
    ):  # fmt: skip
        assert part in line
    assert "base" in text
    assert "(the reference)" in text
    for one in pair.lines:
        assert one.figure.label.split()[0] in text


def test_four_evaluations_fit_80_columns_without_a_number_cut(all_four: Comparison) -> None:
    text = terminal(all_four)
    assert max(map(len, text.splitlines())) <= 80
    assert "…" not in text
    for one in all_four.lines:
        for found in one.differences:
            assert interval(found.difference, signed=True) in text
    assert "[red]d[/red]" in text  # no markup of the terminal's


def test_every_output_says_what_was_drawn_and_what_chance_does(all_four: Comparison, written: Path) -> None:
    outputs = [
        terminal(all_four, 1000),
        *((written / name).read_text(encoding="utf-8") for name in NAMES[:3]),
    ]
    for text in outputs:
        assert (
            "1,000 draws (seed 20250905) over 8 studies, and cells within them (tasks, for treatment effects)"
            in text
        )
        assert (
            "by chance. Conclude from the headline, Wasserstein, stated range and Correlation of effects"
            in text
        )
        assert "cannot tell" in text


# --- words --------------------------------------------------------------------------------------------------


def test_the_conclusions_are_about_the_headline(pair: Comparison) -> None:
    stated, effects = conclusions(pair)
    assert re.fullmatch(
        r"B against A, Wasserstein, stated range: better\. 0\.\d{3} → 0\.\d{3}, improvement \+\d\d\.\d\u00a0% "
        r"\(\+\d\d\.\d to \+\d\d\.\d\u00a0%\)\. A perfect prediction would be at 0\.\d{3}\.",
        stated,
    )
    assert effects.startswith(
        "B against A, Correlation of effects: same. "
    )  # both mix the same truth with guessing


def test_with_few_studies_it_says_that_there_are_no_intervals(tmp_path: Path) -> None:
    rows = survey(studies=3)
    pair = [evaluated(rows, predicted(rows, share), tmp_path / f"{share}") for share in (0.2, 0.9)]
    comparison = compare(pair)
    text = terminal(comparison, 1000)
    assert "No intervals: the figures are over 3 studies, and at least 5 are needed" in text
    assert "by chance" not in text
    assert "cannot tell, it is over 3 studies, and an interval needs 5 at least." in text
    assert "better." not in "".join(conclusions(comparison))
    assert [path.name for path in write_comparison(tmp_path / "out", comparison)] == list(NAMES)


def test_banners_of_evaluations_are_repeated_with_their_letters(tmp_path: Path) -> None:
    rows = survey(people=20)
    pair = [evaluated(rows, predicted(rows, share), tmp_path / f"{share}") for share in (0.8, 0.9)]
    comparison = compare(pair)
    said = banners(comparison)
    assert said[0].startswith("A, B: Cannot tell: no cell holds 50 people")
    write_comparison(tmp_path / "out", comparison)
    for name in NAMES[:3]:
        assert "A, B: Cannot tell: no cell holds 50 people" in (tmp_path / "out" / name).read_text(
            encoding="utf-8"
        )
    assert "A, B: Cannot tell" in terminal(comparison, 200)


def test_cells_that_are_too_small_are_said_to_be_left_out(tmp_path: Path) -> None:
    rows = survey()
    rows = rows.filter((rows["study_id"] != "study00") | (rows["participant"] < 30))
    pair = [evaluated(rows, predicted(rows, share), tmp_path / f"{share}") for share in (0.2, 0.9)]
    comparison = compare(pair)
    assert "over 1,680 of the same 1,800 rows, those of cells with at least 50 people" in terminal(
        comparison, 200
    )
    assert "over 7 studies" in notes(comparison)[0]


@pytest.mark.parametrize(
    ("value", "digits"),
    [
        ({"value": None}, 3),
        ({"value": 0.0, "low": 0.0, "high": 0.0}, 3),
        ({"value": -0.054, "low": -0.072, "high": -0.031}, 3),
        ({"value": 0.0001, "low": -0.0004, "high": 0.0007}, 4),
        ({"value": 1e-17, "low": -1e-17, "high": 1e-16}, 3),
        ({"value": -1.44, "low": -2.0, "high": 1.0}, 3),
        ({"value": 25.0, "low": -120.0, "high": 3000.0}, 0),
        ({"value": 0.5}, 3),
    ],
)
def test_decimals_show_how_wide_an_interval_is(value: dict[str, float | None], digits: int) -> None:
    assert decimals(value) == digits


def test_numbers() -> None:
    assert number(None, 3) == "–"
    assert number(-0.0001, 3) == "0.000"
    assert number(-0.0001, 3, signed=True) == "-0.000"  # an interval that ends here excludes 0
    assert number(0.0, 3, signed=True) == number(-1e-17, 3, signed=True) == "0.000"
    assert number(0.2, 3, signed=True) == "+0.200"
    assert percent({"value": 26.34}) == "+26.3\u00a0%"
    assert percent({"value": 26.34}, brief=True) == "+26\u00a0%"
    assert percent({"value": -0.02, "low": -0.2, "high": 0.1}, brief=True) == "-0.02\u00a0%"
    assert percent({"value": None}) == percent(None) == ""
    assert percent_interval({"value": 26.3, "low": 15.1, "high": 34.0}) == "+15.1 to +34.0\u00a0%"
    assert percent_interval({"value": 26.3}) == ""


# --- files --------------------------------------------------------------------------------------------------


def test_the_json_is_the_document(all_four: Comparison, written: Path) -> None:
    content = json.loads((written / "comparison.json").read_text(encoding="utf-8"))
    assert content == json.loads(json.dumps(document(all_four), allow_nan=False))
    assert [entry["key"] for entry in content["evaluations"]] == ["A", "B", "C", "D"]
    assert [entry["reference"] for entry in content["evaluations"]] == [True, False, False, False]
    assert content["evaluations"][3]["predictor"] == NAME
    assert content["headline_figures"] == ["wasserstein.stated", "effects.correlation"]
    assert content["intervals"] == {
        "draws": 1000, "seed": 20_250_905, "level": 95, "paired": True, "studies": 8,
        "over": "studies, and cells within them (tasks, for treatment effects)",
    }  # fmt: skip
    stated = content["figures"]["wasserstein.stated"]
    found = stated["against_reference"]["B"]
    assert found["verdict"] == "better"
    assert found["better_by"]["value"] == -found["difference"]["value"]
    reference, other = (stated["values"][key]["value"] for key in "AB")
    assert found["improvement_percent"]["value"] == pytest.approx(100 * (reference - other) / reference)


class _Tags(HTMLParser):
    """The tags of a page, with their attributes, and its text."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.links: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.links += [value or "" for name, value in attrs if name in ("src", "href", "xlink:href")]

    def handle_data(self, data: str) -> None:
        self.text += data


def test_the_page_is_one_file_without_scripts_and_network(written: Path) -> None:
    text = (written / "comparison.html").read_text(encoding="utf-8")
    page = _Tags()
    page.feed(text)
    assert "script" not in page.tags
    assert "b" not in page.tags[page.tags.index("svg") :]
    assert all(link.startswith("#") for link in page.links)
    assert "http" not in text.replace("http-equiv", "")
    assert "@import" not in text
    assert "prefers-color-scheme: dark" in text
    assert 'name="viewport"' in text
    assert NAME in page.text
    assert "<b>evil|</b>" in page.text
    assert text.count("<svg") == 1


def test_the_markdown_shows_names_as_they_are(written: Path) -> None:
    text = (written / "comparison.md").read_text(encoding="utf-8")
    assert "<" not in text
    assert "a*b" not in text
    assert "$x" not in text.replace("\\$", "")
    table = [line for line in text.splitlines() if line.startswith("|")]
    assert {len(re.findall(r"(?<!\\)\|", line)) for line in table} == {9}
    assert "(comparison.svg)" in text


def test_the_plots_name_the_evaluations_and_can_be_opened(all_four: Comparison, written: Path) -> None:
    svg = (written / "comparison.svg").read_text(encoding="utf-8")
    root = ElementTree.fromstring(svg)
    tags = {element.tag.rpartition("}")[2] for element in root.iter()}
    assert "script" not in tags
    shown_text = "".join(root.itertext())
    assert "tuned-with-a-rather-long-name-q8_0" in shown_text
    assert "<script>alert(1)</script>|a*b|_c_ $x^2$" in shown_text
    for one in all_four.lines:
        has_value = any(found.difference["value"] is not None for found in one.differences)
        assert (one.figure.label in shown_text) == has_value
    png = (written / "comparison.png").read_bytes()
    assert png.startswith(b"\x89PNG")
    width, height = struct.unpack(">II", png[16:24])
    assert 900 < width < 2000
    assert height > 1000


def test_the_same_comparison_gives_the_same_bytes(
    all_four: Comparison, written: Path, tmp_path: Path
) -> None:
    again = write_comparison(tmp_path, all_four)
    for path in again:
        assert path.read_bytes() == (written / path.name).read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(NAMES)


def test_identical_evaluations_can_be_drawn(folders: list[Path], tmp_path: Path) -> None:
    same = evaluated(ROWS, predicted(ROWS, 0.3), tmp_path / "same", "same")
    comparison = compare([folders[0], same])
    write_comparison(tmp_path / "out", comparison)
    assert "the interval includes 0" not in "".join(conclusions(comparison))
    assert conclusions(comparison)[0].startswith("B against A, Wasserstein, stated range: same. ")


def test_a_folder_that_cannot_be_written(all_four: Comparison, tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("mine", encoding="utf-8")
    with pytest.raises(SocratesError, match="cannot write .*taken"):
        write_comparison(tmp_path / "taken", all_four)
    assert (tmp_path / "taken").read_text(encoding="utf-8") == "mine"
