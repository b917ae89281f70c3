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
Output: one JSON record; ``--json`` prints nothing else on stdout.
Command: socrates-fast bench evaluate --json
"""

import os
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from socrates_bench.children import Child, kept_folder, memory
from socrates_bench.data_plan import ROWS
from socrates_bench.demo import commit, cpu_name
from socrates_bench.evaluate_check import checked
from socrates_bench.evaluate_rows import LEAST_ROWS, made
from socrates_fast.errors import SocratesError
from socrates_fast.evaluate.summary import MIN_PEOPLE
from socrates_fast.evaluate.uncertainty import DRAWS
from socrates_fast.runs import environment

CORES = 2
ASKED_SECONDS, ASKED_PEAK = 120.0, 2 * 2**30
"""Seconds of everything together, and bytes of resident memory, at most."""
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


def measure(plan: Plan) -> dict[str, Any]:
    """Measure one plan; the record.

    Raises:
        SocratesError: the evaluation did not find what was put in.
    """
    load = os.getloadavg()[0]
    with kept_folder(plan.keep) as folder, tempfile.TemporaryDirectory() as out:
        facts = made(folder, plan.rows, plan.seed, _progress)
        with Child("socrates_bench.evaluate_child", cores=CORES) as child:
            run = child.ask(folder=str(folder), out=out, min_people=plan.min_people)
            peak = memory(child.ready["pid"])["peak"]
        _progress(f"evaluated in {run['seconds']['total']:.1f} s, {peak / 2**20:,.0f} MiB at most")
        found = checked(folder, Path(out), plan.min_people)
    return {
        "bench": "evaluate", **{name: facts[name] for name in ("rows", "training_rows", "cells", "studies", "conditions", "answers")},
        "draws": DRAWS, "cores": min(CORES, len(os.sched_getaffinity(0))), "threads": child.ready["threads"],
        "import_seconds": child.ready["import_seconds"], "seconds": run["seconds"], "cpu_seconds": run["cpu_seconds"],
        "memory": {"peak": peak, "after": run["peak"]}, "asked": {"seconds": ASKED_SECONDS, "peak": ASKED_PEAK},
        "checks": found, "made": {name: facts[name] for name in ("seed", "bytes", "seconds")},
        "load_average_at_start": load, "cpu": cpu_name(), "commit": commit(), "environment": environment(),
    }  # fmt: skip


def _progress(text: str) -> None:
    print(text, file=sys.stderr)


def print_record(record: dict[str, Any]) -> None:
    """The record for people: each figure beside what is asked."""
    asked, after = record["asked"], record["memory"]["after"]
    print(
        f"{record['rows']:,} predictions of {record['answers']:,} answers' probabilities, {record['cells']:,} cells, "
        f"{record['studies']} studies, {record['training_rows']:,} training rows, {record['draws']:,} draws; "
        f"{record['cores']} cores"
    )
    for part, seconds in record["seconds"].items():
        said = f"   asked of all {ROWS:,} rows: at most {asked['seconds']:.0f}" if part == "total" else ""
        said += f"   at most {after[part] / 2**20:,.0f} MiB so far" if part in after else ""
        print(f"{part:<14}{seconds:>8.1f} s{said}")
    print(
        f"{'peak':<14}{record['memory']['peak'] / 2**20:>8,.0f} MiB   asked: at most {asked['peak'] / 2**20:,.0f}"
    )
    for name, one in record["checks"].items():
        print(f"{name:<34}{one['found']:>14,.6g}   put in {one['put_in']:,.6g} ± {one['within']:.2g}")
