"""SPSS and Stata files: the same rows as from a CSV of the same table, written by pyreadstat itself."""

import csv
import datetime
import re
import sys
from pathlib import Path
from typing import Any

import polars as pl
import pyreadstat
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from socrates_fast.data.check import check
from socrates_fast.data.faults import Faults
from socrates_fast.data.statistics_files import StatisticsTable, cell_text
from socrates_fast.data.table import read_table
from socrates_fast.errors import DataError, MissingDependency
from socrates_fast.recipe import Data, Table

KINDS = ["sav", "zsav", "dta"]
MAPPING: dict[str, Any] = {
    "study": "lunch",
    "participant": "id",
    "persona": {
        "age": {"column": "age"},
        "gender": {"column": "sex", "recode": {"1": "Male", "2": "Female"}},
    },
    "variables": {"dish": "dish"},
    "stimulus": "For lunch there is {dish}. Only return an integer from 1 to 5, nothing else.",
    "condition": ["dish"],
    "answers": {"column": "rating", "low": 1, "high": 5},
}
LABELS = {"sex": {1: "Male", 2: "Female"}, "rating": {1: "Bad", 5: "Good"}}


def people(**columns: list[Any]) -> pl.DataFrame:
    given = {
        "id": [101.0, 102.0, 103.0], "age": [30.0, None, 52.0], "sex": [1.0, 2.0, None],
        "dish": ["soup", "crème “brûlée”  ", "rice, fried"], "rating": [1.0, 5.0, None],
    }  # fmt: skip
    return pl.DataFrame(given | columns)


def write(frame: pl.DataFrame, path: Path, **options: Any) -> Path:
    if path.suffix == ".dta":
        options.pop("missing_ranges", None)
        pyreadstat.write_dta(frame, path, **options)
    else:
        pyreadstat.write_sav(frame, path, compress=path.suffix == ".zsav", **options)
    return path


def write_csv(frame: pl.DataFrame, path: Path) -> Path:
    """As a person would type the same table."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(frame.columns)
        for row in frame.rows():
            writer.writerow(int(v) if isinstance(v, float) and v.is_integer() else v for v in row)
    return path


@pytest.fixture
def table() -> Table:
    return Table.model_validate(MAPPING)


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_rows_as_from_a_csv(tmp_path: Path, table: Table, kind: str) -> None:
    frame = people()
    wanted = read_table(write_csv(frame, tmp_path / "a.csv"), table)
    found = read_table(write(frame, tmp_path / f"a.{kind}"), table)
    assert_frame_equal(found.drop("line"), wanted.drop("line"))
    assert found["line"].to_list() == [1, 2, 3]
    assert found["response"].to_list() == ["1", "5", None]
    assert found["demographic"].struct.field("gender").to_list() == ["Male", "Female", None]


TEXT = st.text(st.sampled_from("abé“ ,;\"'0"), max_size=12)
NUMBER = st.one_of(st.none(), st.integers(-3, 99).map(float), st.sampled_from([0.1, 2.5, 1e9]))


@settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(TEXT, NUMBER, NUMBER), min_size=1, max_size=5), st.sampled_from(KINDS))
def test_any_cells_survive(tmp_path: Path, table: Table, rows: list[tuple[Any, ...]], kind: str) -> None:
    frame = people().head(1).drop("dish", "rating", "id").join(
        pl.DataFrame(rows, schema={"dish": pl.String, "rating": pl.Float64, "other": pl.Float64}, orient="row"), how="cross"
    ).with_row_index("id").with_columns(pl.col("id").cast(pl.Float64))  # fmt: skip
    wanted = read_table(write_csv(frame, tmp_path / "a.csv"), table)
    found = read_table(write(frame, tmp_path / f"a.{kind}"), table)
    assert_frame_equal(found.drop("line"), wanted.drop("line"))


@pytest.mark.parametrize("kind", KINDS[:1] + KINDS[2:])
def test_value_labels_stand_for_persona_codes_and_never_for_answers(tmp_path: Path, kind: str) -> None:
    path = write(people(), tmp_path / f"a.{kind}", variable_value_labels=LABELS)
    plain = {**MAPPING, "persona": {"gender": {"column": "sex"}}}
    codes = read_table(path, Table.model_validate(plain))
    words = read_table(path, Table.model_validate({**plain, "value_labels": True}))
    assert codes["demographic"].struct.field("gender").to_list() == ["1", "2", None]
    assert words["demographic"].struct.field("gender").to_list() == ["Male", "Female", None]
    assert words["response"].to_list() == codes["response"].to_list() == ["1", "5", None]


def test_values_that_the_file_declares_missing_are_empty(tmp_path: Path, table: Table) -> None:
    frame = people(rating=[3.0, 99.0, 98.0], age=[-1.0, 40.0, 41.0])
    ranges = {"rating": [{"lo": 98, "hi": 99}], "age": [-1]}
    rows = read_table(write(frame, tmp_path / "a.sav", missing_ranges=ranges), table)
    assert rows["response"].to_list() == ["3", None, None]
    assert rows["demographic"].struct.field("age").to_list() == [None, 40, 41]
    stata = frame.with_columns(rating=pl.Series([3, "a", "b"], dtype=pl.Object))
    pyreadstat.write_dta(stata, tmp_path / "a.dta", missing_user_values={"rating": ["a", "b"]})
    cells = dict(StatisticsTable(tmp_path / "a.dta", None, Faults(tmp_path)).lines(["rating"]))
    assert [cell["rating"] for cell in cells.values()] == ["3", "", ""]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, ""), (float("nan"), ""), (3.0, "3"), (-0.0, "0"), (2.5, "2.5"), (1e15, "1000000000000000"),
        ("a  ", "a"), (datetime.date(2024, 5, 31), "2024-05-31"), (datetime.time(9, 5), "09:05:00"),
        (datetime.datetime.fromisoformat("2024-05-31T09:05"), "2024-05-31 09:05:00"), (True, "True"),
    ],
)  # fmt: skip
def test_a_cell_as_text(value: Any, text: str) -> None:
    assert cell_text(value) == text


@given(st.floats(width=32, allow_nan=False, allow_infinity=False))
def test_numbers_of_32_bits_are_as_short_as_they_can_be(value: float) -> None:
    text = cell_text(value, single=True)
    assert pl.Series([float(text)], dtype=pl.Float32)[0] == value
    if not value.is_integer():
        assert len(text) <= len(cell_text(value))


def test_dates(tmp_path: Path) -> None:
    frame = people(dish=[datetime.date(2024, 5, 31), datetime.date(1990, 1, 2), None])
    for kind in ("sav", "dta"):
        file = StatisticsTable(write(frame, tmp_path / f"a.{kind}"), None, Faults(tmp_path))
        assert file.find_header()
        assert [cells["dish"] for _, cells in file.lines(["dish"])] == ["2024-05-31", "1990-01-02", ""]


def test_a_date_that_cannot_be(tmp_path: Path, table: Table) -> None:
    frame = people(age=[30.0, 1e15, 1.0])
    path = write(frame, tmp_path / "a.sav", variable_format={"age": "DATE11"})
    with pytest.raises(DataError, match=r"a\.sav: a date in it is none that can be"):
        read_table(path, table)


def test_an_old_file_says_no_encoding(tmp_path: Path, table: Table) -> None:
    path = write(people(dish=["soup", "xyz rice", "rice"]), tmp_path / "a.sav")
    path.write_bytes(path.read_bytes().replace(b"xyz rice", b"caf\xe9rice"))
    with pytest.raises(DataError, match=r"a\.sav: its texts are not in .*set data\.table\.encoding"):
        read_table(path, table)
    rows = read_table(path, table.model_copy(update={"encoding": "windows-1252"}))
    assert "caférice" in rows["condition"].to_list()
    with pytest.raises(DataError, match=r"a\.sav: its texts are not in nonsense"):
        read_table(path, table.model_copy(update={"encoding": "nonsense"}))


@pytest.mark.parametrize("kind", KINDS)
def test_a_damaged_file(tmp_path: Path, table: Table, kind: str) -> None:
    path = write(people(), tmp_path / f"a.{kind}")
    path.write_bytes(path.read_bytes()[:-40])
    data = Data(source="table", path=path, table=table)
    found = check(path, data)
    assert re.search(r"cut off or damaged|not readable as a file of", found.faults[0].message)
    assert "again" in found.faults[0].message
    path.write_bytes(b"id,age\n1,2\n")
    assert re.search("not readable as a file of|not a file of SPSS", check(path, data).faults[0].message)


def test_faults_name_row_and_column(tmp_path: Path, table: Table) -> None:
    frame = people(age=[30.0, 30.5, 31.0], id=[101.0, 101.0, None])
    data = Data(source="table", path=tmp_path / "a.sav", table=table)
    found = check(write(frame, tmp_path / "a.sav"), data)
    said = "\n".join(map(str, found.faults + found.left_out))
    assert "a.sav: row 2: column age: '30.5' is not a whole number" in said
    assert "a.sav: row 3: column id: is empty; every row needs its person" in said
    assert "a.sav: row 2: column id: person '101' stands on row 1 too" in said
    found = check(
        tmp_path / "a.sav", data.model_copy(update={"table": table.model_copy(update={"label_rows": 2})})
    )
    assert any("has no label rows" in fault.message for fault in found.faults)
    found = check(write(frame.rename({"sex": "Sex_1"}), tmp_path / "a.sav"), data)
    assert [fault.message for fault in found.faults] == ["no column 'sex' (nearest: 'Sex_1')"]


def test_without_pyreadstat(tmp_path: Path, table: Table, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(people(), tmp_path / "a.sav")
    monkeypatch.setitem(sys.modules, "pyreadstat", None)
    with pytest.raises(MissingDependency, match=r'pip install "socrates-fast\[spss\]"'):
        read_table(path, table)
