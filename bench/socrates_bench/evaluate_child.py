"""A process that evaluates predictions of made-up rows and says how long each part took; ``children`` speaks to it.

It keeps to ``cores`` processors, which polars' threads and the linear algebra's then number too, and imports its work only
after that. The parts are timed by standing in front of the functions that ``evaluate.run`` calls: the evaluation that is
measured is the one that users start.
"""

import os
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

from socrates_bench.children import Answer, memory, serve

GROUPS = ("age", "gender", "education", "ethnicity", "income", "party_id", "ideology")
PARTS = {"read_answers": "arrays", "summarise": "figures", "write_sums": "sums", "write_report": "report"}
"""Functions of ``evaluate.run``, and the name of what each of them does in the record."""


def start(cores: int) -> tuple[dict[str, Any], Answer]:
    """Get ready.

    Args:
        cores: processors to use at most.
    """
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:cores])
    started = time.monotonic()
    import polars as pl

    import socrates_fast.evaluate.run
    import socrates_fast.evaluate.training  # noqa: F401 - what is imported now is not in the measured seconds

    seconds = time.monotonic() - started
    return {"pid": os.getpid(), "threads": pl.thread_pool_size(), "import_seconds": seconds}, _evaluate


def _evaluate(folder: str, out: str, min_people: int) -> dict[str, Any]:
    """Evaluate what ``evaluate_rows`` made, with everything beside it; seconds by part, and the peak after each."""
    from socrates_bench.evaluate_rows import KNOWN, PREDICTIONS, TEST, TRAIN
    from socrates_fast.evaluate import run
    from socrates_fast.evaluate.predictions import Stored
    from socrates_fast.evaluate.summary import Beside
    from socrates_fast.evaluate.training import Training

    made, watch = Path(folder), Stopwatch()
    used, began = sum(os.times()[:2]), time.monotonic()
    rows = watch.timed("rows", lambda: _rows(made / TEST))
    training = watch.timed("training", lambda: Training(made / TRAIN).answers(GROUPS))
    for function, part in PARTS.items():
        setattr(run, function, watch.around(part, getattr(run, function)))
    setting = run.Setting("bench", {}, GROUPS, Beside(training, Stored(made / KNOWN), min_people))
    watch.timed(
        "all", lambda: run.evaluate_predictions(rows, made / PREDICTIONS, Path(out), "model", setting)
    )
    seconds = dict(watch.seconds)
    seconds["other"] = seconds.pop("all") - sum(seconds[part] for part in PARTS.values())
    return {
        "seconds": {**seconds, "total": time.monotonic() - began}, "cpu_seconds": sum(os.times()[:2]) - used,
        "peak": {part: peak for part, peak in watch.peak.items() if part != "all"},
    }  # fmt: skip


def _rows(path: Path) -> Any:
    import polars as pl

    from socrates_fast.evaluate.answers import needed

    return pl.scan_parquet(path).select(needed(GROUPS)).collect()


class Stopwatch:
    """Seconds of the parts of some work, and the process's largest memory so far when each of them ended, bytes."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self.peak: dict[str, int] = {}

    def timed(self, part: str, work: Callable[[], Any]) -> Any:
        """What ``work`` returns."""
        began = time.monotonic()
        try:
            return work()
        finally:
            self.seconds[part] += time.monotonic() - began
            self.peak[part] = memory(os.getpid())["peak"]

    def around(self, part: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """``function``, timed whenever it is called."""
        return lambda *given, **named: self.timed(part, lambda: function(*given, **named))


if __name__ == "__main__":
    serve(start)
