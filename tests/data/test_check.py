"""What ``data check`` says of survey exports, whole and damaged in every way in which people damage them."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from socrates_fast import recipes
from socrates_fast.data.check import Checked, check, print_checked
from socrates_fast.recipe import Data
from tests.conftest import ROOT, SHARED_DATA
from tests.data.exports import DAMAGES, LOSSES, SEEN, Export, N, made_export, real_export

REAL = SHARED_DATA / "promiscuous_donors__response.csv"


@pytest.fixture(scope="session")
def real() -> Export:
    if not REAL.is_file():
        pytest.skip("the real export (../shared/data beside the checkout) is not here")
    recipe = recipes.load(str(ROOT / "recipes/twin2k/promiscuous-donors.yaml"))
    return real_export(REAL, recipe.data)


@pytest.fixture(params=["made", "real"])
def export(request: pytest.FixtureRequest, tmp_path: Path) -> Export:
    if request.param == "made":
        return made_export(tmp_path)
    found: Export = request.getfixturevalue("real")
    return found


def checked(folder: Path, content: bytes, data: Data) -> Checked:
    path = folder / "export.csv"
    path.write_bytes(content)
    return check(path, data)


def test_a_whole_export_has_no_fault(export: Export, tmp_path: Path) -> None:
    found = checked(tmp_path, export.bytes(), export.data)
    assert (found.faults, found.left_out, found.notes, found.exit_code) == ([], [], [], 0)
    people = len(export.rows) - 3
    assert export.data.table is not None
    rows = people * export.data.table.repetitions
    wanted = {"records": people, "people": people, "rows": rows, "usable": rows, "studies": 1, "scales": 1}
    assert wanted.items() <= found.summary.items()


def test_the_real_file_has_no_fault(real: Export) -> None:
    found = check(REAL, real.data)
    assert (found.faults, found.left_out, found.notes) == ([], [], [])
    assert found.summary["usable"] == 7990


def said_of_damage(export: Export, folder: Path, name: str) -> None:
    content, pattern = DAMAGES[name](export)
    found = checked(folder, content, export.data)
    said = [str(fault) for fault in found.faults]
    assert any(re.search(pattern, text, re.DOTALL) for text in said), said
    assert found.exit_code == 2


@pytest.mark.parametrize("name", DAMAGES)
def test_damage_is_named(tmp_path: Path, name: str) -> None:
    said_of_damage(made_export(tmp_path), tmp_path, name)


@pytest.mark.parametrize("name", SEEN)
def test_damage_of_the_real_export_is_named(real: Export, tmp_path: Path, name: str) -> None:
    said_of_damage(real, tmp_path, name)


@pytest.mark.parametrize("name", LOSSES)
def test_loss_is_named(export: Export, tmp_path: Path, name: str) -> None:
    content, pattern = LOSSES[name](export)
    found = checked(tmp_path, content, export.data)
    assert (found.faults, found.exit_code) == ([], 0)
    assert [bool(re.search(pattern, str(fault))) for fault in found.left_out] == [True]
    assert sum(found.reasons.values()) == found.summary["rows"] - found.summary["usable"] > 0


@pytest.mark.parametrize(
    ("option", "fate", "name", "where"),
    [
        ("duplicates", "refuse", "repeated person", "faults"),
        ("duplicates", "keep", "repeated person", "notes"),
        ("off_scale", "refuse", "rating in words", "faults"),
        ("off_scale", "keep", "rating in words", "left_out"),  # no number, so that it cannot be kept
        ("unread", "refuse", "empty variable", "faults"),
    ],
)
def test_the_recipe_decides_about_losses(
    tmp_path: Path, option: str, fate: str, name: str, where: str
) -> None:
    export = made_export(tmp_path)
    content, pattern = LOSSES[name](export)
    found = checked(tmp_path, content, export.data.model_copy(update={option: fate}))
    kinds = {"faults": found.faults, "left_out": found.left_out, "notes": found.notes}
    assert {kind for kind, faults in kinds.items() if faults} == {where}
    assert re.search(pattern, str(kinds[where][0]))


def test_all_faults_at_once(tmp_path: Path) -> None:
    export = (
        made_export(tmp_path)
        .with_cell(N, "Q1", "old")
        .with_cell(N + 1, "Id", "")
        .with_cell(N + 2, "Q1", "older")
    )
    records = export.records()
    records[5] = "x,y\n"
    found = checked(tmp_path, "".join(records).encode(), export.data)
    said = [str(fault) for fault in found.faults]
    assert len(said) == 3
    assert "2 cells where the header has 9" in said[0]
    assert "'old' is not a whole number" in said[1]
    assert f"(2 times; also line {export.line(N + 2)})" in said[1]
    assert ":1: column" not in "".join(said)
    assert found.summary["records"] == 39


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("export.csv", b"PK\x03\x04....[Content_Types].xml xl/", "an Excel or OpenDocument workbook"),
        ("export.csv", b"PK\x03\x04....data.csv", r"a packed archive.*\(zip\)"),
        ("export.csv", b"\x1f\x8b\x08\x00", r"a packed archive.*\(gzip\)"),
        ("export.csv", b"\xd0\xcf\x11\xe0", "an old Excel workbook"),
        ("export.csv", b"\n <!DOCTYPE HTML><html>Log in</html>", "a web page"),
        ("export.csv", b'{"SurveyEntry": {}}', "a Qualtrics questionnaire"),
        ("export.csv", b"$FL2@(#) SPSS", "an SPSS file; call it .sav"),
        ("export.sav", b"<stata_dta><header>", "a Stata file; call it .dta"),
        ("export.csv", b"", "the file is empty"),
        ("export.csv", b"\n\n \n", "the file holds no line with text|no header"),
        ("export.csv", b"\0" * 900, "nothing but NUL bytes"),
        ("export.csv", b"a,b,c\n1,2,3\n", "no header: none of the 7 columns"),
        ("export.csv", None, "no such file"),
    ],
)  # fmt: skip
def test_a_file_that_is_something_else(
    tmp_path: Path, name: str, content: bytes | None, message: str
) -> None:
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    found = check(path, made_export(tmp_path).data)
    assert re.search(message, str(found.faults[0])), found.faults
    assert found.exit_code == 2


def test_an_encoding_that_garbles_the_texts(tmp_path: Path) -> None:
    """Latin-1 reads whatever bytes; what it makes of UTF-8 is not what people read."""
    export = made_export(tmp_path)
    assert export.data.table is not None
    table = export.data.table.model_copy(update={"encoding": "latin-1"})
    data = export.data.model_copy(update={"table": table})
    found = checked(tmp_path, export.bytes(), data)
    assert [fault.message for fault in found.faults] == [
        "the file is UTF-8, not latin-1; set data.table.encoding: utf-8"
    ]
    text = export.bytes().decode()
    assert checked(tmp_path, text.encode("latin-1"), data).faults == []
    assert checked(tmp_path, text.encode("ascii", "replace"), data).faults == []
    wrong = export.data.model_copy(update={"table": table.model_copy(update={"encoding": "latin-99"})})
    assert "there is no encoding 'latin-99'" in str(checked(tmp_path, export.bytes(), wrong).faults[0])


def test_only_the_header(tmp_path: Path) -> None:
    export = made_export(tmp_path)
    found = checked(tmp_path, export.with_rows(export.rows[:3]).bytes(), export.data)
    assert [fault.message for fault in found.faults] == ["no people below the header and its 2 label rows"]


def test_what_should_be_known(tmp_path: Path) -> None:
    export = (
        made_export(tmp_path)
        .with_cell(N, "Q2", "9")
        .with_cell(N, "Q1", "1985")
        .with_cell(0, "comment", "StartDate")
    )
    found = checked(tmp_path, export.bytes(), export.data)
    said = "\n".join(map(str, found.notes))
    assert f":{export.line(N)}: column Q2: '9' is not in the recode of ideology" in said
    assert "age is 1985; is it a year of birth" in said
    assert ":1: column StartDate: 2 columns have this name; the recipe names none of them" in said
    empty = export.with_rows([*export.rows[:3], *(row for row in export.rows[3:])])
    for number in range(3, len(empty.rows)):
        empty = empty.with_cell(number, "Q2", "")
    found = checked(tmp_path, empty.bytes(), export.data)
    assert "column Q2: is empty in every line; no persona has ideology" in "\n".join(map(str, found.notes))


def test_words_and_json_say_the_same(tmp_path: Path) -> None:
    export = made_export(tmp_path)
    found = checked(tmp_path, LOSSES["rating in words"](export)[0], export.data)
    lines: list[str] = []
    print_checked(found, say=lines.append)
    document: dict[str, Any] = json.loads(json.dumps(found.as_dict()))
    assert document["ok"] is True
    assert document["counts"] == {"faults": 0, "left_out": 1, "notes": 0}
    assert document["left_out"][0]["column"] == "rating_2_1"
    assert document["left_out"][0]["line"] == export.line(N)
    assert lines[0] == f"left out: {found.left_out[0]}"
    assert lines[1:] == [
        "1 row left out: the answer is not an integer",
        "40 records, 80 rows, 79 usable, 1 studies, 4 cells, 40 people, 1 scales",
        "no errors; 1 row would be left out",
    ]


def test_the_list_is_cut_and_counted(tmp_path: Path) -> None:
    export = made_export(tmp_path)
    for number in range(3, 10):
        export = export.with_cell(number, "rating_1_1", f"r{number}")
    found = checked(tmp_path, export.bytes(), export.data)
    lines: list[str] = []
    print_checked(found, 3, lines.append)
    assert lines[3] == "left out: ... and 4 more (--limit 7 shows all)"
    assert len(found.as_dict(limit=3)["left_out"]) == 3
