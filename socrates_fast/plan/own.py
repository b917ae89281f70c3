"""Our own speeds on GPUs, from the records of ``bench train``: points like the published ones.

A record is a line ``SPEED`` of ``bench/results/train.jsonl``. Those of CPUs, and of cards that the table does not have, say nothing here.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from socrates_fast.plan.calibration import Point
from socrates_fast.plan.gpus import GPUS
from socrates_fast.plan.ranges import fixed
from socrates_fast.plan.shapes import shape_from
from socrates_fast.plan.speed import Work, batch_seconds
from socrates_fast.plan.utilisation import card_of

RECORDS = Path("bench") / "results" / "train.jsonl"
SOURCE = "this project's bench"
SPEED = "tokens per second"


def own_points(path: Path) -> list[Point]:
    """The speeds that a file of records holds; none if there is no such file."""
    if not path.is_file():
        return []
    records = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    return [point for record in records for point in _of_record(record)]


def _of_record(record: dict[str, Any]) -> Iterator[Point]:
    """The point of a line of tokens per second on a known card."""
    if record["name"] != SPEED:
        return
    found, asked, speed = record["details"], record["settings"], record["figure"]["median"]
    key = card_of(found["gpu"])
    if key is None:
        return
    shape = shape_from(record["model"]["shape"], {"model_type": "qwen2", **found["config"]})
    real = speed * found["seconds_per_step"] / asked["accumulation"]
    passes = 3.0 if asked["checkpointing"] else 2.0
    work = Work(fixed(real / (1 - found["padding"])), passes, fixed(found["tokens_per_row"]))
    seconds = batch_seconds(shape, GPUS[key], work, asked["four_bit"], asked["backend"] == "unsloth")
    kind = "QLoRA" if asked["four_bit"] else "LoRA"
    again = "" if asked["checkpointing"] else ", nothing recomputed"
    run = f"Qwen2.5-{record['model']['shape']} {kind}, {asked['backend']}, {real:,.0f} tokens{again}"
    yield Point(SOURCE, run, key, "tokens/s", speed, fixed(real).over(seconds))
