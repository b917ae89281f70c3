"""What is wrong with a data file, by place: collected, so that one look shows everything at once."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from socrates_fast.errors import DataError

SHOWN_PLACES = 4
"""Places of one kind of fault that are named besides the first."""

LONGEST = 60
"""Characters of a value that a message shows."""

QUOTES = "'\""

MOST = 20
"""Faults that an error message lists; the rest are counted."""


@dataclass(frozen=True)
class Fault:
    """One thing that is wrong, at the first place where it is, and how often it is.

    Attributes:
        file: where it is.
        line: line of a text file, or row of a table that has none (see ``unit``), from 1; None: the whole file.
        column: name of the column, if it is in one.
        message: what is wrong and what to do.
        unit: what ``line`` counts: "line" or "row".
        count: places where it is.
        more: the next places after ``line``, at most ``SHOWN_PLACES``.
    """

    file: Path
    line: int | None
    column: str | None
    message: str
    unit: str = "line"
    count: int = 1
    more: tuple[int, ...] = ()

    def __str__(self) -> str:
        """Place and message, as an editor jumps to it: "export.csv:12: column Q1: ..."."""
        place = str(self.file)
        if self.line is not None:
            place += f":{self.line}" if self.unit == "line" else f": row {self.line}"
        column = f" column {self.column}:" if self.column else ""
        return f"{place}:{column} {self.message}{self._others()}"

    def _others(self) -> str:
        others = self.count - 1
        if not others:
            return ""
        rest = f", and {others - len(self.more)} others" if others > len(self.more) else ""
        unit = self.unit + ("s" if others > 1 else "")
        named = f"; also {unit} {', '.join(map(str, self.more))}{rest}" if self.more else ""
        return f" ({self.count} times{named})"

    def as_dict(self) -> dict[str, Any]:
        """The same for JSON."""
        return {
            "file": str(self.file), "unit": self.unit, "line": self.line, "column": self.column,
            "message": self.message, "count": self.count, "more": list(self.more),
        }  # fmt: skip


@dataclass
class _Kind:
    line: int | None
    column: str | None
    message: str
    count: int = 1
    more: list[int] = field(default_factory=list)


class Faults:
    """Collects the faults of one file; those of one kind become one, so that memory stays bounded.

    Args:
        file: the file.
        unit: what its places are counted in: "line" or "row".
    """

    def __init__(self, file: Path, unit: str = "line") -> None:
        self.file = file
        self.unit = unit
        self._kinds: dict[tuple[str | None, str], _Kind] = {}

    def add(
        self,
        line: int | None,
        message: str,
        column: str | None = None,
        kind: str | None = None,
        more: Iterable[int] = (),
        count: int = 1,
    ) -> None:
        """Note a fault.

        Args:
            line: where it is; None: the whole file.
            message: what is wrong and what to do.
            column: the column's name.
            kind: faults of one column and kind are counted together, under the first one's message; None: those
                whose message is the same.
            more: further places of it.
            count: how many places there are.
        """
        key = (column, kind or message)
        known = self._kinds.get(key)
        if known is None:
            self._kinds[key] = _Kind(line, column, message, count, list(more)[:SHOWN_PLACES])
            return
        known.count += count
        if len(known.more) < SHOWN_PLACES and line is not None:
            known.more = [*known.more, line, *more][:SHOWN_PLACES]

    def __len__(self) -> int:
        return len(self._kinds)

    def list(self) -> list[Fault]:
        """All of them, in the order of their places."""
        faults = [
            Fault(self.file, kind.line, kind.column, kind.message, self.unit, kind.count, tuple(kind.more))
            for kind in self._kinds.values()
        ]
        return sorted(faults, key=lambda fault: fault.line or 0)

    def refuse(self) -> None:
        """Raise what was collected.

        Raises:
            DataError: there is a fault.
        """
        if self._kinds:
            raise DataError(in_words(self.list()))


def shortened(value: Any) -> str:
    """A value as it stands in a file, cut if it is long."""
    text = repr(value)
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}...{text[0] if text[0] in QUOTES else ''}"


def in_words(faults: Sequence[Fault], most: int = MOST) -> str:
    """Faults, one a line; those after the first ``most`` are counted."""
    left = len(faults) - most
    return "\n".join([*map(str, faults[:most]), *([f"... and {left} more faults"] if left > 0 else [])])
