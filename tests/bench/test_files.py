"""The benches that take files: parity of an export, and builds of llama.cpp."""

import json
from pathlib import Path

import pytest

from socrates_bench.builds import lines
from socrates_bench.parity import types_of
from socrates_bench.record import Bench, Model
from socrates_fast.errors import DataError
from tests.bench.lines import details, lines_of, named
from tests.conftest import Command


@pytest.fixture
def exported(command: Command, micro_recipe: Path, tmp_path: Path) -> Path:
    """An export of two types of a micro run."""
    for words in (
        ("train", micro_recipe, "--out", "run"),
        ("export", "run", "--quant", "f16,q4_0", "--out", "all"),
    ):
        done = (
            command(*words, "--set", "export.parity.bounds={}") if words[0] == "export" else command(*words)
        )
        assert done.code == 0, done.err
    return tmp_path / "all"


@pytest.mark.long
def test_parity_of_an_export(command: Command, exported: Path) -> None:
    written = json.loads((exported / "parity.json").read_text(encoding="utf-8"))
    found = lines_of(
        command(
            "bench", "parity", exported, "--repeats", 2, "--threads", 1, "--json", "--out", "records.jsonl"
        ),
        "parity",
    )
    assert len(found) == 4
    for kind in ("f16", "q4_0"):
        apart, speed = (one for one in found if one.model and one.model.quantisation == kind)
        assert (
            apart.model == speed.model
            and apart.model
            and apart.model.bytes == written["files"][kind]["bytes"]
        )
        assert details(apart)["answers"] == written["answers"]["types"][kind]
        assert apart.quality == speed.quality and apart.quality and apart.quality["kl"] == apart.figure.median
        assert (speed.figure.n, speed.figure.unit, speed.where.threads) == (
            2,
            "tokens/s",
            1,
        ) and speed.where.llama
    drawn = command("bench", "report", "records.jsonl", "--out", "plots")
    assert drawn.code == 0 and "drawn: plots/speed-over-quality.svg" in drawn.err


@pytest.mark.long
def test_builds_of_one_file(command: Command, exported: Path) -> None:
    model = exported / json.loads((exported / "parity.json").read_text())["files"]["f16"]["file"]
    found = lines_of(command("bench", "builds", model, "--tokens", 16, "--repeats", 2, "--json"), "builds")
    speed = named(found, "prompt speed", build="installed", file=model.name)
    assert (speed.figure.n, speed.settings["tokens"]) == (2, 16)
    assert named(found, "times slower than the installed build").figure.all == (1.0, 1.0)


def test_a_build_is_compared_turn_by_turn() -> None:
    found = {
        "installed": {"system_info": "a", "speeds": [8.0, 6.0, 4.0]},
        "old": {"system_info": "b", "speeds": [4.0, 2.0, 4.0]},
    }
    made = lines(Bench.begin("builds"), Model(bytes=5), {"file": "x"}, found)
    slower = named(made, "times slower than the installed build", build="old")
    assert slower.figure.all == (2.0, 3.0, 1.0) and slower.figure.median == 2 and slower.where.llama == "b"


def test_what_is_no_export_is_refused(tmp_path: Path, command: Command) -> None:
    with pytest.raises(DataError, match=r"parity.json: cannot be read .*name the folder of an export"):
        types_of(tmp_path)
    (tmp_path / "parity.json").write_text('{"answers": "not compared", "files": {}}')
    with pytest.raises(DataError, match="answers were not compared"):
        types_of(tmp_path)
    done = command("bench", "builds", "none.gguf", "--lib", f"empty={tmp_path}")
    assert done.code == 2 and "there is no llama.cpp library in it" in done.err
