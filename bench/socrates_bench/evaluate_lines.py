"""The lines of ``bench evaluate``."""

from typing import Any

from socrates_bench.data_plan import ROWS
from socrates_bench.record import Bench, Figure, Measurement

ASKED_SECONDS, ASKED_PEAK = 120.0, 2 * 2**30
"""Seconds of everything together, and bytes of resident memory, at most."""
SETTINGS = ("rows", "training_rows", "cells", "studies", "conditions", "answers", "draws", "cores")
APART = {"seconds", "memory", "checks", "made", "threads", *SETTINGS}


def lines(bench: Bench, facts: dict[str, Any]) -> list[Measurement]:
    """Seconds by part with the memory so far, and how far figures are from what was put in.

    Args:
        bench: the run.
        facts: what ``evaluate.measure`` found.
    """
    settings = {name: facts[name] for name in SETTINGS}
    return [
        *(_part(bench, settings, part, facts) for part in facts["seconds"]),
        bench.measured("seconds of making the rows", Figure.of([facts["made"]["seconds"]], "s"), settings=settings,
                       details={"made": facts["made"]}),
        _checks(bench, settings, facts["checks"]),
    ]  # fmt: skip


def _part(bench: Bench, settings: dict[str, Any], part: str, facts: dict[str, Any]) -> Measurement:
    memory = facts["memory"]
    peak, details = memory["after"].get(part), None
    if part == "total":
        asked = f"all {ROWS:,} rows: at most {ASKED_SECONDS:.0f} s and {ASKED_PEAK / 2**30:.0f} GiB"
        rest = {name: value for name, value in facts.items() if name not in APART}
        peak, details = memory["peak"], {**rest, "memory": memory, "asked": asked}
    return bench.measured(
        "seconds", Figure.of([facts["seconds"][part]], "s"), settings={**settings, "part": part},
        peak_memory=peak, details=details, threads=facts["threads"],
    )  # fmt: skip


def _checks(bench: Bench, settings: dict[str, Any], checks: dict[str, Any]) -> Measurement:
    """The figure that is furthest from what was put in, as a share of how far it may be; all of them as details."""
    apart = [abs(one["found"] - one["put_in"]) / one["within"] for one in checks.values() if one["within"]]
    return bench.measured("distance from what was put in, of what chance allows", Figure.of([max(apart)], "x"),
                          settings=settings, details={"checks": checks, "asked": "at most 1"})  # fmt: skip
