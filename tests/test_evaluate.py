"""The verb ``evaluate``: a baseline, its stored predictions, a base beside it, and people whom a run has trained on."""

import json
from pathlib import Path

import polars as pl
import pytest

from socrates_fast import recipes
from socrates_fast.data.prepare import prepare
from tests.conftest import Command
from tests.infer.conftest import folder, gguf_file

__all__ = ["folder", "gguf_file"]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    prepare(recipes.load("tiny", ["data.synthetic.people=40"]), tmp_path / "run" / "data")
    return tmp_path / "run" / "data"


@pytest.mark.long
def test_stored_predictions_are_evaluated_beside_a_base(command: Command, data: Path, tmp_path: Path) -> None:
    first = command("evaluate", "uniform", data, "--out", tmp_path / "uniform", "--json")
    assert first.code == 0, first.err
    stored = tmp_path / "uniform" / "predictions.parquet"
    again = command(
        "evaluate", stored, data, "--out", tmp_path / "again", "--base", tmp_path / "uniform", "--min-people", "2"
    )  # fmt: skip
    assert again.code == 0, again.err
    assert "item_mean" in again.out and "floor" in again.out
    before, found = (
        json.loads((tmp_path / name / "metrics.json").read_text()) for name in ("uniform", "again")
    )
    assert found["baselines"]["base"]["mae"] == found["mae"]
    assert before["rows_sha256"] == found["rows_sha256"]
    assert before["headline"]["all_cells_small"] and not found["headline"]["all_cells_small"]
    assert before["banners"][0].startswith("Cannot tell") and "! " not in first.out
    assert json.loads(first.out) == before
    other = pl.read_parquet(stored).with_columns(sample_id=pl.col("sample_id") + 10**6)
    other.write_parquet(tmp_path / "other.parquet")
    refused = command("evaluate", tmp_path / "other.parquet", data, "--out", tmp_path / "none")
    assert refused.code == 2 and "they belong to other rows" in refused.err
    assert not (tmp_path / "none").exists()


@pytest.mark.long
def test_a_runs_file_on_the_people_it_was_trained_on_gets_a_banner(
    command: Command, data: Path, tmp_path: Path, gguf_file: Path
) -> None:
    run = data.parent
    (run / "gguf").mkdir()
    model = run / "gguf" / "tiny-f32.gguf"
    model.symlink_to(gguf_file)
    recipe = recipes.dump(recipes.load("tiny", ["data.synthetic.people=40"]))
    (run / "recipe.yaml").write_text(recipe, encoding="utf-8")
    done = command(
        "evaluate", model, data / "train.parquet", "--limit", "12", "--out", tmp_path / "out", "--threads", "1"
    )  # fmt: skip
    assert done.code == 0, done.err
    assert "! 12 of 12 rows are of people that the model was trained on" in done.out
    fresh = command("evaluate", model, data, "--limit", "12", "--out", tmp_path / "test", "--threads", "1")
    assert fresh.code == 0 and "trained on" not in fresh.out
