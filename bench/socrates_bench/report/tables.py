"""Markdown tables of measurements, one for each run: what its lines share above it, what differs in its columns."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from socrates_bench.record import Measurement
from socrates_bench.report.choose import runs
from socrates_bench.report.words import amount, ceiling, heading, number, spread

Column = Callable[[Measurement], str]


def tables(measurements: Sequence[Measurement]) -> str:
    """Every run's table, in the order given."""
    return "\n".join(table(run) for run in runs(measurements))


def table(run: Sequence[Measurement]) -> str:
    """The table of one run.

    Args:
        run: its measurements, at least one.
    """
    flat = [_known(one) for one in run]
    names = list(dict.fromkeys(name for known in flat for name in known))
    shared = [name for name in names if len({known.get(name) for known in flat}) == 1]
    parts = [heading(run[0]) + "\n"]
    if shared:
        parts.append(", ".join(f"{name} {flat[0][name]}" for name in shared) + "\n")
    qualities = dict.fromkeys(name for one in run for name in one.quality or {})
    columns: dict[str, Column] = {
        "what": lambda one: one.name,
        **{name: _setting(name) for name in names if name not in shared},
        "median": lambda one: amount(one.figure.median, one.figure.unit),
        "n": lambda one: str(one.figure.n), "least to most": lambda one: spread(one.figure),
        "share of the best": ceiling, "asked": lambda one: str((one.details or {}).get("asked", "")),
        "peak memory": lambda one: amount(one.peak_memory, "bytes") if one.peak_memory else "",
        **{name: _quality(name) for name in qualities},
    }  # fmt: skip
    parts.append(markdown([[*columns], *([cell(one) for cell in columns.values()] for one in run)]))
    hows = dict.fromkeys(one.ceiling.how for one in run if one.ceiling)
    return "\n".join(parts + [f"The best: {how}.\n" for how in hows])


def _known(one: Measurement) -> dict[str, str]:
    """The type, the file's bytes and the settings by name; those that are None say nothing."""
    model = one.model
    facts = (
        {"type": model.quantisation, "file size": amount(model.bytes, "bytes") if model.bytes else None}
        if model
        else {}
    )
    return {name: text for name, text in facts.items() if text} | dict(_flat(one.settings))


def _flat(settings: dict[str, Any], before: str = "") -> Iterator[tuple[str, str]]:
    """Settings inside settings by their dotted names, as text."""
    for name, value in settings.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{before}{name}.")
        elif isinstance(value, bool):
            yield before + name, "yes" if value else "no"
        elif value is not None:
            yield before + name, number(value) if isinstance(value, float | int) else str(value)


def _setting(name: str) -> Column:
    return lambda one: _known(one).get(name, "")


def _quality(name: str) -> Column:
    return lambda one: number(one.quality[name]) if one.quality and name in one.quality else ""


def markdown(rows: Sequence[Sequence[str]]) -> str:
    """A table whose first row is its head; columns that are empty below it are left out, the others padded."""
    kept = [at for at, _ in enumerate(rows[0]) if any(row[at] for row in rows[1:])]
    cells = [[row[at].replace("|", "\\|") for at in kept] for row in rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    padded = [[cell.ljust(width) for cell, width in zip(row, widths, strict=True)] for row in cells]
    lines = [padded[0], ["-" * width for width in widths], *padded[1:]]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)
