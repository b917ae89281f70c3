"""A survey export as Qualtrics writes it, made for a test or the real one, and ways in which people damage it."""

import csv
import io
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from socrates_fast.recipe import Data

DISHES = ["soup, with bread", "rice; no sauce", 'the "daily" dish', "crème brûlée"]
CODES = {1: 1, 4: 2, 5: 3, 6: 4, 9: 5}
MADE: dict[str, Any] = {
    "study": "lunch",
    "label_rows": 2,
    "participant": "Id",
    "persona": {
        "age": {"column": "Q1"},
        "ideology": {"column": "Q2", "recode": {"1": "Liberal", "2": "Conservative"}},
    },
    "repetitions": 2,
    "variables": {"dish": "dish_{n}"},
    "stimulus": "For lunch there is {dish}. Only return an integer from 1 to 5, nothing else.",
    "condition": ["dish"],
    "answers": {"column": "rating_{n}_1", "low": 1, "high": 5, "recode": CODES},
}


@dataclass(frozen=True)
class Export:
    """The records of an export and the recipe's section that maps it.

    ``age``, ``ideology``, ``rating`` and ``text`` name columns of that kind, ``person`` the one of the identifier.
    """

    rows: list[list[str]]
    data: Data
    person: str
    age: str
    ideology: str
    rating: str
    text: str

    def bytes(self, delimiter: str = ",", end: str = "\n") -> bytes:
        return "".join(self.records(delimiter, end)).encode()

    def records(self, delimiter: str = ",", end: str = "\n") -> list[str]:
        """Each record as it stands in the file."""
        found = []
        for row in self.rows:
            text = io.StringIO(newline="")
            csv.writer(text, delimiter=delimiter, lineterminator=end).writerow(row)
            found.append(text.getvalue())
        return found

    def line(self, number: int) -> int:
        """The line on which a record (from 0) begins."""
        return 1 + sum(record.count("\n") for record in self.records()[:number])

    def place(self, column: str) -> int:
        return self.rows[0].index(column)

    def with_cell(self, number: int, column: str, value: str) -> "Export":
        rows = [list(row) for row in self.rows]
        rows[number][self.place(column)] = value
        return replace(self, rows=rows)

    def with_rows(self, rows: list[list[str]]) -> "Export":
        return replace(self, rows=rows)


def made_export(folder: Path, people: int = 40) -> Export:
    """A small export with everything that makes real ones hard to read."""
    header = ["StartDate", "Q1", "Q2", "comment", "dish_1", "dish_2", "rating_1_1", "rating_2_1", "Id"]
    labels = [
        "Start Date",
        "How old\nare you,\nplease?",
        "Views",
        "Say more",
        "",
        "",
        "Rate it:\nbad,good",
        "Rate it",
        "",
    ]
    ids = [f'{{"ImportId":"QID{number}","timeZone":"x"}}' for number in range(len(header))]
    codes = list(CODES)
    rows = [
        ["4/21/25 12:08", str(20 + n), str(1 + n % 2), "ok" if n % 3 else "fine,\nreally", DISHES[n % 4], DISHES[(n + 1 + n // 4 % 3) % 4],
         str(codes[n % 5]), str(codes[n // 5 % 5]), str(100 + n)]
        for n in range(people)
    ]  # fmt: skip
    data = Data.model_validate({"source": "table", "path": folder / "export.csv", "table": MADE})
    return Export([header, labels, ids, *rows], data, "Id", "Q1", "Q2", "rating_2_1", "dish_1")


def real_export(path: Path, data: Data) -> Export:
    """The export of the shipped recipe."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.reader(file))
    return Export(rows, data, "TWIN_ID", "Q326", "oonservative", "rating_4_1", "donation_2")


Damage = Callable[[Export], tuple[bytes, str]]
"""Makes the damaged file, and a pattern of what is said about it: file, line, column."""
N = 23
"""The record that is damaged."""


def edited(export: Export, change: Callable[[str], str], number: int = N) -> bytes:
    records = export.records()
    records[number] = change(records[number])
    return "".join(records).encode("utf-8", "surrogateescape")


def _cut_row(export: Export) -> tuple[bytes, str]:
    keep = export.place(export.rating)
    return edited(export, lambda record: ",".join(export.rows[N][:1] * keep) + "\n"), (
        rf":{export.line(N)}: {keep} cells where the header has {len(export.rows[0])}; the line is cut after column "
    )


def _utf16(export: Export) -> tuple[bytes, str]:
    return export.bytes().decode().encode(
        "utf-16"
    ), r"export\.csv: the file is utf-16, not UTF-8; set data\.table\.encoding"


def _latin_byte(export: Export) -> tuple[bytes, str]:
    broken = export.with_cell(N, export.text, "caf\udce9").records()
    return "".join(broken).encode(
        "utf-8", "surrogateescape"
    ), rf":{export.line(N)}: byte 0xE9 is not UTF-8; .*mend this line"


def _cp1252(export: Export) -> tuple[bytes, str]:
    cells = {number: export.with_cell(number, export.text, "“café”").rows[number] for number in range(3, 30)}
    text = "".join(export.with_rows([cells.get(n, row) for n, row in enumerate(export.rows)]).records())
    return text.encode(
        "cp1252", "replace"
    ), r"is not UTF-8; as cp1252 it reads '.*'; .*set data\.table\.encoding: cp1252"


def _missing_column(export: Export) -> tuple[bytes, str]:
    place = export.place(export.rating)
    rows = [[*row[:place], *row[place + 1 :]] for row in export.rows]
    return export.with_rows(rows).bytes(), rf":1: no column '{export.rating}' \(nearest: 'rating_"


def _renamed_column(export: Export) -> tuple[bytes, str]:
    renamed = export.with_cell(0, export.age, f"{export.age}_x")
    return renamed.bytes(), rf":1: no column '{export.age}' \(nearest: '{export.age}_x'\)"


def _swapped_labels(export: Export) -> tuple[bytes, str]:
    head, texts, ids, *people = export.rows
    return export.with_rows([head, ids, texts, *people]).bytes(), (
        r":2: the label rows are swapped: .*import ids stand on line 2 and the question texts on line 3"
    )


def _no_ids(export: Export) -> tuple[bytes, str]:
    rows = [*export.rows[:2], *export.rows[3:]]
    changed = export.with_rows(rows)
    return changed.bytes(), rf":{changed.line(2)}: this line holds answers, .*set data\.table\.label_rows: 1"


def _no_texts(export: Export) -> tuple[bytes, str]:
    changed = export.with_rows([export.rows[0], *export.rows[2:]])
    return (
        changed.bytes(),
        r":3: this line holds answers, .*import ids on line 2 .*set data\.table\.label_rows: 1",
    )


def _sorted(export: Export) -> tuple[bytes, str]:
    changed = export.with_rows([export.rows[0], *export.rows[3:], *export.rows[1:3]])
    last = changed.line(len(changed.rows) - 1)
    return changed.bytes(), rf":{last}: Qualtrics's import ids, .* stand here, among the people"


def _open_quote(export: Export) -> tuple[bytes, str]:
    row = list(export.rows[N])
    row[export.place(export.age)] = '"' + row[export.place(export.age)]
    return edited(export, lambda record: ",".join(cell.replace(",", " ") for cell in row) + "\n"), (
        rf":{export.line(N)}: column {export.age}: a quote is opened here and (not closed|closed only on line)"
    )


def _semicolons(export: Export) -> tuple[bytes, str]:
    """Saved with semicolons and without quotes, by a program that asked nobody."""
    head, texts, ids, *people = export.with_cell(N, export.text, "soup; rice; bread").rows
    rows = [head, [cell.replace("\n", " ").replace(";", ",") for cell in texts], ids]
    rows += [[cell.replace("\n", " ") if cell == "soup; rice; bread" else cell.replace("\n", " ").replace(";", ",")
              for cell in row] for row in people]  # fmt: skip
    text = "".join(";".join(row) + "\n" for row in rows)
    text = text.replace('"ImportId"', "ImportId").replace('"', "")
    return text.encode(), (
        rf":{N + 1}: {len(head) + 2} cells where the header has {len(head)}; a cell with ';' in it needs quotes"
    )


def _truncated(export: Export) -> tuple[bytes, str]:
    whole = export.bytes()
    start = len("".join(export.records()[:-2]).encode())
    end = start + len(export.records()[-2].encode()) // 2
    return whole[
        :end
    ], rf":{export.line(len(export.rows) - 2)}: .*(the file ends here, after column|never closed)"


def _excel_date(export: Export) -> tuple[bytes, str]:
    return export.with_cell(N, export.ideology, "2-Jan").bytes(), (
        rf":{export.line(N)}: column {export.ideology}: '2-Jan' looks like a range that Excel has made a date of"
    )


def _age(export: Export) -> tuple[bytes, str]:
    return export.with_cell(N, export.age, "forty").bytes(), (
        rf":{export.line(N)}: column {export.age}: 'forty' is not a whole number, which age must be"
    )


def _nobody(export: Export) -> tuple[bytes, str]:
    return export.with_cell(N, export.person, " ").bytes(), (
        rf":{export.line(N)}: column {export.person}: is empty; every line needs its person"
    )


def _title(export: Export) -> tuple[bytes, str]:
    return (
        b"My survey\n\n" + export.bytes(),
        r":3: the column names stand here, .*remove the lines above \(line 1 to 2\)",
    )


def _twice_named(export: Export) -> tuple[bytes, str]:
    return export.with_cell(
        0, "StartDate", export.age
    ).bytes(), rf":1: column {export.age}: 2 columns have this name"


def _nul(export: Export) -> tuple[bytes, str]:
    return edited(
        export, lambda record: record[:5] + "\0\0" + record[5:]
    ), rf":{export.line(N)}: NUL bytes in this line"


def _wrapped(export: Export) -> tuple[bytes, str]:
    lines = [",".join(cell.replace("\n", " ") for cell in row).replace('"', '""') for row in export.rows]
    return "".join(
        f'"{line}"\n' for line in lines
    ).encode(), r":1: every line is wrapped in quotes as a whole"


def _rounded(export: Export) -> tuple[bytes, str]:
    return export.with_cell(N, export.person, "1.2E+11").bytes(), (
        rf":{export.line(N)}: column {export.person}: '1\.2E\+11' is a number that Excel has rounded"
    )


DAMAGES: dict[str, Damage] = {
    "cut row": _cut_row, "utf-16": _utf16, "a byte of latin-1": _latin_byte, "cp1252": _cp1252,
    "missing column": _missing_column, "renamed column": _renamed_column, "swapped label rows": _swapped_labels,
    "no import ids": _no_ids, "no question texts": _no_texts, "sorted": _sorted, "unclosed quote": _open_quote,
    "semicolons, quotes lost": _semicolons, "truncated": _truncated, "Excel date": _excel_date, "age in words": _age,
    "no identifier": _nobody, "a title above": _title, "a name twice": _twice_named, "NUL bytes": _nul,
    "lines in quotes": _wrapped, "identifier rounded by Excel": _rounded,
}  # fmt: skip
"""Damages that must stop the work."""


def _repeated(export: Export) -> tuple[bytes, str]:
    changed = export.with_rows([*export.rows, export.rows[N]])
    name = export.rows[N][export.place(export.person)]
    return changed.bytes(), (
        rf":{changed.line(len(export.rows))}: column {export.person}: person '{name}' stands on line {export.line(N)} too"
    )


def _text_rating(export: Export) -> tuple[bytes, str]:
    return export.with_cell(N, export.rating, "seven").bytes(), (
        rf":{export.line(N)}: column {export.rating}: 'seven' is no answer that data\.table\.answers\.recode lists"
    )


def _no_answer(export: Export) -> tuple[bytes, str]:
    return export.with_cell(
        N, export.rating, ""
    ).bytes(), rf":{export.line(N)}: column {export.rating}: no answer"


def _no_text(export: Export) -> tuple[bytes, str]:
    return export.with_cell(
        N, export.text, " "
    ).bytes(), rf":{export.line(N)}: column {export.text}: the stimulus is empty"


SEEN = [name for name in DAMAGES if name not in (
    "no question texts", "age in words", "no identifier", "a title above", "a name twice", "NUL bytes",
    "lines in quotes", "identifier rounded by Excel",
)]  # fmt: skip
"""Those that are tried on the real export, which takes longer."""

LOSSES: dict[str, Damage] = {
    "repeated person": _repeated, "rating in words": _text_rating, "no answer": _no_answer, "empty variable": _no_text,
}  # fmt: skip
"""Damages by which rows are left out."""
