"""The head of a survey export: its columns and its label rows, and what is wrong with them."""

import difflib
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import chain, islice, takewhile

from socrates_fast.data.columns import INTEGER_FIELDS
from socrates_fast.data.faults import Faults
from socrates_fast.data.table_lines import Record, TextTable
from socrates_fast.recipe import Table

_FEW = 5
"""Missing columns that are named one by one, however many are."""

_LOOKAHEAD = 4
"""Records below the label rows that are looked at before the first is taken for a person."""


def mapped_columns(table: Table) -> list[str]:
    """Every column that the recipe names, each once."""
    numbers = range(1, table.repetitions + 1)
    patterns = [table.answers.column, *table.variables.values()]
    columns = [column.column for column in table.persona.values()]
    columns += [pattern.format(n=n) for pattern in patterns for n in numbers]
    columns += [table.participant] if table.participant else []
    return list(dict.fromkeys(columns))


def check_columns(
    table: Table, header: Sequence[str], line: int | None, faults: Faults, notes: Faults
) -> bool:
    """Whether every mapped column is in the header, once; notes which are not."""
    counts = Counter(header)
    wanted = mapped_columns(table)
    missing = [column for column in wanted if not counts[column]]
    if len(missing) > max(_FEW, len(wanted) // 2):
        first = ", ".join(map(repr, missing[:_FEW]))
        faults.add(
            line,
            f"{len(missing)} of the recipe's {len(wanted)} columns are missing ({first}, ...); is it the right file?",
        )
        return False
    for column in missing:
        near = nearest(column, header)
        faults.add(line, f"no column {column!r}" + (f" (nearest: {near!r})" if near else ""), kind=column)
    for column in wanted:
        if counts[column] > 1:
            message = f"{counts[column]} columns have this name; which of them is meant? Rename the others"
            faults.add(line, message, column)
    for column, count in counts.items():
        if column and count > 1 and column not in wanted:
            notes.add(line, f"{count} columns have this name; the recipe names none of them", column)
    return all(counts[column] == 1 for column in wanted)


def nearest(name: str, known: Sequence[str]) -> str | None:
    """The name most like ``name``, whatever its case; None: none is like it."""
    by_case = {other.lower(): other for other in known}
    near = difflib.get_close_matches(name.lower(), list(by_case), n=1)
    return by_case[near[0]] if near else None


def people(text: TextTable, table: Table, faults: Faults) -> Iterator[Record]:
    """The records below the label rows; a label row among them is noted and left out."""
    records = text.records()
    expected = table.label_rows
    head = list(islice(records, expected + _LOOKAHEAD))
    labels = _Labels(text, table, faults, head, expected)
    skip = labels.above_people() if text.above_header else labels.count()
    for place, record in enumerate(chain(head[skip:], records), skip):
        if not _is_import_ids(record):
            yield record
        elif place >= len(head):
            faults.add(record.line, "Qualtrics's import ids, the second label row, stand here, among the people. "
                       "Was the file sorted? Put the label rows below the header")  # fmt: skip


def _is_import_ids(record: Record) -> bool:
    """Whether it is Qualtrics's second label row, whose cells are {"ImportId": ...}."""
    filled = [cell for cell in record.cells if cell]
    found = sum(cell.startswith(('{"ImportId"', "{'ImportId'")) for cell in filled)
    return found > 0 and found * 2 >= len(filled)


class _Labels:
    """How many of the first records are labels, and whether that is what the recipe says."""

    def __init__(
        self, text: TextTable, table: Table, faults: Faults, head: list[Record], expected: int
    ) -> None:
        self.table, self.faults, self.head, self.expected = table, faults, head, expected
        numbers = range(1, table.repetitions + 1)
        self._answers = _places(text.header, [table.answers.column.format(n=n) for n in numbers])
        integers = [column.column for name, column in table.persona.items() if name in INTEGER_FIELDS]
        self._integers = _places(text.header, integers)
        answers = table.answers
        codes = answers.recode or range(answers.low, answers.high + 1)
        self._codes = {str(code) for code in codes} if len(codes) <= 10_000 else None
        self._says = f"data.table.label_rows is {table.label_rows}"

    def count(self) -> int:
        """Records to step over."""
        at = next((place for place, record in enumerate(self.head) if _is_import_ids(record)), None)
        if at is None:
            return self._plain()
        line = self.head[at].line
        if any(map(self._is_person, self.head[:at])):
            self.faults.add(
                line,
                "Qualtrics's import ids, the second label row, stand here, below lines that hold answers. Was the "
                "file sorted? Put the two label rows (question texts, then import ids) below the header",
            )
            return next(place for place, record in enumerate(self.head) if self._is_person(record))
        if at >= self.expected:
            self.faults.add(
                line,
                f"Qualtrics's import ids stand here, the last of {at + 1} label rows, but {self._says}; "
                f"set data.table.label_rows: {at + 1}",
            )
        elif at < self.expected - 1:
            return self._early(at)
        return at + 1

    def above_people(self) -> int:
        """Records before the first person, at most as many as labels are expected; for a file whose head is wrong."""
        labels = takewhile(lambda record: not self._is_person(record), self.head[: self.expected])
        return len(list(labels))

    def _early(self, at: int) -> int:
        """The import ids stand before the last of the label rows."""
        line, after = self.head[at].line, self.head[at + 1 : self.expected]
        people = [record for record in after if self._is_person(record)]
        if people or not after:
            place = people[0].line if people else line
            self.faults.add(
                place,
                f"this line holds answers, but {self._says}, which steps over it; the import ids on line {line} "
                f"are Qualtrics's last label row, so one above them is missing: put it back, or set "
                f"data.table.label_rows: {at + 1}",
            )
            return at + 1
        self.faults.add(
            line,
            f"the label rows are swapped: Qualtrics's import ids stand on line {line} and the question texts on line "
            f"{after[0].line}; Qualtrics writes the texts first. Was the file sorted? Put them in order",
        )
        return self.expected

    def _plain(self) -> int:
        """Labels that are not known by what they say: a line with answers is none."""
        real = next(
            (n for n, record in enumerate(self.head[: self.expected]) if self._is_person(record)), None
        )
        if real is not None:
            self.faults.add(
                self.head[real].line,
                f"this line holds answers, but {self._says}, which steps over it as a label row; the file has only "
                f"{real}: set data.table.label_rows: {real} (or put the others back, if the file was sorted)",
            )
            return real
        if len(self.head) > self.expected and self._is_label(self.head[self.expected]):
            self.faults.add(
                self.head[self.expected].line,
                f"this line seems to hold labels, not a person, but {self._says}; "
                f"set data.table.label_rows: {self.table.label_rows + 1}",
            )
            return self.expected + 1
        return self.expected

    def _is_person(self, record: Record) -> bool:
        answers = [record.cells[place].strip().removesuffix(".0") for place in self._answers]
        known = any(a in self._codes if self._codes is not None else _is_number(a) for a in answers)
        return known or any(_is_number(record.cells[place]) for place in self._integers)

    def _is_label(self, record: Record) -> bool:
        """Whether every cell that should be a number is a text."""
        if not self._integers or not self._answers or _is_import_ids(record):
            return False
        cells = [record.cells[place].strip() for place in (*self._integers, *self._answers)]
        return all(cell and not any(letter.isdigit() for letter in cell[:1]) for cell in cells) and not any(
            cell in self.table.answers.missing for cell in cells
        )


def _is_number(cell: str) -> bool:
    return cell.strip().removesuffix(".0").isdecimal()


def _places(header: Sequence[str], columns: Sequence[str]) -> list[int]:
    return [header.index(column) for column in columns if column in header]
