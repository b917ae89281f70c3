"""The lines of ``bench data``."""

from typing import Any

from socrates_bench.record import Bench, Figure, Measurement

ASKED_SECONDS = {1.0: 360.0, 0.01: 60.0}
"""By share, seconds of preparing all rows at most."""
ASKED_PEAK, ASKED_MICROSECONDS = 3 * 2**30, 5.0
"""Bytes of resident memory, and microseconds a row for its scale, at most."""


def source_line(bench: Bench, settings: dict[str, Any], source: dict[str, Any]) -> Measurement:
    """Making the rows; ``source`` is what the maker says of them."""
    return bench.measured("seconds of making the rows", Figure.of([source["seconds"]], "s"), settings=settings,
                          details={"source": source})  # fmt: skip


def share_lines(
    bench: Bench, settings: dict[str, Any], share: float, run: dict[str, Any]
) -> list[Measurement]:
    """Preparing one share, and again.

    Args:
        bench: the run.
        settings: its settings.
        share: of the training people.
        run: what was found: seconds, memory, rows, bytes.
    """
    shared = {"settings": {**settings, "share": share}, "threads": run["threads"]}
    details = {name: value for name, value in run.items() if name not in ("seconds", "again_seconds")}
    if limit := ASKED_SECONDS.get(share):
        details["asked"] = f"all 2,901,390 rows: at most {limit:.0f} s and {ASKED_PEAK / 2**30:.0f} GiB"
    return [
        bench.measured("seconds of preparing", Figure.of([run["seconds"]], "s"), peak_memory=run["memory"]["peak"],
                       details=details, **shared),
        bench.measured("seconds of preparing again, nothing done", Figure.of([run["again_seconds"]], "s"), **shared),
    ]  # fmt: skip


def scales_line(bench: Bench, settings: dict[str, Any], scales: dict[str, Any]) -> Measurement:
    """Reading every row's scale."""
    each = 1e6 * scales["seconds"] / scales["rows"]
    return bench.measured("time of a row's scale", Figure.of([each], "us/row"), settings=settings,
                          details={**scales, "asked": f"at most {ASKED_MICROSECONDS:g}"})  # fmt: skip
