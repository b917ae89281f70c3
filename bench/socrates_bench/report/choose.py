"""Which records are reported."""

from collections.abc import Sequence
from pathlib import Path

from socrates_bench.record import Measurement, read
from socrates_fast.errors import DataError

RESULTS = Path(__file__).parents[2] / "results"
"""The checkout's own records."""


def load(files: Sequence[Path]) -> list[Measurement]:
    """All measurements of files, and of the ``.jsonl`` files of folders; by default the checkout's own.

    Raises:
        DataError: a file cannot be read, or there is none.
    """
    if not files and not RESULTS.is_dir():
        raise DataError("this is no checkout with bench/results; name files of records")
    found: list[Measurement] = []
    for path in files or [RESULTS]:
        for file in sorted(path.glob("*.jsonl")) if path.is_dir() else [path]:
            found += read(file)
    if not found:
        raise DataError(f"no record in {', '.join(map(str, files or [RESULTS]))}")
    return found


def newest(measurements: Sequence[Measurement]) -> list[Measurement]:
    """Of each bench and shape only the latest run, in the order given."""
    last: dict[tuple[str, str | None], str] = {}
    for one in measurements:
        key = (one.bench, shape_of(one))
        last[key] = max(one.run, last.get(key, ""))
    return [one for one in measurements if last[one.bench, shape_of(one)] == one.run]


def shape_of(one: Measurement) -> str | None:
    """The shape of a measurement's model."""
    return one.model.shape if one.model else None


def runs(measurements: Sequence[Measurement]) -> list[list[Measurement]]:
    """The measurements by run and shape, in the order in which each is first met."""
    found: dict[tuple[str, str, str | None], list[Measurement]] = {}
    for one in measurements:
        found.setdefault((one.bench, one.run, shape_of(one)), []).append(one)
    return list(found.values())
