"""Adapters to go on from: where they are found, what is refused, and what a trained run still needs of them."""

import json
from pathlib import Path
from typing import Any

import pytest

from socrates_fast import recipes
from socrates_fast.errors import TrainingError
from socrates_fast.runs import Run
from socrates_fast.train.start import adapter_folder, start_of


def _adapter(folder: Path, **changes: Any) -> Path:
    config = {"r": 16, "lora_alpha": 32, "use_rslora": False,
              "target_modules": ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]}  # fmt: skip
    (folder / "adapter").mkdir(parents=True)
    (folder / "adapter" / "adapter_config.json").write_text(json.dumps(config | changes), encoding="utf-8")
    (folder / "adapter" / "adapter_model.safetensors").touch()
    return folder


def test_an_adapter_is_found_in_its_run_or_by_itself(tmp_path: Path) -> None:
    run = _adapter(tmp_path / "run")
    for given_folder in (run, run / "adapter"):
        recipe = recipes.load("tiny", [f"train.adapter={given_folder}"])
        assert adapter_folder(recipe) == run / "adapter"
    assert adapter_folder(recipes.load("tiny")) is None


def test_a_trained_run_does_not_need_the_adapter_that_it_began_with(tmp_path: Path) -> None:
    before, run = _adapter(tmp_path / "before"), Run(tmp_path / "run")
    recipe = recipes.load("tiny", [f"train.adapter={before}"])
    found = start_of(recipe, run)
    assert found == start_of(recipe, run)
    before.rename(tmp_path / "moved")
    with pytest.raises(TrainingError, match="no adapter in"):  # it has not trained yet
        start_of(recipe, run)
    run.close("train", "key", [], 0.0)
    assert start_of(recipe, Run(run.folder)) == found


def test_a_run_cannot_begin_with_what_it_replaces(tmp_path: Path) -> None:
    own = _adapter(tmp_path / "run")
    with pytest.raises(TrainingError, match="name another folder with --out"):
        start_of(recipes.load("tiny", [f"train.adapter={own}"]), Run(own))


def test_an_adapter_of_another_shape_or_base_is_refused(tmp_path: Path) -> None:
    other = _adapter(tmp_path / "other", r=8)
    with pytest.raises(TrainingError, match=r"has r 8 \(recipe: 16\); set train.lora"):
        adapter_folder(recipes.load("tiny", [f"train.adapter={other}"]))
    with pytest.raises(TrainingError, match="no adapter in"):
        adapter_folder(recipes.load("tiny", [f"train.adapter={tmp_path}"]))
    based = _adapter(tmp_path / "based")
    (based / "recipe.yaml").write_text(
        recipes.dump(recipes.load("tiny", ["model.base=elsewhere"])), encoding="utf-8"
    )
    with pytest.raises(TrainingError, match="was trained on elsewhere, and the recipe's base is tiny"):
        adapter_folder(recipes.load("tiny", [f"train.adapter={based}"]))
