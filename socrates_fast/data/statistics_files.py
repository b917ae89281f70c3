"""Tables of SPSS (.sav, .zsav) and Stata (.dta), their cells as text, so that the same mapping reads them as a CSV.

A number is written as shortly as possible: a whole one without a point ("3", never "3.0"). What the file declares as
missing (SPSS: system-missing and user-missing values; Stata: ``.`` and ``.a`` to ``.z``) is an empty cell. Dates are
ISO ("2024-05-31"), times follow after a space. Blanks at the end of a text are padding and go.
"""

import datetime
import math
import struct
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

from socrates_fast.data.faults import Faults
from socrates_fast.data.sniff import mistaken
from socrates_fast.optional import need

ENDINGS = (".sav", ".zsav", ".dta")
"""Name endings of the files that are read here."""

Line = tuple[int, dict[str, str]]
"""Row (from 1) and its cells by column."""


def is_statistics(path: Path) -> bool:
    """Whether a file is one of SPSS or Stata, by its name."""
    return path.suffix.lower() in ENDINGS


class StatisticsTable:
    """A file of SPSS or Stata.

    Args:
        path: the file.
        encoding: for files that do not say theirs; None: what the file says.
        faults: where faults are noted.
    """

    def __init__(self, path: Path, encoding: str | None, faults: Faults) -> None:
        self.path = path
        self.encoding = encoding
        self.faults = faults
        self.header: list[str] = []

    def find_header(self) -> bool:
        """Read the names of the columns.

        Returns:
            Whether the rest can be read.

        Raises:
            MissingDependency: pyreadstat is not installed.
        """
        read = self._reader()
        wrong = mistaken(self.path)
        if wrong is not None:
            self.faults.add(None, wrong)
            return False
        found = self._try(read, metadataonly=True)
        if found is None:
            return False
        self.header = [name for name in found[1].column_names if name]
        if len(self.header) < len(found[1].column_names):
            self.faults.add(
                None, "a column has no name that can be read; the file is damaged: copy or export it again"
            )
            return False
        return True

    def lines(self, columns: Sequence[str], labelled: Collection[str] = ()) -> Iterator[Line]:
        """All rows.

        Args:
            columns: those that are wanted; all are in the header.
            labelled: those whose codes become the texts that the file gives for them.
        """
        found = self._try(self._reader(), usecols=list(columns))
        if found is None:
            return
        cells, about = found
        writers = [self._writer(name, about, name in labelled) for name in columns]
        for row, values in enumerate(zip(*(cells[name] for name in columns), strict=True), 1):
            texts = (write(value) for write, value in zip(writers, values, strict=True))
            yield row, dict(zip(columns, texts, strict=True))

    def _reader(self) -> Callable[..., tuple[dict[str, list[Any]], Any]]:
        module = need("pyreadstat", "reading SPSS and Stata files", "spss")
        reader: Callable[..., tuple[dict[str, list[Any]], Any]] = (
            module.read_dta if self.path.suffix.lower() == ".dta" else module.read_sav
        )
        return reader

    def _try(
        self, read: Callable[..., tuple[dict[str, list[Any]], Any]], **options: Any
    ) -> tuple[Any, Any] | None:
        """What pyreadstat reads; None, and a fault, where it cannot."""
        module = need("pyreadstat", "reading SPSS and Stata files", "spss")
        try:
            return read(str(self.path), output_format="dict", encoding=self.encoding, **options)
        except (module.ReadstatError, module.PyreadstatError) as error:
            self.faults.add(None, self._explained(str(error)))
        except (OverflowError, ValueError) as error:
            self.faults.add(None, f"a date in it is none that can be ({error}); correct it in SPSS or Stata")
        return None

    def _explained(self, error: str) -> str:
        if "encoding" in error or "character set" in error:
            tried = self.encoding or "the encoding that the file states"
            return (
                f"its texts are not in {tried} ({error}); set data.table.encoding to the one of the computer that "
                f"wrote it, such as windows-1252 (Western Europe) or windows-1250 (Central Europe), or copy the file again"
            )
        if "expected number of rows" in error or "Unable to read" in error:
            return f"the file is cut off or damaged ({error}); copy or export it again"
        program = "Stata" if self.path.suffix.lower() == ".dta" else "SPSS"
        return f"not readable as a file of {program} ({error}); export it again, or as CSV"

    @staticmethod
    def _writer(name: str, about: Any, labelled: bool) -> Callable[[Any], str]:
        """How the values of a column become text."""
        single = about.readstat_variable_types.get(name) == "float"
        labels: dict[Any, str] = about.variable_value_labels.get(name, {}) if labelled else {}

        def write(value: Any) -> str:
            label = labels.get(value) if labels and value is not None else None
            return cell_text(value, single) if label is None else label.strip()

        return write


def cell_text(value: Any, single: bool = False) -> str:
    """A value as the text that a CSV export would have for it; None and NaN give "".

    Args:
        single: the number was stored in 32 bits, so that 0.1 is "0.1" and not what it is in 64.
    """
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    if isinstance(value, str):
        return value.rstrip()
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() else _shortest(value) if single else repr(value)
    if isinstance(value, datetime.datetime):
        return value.isoformat(sep=" ")
    if isinstance(value, datetime.date | datetime.time):
        return value.isoformat()
    return str(value)


def _shortest(value: float) -> str:
    """The shortest decimal that is the same number in 32 bits."""
    wanted = struct.pack("f", value)
    texts = (f"{value:.{digits}g}" for digits in range(1, 10))
    return next((text for text in texts if struct.pack("f", float(text)) == wanted), repr(value))
