"""The export's bench: its record, and the promise about memory on checkpoints of real shapes."""

import json

import pytest

from socrates_bench.export import measure
from tests.conftest import Command

GIB = 2**30


def test_the_record(command: Command) -> None:
    outcome = command(
        "bench", "export", "--shape", "tiny", "--no-apart", "--repeats", 1, "--quant", "f16,q4_k_m", "--json"
    )
    assert outcome.code == 0, outcome.err
    record = json.loads(outcome.out)
    (one,) = record["exports"]
    assert one["types"] == ["f16", "q4_k_m"] and record["parameters"] > 4e6
    assert one["seconds"]["median"] > 0 < one["arithmetic_seconds"]
    passed = one["seconds"]["median"] - record["startup_seconds"]
    assert one["over_arithmetic"] == passed / one["arithmetic_seconds"]
    assert record["cpu"] and record["environment"]["packages"]["llama-cpp-python"]


def test_a_shape_or_type_that_does_not_exist(command: Command) -> None:
    outcome = command("bench", "export", "--shape", "9b")
    assert outcome.code == 2 and "no shape 9b; choose from tiny, 0.5b, 3b" in outcome.err
    outcome = command("bench", "export", "--quant", "q9")
    assert outcome.code == 2 and "cannot export to q9; choose from f32, f16" in outcome.err


@pytest.mark.long
@pytest.mark.parametrize("shape", ["0.5b", pytest.param("3b", marks=pytest.mark.slow)])
def test_memory_is_bounded_and_nothing_is_written_twice(shape: str) -> None:
    record = measure(shape, [("f16", "q8_0")], repeats=1, apart=False)
    for one in record["exports"]:
        assert one["peak_rss"] <= GIB + record["adapter_bytes"]
        # And some progress to the parent; the padding between tensors is a hole.
        assert 0.99 * one["bytes"] <= one["bytes_written"] <= one["bytes"] + 10_000
