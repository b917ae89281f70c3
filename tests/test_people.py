"""People from a CSV or from flags: read as they were written, every fault with its line."""

import csv
import io
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from socrates_fast.errors import DataError
from socrates_fast.people import Person, field_name, parse_demographics, read_people
from socrates_fast.prompt import PERSONA_HEAD
from socrates_fast.recipe import PERSONA_FIELDS


def written(folder: Path, text: str, encoding: str = "utf-8") -> Path:
    path = folder / "people.csv"
    path.write_bytes(text.encode(encoding))
    return path


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_a_table_as_spreadsheets_write_it(
    tmp_path: Path, delimiter: str, encoding: str, newline: str
) -> None:
    lines = [
        ["ID", " Age ", "Party ID", "MARITAL-status"],
        ["a", "30", "Lean; Democrat, or so\tno", ""],
        ["", "", "Rep", "née"],
    ]
    buffer = io.StringIO()
    csv.writer(buffer, delimiter=delimiter, lineterminator=newline).writerows([*lines, []])
    assert read_people(written(tmp_path, buffer.getvalue(), encoding)) == [
        Person({"age": "30", "party_id": "Lean; Democrat, or so\tno"}, "", "a"),
        Person({"party_id": "Rep", "marital_status": "née"}, "", "line 3"),
    ]


def test_free_text_alone_and_beside_fields(tmp_path: Path) -> None:
    path = written(tmp_path, 'persona\n"A nurse, 34"\n\nA farmer who\n')
    assert read_people(path) == [Person({}, "A nurse, 34", "line 2"), Person({}, "A farmer who", "line 4")]
    path = written(tmp_path, "Persona,Age\nA nurse,34\n,35\n")
    assert read_people(path) == [
        Person({"age": "34"}, "A nurse", "line 2"),
        Person({"age": "35"}, "", "line 3"),
    ]


def test_every_fault_with_its_line(tmp_path: Path) -> None:
    path = written(tmp_path, 'id,age,gender\n1,30\n2,31,Male\n3,,\n"4\n4",32,Male,x\n')
    with pytest.raises(DataError) as caught:
        read_people(path)
    assert str(caught.value).splitlines() == [
        f"{path}:2: 2 cells under 3 columns; the line is cut or a cell is missing; an empty cell keeps its separator",
        f"{path}:4: nothing is said of this person",
        f"{path}:5: 4 cells under 3 columns; put quotes around a cell that holds the separator",
    ]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", ": the file is empty"),
        ("\n \n", ": the file is empty"),
        ("age,,x\n1,2,3\n", ":1: a column has no name"),
        ("Age, age\n1,2\n", ":1: more than one column age"),
        ("id\n1\n", ":1: no persona field"),
        ("age\n", "no person"),
        ('age,gender\n30,"Fem"ale\n', ":2: not a CSV"),
        ('age,gender\n30,"Female\n31,Male\n', "not a CSV"),
    ],
)
def test_files_that_are_no_table_of_people(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(DataError, match=words):
        read_people(written(tmp_path, text))


def test_another_encoding_is_named_with_its_line(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"people\.csv:3: not UTF-8"):
        read_people(written(tmp_path, "persona\nA nurse\nJosé\n", "latin-1"))
    with pytest.raises(DataError, match="No such file"):
        read_people(tmp_path / "nowhere.csv")


CELLS = st.text(st.characters(exclude_categories=("Cs", "Cc"), include_characters='\n,;\t"'), max_size=12)


@given(table=st.lists(st.tuples(CELLS, CELLS), min_size=1, max_size=6), delimiter=st.sampled_from(",;\t"))
def test_what_is_written_is_read_back(
    tmp_path_factory: pytest.TempPathFactory, table: list[tuple[str, str]], delimiter: str
) -> None:
    people = [{"age": a.strip(), "ideology": b.strip()} for a, b in table if a.strip() or b.strip()]
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer, delimiter=delimiter)
    writer.writerows([("Age", "Ideology"), *table])
    path = written(tmp_path_factory.mktemp("people"), buffer.getvalue())
    expected = [{name: value for name, value in person.items() if value} for person in people]
    try:
        found = [person.demographic for person in read_people(path)]
    except DataError:  # a line whose cells are all empty, or nobody
        assert len(people) == 0
        return
    assert found == expected


def test_demographics_in_any_case_and_spacing() -> None:
    parsed = parse_demographics(" Age: 30;party  ID:Independent ; Housing-Type: House: small;")
    assert parsed == {"age": "30", "party_id": "Independent", "housing_type": "House: small"}
    assert parse_demographics("") == {}
    for text in ("Age 30", "Age:", ": 30", "Age: 30; x"):
        with pytest.raises(DataError, match="is not 'Field: value'"):
            parse_demographics(text)
    assert {field_name(name.replace("_", " ").title()) for name in PERSONA_FIELDS} == set(PERSONA_FIELDS)


def test_free_text_stands_after_the_bullets() -> None:
    person = Person({"hobby": "chess", "age": "30"}, "Votes rarely.", "a")
    assert person.persona(PERSONA_FIELDS) == f"{PERSONA_HEAD}\n- Age: 30\n- Hobby: chess\nVotes rarely."
    assert Person({}, "A nurse.").persona(PERSONA_FIELDS) == f"{PERSONA_HEAD}\nA nurse."
    assert person.described(PERSONA_FIELDS) == "Age: 30; Hobby: chess; Votes rarely."
