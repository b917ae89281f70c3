"""The export's bench: its record, and the promise about memory on checkpoints of real shapes."""

import pytest

from socrates_bench.export import measure
from tests.bench.lines import details, lines_of, named
from tests.conftest import Command

GIB = 2**30


def test_the_record(command: Command) -> None:
    outcome = command(
        "bench", "export", "--shape", "tiny", "--no-apart", "--repeats", 1, "--quant", "f16,q4_k_m", "--json"
    )
    found = lines_of(outcome, "export")
    one, start = named(found, "seconds of the export"), named(found, "seconds of an export of nothing")
    assert one.model and one.model.quantisation == "f16+q4_k_m" and one.ceiling and one.share
    assert one.model.parameters and one.model.parameters > 4e6 and one.model.bytes and one.model.bytes > 4e6
    seen = details(one)
    assert one.ceiling.value == start.figure.median + seen["arithmetic_seconds"]
    assert seen["over_arithmetic"] == (one.figure.median - start.figure.median) / seen["arithmetic_seconds"]
    assert one.share == one.figure.median / one.ceiling.value


def test_a_shape_or_type_that_does_not_exist(command: Command) -> None:
    outcome = command("bench", "export", "--shape", "9b")
    assert outcome.code == 2 and "no shape 9b; choose from tiny, 0.5b, 1.5b, 3b" in outcome.err
    outcome = command("bench", "export", "--quant", "q9")
    assert outcome.code == 2 and "cannot export to q9; choose from f32, f16" in outcome.err


@pytest.mark.long
@pytest.mark.parametrize("shape", ["0.5b", pytest.param("3b", marks=pytest.mark.slow)])
def test_memory_is_bounded_and_nothing_is_written_twice(shape: str) -> None:
    found = list(measure(shape, [("f16", "q8_0")], repeats=1, apart=False))
    one = named(found, "seconds of the export")
    size = one.model.bytes if one.model else None
    adapter = one.settings["adapter_bytes"]
    assert size and one.peak_memory and isinstance(adapter, int) and one.peak_memory <= GIB + adapter
    # And some progress to the parent; the padding between tensors is a hole.
    assert 0.99 * size <= details(one)["bytes_written"] <= size + 10_000
