"""The people who are asked by hand: ``Field: value`` pairs, free text, or a CSV with one line a person."""

import csv
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from socrates_fast.errors import DataError
from socrates_fast.prompt import PERSONA_HEAD, persona_text

NAMES = ("id", "participant")
"""Columns that name a person, and that the model is not shown."""
FREE_TEXT = "persona"
"""Column of free text about a person."""
DELIMITERS = ",;\t"
MOST_FAULTS = 20


@dataclass(frozen=True)
class Person:
    """Who is asked.

    Attributes:
        demographic: persona field to value.
        text: free text about the person.
        name: what tables call them.
    """

    demographic: dict[str, str]
    text: str = ""
    name: str = ""

    def persona(self, fields: Sequence[str]) -> str:
        """The persona as the model is shown it: bullets for the fields, those of ``fields`` first, then the free text."""
        typed = [name for name in self.demographic if name not in fields]
        shown = persona_text(self.demographic, (*fields, *typed))
        return f"{shown}\n{self.text}" if self.text else shown

    def described(self, fields: Sequence[str]) -> str:
        """The same in one line, without what stands before every persona."""
        lines = self.persona(fields).removeprefix(PERSONA_HEAD).strip().splitlines()
        return "; ".join(line.removeprefix("- ") for line in lines)


def field_name(text: str) -> str:
    """A persona field's name, however it is spaced and cased: "Party ID" is ``party_id``."""
    return "_".join(text.replace("-", " ").replace("_", " ").lower().split())


def parse_demographics(text: str) -> dict[str, str]:
    """``"Age: 30; Party Id: Independent"`` to ``{"age": "30", "party_id": "Independent"}``.

    Raises:
        DataError: a part is not ``Field: value``.
    """
    persona = {}
    for part in filter(None, (part.strip() for part in text.split(";"))):
        name, colon, value = part.partition(":")
        if not colon or not name.strip() or not value.strip():
            raise DataError(f"demographics: {part!r} is not 'Field: value'; separate the fields with ';'")
        persona[field_name(name)] = value.strip()
    return persona


def read_people(path: Path) -> list[Person]:
    """The people of a CSV: a header with persona fields or ``persona`` (free text), one line a person.

    Commas, semicolons and tabs separate; empty cells are left out; a column ``id`` or ``participant`` names the person
    and is not shown to the model.

    Raises:
        DataError: the file cannot be read, or lines are faulty; all of them, by line.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise DataError(f"{path}: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        line = path.read_bytes()[: error.start].count(b"\n") + 1
        raise DataError(f"{path}:{line}: not UTF-8; save the file as CSV UTF-8") from error
    head = text.split("\n", 1)[0]
    delimiter = max(DELIMITERS, key=head.count)
    lines = _lines(path, text, delimiter)
    _, header = next(lines, (1, []))
    names = _header(path, header)
    people, faults = [], []
    for line, cells in lines:
        person = _person(names, cells, line)
        if isinstance(person, str):
            faults.append(f"{path}:{line}: {person}")
        else:
            people.append(person)
    if faults:
        more = len(faults) - MOST_FAULTS
        listed = [*faults[:MOST_FAULTS], *([f"... and {more} more lines"] if more > 0 else [])]
        raise DataError("\n".join(listed))
    if not people:
        raise DataError(f"{path}: no person; it takes a header with persona fields, and one line a person")
    return people


def _lines(path: Path, text: str, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """The lines that are not empty, each with the number of its first line in the file."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        while True:
            line = reader.line_num + 1
            cells = next(reader, None)
            if cells is None:
                return
            if any(cell.strip() for cell in cells):
                yield line, cells
    except csv.Error as error:
        raise DataError(f"{path}:{reader.line_num}: not a CSV: {error}") from error


def _header(path: Path, header: Sequence[str]) -> list[str]:
    if not header:
        raise DataError(
            f"{path}: the file is empty; it takes a header with persona fields, and one line a person"
        )
    names = [field_name(cell) for cell in header]
    if not all(names):
        raise DataError(f"{path}:1: a column has no name; the first line names the persona fields")
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise DataError(f"{path}:1: more than one column {', '.join(twice)}")
    if not set(names) - set(NAMES):
        raise DataError(
            f"{path}:1: no persona field; name the columns age, gender, ..., or one column {FREE_TEXT}"
        )
    return names


def _person(names: Sequence[str], cells: Sequence[str], line: int) -> Person | str:
    """A line's person, or what is wrong with it."""
    if len(cells) != len(names):
        few = "the line is cut or a cell is missing; an empty cell keeps its separator"
        hint = few if len(cells) < len(names) else "put quotes around a cell that holds the separator"
        return f"{len(cells)} cells under {len(names)} columns; {hint}"
    given = {name: cell.strip() for name, cell in zip(names, cells, strict=True) if cell.strip()}
    who = next((given[name] for name in NAMES if name in given), f"line {line}")
    persona = {name: value for name, value in given.items() if name not in NAMES}
    if not persona:
        return "nothing is said of this person"
    text = persona.pop(FREE_TEXT, "")
    return Person(persona, text, who)
