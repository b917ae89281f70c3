"""The whole run through the real libraries: Unsloth, TRL, PEFT, the exporter, llama.cpp. No stand-ins."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import polars as pl
import pytest
from gguf import GGUFReader
from safetensors.numpy import load_file

from socrates_fast.infer import trained_prompt
from socrates_fast.recipe import PromptOptions
from tests.conftest import Command, command_environment


@pytest.fixture(scope="module")
def finished(
    micro_base: Path, cache: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Path, subprocess.CompletedProcess[str]]:
    """One run of a micro recipe from rows to report, its recipe and how the command ended."""
    folder = tmp_path_factory.mktemp("run")
    recipe = folder / "micro.yaml"
    recipe.write_text(
        f"name: micro\n"
        f"data:\n  source: synthetic\n  synthetic: {{studies: 2, people: 30, tasks: 2}}\n"
        f"  split: {{validation: 0.2, test: 0.3}}\n"
        f"model: {{base: {micro_base}, max_length: 512}}\n"
        f"prompt: {{fields: [age, ideology]}}\n"
        f"train: {{max_steps: 6, batch_size: 4, learning_rate: 0.01, save_steps: 2, eval_steps: 3}}\n"
        f"evaluate: {{limit: 24}}\n",
        encoding="utf-8",
    )
    done = start(recipe, folder / "out", cache, "run", "--usd-per-hour", "3600")
    out, err = done.communicate(timeout=200)
    return recipe, folder / "out", subprocess.CompletedProcess([], done.returncode, out, err)


def start(recipe: Path, out: Path, cache: Path, verb: str = "run", *more: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "socrates_fast", verb, str(recipe), "--out", str(out), *more],
        env=command_environment(cache), cwd=recipe.parent, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
    )  # fmt: skip


def test_run_makes_everything_it_promises(
    finished: tuple[Path, Path, subprocess.CompletedProcess[str]],
) -> None:
    _, out, done = finished
    assert done.returncode == 0, done.stderr
    for name in (
        "recipe.yaml", "environment.json", "manifest.json", "log.jsonl", "training.html", "data/train.parquet", "data/card.json",
        "adapter/adapter_model.safetensors", "adapter/adapter_config.json", "gguf/micro-f16.gguf",
        "gguf/micro-q8_0.gguf", "gguf/micro-q4_k_m.gguf", "gguf/parity.json", "gguf/Modelfile", "gguf/README.md",
        "gguf/SHA256SUMS", "gguf/base/base-q8_0.gguf",
        "evaluation/metrics.json", "evaluation/predictions.parquet", "evaluation/report.html",
        "evaluation/base/metrics.json",
    ):  # fmt: skip
        assert (out / name).is_file(), name
    assert not list(out.rglob("*partial*"))
    assert not (out / "checkpoints").exists()
    for row in ("uniform", "midpoint", "base", "fine-tuned", "oracle"):
        assert row in done.stdout
    assert "parameters are trained" in done.stderr
    assert "supervised tokens" in done.stderr


def test_every_step_is_logged_and_the_adapter_learned(
    finished: tuple[Path, Path, subprocess.CompletedProcess[str]],
) -> None:
    _, out, _ = finished
    events = [json.loads(line) for line in (out / "log.jsonl").read_text(encoding="utf-8").splitlines()]
    losses = {e["step"]: e["loss"] for e in events if e["event"] == "train" and "loss" in e}
    assert sorted(losses) == [1, 2, 3, 4, 5, 6]
    assert losses[6] < losses[1]
    assert any("eval_loss" in e for e in events)
    assert {e["stage"] for e in events if e["event"] == "stage"} >= {"data", "train", "export", "evaluate"}
    adapter = load_file(out / "adapter/adapter_model.safetensors")
    b_matrices = [value for name, value in adapter.items() if "lora_B" in name]
    assert len(b_matrices) == 14
    assert all((value != 0).any() for value in b_matrices)


def test_training_is_pictured_and_its_cost_told(
    finished: tuple[Path, Path, subprocess.CompletedProcess[str]],
) -> None:
    _, out, done = finished
    page = (out / "training.html").read_text(encoding="utf-8")
    assert "6 of 6 steps" in page and page.count("<svg") == 6
    tuned, base = (
        (out / part / "report.html").read_text(encoding="utf-8") for part in ("evaluation", "evaluation/base")
    )
    assert "<h2>Training</h2>" in tuned and "<h2>Training</h2>" not in base
    events = [json.loads(line) for line in (out / "log.jsonl").read_text(encoding="utf-8").splitlines()]
    (trained,) = (event for event in events if event["event"] == "trained")
    seconds = max(event["seconds"] for event in events if event["event"] == "train")
    assert trained["usd_per_hour"] == 3600  # a dollar a second
    assert trained["usd"] >= seconds
    assert re.search(
        r"trained for \d+ (s|min), [\d,]+ tokens/s, \$[\d,.]+ at \$3,600.00 an hour", done.stderr
    )
    measured = [event for event in events if event["event"] == "train" and "loss" in event]
    assert all(0 < event["examples_per_second"] < event["tokens_per_second"] for event in measured)


def test_metrics_and_predictions(
    finished: tuple[Path, Path, subprocess.CompletedProcess[str]],
) -> None:
    _, out, _ = finished
    metrics = json.loads((out / "evaluation/metrics.json").read_text(encoding="utf-8"))
    for name in (
        "rows", "cells", "studies", "answer_mass", "mae", "rmse", "correlation", "accuracy",
        "wasserstein.stated", "wasserstein.published", "wasserstein.truth",
    ):  # fmt: skip
        assert "value" in metrics[name], name
    assert {"uniform", "midpoint", "oracle"} <= set(metrics["baselines"])
    assert metrics["baselines"]["oracle"]["wasserstein.truth"]["value"] == pytest.approx(0, abs=1e-9)
    predictions = pl.read_parquet(out / "evaluation/predictions.parquet")
    assert predictions.height == metrics["rows"]["value"] == 24
    assert predictions["probabilities"].list.sum().to_list() == pytest.approx([1.0] * 24)
    parity = json.loads((out / "gguf/parity.json").read_text(encoding="utf-8"))
    assert parity["files"]["f16"]["file"] == "micro-f16.gguf"
    card = (out / "gguf/README.md").read_text(encoding="utf-8")
    assert f"| `mae` | {metrics['mae']['value']:.3g}" in card.partition("## Evaluation")[2]
    assert parity["answers"]["prompts"] == parity["metrics"]["rows"] > 10
    for kind in ("f16", "q8_0", "q4_k_m"):
        change = parity["metrics"]["types"][kind]["wasserstein.truth"]
        assert change["value"] - parity["metrics"]["original"]["wasserstein.truth"] == change["difference"]
        assert abs(change["difference"]) < 0.1


@pytest.mark.long
def test_the_runs_own_file_is_verified_on_its_validation_rows(
    finished: tuple[Path, Path, subprocess.CompletedProcess[str]], command: Command
) -> None:
    _, out, _ = finished
    before = {
        path: path.stat().st_mtime_ns for path in out.rglob("*") if path.is_file() and path.name != ".lock"
    }
    outcome = command("verify", out / "gguf/micro-q8_0.gguf", "--run", out, "--json")
    assert outcome.code == 0, outcome.err
    found = json.loads(outcome.out)
    exported = json.loads((out / "gguf/parity.json").read_text(encoding="utf-8"))
    for part in ("tensors", "logits", "answers", "metrics"):
        assert found[part]["types"]["q8_0"] == exported[part]["types"]["q8_0"], part
    assert found["files"]["q8_0"]["sha256"] == exported["files"]["q8_0"]["sha256"]
    assert {
        path: path.stat().st_mtime_ns for path in out.rglob("*") if path.is_file() and path.name != ".lock"
    } == before


def test_second_run_does_nothing_again(
    finished: tuple[Path, Path, subprocess.CompletedProcess[str]], cache: Path
) -> None:
    recipe, out, _ = finished
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*.gguf")}
    again = start(recipe, out, cache)
    _, err = again.communicate(timeout=100)
    assert again.returncode == 0, err
    assert err.count("already done") == 6
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*.gguf")} == before


@pytest.mark.long
def test_ctrl_c_while_training_then_the_same_command_gives_the_same_adapter(
    finished: tuple[Path, Path, subprocess.CompletedProcess[str]], cache: Path, tmp_path: Path
) -> None:
    recipe, whole, _ = finished
    out = tmp_path / "out"
    first = start(recipe, out, cache, "train")
    wait_for(first, lambda: '"step": 3' in read(out / "log.jsonl"))
    os.killpg(first.pid, signal.SIGINT)
    _, err = first.communicate(timeout=60)
    assert first.returncode == 130, err
    assert "the same command resumes" in err
    assert list(out.glob("checkpoints/checkpoint-*"))
    second = start(recipe, out, cache, "train")
    _, err = second.communicate(timeout=200)
    assert second.returncode == 0, err
    assert "resuming from checkpoint-" in err
    assert "6 of 6 steps" in read(out / "training.html")
    resumed, uninterrupted = (
        load_file(folder / "adapter/adapter_model.safetensors") for folder in (out, whole)
    )
    assert resumed.keys() == uninterrupted.keys()
    assert all((resumed[name] == uninterrupted[name]).all() for name in resumed)


def read(path: Path) -> str:
    return path.read_text(encoding="utf-8") if path.is_file() else ""


def wait_for(process: subprocess.Popen[str], done: object, seconds: float = 120) -> None:
    """Wait until ``done()`` holds; fail if the process ends first."""
    assert callable(done)
    end = time.monotonic() + seconds
    while not done():
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < end, "it took too long"
        time.sleep(0.02)


@pytest.mark.long
@pytest.mark.parametrize("stage", ["export ...", "evaluate ..."])
def test_ctrl_c_in_a_later_stage_then_the_same_result(
    finished: tuple[Path, Path, subprocess.CompletedProcess[str]], cache: Path, tmp_path: Path, stage: str
) -> None:
    recipe, whole, _ = finished
    out = tmp_path / "out"
    shutil.copytree(whole, out)
    shutil.rmtree(out / "evaluation")
    if stage == "export ...":
        shutil.rmtree(out / "gguf")
    first = start(recipe, out, cache)
    seen = ""
    assert first.stderr is not None
    while stage not in seen:
        line = first.stderr.readline()
        assert line, seen
        seen += line
    time.sleep(0.3)
    os.killpg(first.pid, signal.SIGINT)
    first.communicate(timeout=60)
    assert first.returncode == 130
    assert not [path for path in out.rglob("*") if "partial" in path.name]
    second = start(recipe, out, cache)
    _, err = second.communicate(timeout=200)
    assert second.returncode == 0, err
    for name in ("gguf/micro-q8_0.gguf", "gguf/micro-f16.gguf"):
        assert (out / name).read_bytes() == (whole / name).read_bytes()
    mine, theirs = (
        json.loads((folder / "evaluation/metrics.json").read_text(encoding="utf-8"))
        for folder in (out, whole)
    )
    assert mine == theirs


def test_predict_and_evaluate_from_the_gguf(
    finished: tuple[Path, Path, subprocess.CompletedProcess[str]], command: Command
) -> None:
    _, out, _ = finished
    model = out / "gguf/micro-q8_0.gguf"
    for number in range(1, 6):
        outcome = command("predict", model, "--example", str(number), "--json")
        assert outcome.code == 0, outcome.err
        document = json.loads(outcome.out)
        assert sum(document["probabilities"]) == pytest.approx(1, abs=1e-6)
    chart = command(
        "predict",
        model,
        "--scenario",
        "Fair? Only return 1 for Yes or 2 for No.",
        "--demographics",
        "Age: 30",
    )
    assert chart.code == 0, chart.err
    assert "Yes" in chart.out
    assert "answer mass" in chart.out
    outcome = command("evaluate", model, out / "data", "--limit", "8", "--json", "--out", "mine")
    assert outcome.code == 0, outcome.err
    assert json.loads(outcome.out)["rows"]["value"] == 8
    outcome = command("evaluate", "midpoint", out / "data/test.parquet")
    assert outcome.code == 0, outcome.err
    assert "midpoint" in outcome.out


@pytest.mark.long
def test_export_of_a_run_and_of_folders(
    finished: tuple[Path, Path, subprocess.CompletedProcess[str]],
    command: Command, micro_base: Path, tmp_path: Path,
) -> None:  # fmt: skip
    _, out, _ = finished
    outcome = command("export", out, "--quant", "f32", "--out", "a")
    assert outcome.code == 0, outcome.err
    outcome = command(
        "export", "--base", micro_base, "--adapter", out / "adapter", "--quant", "f32", "--out", "b"
    )
    assert outcome.code == 0, outcome.err
    mine, theirs = (
        {t.name: bytes(t.data) for t in GGUFReader(tmp_path / name).tensors}
        for name in ("a/micro-f32.gguf", "b/adapter-f32.gguf")
    )
    assert mine == theirs
    assert trained_prompt(tmp_path / "a/micro-f32.gguf").fields == ("age", "ideology")
    assert trained_prompt(tmp_path / "b/adapter-f32.gguf") == PromptOptions()
