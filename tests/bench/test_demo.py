"""The lines of the demo's bench. The demo itself is run by the tests of the pipeline."""

from typing import Any

from socrates_bench.demo import lines
from socrates_bench.record import Bench
from tests.bench.lines import details, named

FACTS: dict[str, Any] = {
    "recipe": "tiny", "base": "tiny-1", "seconds": {"base": 3.0, "total": 9.5},
    "table": {
        "uniform": {"wasserstein.truth": 0.3, "accuracy": 0.6, "correlation": None},
        "floor": {"wasserstein.stated": 0.04, "accuracy": 0.8},
        "oracle": {"wasserstein.truth": 0.0, "accuracy": 0.9, "correlation": 0.8},
    },
}  # fmt: skip


def test_lines() -> None:
    found = lines(Bench.begin("demo"), FACTS)
    assert len(found) == 5 and named(found, "seconds", stage="total").figure.median == 9.5
    uniform = named(found, "wasserstein.truth", predictor="uniform")
    floor = named(found, "wasserstein.stated", predictor="floor")
    assert uniform.quality == {"wasserstein.truth": 0.3, "accuracy": 0.6}
    assert details(uniform) == {"not defined": ["correlation"]} and floor.details is None
    assert named(found, "wasserstein.truth", predictor="oracle").figure.median == 0
