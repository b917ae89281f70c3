"""A comparison on a terminal of 80 columns."""

from typing import TYPE_CHECKING

from socrates_fast.evaluate.compare import Comparison, Line
from socrates_fast.evaluate.compare.read import one_line
from socrates_fast.evaluate.compare.words import (
    LEGEND,
    banners,
    conclusions,
    heading,
    interval,
    notes,
    percent,
    shown,
    size,
)

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

STYLES = {"better": "bold green", "worse": "bold red", "cannot tell": "dim", "same": "dim"}

_LONGEST_WORD = 13
"""Characters of the longest word in a figure's name or title."""


def print_comparison(comparison: Comparison, console: "Console | None" = None) -> None:
    """Print who is compared, every figure, the conclusions, and what the intervals are.

    Args:
        console: where; the terminal by default.
    """
    from rich.console import Console as RichConsole
    from rich.text import Text

    console = console or RichConsole(highlight=False)
    console.print(_who(comparison))
    console.print(Text(size(comparison), "dim"))
    console.print(Text(), _table(comparison), Text(), sep="\n")
    console.print(Text(LEGEND, "dim"))
    for title, sentences in (
        ("Headline", conclusions(comparison)),
        ("Before you conclude", [*banners(comparison), *notes(comparison)]),
    ):
        if sentences:
            console.print(Text(f"\n{title}", "bold"), _listed(sentences), sep="\n")


def _listed(sentences: list[str]) -> "Table":
    """Sentences with a hanging dash."""
    from rich.text import Text

    table = _plain_table(2)
    for sentence in sentences:
        table.add_row("-", Text(one_line(sentence)))
    return table


def _who(comparison: Comparison) -> "Table":
    from rich.text import Text

    table = _plain_table(3)
    for number, entry in enumerate(comparison.entries):
        reference = "(the reference) " if number == 0 else ""
        table.add_row(entry.key, Text(entry.label), Text(f"{reference}{one_line(str(entry.folder))}"))
    return table


def _plain_table(columns: int) -> "Table":
    """Without rules and heading."""
    from rich.table import Table

    table = Table.grid(padding=(0, 1, 0, 0))
    for _ in range(columns):
        table.add_column(overflow="fold")
    return table


def _table(comparison: Comparison) -> "Table":
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    single = len(comparison.entries) == 2
    headings = {
        "A": "A", "key": "", "other": "B" if single else "other", "difference": "B - A" if single else "- A",
        "interval": f"{comparison.intervals['level']} % interval", "gain": "gain", "verdict": "",
    }  # fmt: skip
    if single:
        del headings["key"]
    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False, show_edge=False)
    table.add_column("", overflow="fold", min_width=_LONGEST_WORD)
    for name, text in headings.items():
        table.add_column(text, justify="left" if name in ("key", "verdict") else "right", no_wrap=True)
    for title, lines in comparison.sections:
        table.add_section()
        table.add_row(Text(title, "bold"))
        for line in lines:
            cells = _cells(line)
            table.add_row(heading(line).replace("\u00a0", " "), *(cells[name] for name in headings))
    return table


def _cells(line: Line) -> "dict[str, str | Text]":
    """A figure's cells by column, in which each evaluation but the reference has a line."""
    from rich.text import Text

    found = line.differences
    return {
        "A": shown(line.values["A"]),
        "key": "\n".join(one.key for one in found),
        "other": "\n".join(shown(line.values[one.key]) for one in found),
        "difference": "\n".join(shown(one.difference, signed=True) for one in found),
        "interval": "\n".join(interval(one.difference, signed=True) for one in found),
        "gain": "\n".join(percent(one.improvement, brief=True) for one in found),
        "verdict": Text("\n").join(Text(one.verdict, STYLES[one.verdict]) for one in found),
    }
