"""How long it takes to prepare SocSci210, how much memory, and whether every row that ought to be left out was.

Why it matters: 2.9 million rows are 9 GB of text; who holds them in memory needs a server to begin with, and who loses
rows without counting them has other figures than everyone else.
Method: made-up rows in the real schema, of whose every fault the maker keeps count (data_rows.py), in 17 shards. In
processes of their own, on at most ``CORES`` processors: ``prepare`` on each share; ``prepare`` again on what is then
there, which must do nothing; and the scales of all rows, read batch by batch as ``prepare`` reads them. Seconds begin when
the process has imported what it needs. The rows have been written or read just before, so they come from the page cache.
What was left out must be exactly what the maker counted, by cell and reason, and every other row must have been written (or,
at a share, be counted as unused), or the bench fails. Memory: ``peak`` is the process's own largest resident set (VmHWM), with what it
shares with mapped files; ``own`` (anonymous) and ``files`` (mapped) are the largest seen of each, looked at every ``POLL_S``.
The page cache is in none of them.
Output: lines for making the rows, for each share, and for the scales.
Command: socrates-fast bench data --json
"""

import os
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from socrates_bench.children import Child, kept_folder, memory
from socrates_bench.data_check import checked
from socrates_bench.data_lines import scales_line, share_lines, source_line
from socrates_bench.data_plan import LEAST_ROWS
from socrates_bench.data_rows import folder_of_shards, made
from socrates_bench.record import Bench, Measurement
from socrates_fast.errors import SocratesError

CORES = 2
POLL_S = 0.05
SHARES = (1.0, 0.01)
SPLITS = ("participant", "random", "condition", "task", "study")


@dataclass(frozen=True)
class Plan:
    """What to measure.

    Attributes:
        rows: of the made-up dataset.
        shares: of the training people; each is prepared.
        split: what stays whole.
        keep: folder of the made-up rows, kept and used again; None for a temporary one.
        out: folder for the prepared folders, kept; None for a temporary one.
        seed: of the made-up rows.
    """

    rows: int
    shares: Sequence[float] = SHARES
    split: str = "participant"
    keep: Path | None = None
    out: Path | None = None
    seed: int = 1


def plan_of(rows: int, shares: str, split: str, keep: Path | None, out: Path | None) -> Plan:
    """What to measure, from what a person typed.

    Raises:
        SocratesError: a share or the split is none, or there would be too few rows.
    """
    try:
        parts = [float(part) for part in shares.split(",")]
    except ValueError:
        parts = []
    if not parts or not all(0 < part <= 1 for part in parts):
        raise SocratesError(f"--shares {shares}: give shares above 0 and at most 1, comma-separated (1,0.01)")
    if split not in SPLITS:
        raise SocratesError(f"no split {split}; choose from {', '.join(SPLITS)}")
    if rows < LEAST_ROWS:
        raise SocratesError(f"--rows {rows}: at least {LEAST_ROWS} are needed for studies of every design")
    return Plan(rows, parts, split, keep, out)


def measure(plan: Plan) -> Iterator[Measurement]:
    """Measure one plan, share by share.

    Raises:
        SocratesError: what was left out or written is not what ought to be.
    """
    cores = min(CORES, len(os.sched_getaffinity(0)))
    bench, settings = Bench.begin("data"), {"rows": plan.rows, "split": plan.split, "cores": cores}
    with kept_folder(plan.keep) as source, kept_folder(plan.out) as out:
        for share in plan.shares:
            if (there := _prepared(out, share)).exists():
                raise SocratesError(f"{there} is already there; delete it, or name another folder with --out")
        truth = made(source, plan.rows, plan.seed, _progress)
        shards = folder_of_shards(source)
        facts = {name: value for name, value in truth.items() if name != "left_out_by_cell"}
        yield source_line(bench, settings, facts)
        for share in plan.shares:
            yield from share_lines(bench, settings, share, _share(plan, shards, out, share, truth))
        yield scales_line(bench, settings, _scales(plan, shards, truth))


def _scales(plan: Plan, shards: Path, truth: dict[str, Any]) -> dict[str, Any]:
    """Read the scales of all rows."""
    with _child(plan, shards) as child:
        scales = child.ask(do="scales")
    if (scales["rows"], scales["texts"]) != (truth["rows"], truth["distinct_stimuli"]):
        raise SocratesError(
            f"of {truth['rows']} rows and {truth['distinct_stimuli']} texts the scales of {scales} were read"
        )
    return scales


def _prepared(out: Path, share: float) -> Path:
    return out / f"share-{share:g}"


def _child(plan: Plan, shards: Path) -> Child:
    return Child("socrates_bench.data_child", shards=str(shards), by=plan.split, cores=CORES)


def _share(plan: Plan, shards: Path, out: Path, share: float, truth: dict[str, Any]) -> dict[str, Any]:
    """Prepare one share, check it, and prepare it again."""
    folder = _prepared(out, share)
    with _child(plan, shards) as child, _watched(child.ready["pid"]) as largest:
        run = child.ask(do="prepare", share=share, out=str(folder))
        peak = memory(child.ready["pid"])["peak"]
    rows = checked(folder, truth, share, whole_people=plan.split in ("participant", "study"))
    size, before = sum(path.stat().st_size for path in folder.iterdir()), _times(folder)
    with _child(plan, shards) as child:
        again = child.ask(do="prepare", share=share, out=str(folder))
    if _times(folder) != before:
        raise SocratesError(f"{folder}: prepared again, though nothing had changed")
    _progress(f"share {share:g}: {run['seconds']:.1f} s, {peak / 2**20:,.0f} MiB at most")
    return {
        **run, "rows_per_second": truth["rows"] / run["seconds"], "threads": child.ready["threads"],
        "import_seconds": child.ready["import_seconds"], "memory": {"peak": peak, **largest}, "bytes": size,
        "rows": rows, "again_seconds": again["seconds"],
    }  # fmt: skip


def _times(folder: Path) -> dict[str, int]:
    """When each file was last changed, nanoseconds."""
    return {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}


@contextmanager
def _watched(process: int) -> Iterator[dict[str, int]]:
    """The largest ``own`` and ``files`` memory of a process seen while the block runs, bytes."""
    largest, done = {"own": 0, "files": 0}, threading.Event()

    def watch() -> None:
        while not done.wait(POLL_S):
            try:
                now = memory(process)
            except FileNotFoundError:  # it has died; whoever asked it is told
                return
            largest.update({kind: max(largest[kind], now[kind]) for kind in largest})

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield largest
    finally:
        done.set()
        thread.join()


def _progress(text: str) -> None:
    print(text, file=sys.stderr)
