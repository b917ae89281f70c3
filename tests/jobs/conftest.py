"""Rows in SocSci210's columns, as parquet and as JSONL, and the tiny GGUF."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from socrates_fast.console import Console
from socrates_fast.jobs.job import JobOptions, run_job
from tests.infer.conftest import folder, gguf_file

__all__ = ["folder", "gguf_file"]

Job = Callable[..., dict[str, Any]]

LONG = "the park and the river and the road and " * 60


def make_rows(count: int) -> list[dict[str, Any]]:
    """Made-up rows: people who answer three questions on three scales."""
    questions = [
        "How much do you support the plan? Only return an integer from 1 to 7, where 7 means fully, nothing else.",
        "Would you sign? Only return 1 for Yes or 2 for No, nothing else.",
        "How likely is it? Only return an integer from 0 to 10, nothing else.",
    ]
    return [
        {
            "study_id": f"s{number % 2}",
            "sample_id": number,
            "participant": number // 3,
            "condition_num": number // 3 % 2,
            "task_num": number % 3,
            "demographic": {"age": 20 + number // 3 % 700, "gender": ["Female", "Male"][number // 3 % 2], "income": None},
            "stimuli": f"The town plans park {number // 3 % 2}. {questions[number % 3]}",
        }
        for number in range(count)
    ]  # fmt: skip


def write_jsonl(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def write_parquet(path: Path, rows: list[dict[str, Any]]) -> Path:
    pq.write_table(pa.Table.from_pylist(rows), path)
    return path


def results(out: Path) -> list[dict[str, Any]]:
    """The rows of a finished job."""
    return list(pq.read_table(out / "predictions.parquet").to_pylist())


@pytest.fixture
def job() -> Job:
    """``job(model, data, out, **options)`` runs a job in this process, quietly."""

    def run(model: str | Path, data: Path, out: Path, **options: Any) -> dict[str, Any]:
        return run_job(str(model), data, out, JobOptions(**options), Console(quiet=True))

    return run
