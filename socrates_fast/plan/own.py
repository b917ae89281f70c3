"""Our own speeds on GPUs, from the records of ``bench train``: points like the published ones.

A record is one line of ``bench/results/train.jsonl``. Those of CPUs, and of cards that the table does not have, say nothing here.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from socrates_fast.plan.calibration import Point
from socrates_fast.plan.gpus import GPUS
from socrates_fast.plan.ranges import fixed
from socrates_fast.plan.shapes import shape_from
from socrates_fast.plan.speed import Work, batch_seconds

RECORDS = Path("bench") / "results" / "train.jsonl"
SOURCE = "this project's bench"


def own_points(path: Path) -> list[Point]:
    """The speeds that a file of records holds; none if there is no such file."""
    if not path.is_file():
        return []
    records = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    return [point for record in records for point in _of_record(record)]


def card_of(driver: str | None) -> str | None:
    """The key of a card by the name that its driver gives ("NVIDIA A100-SXM4-80GB"); None if the table lacks it."""
    if driver is None or re.search(r"H\d00 (PCIe|NVL)|\d0\d0 (Ti|D|SUPER|Laptop)", driver):
        return None
    for key, card in GPUS.items():
        if all(re.search(rf"\b{part}\b", driver) for part in card.name.split("-")):
            return key
    return None


def _of_record(record: dict[str, Any]) -> Iterator[Point]:
    shape = shape_from(record["shape"], {"model_type": "qwen2", **record["config"]})
    for backend, found in record["backends"].items():
        key = card_of(found.get("gpu"))
        if key is None or "tokens_per_second" not in found:
            continue
        real = found["tokens_per_second"] * found["seconds_per_step"] / record["accumulation"]
        passes = 3.0 if found["checkpointing"] else 2.0
        work = Work(fixed(real / (1 - found["padding"])), passes, fixed(found["tokens_per_row"]))
        seconds = batch_seconds(shape, GPUS[key], work, record["four_bit"], backend == "unsloth")
        kind = "QLoRA" if record["four_bit"] else "LoRA"
        again = "" if found["checkpointing"] else ", nothing recomputed"
        run = f"Qwen2.5-{record['shape']} {kind}, {backend}, {real:,.0f} tokens{again}"
        yield Point(SOURCE, run, key, "tokens/s", found["tokens_per_second"], fixed(real).over(seconds))
