"""What people mistype: the message says what, where and what to do, and nothing is left behind."""

import json
from pathlib import Path

import pytest

from socrates_fast import recipes
from socrates_fast.data.prepare import prepare
from tests.conftest import Command
from tests.test_cli import refused


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run's folder as far as its data, whose recipe counts cells of 5 people."""
    recipe = recipes.load("tiny", ["data.synthetic.people=40"])
    prepare(recipe, tmp_path / "run" / "data")
    (tmp_path / "run" / "recipe.yaml").write_text(recipes.dump(recipe), encoding="utf-8")
    return tmp_path / "run"


def test_a_refused_export_leaves_no_folder(command: Command, tmp_path: Path) -> None:
    refused(command("export", "--base", tmp_path, "--out", "out"), "without safetensors")
    assert not (tmp_path / "out").exists()


def test_a_type_that_is_none(command: Command, run: Path) -> None:
    outcome = command("export", run, "--quant", "f16, q8")
    refused(outcome, "cannot export to q8; choose from", "q8_0")
    assert "evaluate.quantisation" not in outcome.err


def test_data_that_is_not_there(command: Command) -> None:
    outcome = command("evaluate", "uniform", "nowhere", "--out", "out")
    refused(outcome, "nowhere: no such file or folder")
    assert "data.path" not in outcome.err  # evaluate has no recipe


def test_a_run_in_place_of_its_data(command: Command, run: Path) -> None:
    refused(command("evaluate", "uniform", run, "--out", "out"), f"its data is {run / 'data'}")


def test_a_model_in_place_of_an_evaluation(command: Command, run: Path, tmp_path: Path) -> None:
    (tmp_path / "base.gguf").touch()
    outcome = command("evaluate", "uniform", run / "data", "--base", "base.gguf", "--out", "out")
    refused(outcome, "--base base.gguf: no evaluation there", "--out base")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "words", [("evaluate", "run/gguf", "run/data"), ("verify", "run/gguf"), ("doctor", "run/gguf")]
)
def test_a_folder_in_place_of_a_file(command: Command, run: Path, words: tuple[str, ...]) -> None:
    (run / "gguf").mkdir()
    (run / "gguf" / "mine-q8_0.gguf").touch()
    outcome = command(*words)
    assert outcome.code == 2 and "did you mean run/gguf/mine-q8_0.gguf?" in outcome.err + outcome.out


@pytest.mark.long
def test_the_run_of_the_data_says_how_small_a_cell_may_be(
    command: Command, run: Path, tmp_path: Path
) -> None:
    outcome = command("evaluate", "uniform", run / "data", "--out", "out")
    assert outcome.code == 0, outcome.err
    assert "cells of at least 5 people count" in outcome.err + outcome.out
    headline = json.loads((tmp_path / "out" / "metrics.json").read_text(encoding="utf-8"))["headline"]
    assert headline["min_people"] == 5
