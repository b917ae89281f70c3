"""Recipes: every shipped one is right, and every fault in a wrong one is named at once."""

import re
import shlex
from itertools import pairwise
from pathlib import Path

import pytest

from socrates_fast import recipes
from socrates_fast.errors import RecipeError
from socrates_fast.plan.guide import header_line, planned_gpu
from socrates_fast.plan.limits import card_notes, check_limits
from socrates_fast.plan.planning import make_plan
from socrates_fast.recipe import Recipe
from tests.conftest import ROOT, Command

FILES = sorted((ROOT / "recipes").rglob("*.yaml"))
SOCSCI210 = sorted((ROOT / "recipes" / "socsci210").glob("*.yaml"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_shipped_recipe_is_valid_and_says_how_to_use_it(path: Path) -> None:
    recipe = recipes.load(str(path))
    header = path.read_text(encoding="utf-8").split("\nname:")[0]
    for word in ("Purpose:", "Needs:", "Launch:", "Override:"):
        assert word in header, f"{path}: header lacks {word}"
    for line in re.findall(r"(socrates-fast .*--set .*)", header):
        words = shlex.split(line, comments=True)
        recipes.load(str(path), [word for before, word in pairwise(words) if before == "--set"])
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


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_shipped_recipe_keeps_its_models_limits(path: Path) -> None:
    checked = check_limits(recipes.load(str(path)), str(path))
    assert checked.model
    assert not [note for note in checked.notes if "pinned" in note]


@pytest.mark.parametrize("path", SOCSCI210, ids=lambda path: path.stem)
def test_recipe_for_socsci210_says_card_hours_and_memory(path: Path) -> None:
    name = f"socsci210/{path.stem}"
    gpu = planned_gpu(name)
    assert gpu is not None
    assert f"# Plan:     {header_line(name, gpu)}\n" in path.read_text(encoding="utf-8"), (
        "python -m socrates_fast.plan.guide"
    )
    plan = make_plan(recipes.load(name), gpu)
    assert plan.verdict == "fits"
    assert not list(card_notes(plan.recipe, plan.card))
    assert plan.time.validation.middle < 0.15 * plan.time.hours.middle


def test_variants_hold_out_what_they_say() -> None:
    header = (
        (ROOT / "recipes/socsci210/qwen2.5-14b-fast.yaml").read_text(encoding="utf-8").split("\nname:")[0]
    )
    found = {}
    for what, line in re.findall(r"^# Unseen (\w+): +(.*)$", header, re.MULTILINE):
        words = shlex.split(line)
        split = recipes.load(
            "socsci210/qwen2.5-14b-fast", [w for b, w in pairwise(words) if b == "--set"]
        ).data.split
        found[what] = split.mapping or split.by
    assert found == {
        "conditions": "condition_mapping",
        "tasks": "task_mapping",
        "participants": "participant",
    }


def test_the_seed_and_the_paper_are_as_published() -> None:
    seed, paper = (recipes.load(f"socsci210/qwen2.5-14b-{name}") for name in ("seed", "paper"))
    for recipe in (seed, paper):
        train = recipe.train
        assert train.batch_size * train.accumulation == 256
        assert (train.learning_rate, train.epochs, train.schedule, train.warmup) == (1e-5, 1, "cosine", 0.05)
        assert (train.weight_decay, train.optimizer) == (0.1, "adamw_torch")
    assert (seed.data.split.by, seed.data.max_train_rows, seed.model.load_in_4bit) == ("random", 23_210, True)
    assert (seed.train.lora.r, seed.train.lora.alpha, seed.train.lora.dropout) == (16, 32, 0.05)
    assert paper.data.split.mapping == "participant_mapping"
    assert paper.data.share == 1
    assert paper.data.max_rows_per_cell is None


def test_check_names_what_the_model_cannot_do(command: Command) -> None:
    outcome = command("recipes", "check", "socsci210/llama-3-8b", "--set", "model.max_length=9000", "--set",
                      "train.lora.targets=[q_proj, gate_up_proj]")  # fmt: skip
    assert outcome.code == 2
    assert (
        "model.max_length is 9,000, but meta-llama/Meta-Llama-3-8B-Instruct has 8,192 positions"
        in outcome.err
    )
    assert "has no matrix gate_up_proj (did you mean gate_proj?)" in outcome.err
    assert "Traceback" not in outcome.err


def test_check_says_what_must_be_pinned_and_what_it_could_not_check(command: Command) -> None:
    outcome = command("recipes", "check", "socsci210/qwen2.5-7b", "--set", "model.revision=null")
    assert outcome.code == 0
    assert "--set model.revision=a09a35458c702b33eeacc393d103063234e8bc28" in outcome.out
    outcome = command("recipes", "check", "socsci210/qwen2.5-7b", "--set", "model.base=someone/else")
    assert outcome.code == 0
    assert "its limits were not checked" in outcome.out


def test_verbs(command: Command, tmp_path: Path) -> None:
    assert command("recipes", "ls").out.split() == list(recipes.shipped())
    assert "name: tiny" in command("recipes", "show", "tiny").out
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text("nam: x\n", encoding="utf-8")
    outcome = command("recipes", "check", wrong)
    assert outcome.code == 2
    assert f"{wrong}:1: nam: unknown key (did you mean name?)" in outcome.err
    assert "Traceback" not in outcome.err
