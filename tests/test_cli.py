"""Bad input through the real command: exit code 2, a message with file, place and remedy, nothing half-written."""

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import yaml
from safetensors.numpy import save_file

from socrates_fast import recipes
from socrates_fast.data.prepare import prepare
from socrates_fast.runs import sha256_file
from tests.conftest import Command, Outcome, command_environment

HEADER = ("person", "age", "name", "rating")
PEOPLE = [(f"p{number}", str(20 + number), "Ann", str(number % 7 + 1)) for number in range(60)]
TABLE: dict[str, Any] = {
    "study": "survey",
    "participant": "person",
    "persona": {"age": {"column": "age"}},
    "variables": {"name": "name"},
    "stimulus": "How do you like {name}? Only return an integer from 1 to 7, where 1 means not at all.",
    "answers": {"column": "rating", "low": 1, "high": 7},
}

WriteSurvey = Callable[..., Path]


@pytest.fixture
def survey(tmp_path: Path) -> WriteSurvey:
    """``survey(rows, table={...}, **data)``: a recipe and the CSV it reads, side by side in ``tmp_path``."""

    def write(rows: list[tuple[str, ...]], table: dict[str, Any] | None = None, **data: Any) -> Path:
        with (tmp_path / "answers.csv").open("w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows([HEADER, *rows])
        content = {"source": "table", "path": "answers.csv", "table": {**TABLE, **(table or {})}, **data}
        recipe = tmp_path / "survey.yaml"
        recipe.write_text(yaml.safe_dump({"name": "survey", "data": content}), encoding="utf-8")
        return recipe

    return write


def refused(outcome: Outcome, *words: str) -> None:
    """The command ended as a user's fault does, and its message holds ``words``."""
    assert outcome.code == 2, outcome.err
    assert "Traceback" not in outcome.err
    assert "error: " in outcome.err
    assert outcome.out == ""
    missing = [word for word in words if word not in outcome.err]
    assert not missing, f"{missing} not in: {outcome.err}"


def content(folder: Path) -> dict[str, str | None]:
    """Everything below ``folder``, with the sha256 of its files."""
    return {
        str(path.relative_to(folder)): sha256_file(path) if path.is_file() else None
        for path in sorted(folder.rglob("*"))
    }


# --- recipes ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("verb", [("run",), ("recipes", "check")])
def test_unknown_keys_are_named_all_at_once_with_the_nearest(
    command: Command, tmp_path: Path, verb: tuple[str, ...]
) -> None:
    recipe = tmp_path / "wrong.yaml"
    recipe.write_text(
        "name: wrong\ndata:\n  source: synthetic\n  sead: 3\ntrain:\n  epohcs: 2\n  learning_rate: -1\n",
        encoding="utf-8",
    )
    before = content(tmp_path)
    refused(
        command(*verb, recipe, "--set", "model.bas=tiny"),
        f"{recipe}:4: data.sead: unknown key",
        f"{recipe}:6: train.epohcs: unknown key (did you mean epochs?)",
        f"{recipe}:7: train.learning_rate: Input should be greater than 0",
        "--set model.bas=tiny: model.bas: unknown key (did you mean base?)",
    )
    assert content(tmp_path) == before


def test_a_recipe_that_does_not_exist(command: Command, tmp_path: Path) -> None:
    refused(command("run", "tinny"), "tinny: no such file", "Did you mean tiny?")
    assert not content(tmp_path)


# --- data ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("arguments", [("data", "prepare"), ("train",)])
def test_a_data_file_that_does_not_exist(
    command: Command, survey: WriteSurvey, tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    recipe = survey(PEOPLE, path="nowhere.csv")
    refused(command(*arguments, recipe, "--out", "out"), "nowhere.csv: no such file", "--set data.path=FILE")
    assert not [path for path in content(tmp_path / "out") if path.startswith((".", "data", "train"))][1:]
    assert not list(tmp_path.rglob("*.parquet"))


def test_columns_that_the_file_does_not_have(command: Command, survey: WriteSurvey, tmp_path: Path) -> None:
    changes = {"variables": {"name": "nome"}, "answers": {**TABLE["answers"], "column": "ratings"}}
    before = content(survey(PEOPLE, changes).parent)
    refused(
        command("data", "prepare", "survey.yaml", "--out", "out"),
        "answers.csv:1: no column 'ratings' (nearest: 'rating')",
        "answers.csv:1: no column 'nome' (nearest: 'name')",
    )
    assert content(tmp_path) == before


UNUSABLE = [
    ("q1", "30", "Ann", "8"),
    ("q2", "31", "Ann", "9"),
    ("q3", "32", "Ann", "2.5"),
    ("q4", "33", "Ann", "x"),
]


def test_answers_off_the_scale_are_refused_with_file_line_and_remedy(
    command: Command, survey: WriteSurvey, tmp_path: Path
) -> None:
    before = content(survey([*PEOPLE, *UNUSABLE], off_scale="refuse").parent)
    refused(
        command("data", "prepare", "survey.yaml", "--out", "out"),
        "answers.csv",
        "4 rows cannot be used",
        "2 x the answer is off its scale (first: answer 8, line 62)",
        "2 x the answer is not an integer (first: answer 2.5, line 64)",
        "data.off_scale",
    )
    assert content(tmp_path) == before


def test_answers_off_the_scale_are_dropped_counted_and_listed(
    command: Command, survey: WriteSurvey, tmp_path: Path
) -> None:
    outcome = command("data", "prepare", survey([*PEOPLE, *UNUSABLE]), "--out", "out")
    assert outcome.code == 0, outcome.err
    card = json.loads((tmp_path / "out/card.json").read_text(encoding="utf-8"))
    assert card["dropped_rows"] == 4
    assert {fault["reason"]: fault["rows"] for fault in card["dropped"]} == {
        "the answer is off its scale": 2,
        "the answer is not an integer": 2,
    }
    assert "2 x the answer is off its scale" in (tmp_path / "out/card.md").read_text(encoding="utf-8")
    kept = pl.concat([pl.read_parquet(file) for file in (tmp_path / "out").glob("*.parquet")])
    assert kept.height == len(PEOPLE)


@pytest.mark.parametrize(
    ("people", "message"),
    [
        (PEOPLE[:2], "split is empty: 2 people"),
        ([(*person[:3], "99") for person in PEOPLE], "no usable row is left"),
    ],
)
def test_a_side_without_rows(
    command: Command, survey: WriteSurvey, tmp_path: Path, people: list[tuple[str, ...]], message: str
) -> None:
    before = content(survey(people).parent)
    refused(command("data", "prepare", "survey.yaml", "--out", "out"), message)
    assert content(tmp_path) == before


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ('{"study_id": "s", "sample_id": 1, "stimuli": "x"}\n', ["missing columns", "response", "task_num"]),
        (None, ["no such file"]),
    ],
)
def test_evaluating_a_file_that_cannot_be_read(
    command: Command, tmp_path: Path, lines: str | None, words: list[str]
) -> None:
    if lines is not None:
        (tmp_path / "rows.jsonl").write_text(lines, encoding="utf-8")
    before = content(tmp_path)
    refused(command("evaluate", "midpoint", "rows.jsonl", "--out", "out"), "rows.jsonl", *words)
    assert content(tmp_path) == before


@pytest.mark.parametrize("verb", [("data", "prepare"), ("train",)])
def test_out_that_is_a_file(command: Command, tmp_path: Path, verb: tuple[str, ...]) -> None:
    (tmp_path / "taken").write_text("mine", encoding="utf-8")
    before = content(tmp_path)
    refused(command(*verb, "tiny", "--out", "taken"), "taken")
    assert content(tmp_path) == before


# --- models -------------------------------------------------------------------------------------------------


@pytest.fixture
def base_without_safetensors(micro_base: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "hollow"
    shutil.copytree(micro_base, folder)
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    return folder


def test_training_on_a_base_without_safetensors(
    command: Command, micro_recipe: Path, base_without_safetensors: Path, tmp_path: Path
) -> None:
    outcome = command(
        "train", micro_recipe, "--set", f"model.base={base_without_safetensors}", "--out", "out"
    )
    refused(outcome, str(base_without_safetensors), "without safetensors")
    assert not (tmp_path / "out/adapter").exists()
    assert not (tmp_path / "out/unsloth_compiled_cache").exists()


def test_exporting_a_base_without_safetensors(
    command: Command, base_without_safetensors: Path, tmp_path: Path
) -> None:
    outcome = command("export", "--base", base_without_safetensors, "--out", "out")
    refused(outcome, str(base_without_safetensors), "without safetensors", "save_pretrained")
    assert not content(tmp_path / "out")


def test_a_base_that_does_not_exist(command: Command, micro_recipe: Path, tmp_path: Path) -> None:
    refused(
        command("train", micro_recipe, "--set", "model.base=./nowhere", "--out", "out"),
        "model.base",
        "./nowhere",
    )
    assert not (tmp_path / "out/adapter").exists()


def test_a_base_on_the_hub_that_cannot_be_had(command: Command, micro_recipe: Path, tmp_path: Path) -> None:
    base = ["--set", "model.base=nobody/nothing", "--set", f"model.revision={'abc0' * 10}"]
    outcome = command("train", micro_recipe, *base, "--out", "out")
    refused(outcome, "model.base", "nobody/nothing", "abc0abc0")
    assert not (tmp_path / "out/adapter").exists()


def write_adapter(folder: Path, width: int, layers: int) -> Path:
    """A LoRA adapter of the query projections of some Qwen2."""
    tensors = {}
    for layer in range(layers):
        name = f"base_model.model.model.layers.{layer}.self_attn.q_proj"
        tensors[f"{name}.lora_A.weight"] = np.zeros((4, width), np.float32)
        tensors[f"{name}.lora_B.weight"] = np.zeros((width, 4), np.float32)
    folder.mkdir()
    save_file(tensors, folder / "adapter_model.safetensors")
    config = {"peft_type": "LORA", "r": 4, "lora_alpha": 8, "target_modules": ["q_proj"]}
    (folder / "adapter_config.json").write_text(json.dumps(config), encoding="utf-8")
    return folder


@pytest.mark.parametrize(
    ("width", "layers", "place"),
    [
        (32, 2, "model.layers.0.self_attn.q_proj.weight has shape [32, 32] in the adapter and [64, 64]"),
        (64, 1, "it has 1 layers, the base has 2"),
    ],
)
def test_adapter_of_another_model(
    command: Command, micro_base: Path, tmp_path: Path, width: int, layers: int, place: str
) -> None:
    adapter = write_adapter(tmp_path / "other", width, layers)
    outcome = command("export", "--base", micro_base, "--adapter", adapter, "--out", "out")
    refused(outcome, f"{adapter}: adapter of another model", place)
    assert not content(tmp_path / "out")


def test_adapter_that_is_not_a_folder(command: Command, micro_base: Path, tmp_path: Path) -> None:
    weights = write_adapter(tmp_path / "adapter", 64, 2) / "adapter_model.safetensors"
    outcome = command("export", "--base", micro_base, "--adapter", weights, "--out", "out")
    refused(outcome, str(weights))
    assert not content(tmp_path / "out")


@pytest.fixture(scope="module")
def gguf(micro_base: Path, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A whole GGUF of the micro base."""
    from socrates_export.command import export
    from socrates_fast.recipe import Parity

    out = tmp_path_factory.mktemp("gguf")
    return export(micro_base, None, out, ["f16"], "m", Parity(), [], verify=False).files["f16"].read_bytes()


DAMAGED: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "in the data": (lambda whole: whole[:-1000], "truncated"),
    "in the header": (lambda whole: whole[:300], "truncated"),
    "empty": (lambda _: b"", "the file is empty"),
    "another format": (lambda _: b"PK\x03\x04" + bytes(4000), "not a GGUF file"),
}


@pytest.mark.parametrize("how", DAMAGED)
def test_a_damaged_gguf(command: Command, gguf: bytes, tmp_path: Path, how: str) -> None:
    damage, words = DAMAGED[how]
    (tmp_path / "model.gguf").write_bytes(damage(gguf))
    refused(command("predict", "model.gguf", "--example", "1", "--json"), "model.gguf: ", words)


def test_evaluating_a_truncated_gguf(command: Command, gguf: bytes, tmp_path: Path) -> None:
    (tmp_path / "model.gguf").write_bytes(gguf[:-1000])
    prepare(recipes.load("tiny"), tmp_path / "rows")
    before = content(tmp_path)
    outcome = command("evaluate", "model.gguf", "rows", "--out", "out")
    refused(outcome, "model.gguf: truncated", "copy or download it again")
    assert content(tmp_path) == before


def test_a_gguf_that_does_not_exist(command: Command, tmp_path: Path) -> None:
    refused(command("predict", "nowhere.gguf", "--example", "1"), "nowhere.gguf: no such file")
    assert not content(tmp_path)


# --- Ctrl-C -------------------------------------------------------------------------------------------------


def test_ctrl_c_while_preparing_leaves_nothing(cache: Path, tmp_path: Path) -> None:
    options = ["--set", "data.synthetic.people=20000", "--set", "data.synthetic.tasks=5"]
    process = subprocess.Popen(
        [sys.executable, "-m", "socrates_fast", "data", "prepare", "tiny", "--out", "rows", *options],
        env=command_environment(cache), cwd=tmp_path, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
    )  # fmt: skip
    wait_until_at_work(process)
    os.killpg(process.pid, signal.SIGINT)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 130, err
    assert "Traceback" not in err
    assert "interrupted; the same command resumes" in err
    assert not content(tmp_path)


def wait_until_at_work(process: subprocess.Popen[str]) -> None:
    """Until scipy's statistics, the last thing that the synthetic source imports, are loaded."""
    maps = Path(f"/proc/{process.pid}/maps")
    if not maps.is_file():
        process.kill()
        pytest.skip("/proc does not show what a process has loaded here")
    end = time.monotonic() + 30
    while "/scipy/special/" not in maps.read_text(encoding="utf-8"):
        assert process.poll() is None and time.monotonic() < end
        time.sleep(0.02)
    time.sleep(1)
