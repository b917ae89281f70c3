"""Lines of a survey file to rows of answers, as a recipe maps them; what does not fit is noted by line and column."""

import hashlib
import re
from collections.abc import Iterator
from typing import Any

import polars as pl

from socrates_fast.data.columns import INTEGER_FIELDS
from socrates_fast.data.faults import Faults, shortened
from socrates_fast.data.schema import DEMOGRAPHIC
from socrates_fast.recipe import PERSONA_FIELDS, Table

LONGEST_NUMBER = 18
"""Digits that fit a 64-bit integer whatever they are."""

UNLISTED = "code "
"""What an answer begins with whose code ``answers.recode`` does not list."""

OLDEST = 120
"""Years; a higher age is no age."""

_NAMED = 100
"""Repeated people that are named one by one."""

_EXCEL_DATE = re.compile(
    r"\d{1,2}[-. ]{1,2}(?:jan|feb|m[aä]r|apr|ma[iy]|jun|jul|aug|sep|o[ck]t|nov|de[cz])[a-zä]*\.?(?:[-. ]+\d{2,4})?"
    r"|(?:jan|feb|m[aä]r|apr|ma[iy]|jun|jul|aug|sep|o[ck]t|nov|de[cz])[a-zä]*[-. ]+\d{2,4}",
    re.IGNORECASE,
)
_EXCEL_NUMBER = re.compile(r"\d(?:[.,]\d+)?E\+?\d+", re.IGNORECASE)

Line = tuple[int, dict[str, str]]
"""Line number in the file (from 1) and the cells of the mapped columns."""


class LinesToRows:
    """Lines to rows, as the recipe maps them."""

    def __init__(self, table: Table, faults: Faults, notes: Faults, repeats: Faults) -> None:
        self.table, self.faults, self.notes, self.repeats = table, faults, notes, repeats
        self.people = 0
        self._lines: dict[int, int] = {}
        self._arms: dict[tuple[str, ...], int] = {}
        self._fit: set[int] = set()
        self._filled: set[str] = set()
        numbers = range(1, table.repetitions + 1)
        self._answers = [table.answers.column.format(n=n) for n in numbers]
        self._variables = [{name: c.format(n=n) for name, c in table.variables.items()} for n in numbers]
        self._known = {str(code): str(value) for code, value in table.answers.recode.items()}
        extra = {name: pl.String for name in table.persona if name not in PERSONA_FIELDS}
        self._schema: dict[str, Any] = {
            "participant": pl.Int64, "_arm": pl.UInt32, "line": pl.Int64, "column": pl.String, "sample_id": pl.Int64,
            "demographic": pl.Struct({**{f.name: f.dtype for f in DEMOGRAPHIC.fields}, **extra}),
            "stimuli": pl.String, "response": pl.String,
        }  # fmt: skip

    def frame(self, block: list[Line]) -> pl.DataFrame:
        """The rows of some lines; ``_arm`` numbers the arms in the order in which they come."""
        return pl.DataFrame([row for line, cells in block for row in self._rows(line, cells)], self._schema)

    def finish(self, parts: list[pl.DataFrame]) -> pl.DataFrame:
        """All rows, the arms numbered in the order of their names."""
        for name, source in self.table.persona.items():
            if self.people and name not in self._filled:
                self.notes.add(None, f"is empty in every line; no persona has {name}", source.column)
        names = list(self._arms)
        fit = sorted(names[arm] for arm in self._fit)
        number = {name: place for place, name in enumerate(fit)}
        arms = pl.DataFrame(
            {"_arm": range(len(names)), "condition": [" / ".join(name) for name in names],
             "condition_num": [number.get(name) for name in names]},
            {"_arm": pl.UInt32, "condition": pl.String, "condition_num": pl.Int64},
        )  # fmt: skip
        rows = pl.concat(parts or [pl.DataFrame(schema=self._schema)])
        rows = rows.join(arms, on="_arm", how="left", maintain_order="left")
        answers = self.table.answers
        return rows.select(
            pl.lit(self.table.study).alias("study_id"), "participant", "condition",
            pl.lit(0, pl.Int64).alias("task_num"), "demographic", "stimuli", "response",
            pl.lit(answers.low, pl.Int64).alias("low"), pl.lit(answers.high, pl.Int64).alias("high"),
            "line", "column", "condition_num", "sample_id",
        )  # fmt: skip

    def _rows(self, line: int, cells: dict[str, str]) -> Iterator[dict[str, Any]]:
        self.people += 1
        person = self._person(line, cells)
        demographic = self._persona(line, cells)
        for n in range(1, self.table.repetitions + 1):
            answer = self._answer(line, cells, n)
            if person is None:
                continue
            arm, stimulus, column = self._stimulus(cells, n)
            yield {
                "participant": person, "_arm": arm, "demographic": demographic, "stimuli": stimulus,
                "response": answer, "line": line, "column": column, "sample_id": _hashed(f"{person}/{n}"),
            }  # fmt: skip

    def _stimulus(self, cells: dict[str, str], n: int) -> tuple[int, str | None, str]:
        """The arm, the text, and the column of the answer.

        With an empty cell in it the text is none that a respondent read, and the column is that cell's.
        """
        columns = self._variables[n - 1]
        filled = {name: cells[column].strip() for name, column in columns.items()}
        arm = self._arms.setdefault(tuple(filled[name] for name in self.table.condition), len(self._arms))
        empty = next((columns[name] for name, text in filled.items() if not text), None)
        if empty is not None:
            return arm, None, empty
        self._fit.add(arm)
        listed = {name: texts[n - 1] for name, texts in self.table.lists.items()}
        text = self.table.stimulus.format(**filled, **listed, n=n).strip()
        return arm, text, self._answers[n - 1]

    def _answer(self, line: int, cells: dict[str, str], n: int) -> str | None:
        """The answer after recoding; a code that the recipe does not list keeps its text, marked as not on the scale."""
        column = self._answers[n - 1]
        text = cells[column].strip()
        plain = _plain(text)
        if text in self.table.answers.missing or plain in self.table.answers.missing:
            return None
        self._is_excel_date(line, column, text)
        return self._known.get(plain, f"{UNLISTED}{text}") if self._known else plain

    def _persona(self, line: int, cells: dict[str, str]) -> dict[str, Any]:
        persona: dict[str, Any] = dict.fromkeys(PERSONA_FIELDS)
        for name, source in self.table.persona.items():
            text = cells[source.column].strip()
            known = next((code for code in (text, _plain(text)) if code in source.recode), None)
            if text:
                self._filled.add(name)
            value = source.recode[known] if known is not None else text
            if known is None and text:
                if self._is_excel_date(line, source.column, text):
                    continue
                if source.recode:
                    self.notes.add(
                        line,
                        f"{shortened(text)} is not in the recode of {name}; it stays as it is",
                        source.column,
                    )
            if value:
                persona[name] = (
                    self._integer(line, name, source.column, value) if name in INTEGER_FIELDS else value
                )
        return persona

    def _integer(self, line: int, name: str, column: str, text: str) -> int | None:
        plain = _plain(text)
        if not plain.isdecimal() or len(plain) > LONGEST_NUMBER:
            self.faults.add(
                line,
                f"{shortened(text)} is not a whole number, which {name} must be; recode it, or map it to null to "
                f"leave the field out",
                column,
                kind="number",
            )
            return None
        if name == "age" and int(plain) > OLDEST:
            self.notes.add(
                line, f"age is {plain}; is it a year of birth, or a code for no answer?", column, "age"
            )
        return int(plain)

    def _person(self, line: int, cells: dict[str, str]) -> int | None:
        """A number that depends on the person's identifier alone, so that the split does not depend on line order."""
        column = self.table.participant
        if column is None:
            return line
        name = _plain(cells[column].strip())
        if not name:
            self.faults.add(line, f"is empty; every {self.faults.unit} needs its person", column)
            return None
        if _EXCEL_NUMBER.fullmatch(name):
            self.faults.add(
                line,
                f"{name!r} is a number that Excel has rounded, so that several people may share it; export the file "
                f"again and do not save it from Excel",
                column,
                kind="rounded",
            )
        person = int(name) if name.isdecimal() and len(name) <= LONGEST_NUMBER else _hashed(name)
        first = self._lines.setdefault(person, line)
        if first != line:
            message = (
                f"person {name!r} stands on {self.repeats.unit} {first} too; of two answers the first counts, unless "
                f"data.duplicates says otherwise"
            )
            self.repeats.add(line, message, column, None if len(self.repeats) < _NAMED else "repeat")
        return person

    def _is_excel_date(self, line: int, column: str, text: str) -> bool:
        if not _EXCEL_DATE.fullmatch(text):
            return False
        self.faults.add(
            line,
            f"{text!r} looks like a range that Excel has made a date of (such as '1-2', which becomes '2-Jan'); export "
            f"the file again and do not save it from Excel, or recode it",
            column,
            kind="date",
        )
        return True


def _plain(text: str) -> str:
    """A whole number without ".0", which is how a column of whole numbers with gaps is often written."""
    return text[:-2] if text.endswith(".0") and text[:-2].lstrip("-").isdecimal() else text


def _hashed(name: str) -> int:
    """A number of 63 bits that depends on a name alone."""
    return int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest(), "big") >> 1
