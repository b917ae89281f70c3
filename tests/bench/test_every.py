"""All benches in turn, and what a verb does with lines."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from socrates_bench import every
from socrates_bench.deliver import deliver
from socrates_bench.record import Bench, Figure, Measurement, read
from socrates_fast.errors import SocratesError
from tests.conftest import Command


def _good(_quick: bool) -> Iterator[Measurement]:
    yield Bench.begin("good").measured("speed", Figure.of([1.0], "rows/s"))


def _bad(quick: bool) -> Iterator[Measurement]:
    yield from _good(quick)
    raise SocratesError("the disk is gone")


def _ours(quick: bool) -> Iterator[Measurement]:
    yield from _good(quick)
    raise KeyError("a fault of ours")


def test_a_bench_that_fails_loses_nothing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(every, "BENCHES", {"first": _good, "second": _bad, "demo": _bad, "last": _good})
    out = tmp_path / "all.jsonl"
    with pytest.raises(SocratesError, match=r"these benches failed:\nbench second: the disk is gone$"):
        deliver(every.measure(quick=True), True, out)
    printed = capfd.readouterr().out.splitlines()
    assert len(read(out)) == 3 and printed == out.read_text().splitlines()


def test_a_fault_of_ours_says_in_which_bench(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(every, "BENCHES", {"first": _ours, "second": _good})
    with pytest.raises(KeyError) as raised:
        deliver(every.measure(quick=False), False, tmp_path / "all.jsonl")
    assert raised.value.__notes__ == ["in bench first"] and len(read(tmp_path / "all.jsonl")) == 1


def test_what_else_is_printed_goes_to_stderr(capfd: pytest.CaptureFixture[str]) -> None:
    def chatty() -> Iterator[Measurement]:
        print("a library's greeting")
        yield from _good(True)

    deliver(chatty(), True, None)
    said = capfd.readouterr()
    assert json.loads(said.out)["bench"] == "good" and "greeting" in said.err
    deliver(chatty(), False, None)
    said = capfd.readouterr()
    assert said.out.startswith("**bench good**") and "1 rows/s" in said.out and "greeting" not in said.out


@pytest.mark.slow
def test_all_of_them_quickly(command: Command, tmp_path: Path) -> None:
    outcome = command("bench", "all", "--quick", "--json", "--out", "all.jsonl")
    assert outcome.code == 0, outcome.err
    found = [Measurement.model_validate_json(line) for line in outcome.out.splitlines()]
    assert found == read(tmp_path / "all.jsonl")
    assert {one.bench for one in found} == every.BENCHES.keys() - every.LONG
    assert len({one.run for one in found}) == len(every.BENCHES) - len(every.LONG)
    outcome = command("bench", "report", "all.jsonl", "--out", "plots")
    assert outcome.code == 0 and "**bench score, tiny**" in outcome.out
