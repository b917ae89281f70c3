"""A job that was killed or interrupted, and gone on with: no row lost, none doubled, the same results."""

import json
import os
import signal
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from socrates_fast.console import Console
from socrates_fast.errors import SocratesError
from socrates_fast.infer.predictor import AnswerDistribution
from socrates_fast.jobs.job import JobOptions, run_job
from socrates_fast.jobs.rows import rows_of
from socrates_fast.jobs.source import open_source
from socrates_fast.jobs.store import Store, in_order
from tests.conftest import ROOT, command_environment
from tests.jobs.conftest import Job, make_rows, results, write_jsonl

ROWS = 30


def killed(cache: Path, *arguments: str | Path) -> list[int]:
    """What ``tests.jobs.killed`` prints."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.jobs.killed", *map(str, arguments)],
        env=command_environment(cache), cwd=ROOT, capture_output=True, text=True, check=False, timeout=200,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return [int(word) for word in done.stdout.split()]


@pytest.mark.long
def test_killed_at_every_step(cache: Path, tmp_path: Path) -> None:
    data = write_jsonl(tmp_path / "rows.jsonl", make_rows(ROWS))
    count, *steps = killed(cache, "uniform", data, tmp_path)
    assert steps == list(range(1, count + 1)) and count > 12
    whole = results(tmp_path / "whole")
    assert [row["row"] for row in whole] == list(range(ROWS))
    for step in steps:
        assert results(tmp_path / str(step)) == whole, step
        left = sorted(path.name for path in (tmp_path / str(step)).iterdir())
        assert left == [".lock", "job.json", "predictions.parquet"], step


@pytest.mark.long
def test_killed_with_a_gguf_bit_for_bit(cache: Path, gguf_file: Path, tmp_path: Path) -> None:
    data = write_jsonl(tmp_path / "rows.jsonl", make_rows(ROWS))
    count, *steps = killed(cache, gguf_file, data, tmp_path, "3")
    assert count > 8 and steps == [3]
    whole = results(tmp_path / "whole")
    assert len({tuple(row["probabilities"]) for row in whole}) > 10
    for step in steps:
        assert results(tmp_path / str(step)) == whole
        assert json.loads((tmp_path / str(step) / "job.json").read_text())["rows"] == ROWS


def test_ctrl_c_keeps_what_is_known_and_the_same_command_goes_on(
    cache: Path, gguf_file: Path, tmp_path: Path
) -> None:
    count = 500
    write_jsonl(tmp_path / "rows.jsonl", make_rows(count))
    arguments = [sys.executable, "-m", "socrates_fast", "predict", str(gguf_file), "--data", "rows.jsonl", "--out", "out",
                 "--threads", "1", "--window", "100"]  # fmt: skip
    started: dict[str, Any] = {"env": command_environment(cache), "cwd": tmp_path, "text": True}
    process = subprocess.Popen(arguments, stderr=subprocess.PIPE, start_new_session=True, **started)
    end = time.monotonic() + 60
    while not list(tmp_path.glob("out/parts/run-*")):
        assert process.poll() is None and time.monotonic() < end
        time.sleep(0.02)
    time.sleep(0.2)
    os.killpg(process.pid, signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert "Traceback" not in err and "the same command resumes" in err
    kept = sum(pq.read_metadata(part).num_rows for part in (tmp_path / "out/parts").iterdir())
    assert 0 < kept < count
    again = subprocess.run(arguments, capture_output=True, check=False, **started)
    assert again.returncode == 0, again.stderr
    assert f"{kept:,} of {count:,} rows are done already" in again.stderr
    assert [row["row"] for row in results(tmp_path / "out")] == list(range(count))
    assert json.loads((tmp_path / "out/job.json").read_text())["last_start"]["rows"] == count - kept


# --- the law ------------------------------------------------------------------------------------------------

MARK = 0.25
"""Answer mass of results that an earlier start left behind; a uniform predictor's is 1."""


@settings(max_examples=8, deadline=None)
@given(done=st.sets(st.integers(0, ROWS - 1)), cuts=st.lists(st.integers(0, ROWS), max_size=4), seed=st.integers(0, 99),
       settled=st.integers(0, 5), window=st.integers(1, 40))  # fmt: skip
def test_exactly_the_missing_rows_are_scored(
    tmp_path_factory: pytest.TempPathFactory,
    done: set[int],
    cuts: list[int],
    seed: int,
    settled: int,
    window: int,
) -> None:
    folder = tmp_path_factory.mktemp("job")
    data, out = write_jsonl(folder / "rows.jsonl", make_rows(ROWS)), folder / "out"
    document = run_job("uniform", data, out, JobOptions(window=window), Console(quiet=True))
    if len(done) < ROWS:
        (out / "predictions.parquet").unlink()
    leave_behind(
        data, out, [int(row) for row in np.random.default_rng(seed).permutation(sorted(done))], cuts, settled
    )
    again = run_job("uniform", data, out, JobOptions(window=window), Console(quiet=True))
    found = results(out)
    assert [row["row"] for row in found] == list(range(ROWS))
    if len(done) < ROWS:
        assert {row["row"] for row in found if row["answer_mass"] == MARK} == done
        assert again["last_start"]["rows"] == ROWS - len(done)
    else:  # it was complete: parts beside a complete result are of nobody
        assert again == document
    assert [row["values"] for row in found] == [
        [*range(*span)] for span in [(1, 8), (1, 3), (0, 11)] * (ROWS // 3)
    ]


def leave_behind(data: Path, out: Path, done: list[int], cuts: list[int], settled: int) -> None:
    """Parts and runs with the results of the rows ``done``, cut at ``cuts``, the first ``settled`` of them runs."""
    source = open_source(data)
    (batch,) = source.batches()
    rows = rows_of(source, batch, np.ones(ROWS, dtype=np.bool_))
    store = Store(out, ROWS, dict.fromkeys(rows[0].keys, True) | {"study_id": False})
    bounds = sorted({0, *(cut for cut in cuts if cut < len(done)), len(done)})
    for number, (start, stop) in enumerate(pairwise(bounds)):
        for row in (rows[at] for at in done[start:stop]):
            scale = row.scale
            assert scale is not None and scale.values is not None
            values = np.array(scale.values)
            store.add(row, AnswerDistribution(values, np.full(len(values), 1 / len(values)), MARK))
        store.flush()
        if number < settled:
            store.settle()


@settings(max_examples=40, deadline=None)
@given(owners=st.lists(st.integers(0, 4), min_size=1, max_size=60))
def test_runs_that_overlap_are_merged_in_order(
    tmp_path_factory: pytest.TempPathFactory, owners: list[int]
) -> None:
    folder = tmp_path_factory.mktemp("runs")
    for owner in set(owners):
        rows = [row for row, own in enumerate(owners) if own == owner]
        table = pa.table({"row": pa.array(rows, pa.int64()), "owner": [owner] * len(rows)})
        pq.write_table(table, folder / f"run-{rows[0]:012d}-{rows[-1]:012d}.parquet")
    merged = pa.concat_tables(in_order(sorted(folder.iterdir()), rows_at_once=7))
    assert merged["row"].to_pylist() == list(range(len(owners)))
    assert merged["owner"].to_pylist() == owners


@pytest.mark.parametrize("damage", ["cut", "foreign rows"])
def test_a_damaged_part_is_named(job: Job, tmp_path: Path, damage: str) -> None:
    data, out = write_jsonl(tmp_path / "rows.jsonl", make_rows(ROWS)), tmp_path / "out"
    job("uniform", data, out)
    (out / "predictions.parquet").unlink()
    leave_behind(data, out, [1, 2, 3], [], 0)
    (part,) = (out / "parts").iterdir()
    if damage == "cut":
        part.write_bytes(part.read_bytes()[:-9])
    else:
        table = pq.read_table(part)
        pq.write_table(table.set_column(0, "row", pa.array([1, 2, ROWS], pa.int64())), part)
    with pytest.raises(SocratesError, match=r"part-000001\.parquet: damaged, or not of this job; delete it"):
        job("uniform", data, out)
    part.unlink()
    job("uniform", data, out)
    assert [row["answer_mass"] for row in results(out)] == [1.0] * ROWS
