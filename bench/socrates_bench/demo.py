"""How long the demo takes, stage by stage, and whether it learned.

Why it matters: the demo is the first thing a newcomer runs, and the whole pipeline in small.
Method: one run of recipes/tiny.yaml in an empty folder with an empty cache, so that making the base model is in
it; seconds are those of the run's own manifest. One run is one sample: on a shared machine repeat it, and compare
ratios and medians.
Output: one JSON record; ``--json`` prints nothing else on stdout.
Command: socrates-fast bench demo --json
"""

import os
import platform
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from socrates_fast import recipes
from socrates_fast.console import Console
from socrates_fast.evaluate.table import COLUMNS, with_baselines
from socrates_fast.pipeline import Evaluated, Pipeline
from socrates_fast.runs import environment

RECIPE = "tiny"


def measure() -> dict[str, Any]:
    """Run the demo from nothing; its record (seconds by stage, Wasserstein distances, where it ran)."""
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as folder:
        os.environ["SOCRATES_FAST_CACHE"] = str(Path(folder) / "cache")
        pipeline = Pipeline(recipes.load(RECIPE), Path(folder) / "run", Console())
        started = time.monotonic()
        base = pipeline.base
        base_seconds = time.monotonic() - started
        with pipeline.locked():
            evaluated = pipeline.evaluate()
        total = time.monotonic() - started
        stages = {name: entry["seconds"] for name, entry in pipeline.run.manifest.items()}
    figures = {one.name: one.metrics["wasserstein.truth"]["value"] for one in evaluated}
    baselines = evaluated[0].metrics["baselines"]
    figures |= {name: baselines[name]["wasserstein.truth"]["value"] for name in ("uniform", "oracle")}
    return {
        "bench": "demo",
        "recipe": RECIPE,
        "base": base.name,
        "seconds": {"base": round(base_seconds, 1), **stages, "total": round(total, 1)},
        "wasserstein.truth": figures,
        "table": _table(evaluated),
        "n": 1,
        "load_average_at_start": load,
        "cpu": cpu_name(),
        "environment": environment(),
    }


def _table(evaluated: Sequence[Evaluated]) -> dict[str, dict[str, float | None]]:
    """The table that the demo prints: figures by predictor."""
    predictors = {one.name: one.metrics for one in evaluated}
    return {
        who: {name: metrics[name]["value"] for name in COLUMNS if name in metrics}
        for who, metrics in with_baselines(predictors).items()
    }


def cpu_name() -> str:
    """The processor's name as the system gives it."""
    info = Path("/proc/cpuinfo")
    if info.is_file():
        for line in info.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def commit() -> str | None:
    """The checkout's commit, with a + if it has changes; None outside a checkout."""
    here = Path(__file__).parent
    said = [
        subprocess.run(["git", "-C", str(here), *words], capture_output=True, text=True, check=False)
        for words in (("rev-parse", "--short", "HEAD"), ("status", "--porcelain", "-uno"))
    ]
    if said[0].returncode != 0:
        return None
    return said[0].stdout.strip() + ("+" if said[1].stdout.strip() else "")


def print_record(record: dict[str, Any]) -> None:
    """The record for people."""
    for stage, seconds in record["seconds"].items():
        print(f"{stage:<16}{seconds:>8.1f} s")
    for name, value in record["wasserstein.truth"].items():
        print(f"Wasserstein to the truth, {name:<12}{value:.3f}")
