"""Recipes: every shipped one is right, and every fault in a wrong one is named at once."""

import re
from pathlib import Path

import pytest

from socrates_fast import recipes
from socrates_fast.errors import RecipeError
from socrates_fast.recipe import Recipe
from tests.conftest import ROOT, Command

FILES = sorted((ROOT / "recipes").rglob("*.yaml"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_shipped_recipe_is_valid_and_says_how_to_use_it(path: Path) -> None:
    recipe = recipes.load(str(path))
    header = path.read_text(encoding="utf-8").split("\nname:")[0]
    for word in ("Purpose:", "Needs:", "Launch:", "Override:"):
        assert word in header, f"{path}: header lacks {word}"
    for override in re.findall(r"--set (\S+)", header):
        recipes.load(str(path), [override])
    assert Recipe.model_validate(recipe.model_dump()) == recipe


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_dumped_recipe_loads_to_the_same(path: Path, tmp_path: Path) -> None:
    recipe = recipes.load(str(path))
    copy = tmp_path / "copy.yaml"
    copy.write_text(recipes.dump(recipe), encoding="utf-8")
    assert recipes.load(str(copy)) == recipe


def test_all_faults_at_once_with_line_and_nearest_name(tmp_path: Path) -> None:
    path = tmp_path / "wrong.yaml"
    path.write_text(
        "name: x\ndata:\n  source: synthetic\n  synthetic:\n    studys: 3\n"
        "train:\n  learning_rat: 3\n  epochs: -1\n  r: 4\n",
        encoding="utf-8",
    )
    with pytest.raises(RecipeError) as caught:
        recipes.load(str(path), ["model.bas=2"])
    text = str(caught.value)
    assert f"{path}:5: data.synthetic.studys: unknown key (did you mean studies?)" in text
    assert f"{path}:7: train.learning_rat: unknown key (did you mean learning_rate?)" in text
    assert f"{path}:8: train.epochs: Input should be greater than 0" in text
    assert f"{path}:9: train.r: unknown key (it belongs in train.lora)" in text
    assert "--set model.bas=2: model.bas: unknown key (did you mean base?)" in text


def test_bounds_of_the_gate_are_named_by_type_and_figure(tmp_path: Path) -> None:
    path = tmp_path / "wrong.yaml"
    path.write_text(
        "name: x\ndata: {source: synthetic}\nexport:\n  parity:\n    bounds:\n      q8_1: {kl: 1}\n"
        "      f16: {nmse: -1}\n      q4_k_m:\n        wassersteen: 1\n",
        encoding="utf-8",
    )
    with pytest.raises(RecipeError) as caught:
        recipes.load(str(path), ["export.parity.bounds.q2.kl=1", "export.parity.f16=1"])
    text = str(caught.value)
    for line in (
        f"{path}:6: export.parity.bounds.q8_1: unknown key (did you mean q8_0?)",
        f"{path}:7: export.parity.bounds.f16.nmse: Input should be greater than 0",
        f"{path}:9: export.parity.bounds.q4_k_m.wassersteen: unknown key (did you mean wasserstein?)",
        "--set export.parity.bounds.q2.kl=1: export.parity.bounds.q2: unknown key (did you mean q2_k?)",
        "--set export.parity.f16=1: export.parity.f16: unknown key (known here: logits, prompts, answers, bounds)",
    ):
        assert line in text, text


def test_a_bound_is_set_alone_and_the_others_stay() -> None:
    bounds = recipes.load("tiny", ["export.parity.bounds.q8_0.kl=0.01"]).export.parity.bounds
    built_in = recipes.load("tiny").export.parity.bounds
    assert bounds["q8_0"].kl == 0.01 != built_in["q8_0"].kl
    assert {**bounds, "q8_0": built_in["q8_0"]} == built_in
    assert bounds["q8_0"].model_copy(update={"kl": built_in["q8_0"].kl}) == built_in["q8_0"]


def test_faults_across_options(tmp_path: Path) -> None:
    path = tmp_path / "wrong.yaml"
    path.write_text("name: x\ndata: {source: table}\n", encoding="utf-8")
    with pytest.raises(RecipeError, match="data.table is missing"):
        recipes.load(str(path))
    with pytest.raises(
        RecipeError, match=r"evaluate.quantisation is q8_0, which export.quantisations does not"
    ):
        recipes.load("tiny", ["export.quantisations=[f16]"])
    with pytest.raises(RecipeError, match="must leave groups to train on"):
        recipes.load("tiny", ["data.split.test=0.9", "data.split.validation=0.2"])


@pytest.mark.parametrize("text", ["", "- a\n", "name: [", "just words"])
def test_not_a_recipe(tmp_path: Path, text: str) -> None:
    path = tmp_path / "wrong.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(RecipeError, match=r"wrong\.yaml"):
        recipes.load(str(path))


@pytest.mark.parametrize("override", ["train.epochs", "=3", "train.epochs.x=3", "train.epochs=[", "name=a b"])
def test_wrong_override_is_named(override: str) -> None:
    with pytest.raises(RecipeError, match="--set"):
        recipes.load("tiny", [override])


def test_override_reaches_the_recipe() -> None:
    recipe = recipes.load("tiny", ["train.lora.r=4", "data.path=null", "prompt.order=stimulus_first"])
    assert recipe.train.lora.r == 4
    assert recipe.prompt.order == "stimulus_first"


def test_unknown_name_gets_the_nearest() -> None:
    with pytest.raises(RecipeError, match="Did you mean tiny"):
        recipes.find("tinny")


def test_copy_refuses_to_overwrite(tmp_path: Path) -> None:
    made = recipes.copy("tiny", tmp_path)
    assert made.read_bytes() == (ROOT / "recipes/tiny.yaml").read_bytes()
    with pytest.raises(RecipeError, match="exists"):
        recipes.copy("tiny", tmp_path)


def test_verbs(command: Command, tmp_path: Path) -> None:
    assert command("recipes", "ls").out.split() == list(recipes.shipped())
    assert "name: tiny" in command("recipes", "show", "tiny").out
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text("nam: x\n", encoding="utf-8")
    outcome = command("recipes", "check", wrong)
    assert outcome.code == 2
    assert f"{wrong}:1: nam: unknown key (did you mean name?)" in outcome.err
    assert "Traceback" not in outcome.err
