"""The table source: a Qualtrics-like export, its mapping, and every way in which it can be wrong."""

import csv
import io
import re
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from socrates_fast import recipes
from socrates_fast.data.columns import NO_ANSWER, NO_STIMULUS, NOT_AN_INTEGER, OFF_SCALE, SAME_ID
from socrates_fast.data.prepare import prepare_rows
from socrates_fast.data.prepared import to_prepared
from socrates_fast.data.sources import open_source
from socrates_fast.data.table import read_table, scan_table
from socrates_fast.errors import DataError
from socrates_fast.recipe import Data, Table
from tests.conftest import ROOT, SHARED_DATA

MAPPING: dict[str, Any] = {
    "study": "lunch",
    "label_rows": 2,
    "participant": "id",
    "persona": {
        "age": {"column": "Q1"},
        "gender": {"column": "Q2", "recode": {"1": "Male", "2": "Female", "3": None}},
    },
    "repetitions": 2,
    "variables": {"dish": "dish_{n}"},
    "lists": {"day": ["Monday", "Tuesday"]},
    "stimulus": "On {day} there is {dish}. Only return an integer from 1 to 3, nothing else.",
    "condition": ["dish"],
    "answers": {
        "column": "rate_{n}",
        "low": 1,
        "high": 3,
        "recode": {1: 1, 5: 2, 9: 3},
        "missing": ["", "-99"],
    },
}
HEADER = "id,Q1,Q2,dish_1,dish_2,rate_1,rate_2"
LABELS = '"Id","Your age,\nplease","Gender",a,b,c,d\n{"x"},{},{},{},{},{},{}'
PEOPLE = ["p1,30,1,soup,rice,1,9", "p2,41,3,rice,soup,5,-99", "p3,52,2,soup,soup,7,x", "p4,63,2,rice,rice,9,"]


def write(folder: Path, text: str, encoding: str = "utf-8") -> Path:
    path = folder / "export.csv"
    path.write_text(text, encoding=encoding)
    return path


@pytest.fixture
def table() -> Table:
    return Table.model_validate(MAPPING)


@pytest.fixture
def export(tmp_path: Path) -> Path:
    return write(tmp_path, "\n".join([HEADER, LABELS, *PEOPLE]) + "\n")


def test_wide_to_long(export: Path, table: Table) -> None:
    rows = read_table(export, table)
    assert rows.height == 8
    first = rows.row(0, named=True)
    assert first["stimuli"].startswith("On Monday there is soup.")
    assert first["demographic"]["age"] == 30
    assert first["demographic"]["gender"] == "Male"
    assert first["line"] == 5  # the label row with a line break takes two lines
    assert rows.row(2, named=True)["demographic"]["gender"] is None
    people = rows["participant"].to_list()
    assert people[::2] == people[1::2]
    assert len(set(people)) == 4
    conditions = dict(zip(rows["stimuli"].str.extract("is ([a-z]+)"), rows["condition_num"], strict=True))
    assert conditions == {"rice": 0, "soup": 1}


def test_answers_are_recoded_and_the_rest_is_counted(export: Path, table: Table) -> None:
    prepared = to_prepared(read_table(export, table))
    assert prepared.rows["response"].to_list() == [1, 3, 2, 3]
    reasons = prepared.dropped.group_by("reason").agg(pl.col("rows").sum()).rows()
    assert dict(reasons) == {NO_ANSWER: 2, NOT_AN_INTEGER: 2}
    assert "code 7" in prepared.faults()
    assert "line 7" in prepared.faults()


def test_off_scale_answers_are_refused_if_the_recipe_says_so(export: Path) -> None:
    plain = {
        **MAPPING, "stimulus": MAPPING["stimulus"].replace("3", "5"),
        "answers": {**MAPPING["answers"], "recode": {}, "high": 5},
    }  # fmt: skip
    data = Data.model_validate({"source": "table", "path": export, "table": plain, "off_scale": "refuse"})
    with pytest.raises(DataError, match=r"4 rows cannot be used.*refuse") as caught:
        prepare_rows(data)
    assert OFF_SCALE in str(caught.value)
    assert "line" in str(caught.value)


def faulty(lines: list[str]) -> str:
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            faulty([HEADER.replace("dish_2", "dish2"), LABELS, *PEOPLE]),
            r"export\.csv:1: no column 'dish_2' \(nearest: 'dish",
        ),
        (
            faulty([HEADER.replace("rate_2", "x").replace("dish_1", "y"), LABELS]),
            r"'rate_2'(.|\n)*'dish_1'|'dish_1'",
        ),
        (faulty([HEADER, LABELS, *PEOPLE, "p5,20,1"]), r"export\.csv:9: 3 cells where the header has 7"),
        (
            faulty([HEADER, LABELS, PEOPLE[0].replace("30", "thirty")]),
            r"export\.csv:5: column Q1: 'thirty' is not a whole number, which age must be",
        ),
        (faulty([HEADER, LABELS]), "no people below the header"),
        ("", r"export\.csv: the file is empty"),
    ],
)
def test_damaged_file_is_named(tmp_path: Path, table: Table, text: str, message: str) -> None:
    with pytest.raises(DataError) as caught:
        read_table(write(tmp_path, text), table)
    assert re.search(message, str(caught.value)), str(caught.value)


def test_label_rows_that_are_people(tmp_path: Path, table: Table) -> None:
    path = write(tmp_path, "\n".join([HEADER, *PEOPLE]))
    with pytest.raises(
        DataError, match=r"export\.csv:2: this line holds answers, .* steps over it as a label row"
    ):
        read_table(path, table)


@pytest.mark.parametrize(
    ("stimulus", "message"),
    [
        ("How is {dish} on {day}?", "states no scale"),
        ("{day} {dish}. Only return an integer from 1 to 7.", "says 1 to 7"),
    ],
)
def test_a_stimulus_that_contradicts_its_answers(export: Path, stimulus: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read_table(export, Table.model_validate({**MAPPING, "stimulus": stimulus}))


def test_an_empty_variable_is_no_arm(tmp_path: Path, table: Table) -> None:
    people = [*PEOPLE, "p5,30,1,,rice,1,9"]
    path = write(tmp_path, "\n".join([HEADER, LABELS, *people]))
    source = open_source(Data(source="table", path=path, table=table))
    assert source.conditions == {0: "rice", 1: "soup"}
    assert NO_STIMULUS in to_prepared(source.read()).dropped["reason"].to_list()


def test_blanks_around_a_text_make_no_other_arm(tmp_path: Path, table: Table) -> None:
    path = write(tmp_path, "\n".join([HEADER, LABELS, "p1,30,1,soup ,rice,1,9", "p2,30,1, soup,rice,1,9"]))
    rows = read_table(path, table)
    assert rows["condition"].unique().sort().to_list() == ["rice", "soup"]
    assert rows["stimuli"].n_unique() == 2


def test_codes_written_as_decimal_numbers_are_recoded(tmp_path: Path, table: Table) -> None:
    rows = read_table(write(tmp_path, "\n".join([HEADER, LABELS, "p1,30,2.0,soup,rice,1,9"])), table)
    assert rows["demographic"].struct.field("gender").to_list() == ["Female"] * 2


def test_wrong_encoding_and_missing_file(tmp_path: Path, table: Table) -> None:
    path = write(tmp_path, "\n".join([HEADER, LABELS, "é,1,1,a,b,1,1"]), "latin-1")
    with pytest.raises(
        DataError,
        match=r"export\.csv:5: byte 0xE9 is not UTF-8; as cp1252 it reads 'é,1,1,a,b,1,1'; .*set data\.table\.encoding",
    ):
        read_table(path, table)
    with pytest.raises(DataError, match=r"no such file .*check its name, or data\.path"):
        read_table(tmp_path / "none.csv", table)


def test_a_persons_number_does_not_depend_on_the_order_of_lines(tmp_path: Path, table: Table) -> None:
    def people(lines: list[str]) -> dict[int, int]:
        rows = read_table(write(tmp_path, "\n".join([HEADER, LABELS, *lines])), table)
        ages = rows["demographic"].struct.field("age")
        return dict(zip(rows["participant"], ages, strict=True))

    added = ["p0,18,1,soup,rice,1,1", *reversed(PEOPLE)]
    assert people(PEOPLE).items() <= people(added).items()


def test_a_line_without_its_person(tmp_path: Path, table: Table) -> None:
    path = write(tmp_path, "\n".join([HEADER, LABELS, ",30,1,soup,rice,1,9"]))
    with pytest.raises(DataError, match=r"export\.csv:5: column id: is empty"):
        read_table(path, table)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"stimulus": "{dish} and {dessert}"}, "{dessert} is in neither variables nor lists"),
        ({"stimulus": "{ dish }"}, "{ dish } is in neither"),
        ({"stimulus": "{dish"}, "expected '}'"),
        ({"lists": {"day": ["Monday"]}}, "1 texts for 2 repetitions"),
        ({"lists": {"dish": ["a", "b"]}}, "stands twice"),
        ({"condition": ["dessert"]}, "which variables does not define"),
        ({"variables": {"dish": "dish_{m}"}}, "only {n} can stand in a column's name"),
        ({"answers": {"column": "rate", "low": 1, "high": 3}}, "put {n} in it"),
        ({"answers": {"column": "rate_{n}", "low": 3, "high": 1}}, "must be below high"),
    ],
)
def test_mapping_that_contradicts_itself(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        Table.model_validate({**MAPPING, **change})


CELL = st.text(st.sampled_from("ab ,;|\t\n'\"é“0\u2028"), min_size=1, max_size=9).filter(
    lambda text: text.strip()
)
PERSON = st.tuples(st.integers(18, 90), CELL, CELL, st.sampled_from(["1", "5", "9", "-99", ""]))


def exported(people: list[tuple[Any, ...]], delimiter: str = ",", end: str = "\n", mark: str = "") -> str:
    """What a program writes that knows CSV."""
    file = io.StringIO(newline="")
    if end == "\r":  # where another sign ends the line Python leaves a newline unquoted
        writer = csv.writer(file, delimiter=delimiter, lineterminator=end, quoting=csv.QUOTE_ALL)
    else:
        writer = csv.writer(file, delimiter=delimiter, lineterminator=end)
    writer.writerow(HEADER.split(","))
    writer.writerow(["Id", "Your age,\nplease", "Gender", "a", "b", "c", "d"])
    writer.writerow(['{"ImportId":"x"}'] * 7)
    writer.writerows(
        [f"p{n}", age, "1", one, two, answer, "5"] for n, (age, one, two, answer) in enumerate(people)
    )
    return mark + file.getvalue()


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(PERSON, min_size=1, max_size=6), st.sampled_from(",;\t|"), st.sampled_from(["\n", "\r\n", "\r"]),
       st.sampled_from(["", "\ufeff"]), st.sampled_from(["utf-8", "utf-16"]))  # fmt: skip
def test_any_dialect_gives_the_same_rows(
    tmp_path: Path,
    table: Table,
    people: list[tuple[Any, ...]],
    delimiter: str,
    end: str,
    mark: str,
    encoding: str,
) -> None:
    path = tmp_path / "export.csv"
    path.write_bytes(exported(people, delimiter, end, mark if encoding == "utf-8" else "").encode(encoding))
    chosen = table.model_copy(update={"encoding": encoding})
    found = read_table(path, chosen)
    wanted = [text.strip() for _, one, two, _ in people for text in (one, two)]
    assert found["stimuli"].to_list() == [
        MAPPING["stimulus"].format(day=day, dish=dish)
        for day, dish in zip(["Monday", "Tuesday"] * len(people), wanted, strict=True)
    ]
    known = {"1": "1", "5": "2", "9": "3"}
    assert found["response"].to_list()[::2] == [known.get(answer) for *_, answer in people]
    assert read_table(path, chosen.model_copy(update={"delimiter": delimiter})).equals(found)


@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(PERSON, min_size=3, max_size=8), st.data())
def test_a_broken_line_costs_nobody_else(
    tmp_path: Path, table: Table, people: list[tuple[Any, ...]], data: st.DataObject
) -> None:
    """Of a line that is cut the place is named, and all the other people are still read."""

    # No comma either: a cell that needs quotes would close the quote that was left open, and make a record like any other.
    def plain(text: str) -> str:
        return text.replace("\n", " ").replace('"', "'").replace(",", ";")

    people = [(age, plain(one) + "a", plain(two) + "b", answer) for age, one, two, answer in people]
    whole = exported(people)
    lines = whole.split("\n")
    place = data.draw(st.integers(4, len(lines) - 2))
    change = data.draw(
        st.sampled_from([lambda text: text[:4], lambda text: f'p,"{text}', lambda text: f"{text},more"])
    )
    lines[place] = change(lines[place])
    (tmp_path / "export.csv").write_text("\n".join(lines), encoding="utf-8", newline="")
    found = scan_table(tmp_path / "export.csv", table)
    assert [fault.line for fault in found.faults] == [place + 1]
    expected = set(range(5, len(lines))) - {place + 1}
    assert set(found.rows["line"]) == expected


def test_ids_depend_on_person_and_repetition_alone(tmp_path: Path, table: Table) -> None:
    def ids(lines: list[str]) -> dict[str, list[int]]:
        rows = read_table(write(tmp_path, "\n".join([HEADER, LABELS, *lines])), table)
        return {str(key): part["sample_id"].to_list() for (key,), part in rows.group_by("participant")}

    first = ids(PEOPLE)
    assert len({one for both in first.values() for one in both}) == 8
    assert ids(PEOPLE[::-1]) == first
    twice = ids([*PEOPLE, PEOPLE[1]])
    assert sorted(map(len, twice.values())) == [2, 2, 2, 4]


def test_a_person_on_two_lines_counts_once(tmp_path: Path, table: Table) -> None:
    again = "p1,30,1,soup,rice,5,5"
    path = write(tmp_path, "\n".join([HEADER, LABELS, *PEOPLE, again]))
    prepared = to_prepared(read_table(path, table))
    assert prepared.rows.height == 4
    assert prepared.dropped.filter(reason=SAME_ID)["rows"].to_list() == [1, 1]
    assert scan_table(path, table).repeats[0].line == 9


@pytest.mark.parametrize(("label_rows", "place"), [(0, 4), (1, 4), (3, 5)])
def test_label_rows_that_the_recipe_miscounts(
    tmp_path: Path, table: Table, label_rows: int, place: int
) -> None:
    path = write(tmp_path, exported([(30 + n, "a", "b", "1") for n in range(5)]))
    found = scan_table(path, table.model_copy(update={"label_rows": label_rows}))
    assert [fault.line for fault in found.faults] == [place]
    assert "set data.table.label_rows: 2" in found.faults[0].message
    assert found.people == 5


@pytest.mark.skipif(not SHARED_DATA.is_dir(), reason="the real export (../shared/data) is not here")
def test_the_real_export() -> None:
    recipe = recipes.load(str(ROOT / "recipes/twin2k/promiscuous-donors.yaml"))
    path = SHARED_DATA / "promiscuous_donors__response.csv"
    data = recipe.data.model_copy(update={"path": path, "max_train_rows": None})
    sides, prepared = prepare_rows(data)
    assert sum(side.height for side in sides.values()) == 7990
    assert prepared.dropped.is_empty()
    people = {name: set(side["participant"]) for name, side in sides.items()}
    assert not people["train"] & people["test"]
    assert not people["train"] & people["validation"]
    assert sum(map(len, people.values())) == 799
    assert set(prepared.rows["response"]) == set(range(1, 8))
