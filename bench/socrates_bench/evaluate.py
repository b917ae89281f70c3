"""How long an evaluation of SocSci210's size takes, how much memory, and whether it finds what is there.

Why it matters: whoever predicts every row wants all figures, baselines and intervals of 2.9 million predictions on the
machine at hand, not on a server; and figures that come fast must still be right.
Method: made-up rows whose answers are drawn from known distributions, and the predictions of two made-up models
(evaluate_rows.py): one sees effects with noise; the other knows the distributions and stands in for the model before
fine-tuning, so that its figures are known too. In a process of its own, on at most ``CORES`` processors: the rows and the
training rows are read and ``evaluate_predictions`` computes every figure, baseline (but the oracle: real rows have no true
distributions), demographic group and interval and writes its files. Seconds begin when the process has imported what it
needs; the files have been written or read just before, so they come from the page cache. Then figures are compared with
what was put in (evaluate_check.py), within what chance allows, or the bench fails. Memory is the process's largest resident
set (VmHWM) from its beginning to the end of each part.
Output: a line for each part and for everything together, and one for how far figures are from what was put in.
Command: socrates-fast bench evaluate --json
"""

import os
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from socrates_bench.children import Child, kept_folder, memory
from socrates_bench.evaluate_check import checked
from socrates_bench.evaluate_lines import lines
from socrates_bench.evaluate_rows import LEAST_ROWS, made
from socrates_bench.record import Bench, Measurement
from socrates_fast.errors import SocratesError
from socrates_fast.evaluate.summary import MIN_PEOPLE
from socrates_fast.evaluate.uncertainty import DRAWS

CORES = 2
FEW, FEW_PEOPLE = 100_000, 12
"""Below so many rows cells are small: they need so many people to count."""


@dataclass(frozen=True)
class Plan:
    """What to measure.

    Attributes:
        rows: to evaluate.
        keep: folder of the made-up files, kept and used again; None for a temporary one.
        seed: of the made-up files.
    """

    rows: int
    keep: Path | None = None
    seed: int = 1

    @property
    def min_people(self) -> int:
        """People below which a cell stays out of the headline."""
        return MIN_PEOPLE if self.rows >= FEW else FEW_PEOPLE


def plan_of(rows: int, keep: Path | None) -> Plan:
    """What to measure, from what a person typed.

    Raises:
        SocratesError: there would be too few rows.
    """
    if rows < LEAST_ROWS:
        raise SocratesError(f"--rows {rows}: at least {LEAST_ROWS} are needed for cells of several people")
    return Plan(rows, keep)


def measure(plan: Plan) -> Iterator[Measurement]:
    """Measure one plan.

    Raises:
        SocratesError: the evaluation did not find what was put in.
    """
    bench = Bench.begin("evaluate")
    with kept_folder(plan.keep) as folder, tempfile.TemporaryDirectory() as out:
        facts = made(folder, plan.rows, plan.seed, _progress)
        with Child("socrates_bench.evaluate_child", cores=CORES) as child:
            run = child.ask(folder=str(folder), out=out, min_people=plan.min_people)
            peak = memory(child.ready["pid"])["peak"]
        _progress(f"evaluated in {run['seconds']['total']:.1f} s, {peak / 2**20:,.0f} MiB at most")
        found = checked(folder, Path(out), plan.min_people)
    counts = ("rows", "training_rows", "cells", "studies", "conditions", "answers")
    yield from lines(bench, {
        **{name: facts[name] for name in counts}, "draws": DRAWS, "cores": min(CORES, len(os.sched_getaffinity(0))),
        "threads": child.ready["threads"], "import_seconds": child.ready["import_seconds"], "seconds": run["seconds"],
        "cpu_seconds": run["cpu_seconds"], "memory": {"peak": peak, "after": run["peak"]}, "checks": found,
        "made": {name: facts[name] for name in ("seed", "bytes", "seconds")},
    })  # fmt: skip


def _progress(text: str) -> None:
    print(text, file=sys.stderr)
