"""The export's bench beside the steps that it replaces: ratios of pairs, or the reason why there are none."""

import sys

import pytest

from socrates_bench.export import measure
from socrates_bench.peers.apart import reason_to_skip
from tests.bench.lines import details, named


def test_without_peft_the_steps_are_skipped(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("transformers")
    monkeypatch.setitem(sys.modules, "peft", None)
    assert reason_to_skip("0.5b") == 'peft is not installed (pip install "socrates-fast[train]")'


def test_what_is_skipped_is_said(capfd: pytest.CaptureFixture[str]) -> None:
    found = list(measure("tiny", [("q8_0",)], repeats=2))
    assert [one.name for one in found] == ["seconds of an export of nothing", "seconds of the export"]
    assert all(one.figure.n == 2 for one in found)
    reason = details(found[1])["skipped"]["steps apart"]
    assert "tiny has none of its own" in reason
    assert f"skipped the steps apart: {reason}" in capfd.readouterr().err


@pytest.mark.slow
def test_ratios_of_pairs() -> None:
    pytest.importorskip("peft")
    found = list(measure("0.5b", [("f16", "q8_0")], repeats=2))
    export = named(found, "seconds of the export")
    steps = {one.settings["step"]: one.figure for one in found if one.name == "seconds of a step apart"}
    assert list(steps) == ["merge", "convert", "q8_0"] and all(step.n == 2 for step in steps.values())
    totals = [sum(turn) for turn in zip(*(step.all or () for step in steps.values()), strict=True)]
    assert details(export)["apart_seconds"] == pytest.approx(totals)
    ratio = named(found, "times as fast as the steps apart").figure
    pairs = zip(details(export)["apart_seconds"], export.figure.all or (), strict=True)
    assert ratio.unit == "x" and ratio.all == tuple(apart / ours for apart, ours in pairs)
