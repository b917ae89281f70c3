"""Records of a delimited text file, with the line on which each begins; what is broken is noted, not raised.

After a broken record reading goes on with the next line, so that one look finds every broken one.
"""

import csv
import re
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TextIO

from socrates_fast.data.faults import Faults
from socrates_fast.data.sniff import advice, decodes, is_encoding, mistaken, other_encoding, remedy, shown

DELIMITERS = (",", ";", "\t", "|")
"""Separators that are tried where none is declared."""

LOOKED_AT = 20
"""Records among which the header is looked for."""

_UNDECODED = re.compile("[\udc80-\udcff]")
"""How Python hands over a byte that is not in the encoding (surrogateescape)."""

_QUOTED = re.compile('"(?:[^"]|"")*"(?!")')
_LINE_END = re.compile("\r\n|\r|\n")


@dataclass(frozen=True)
class Record:
    """Cells of one record and the line on which it begins (from 1)."""

    line: int
    cells: list[str]


class _Lines:
    """The lines of a file, some of which can be given back to be read again."""

    def __init__(self, file: TextIO) -> None:
        self._file = file
        self._again: deque[str] = deque()
        self.number = 0
        self.taken: list[str] = []

    def __iter__(self) -> "_Lines":
        return self

    def __next__(self) -> str:
        line = self._again.popleft() if self._again else next(self._file)
        if not self.number:
            line = line.removeprefix("\ufeff")  # the mark that some programs begin a file with
        self.number += 1
        self.taken.append(line)
        return line

    def keep_first(self) -> None:
        """Give back all lines that were taken but the first."""
        back = self.taken[1:]
        self._again.extendleft(reversed(back))
        self.number -= len(back)


class TextTable:
    """A delimited text file.

    Args:
        path: the file.
        encoding: its encoding.
        faults: where faults are noted.
        delimiter: what separates cells; None: found out.
        declared: whether a recipe declares the encoding; if not, it must be UTF-8.
    """

    def __init__(
        self, path: Path, encoding: str, faults: Faults, delimiter: str | None = None, declared: bool = True
    ) -> None:
        self._declared = declared
        self.path = path
        self.encoding = encoding
        self.faults = faults
        self.delimiter = delimiter
        self.header: list[str] = []
        self.header_line = 1
        self.above_header = 0
        self.headless = False
        self._ends: set[str] = set()
        self._fitting = 0  # lines with characters beyond ASCII that are in the encoding
        self._bad: list[tuple[int, str]] = []
        self._bad_lines = 0

    def find_header(self, wanted: Sequence[str]) -> bool:
        """Read the header: among the first records and separators the one with most of the columns ``wanted``.

        Returns:
            Whether the rest can be read.
        """
        if not self._readable():
            return False
        candidates = [self.delimiter] if self.delimiter else list(DELIMITERS)
        best, found, position = candidates[0], -1, 0
        first: list[str] = []
        for delimiter in candidates:
            records = self._beginning(delimiter)
            for index, record in enumerate(records):
                count = len(set(wanted) & set(_names(record.cells)))
                if count > max(found, 0) or found < 0:
                    best, found, position = delimiter, count, index
            first = first or (records[0].cells if records else [])
        self.delimiter, self.above_header = best, position
        header = next(islice(self._records(best, Faults(self.path)), position, None), None)
        if header is None:
            self.faults.add(None, "the file holds no line with text")
            return False
        self.headless = not found and bool(wanted)
        if self.headless:
            self._no_header(wanted, first)
            return False
        self.header, self.header_line = _names(header.cells), header.line
        if position:
            self.faults.add(
                header.line,
                f"the column names stand here, not on the first line; remove the lines above (line 1 to {header.line - 1})",
            )
        return True

    def _no_header(self, wanted: Sequence[str], first: list[str]) -> None:
        begins = ", ".join(repr(cell[:30]) for cell in first[:3])
        if len(first) == 1 and any(set(wanted) & set(first[0].split(each)) for each in DELIMITERS):
            message = (
                "every line is wrapped in quotes as a whole, so that it is one cell; export the file again"
            )
            self.faults.add(1, message)
            return
        self.faults.add(
            1,
            f"no header: none of the {len(wanted)} columns that are needed ({', '.join(wanted[:3])}, ...) is named in the "
            f"first {LOOKED_AT} lines; the file begins with {begins}. Is it the right file, with its column names?",
        )

    def _readable(self) -> bool:
        wrong = mistaken(self.path)
        if wrong is None and not is_encoding(self.encoding):
            wrong = f"there is no encoding {self.encoding!r}; set data.table.encoding to one such as utf-8 or cp1252"
        if wrong is None and (proven := other_encoding(self.path, self.encoding)):
            wrong = f"the file is {proven}, not {shown(self.encoding)}; {remedy(proven, self._declared)}"
        if wrong is not None:
            self.faults.add(None, wrong)
        return wrong is None

    def _beginning(self, delimiter: str) -> list[Record]:
        return list(islice(self._records(delimiter, Faults(self.path)), LOOKED_AT))

    def records(self) -> Iterator[Record]:
        """Records below the header, blank ones left out."""
        assert self.delimiter is not None  # find_header
        records = self._records(self.delimiter, self.faults)
        yield from (record for record in records if record.line > self.header_line)
        self._note_encoding()

    @property
    def mixed_ends(self) -> bool:
        """Whether the records that were read end in different ways."""
        return len(self._ends) > 1

    def _records(self, delimiter: str, faults: Faults) -> Iterator[Record]:
        self._ends, self._bad, self._bad_lines, self._fitting = set(), [], 0, 0
        with self.path.open(encoding=self.encoding, errors="surrogateescape", newline="") as file:
            lines = _Lines(file)
            reader = csv.reader(lines, delimiter=delimiter, strict=True)
            while True:
                lines.taken = []
                begin = lines.number + 1
                try:
                    cells = next(reader)
                except StopIteration:
                    return
                except UnicodeError as error:
                    faults.add(
                        begin,
                        f"from here on the file is not {shown(self.encoding)} ({error}); is that its encoding?",
                    )
                    return
                except csv.Error as error:
                    self._broken(lines, begin, delimiter, str(error), faults)
                    continue
                if self._sound(lines, begin, cells, delimiter, faults):
                    yield Record(
                        begin, [_UNDECODED.sub("\ufffd", cell) for cell in cells] if self._bad else cells
                    )

    def _broken(self, lines: _Lines, begin: int, delimiter: str, error: str, faults: Faults) -> None:
        if "expected after" not in error:
            where = "it is never closed"
        elif len(lines.taken) == 1:
            where = "the next one is not at the end of a cell"
        else:
            where = f"the next one is on line {begin + len(lines.taken) - 1}"
        column = self._name(_broken_cell(lines.taken[0], delimiter))
        message = f"a quote is opened here and not closed ({where}); close it, or double the quotes that belong to the text"
        faults.add(begin, message, column, kind="quote")
        lines.keep_first()

    def _sound(self, lines: _Lines, begin: int, cells: list[str], delimiter: str, faults: Faults) -> bool:
        """Whether a record can be used; notes why not."""
        text = lines.taken[0] if len(lines.taken) == 1 else "".join(lines.taken)
        if "\0" in text:
            faults.add(
                begin,
                "NUL bytes in this line; the file was damaged when it was copied; copy it again",
                kind="NUL",
            )
            return False
        if not text.isascii():
            self._see(begin, text)
        if not any(cells):
            return False
        self._ends.add("\r\n" if text.endswith("\r\n") else text[-1] if text[-1] in "\r\n" else "")
        self._ends.discard("")
        if self.header and begin > self.header_line and len(cells) != len(self.header):
            self._miscounted(lines, begin, cells, delimiter, faults)
            return False
        return True

    def _miscounted(
        self, lines: _Lines, begin: int, cells: list[str], delimiter: str, faults: Faults
    ) -> None:
        expected = len(self.header)
        swallowed = any(
            len(next(csv.reader([line], delimiter=delimiter), [])) == expected for line in lines.taken[1:]
        )
        if swallowed:
            message = (
                f"a quote is opened here and closed only on line {begin + len(lines.taken) - 1}; close it"
            )
            faults.add(begin, message, self._name(_broken_cell(lines.taken[0], delimiter)), kind="quote")
            lines.keep_first()
            return
        count = f"{len(cells)} cells where the header has {expected}"
        if len(cells) > expected:
            hint = f"a cell with {delimiter!r} in it needs quotes"
        elif not lines.taken[-1].endswith(("\n", "\r")):
            hint = f"the file ends here, after column {self._name(len(cells) - 1)}; it was not copied or exported whole"
        else:
            hint = f"the line is cut after column {self._name(len(cells) - 1)}, or a separator is missing"
        faults.add(begin, f"{count}; {hint}", kind=f"cells {'over' if len(cells) > expected else 'under'}")

    def _name(self, index: int) -> str | None:
        return self.header[index] if 0 <= index < len(self.header) else None

    def _see(self, line: int, text: str) -> None:
        if not _UNDECODED.search(text):
            self._fitting += 1
            return
        self._bad_lines += 1
        if len(self._bad) < 5:
            self._bad.append((line, text))

    def _note_encoding(self) -> None:
        if not self._bad:
            foreign = not shown(self.encoding).upper().startswith("UTF")
            if self._fitting and foreign and decodes(self.path, "utf-8"):
                self.faults.add(
                    None, f"the file is UTF-8, not {self.encoding}; {remedy('utf-8', self._declared)}"
                )
            return
        line, text = self._bad[0]
        first = _UNDECODED.search(text)
        assert first is not None
        byte = ord(first[0]) - 0xDC00
        line += len(_LINE_END.findall(text, 0, first.start()))
        sample = text[max(0, first.start() - 20) :].encode(
            self.encoding.replace("-sig", ""), "surrogateescape"
        )
        self.faults.add(
            line,
            f"byte 0x{byte:02X} is not {shown(self.encoding)}; {advice(self.path, self.encoding, sample, self._fitting > 0, self._declared)}",
            kind="encoding",
            more=[place for place, _ in self._bad[1:]],
            count=self._bad_lines,
        )


def _broken_cell(line: str, delimiter: str) -> int:
    """Which cell of a line (from 0) begins with a quote that does not end it in this line; -1: none."""
    cell, start = 0, 0
    while start < len(line):
        if line[start] == '"':
            quoted = _QUOTED.match(line, start)
            if quoted is None or line[quoted.end() : quoted.end() + 1] not in (delimiter, "\r", "\n", ""):
                return cell
            start = quoted.end()
        end = line.find(delimiter, start)
        if end < 0:
            return -1
        cell, start = cell + 1, end + 1
    return -1


def _names(cells: list[str]) -> list[str]:
    """Column names of a header."""
    return [cell.strip() for cell in cells]
