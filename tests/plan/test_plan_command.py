"""The verb ``plan``, what it prints, and the pages whose tables come from it."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from socrates_fast import recipes
from socrates_fast.errors import RecipeError
from socrates_fast.plan.gpus import GPUS, gpu_of
from socrates_fast.plan.guide import TABLES, with_tables
from socrates_fast.plan.planning import make_plan
from socrates_fast.plan.text import plan_text
from tests.conftest import ROOT, Command, command_environment

FAST = "socsci210/qwen2.5-14b-fast"


@pytest.mark.parametrize("page", ["docs/planning.md", "recipes/README.md"])
def test_tables_of_the_page_are_the_codes(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    assert "<!-- table: " in text
    assert text == with_tables(text), "run: python -m socrates_fast.plan.guide"


def test_every_table_is_on_a_page() -> None:
    text = "".join(
        (ROOT / page).read_text(encoding="utf-8") for page in ("docs/planning.md", "recipes/README.md")
    )
    for make in TABLES.values():
        assert make() in text


def test_every_recipe_for_socsci210_is_in_the_readme() -> None:
    text = (ROOT / "recipes/README.md").read_text(encoding="utf-8")
    for name in recipes.shipped():
        assert not name.startswith("socsci210/") or f"| `{name}` |" in text


def test_plan_prints_what_a_person_asks(command: Command) -> None:
    outcome = command("plan", FAST, "--gpu", "H100", "--usd-per-hour", "2.5")
    assert outcome.code == 0, outcome.err
    for word in ("14.8B parameters", "0.46%", "FLOP", " h at ", "$", "GPU memory", "activations", "downloads",
                 "disk", "estimate", "A100-80GB"):  # fmt: skip
        assert word in outcome.out
    assert max(map(len, outcome.out.splitlines())) <= 80


@pytest.mark.parametrize("gpu", GPUS)
@pytest.mark.parametrize("name", ["tiny", "socsci210/qwen2.5-14b-paper", "socsci210/qwen2.5-1.5b-t4"])
def test_text_fits_80_columns(name: str, gpu: str) -> None:
    text = plan_text(make_plan(recipes.load(name), gpu, 1.0))
    assert max(map(len, text.splitlines())) <= 80
    assert not [line for line in text.splitlines() if line != line.rstrip()]


def test_json_is_one_document(command: Command) -> None:
    outcome = command("plan", FAST, "--gpu", "a100-80gb", "--usd-per-hour", "0.66", "--json")
    found = json.loads(outcome.out)
    assert found["estimate"] is True
    assert found["model"]["trainable"] == 68_812_800
    assert found["usd"]["low"] == pytest.approx(found["hours"]["low"] * 0.66, rel=0.01)
    assert found["memory"]["peak"]["high"] == pytest.approx(
        sum(part["high"] for part in found["memory"]["parts"].values()), rel=0.01
    )
    assert set(found["each_gpu"]) == set(GPUS)
    assert found["memory"]["fits"] == "fits"


def test_what_does_not_fit_gets_changes(command: Command) -> None:
    outcome = command("plan", "socsci210/qwen2.5-14b-paper", "--gpu", "rtx4090")
    assert outcome.code == 0
    assert "does not fit" in outcome.out
    assert "--set model.load_in_4bit=true" in outcome.out
    assert "--gpu a100-80gb" in outcome.out


def test_a_t4_is_told_of_bfloat16_and_packing(command: Command) -> None:
    out = command("plan", FAST, "--gpu", "t4").out
    assert "T4 has no bfloat16: --set train.precision=float16" in out
    assert "T4 has no FlashAttention 2" in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--gpu", "h1000"), "--gpu h1000: not in the table (did you mean h100?)"),
        (("--gpu", ""), "not in the table; it has t4, l4"),
        (("--usd-per-hour", "-1"), "--usd-per-hour -1: a price is 0 or more"),
        (("--usd-per-hour", "nan"), "a price is 0 or more"),
        (("--usd-per-hour", "cheap"), "Input should be a valid number"),
        (("--data", "nowhere"), "nowhere/card.json: not the card of a prepared folder"),
        (("--set", "model.base=Qwen/Qwen2.5-14B-Instrukt"), "Did you mean Qwen/Qwen2.5-14B-Instruct?"),
        (("--set", "model.base=someone/else"), "download its config.json alone"),
        (("--set", "model.max_length=99999"), "has 32,768 positions"),
        (("--set", "train.lora.targets=[qproj]"), "has no matrix qproj (did you mean q_proj?)"),
        (("--set", "train.epoch=1"), "did you mean epochs?"),
    ],
)
def test_bad_input_is_a_message(command: Command, arguments: tuple[str, ...], message: str) -> None:
    outcome = command("plan", FAST, *arguments)
    assert outcome.code == 2
    assert message in outcome.err
    assert "Traceback" not in outcome.err
    assert not outcome.out


@pytest.mark.parametrize(
    ("written", "key"),
    [("A100", "a100-80gb"), ("A100-80GB", "a100-80gb"), ("NVIDIA H100", "h100"), ("RTX 4090", "rtx4090"),
     ("rtx-3090", "rtx3090"), ("5090", "rtx5090"), ("a100_40gb", "a100-40gb"), ("T4", "t4")],
)  # fmt: skip
def test_cards_however_they_are_written(written: str, key: str) -> None:
    assert gpu_of(written) == key


def test_unknown_card_names_the_nearest() -> None:
    with pytest.raises(RecipeError, match="did you mean h200"):
        gpu_of("h201")


def test_planning_loads_no_torch(tmp_path: Path) -> None:
    code = (
        "import sys; sys.argv = ['socrates-fast', 'plan', 'socsci210/qwen2.5-14b-fast', '--json']\n"
        "from socrates_fast.cli import main\n"
        "try: main()\n"
        "except SystemExit as end: assert end.code == 0, end.code\n"
        "heavy = {'torch', 'llama_cpp', 'transformers', 'unsloth', 'trl', 'matplotlib', 'scipy'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], env=command_environment(tmp_path), capture_output=True,
                          text=True, check=False)  # fmt: skip
    assert done.returncode == 0, done.stderr
