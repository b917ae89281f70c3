"""How long the demo takes, stage by stage, and whether it learned.

Why it matters: the demo is the first thing a newcomer runs, and the whole pipeline in small.
Method: one run of a recipe (tiny) in an empty folder with an empty cache, so that making the base model is in
it; seconds are those of the run's own manifest. One run is one sample: on a shared machine repeat it, and compare
ratios and medians.
Output: a line for each stage and for each predictor of the demo's table.
Command: socrates-fast bench demo --json
"""

import os
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from socrates_bench.record import Bench, Figure, Measurement
from socrates_fast import recipes
from socrates_fast.console import Console
from socrates_fast.evaluate.table import COLUMNS, with_baselines
from socrates_fast.pipeline import Evaluated, Pipeline

RECIPE = "tiny"
DISTANCE = "wasserstein.truth"


def measure(recipe: str = RECIPE, overrides: Sequence[str] = ()) -> Iterator[Measurement]:
    """Run the demo from nothing: seconds by stage, figures by predictor.

    Args:
        recipe: name or file of a recipe whose data are made up.
        overrides: as ``--set`` takes them.
    """
    bench = Bench.begin("demo")
    before = os.environ.get("SOCRATES_FAST_CACHE")
    try:
        with tempfile.TemporaryDirectory() as folder:
            os.environ["SOCRATES_FAST_CACHE"] = str(Path(folder) / "cache")
            facts = _run(Path(folder) / "run", recipe, overrides)
    finally:
        os.environ.pop("SOCRATES_FAST_CACHE")
        if before is not None:
            os.environ["SOCRATES_FAST_CACHE"] = before
    yield from lines(bench, facts)


def _run(folder: Path, recipe: str, overrides: Sequence[str]) -> dict[str, Any]:
    pipeline = Pipeline(recipes.load(recipe, overrides), folder, Console())
    started = time.monotonic()
    base = pipeline.base
    base_seconds = time.monotonic() - started
    with pipeline.locked():
        evaluated = pipeline.evaluate()
    total = time.monotonic() - started
    stages = {name: entry["seconds"] for name, entry in pipeline.run.manifest.items()}
    return {
        "recipe": recipe, "overrides": list(overrides), "base": base.name,
        "seconds": {"base": round(base_seconds, 1), **stages, "total": round(total, 1)}, "table": _table(evaluated),
    }  # fmt: skip


def _table(evaluated: Sequence[Evaluated]) -> dict[str, dict[str, float | None]]:
    """The table that the demo prints: figures by predictor."""
    predictors = {one.name: one.metrics for one in evaluated}
    return {
        who: {name: metrics[name]["value"] for name in COLUMNS if name in metrics}
        for who, metrics in with_baselines(predictors).items()
    }


def lines(bench: Bench, facts: dict[str, Any]) -> list[Measurement]:
    """Seconds of each stage, and of each predictor its first figure with all of them as its quality.

    Args:
        bench: the run.
        facts: ``recipe``, ``base``, ``seconds`` by stage, and ``table``: figures by predictor, None where there is none.
    """
    shared = {"recipe": facts["recipe"], "base": facts["base"]}
    if facts.get("overrides"):
        shared["overrides"] = facts["overrides"]
    stages = [
        bench.measured("seconds", Figure.of([seconds], "s"), settings={**shared, "stage": stage})
        for stage, seconds in facts["seconds"].items()
    ]
    return stages + [_quality(bench, shared, who, values) for who, values in facts["table"].items()]


def _quality(bench: Bench, shared: dict[str, Any], who: str, values: dict[str, float | None]) -> Measurement:
    known = {name: value for name, value in values.items() if value is not None}
    unknown: list[Any] = sorted(values.keys() - known.keys())
    first = DISTANCE if DISTANCE in known else next(iter(known))
    return bench.measured(
        first, Figure.of([known[first]], "of the scale"), settings={**shared, "predictor": who}, quality=known,
        details={"not defined": unknown} if unknown else None,
    )  # fmt: skip
