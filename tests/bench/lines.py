"""Lines of a bench's command, by what was measured."""

from typing import Any

from socrates_bench.record import Measurement
from tests.conftest import Outcome


def lines_of(outcome: Outcome, bench: str) -> list[Measurement]:
    """The lines on stdout, and nothing else there; they are of one run, on one machine."""
    assert outcome.code == 0, outcome.err
    found = [Measurement.model_validate_json(line) for line in outcome.out.splitlines()]
    assert {one.bench for one in found} == {bench} and len({one.run for one in found}) == 1
    for one in found:
        assert (
            one.where.cpu and one.where.cpus and one.where.memory_bytes and one.where.load_average is not None
        )
        assert {"numpy", "polars", "llama-cpp-python", "socrates_fast"} <= one.where.versions.keys()
    return found


def named(found: list[Measurement], name: str, **settings: Any) -> Measurement:
    """The one line of this name with these settings."""
    chosen = [one for one in found if one.name == name and settings.items() <= one.settings.items()]
    assert len(chosen) == 1, [one.name for one in found]
    return chosen[0]


def details(one: Measurement) -> dict[str, Any]:
    """A line's details, which it has."""
    assert one.details is not None
    return dict(one.details)
