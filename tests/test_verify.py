"""``socrates-fast verify``: a file is taken for what it is, whoever made it, and what is wrong with it is named."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from gguf import GGUFReader

from socrates_fast.data.prepare import prepare_rows
from socrates_fast.data.prepared import prompts_of, scorable
from socrates_fast.evaluate.run import Setting, evaluate
from socrates_fast.infer.gguf_model import GgufPredictor
from socrates_fast.infer.header import read_header
from socrates_fast.judge import judge_by
from socrates_fast.recipe import Data, PromptOptions, Synthetic
from socrates_fast.verify import built_in_prompts, type_of
from tests.conftest import Command, Outcome

QUICK = ("--set", "export.parity.logits=false")
"""Tensors and tokens alone, which need no torch."""


@pytest.fixture(scope="module")
def micro_adapter(micro_base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An adapter of ``micro_base`` with random A and B."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    torch.manual_seed(5)
    model = AutoModelForCausalLM.from_pretrained(micro_base, dtype=torch.float32)
    adapted = get_peft_model(model, LoraConfig(r=4, lora_alpha=8, target_modules="all-linear"))
    with torch.no_grad():
        for name, parameter in adapted.named_parameters():
            if "lora_" in name:
                parameter.copy_(0.05 * torch.randn_like(parameter))
    folder = tmp_path_factory.mktemp("adapter")
    adapted.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def files(micro_base: Path, micro_adapter: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with ``x-f16.gguf`` and ``x-q4_k_m.gguf`` of base + adapter, and ``base-f16.gguf`` of the base."""
    from socrates_export.source.merged import open_merged
    from socrates_export.write.files import model_metadata, write_files

    folder = tmp_path_factory.mktemp("files")
    for name, adapter, kinds in (("x", micro_adapter, ("f16", "q4_k_m")), ("base", None, ("f16",))):
        model = open_merged(micro_base, adapter)
        write_files(
            model, model_metadata(model, name), {kind: folder / f"{name}-{kind}.gguf" for kind in kinds}
        )
    return folder


def failed(outcome: Outcome, *words: str) -> None:
    """The verdict was no, with its reasons, and no error of ours."""
    assert outcome.code == 2, outcome.err
    assert "Traceback" not in outcome.err
    assert "is not the model that was trained" in outcome.out
    for word in words:
        assert word in outcome.out, outcome.out


def test_the_model_that_was_trained(
    command: Command, files: Path, micro_base: Path, micro_adapter: Path, tmp_path: Path
) -> None:
    outcome = command("verify", files / "x-q4_k_m.gguf", "--base", micro_base, "--adapter", micro_adapter)
    assert outcome.code == 0, outcome.err + outcome.out
    assert "x-q4_k_m.gguf is the model that was trained" in outcome.out
    for line in ("logits: NMSE", "answers: KL, nats", "answers: Wasserstein", "adapter is in them"):
        assert line in outcome.out
    assert "computing the original model's logits and answers (25 prompts)" in outcome.err
    assert not list(tmp_path.iterdir())


def test_one_json_document_and_every_broken_bound(
    command: Command, files: Path, micro_base: Path, micro_adapter: Path
) -> None:
    arguments = ("verify", files / "x-f16.gguf", "--base", micro_base, "--adapter", micro_adapter, "--json")
    bounds = [
        word
        for name in ("nmse", "wasserstein")
        for word in ("--set", f"export.parity.bounds.f16.{name}=1e-12")
    ]
    outcome = command(*arguments, *bounds, "--set", "export.parity.answers=5")
    assert outcome.code == 2, outcome.err
    document = json.loads(outcome.out)
    assert document["type"] == "f16" and document["passed"] is False
    assert [fault.split("(")[1] for fault in document["faults"]] == [
        "export.parity.bounds.f16.nmse)", "export.parity.bounds.f16.wasserstein)",
    ]  # fmt: skip
    assert document["bounds"]["f16"]["nmse"] == 1e-12 and document["bounds"]["f16"]["kl"] == 1e-4
    assert document["answers"]["prompts"] == 5 and document["answers"]["types"]["f16"]["kl"] < 1e-4
    assert document["metrics"].startswith("not compared: nobody's answers")
    assert document["files"]["f16"]["bytes"] == (files / "x-f16.gguf").stat().st_size
    assert "torch" in document["environment"]["packages"]


@pytest.mark.parametrize("kind", ["f16", "q4_k_m"])
def test_another_adapter_and_none(
    command: Command, files: Path, micro_base: Path, micro_adapter: Path, tmp_path: Path, kind: str
) -> None:
    from safetensors.numpy import load_file, save_file

    other = tmp_path / "other"
    shutil.copytree(micro_adapter, other)
    rng = np.random.default_rng(0)
    weights = load_file(other / "adapter_model.safetensors")
    # Of the same size everywhere, so that nothing but its direction tells it from the right one.
    mixed = {name: rng.permuted(array.reshape(-1)).reshape(array.shape) for name, array in weights.items()}
    save_file(mixed, other / "adapter_model.safetensors")
    model = files / f"x-{kind}.gguf"
    sound = command("verify", model, "--base", micro_base, "--adapter", micro_adapter, *QUICK)
    assert sound.code == 0 and "no more was compared" in sound.out
    outcome = command("verify", model, "--base", micro_base, "--adapter", other, *QUICK)
    failed(outcome, "the adapter is in it", "times instead of once: another adapter, another scale, or none")
    lost = command(
        "verify", files / "base-f16.gguf", "--base", micro_base, "--adapter", micro_adapter, *QUICK
    )
    failed(lost, "the adapter is in it 0.00 times instead of once")


def test_another_base(command: Command, files: Path, micro_base: Path, tmp_path: Path) -> None:
    from safetensors.numpy import load_file, save_file

    other = tmp_path / "other"
    shutil.copytree(micro_base, other)
    weights = load_file(other / "model.safetensors")
    save_file({name: array[::-1].copy() for name, array in weights.items()}, other / "model.safetensors")
    failed(command("verify", files / "base-f16.gguf", "--base", other, *QUICK), "token_embd.weight is 1.4")


def test_another_tokenizer(command: Command, files: Path, micro_base: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    shutil.copytree(micro_base, other)
    content = json.loads((other / "tokenizer.json").read_text(encoding="utf-8"))
    content["model"]["merges"].pop(3)
    (other / "tokenizer.json").write_text(json.dumps(content), encoding="utf-8")
    outcome = command("verify", files / "base-f16.gguf", "--base", other)
    failed(outcome, "texts have other token ids than the original, first ")
    assert "computing the original" not in outcome.err  # with other tokens there is nothing to compare


def test_one_altered_tensor(
    command: Command, files: Path, micro_base: Path, micro_adapter: Path, tmp_path: Path
) -> None:
    file = tmp_path / "altered.gguf"
    shutil.copyfile(files / "x-q4_k_m.gguf", file)
    tensor = next(t for t in GGUFReader(file).tensors if t.name == "blk.1.attn_v.weight")
    with file.open("r+b") as handle:
        handle.seek(int(tensor.data_offset))
        handle.write(tensor.data[::-1].tobytes())
    outcome = command("verify", file, "--base", micro_base, "--adapter", micro_adapter, *QUICK)
    failed(outcome, "- blk.1.attn_v.weight is 1.3")
    assert outcome.out.count("- blk.") == 1


def test_what_cannot_be_compared_is_an_error(
    command: Command, files: Path, micro_base: Path, tmp_path: Path
) -> None:
    short = tmp_path / "short.gguf"
    short.write_bytes((files / "x-f16.gguf").read_bytes()[:-100])
    for arguments, words in {
        (short, "--base", micro_base): "truncated: needs",
        (tmp_path / "none.gguf", "--base", micro_base): "no such file",
        (files / "x-f16.gguf",): "--base DIR [--adapter DIR], or --run RUN",
        (files / "x-f16.gguf", "--base", tmp_path / "nowhere"): "no such folder",
        (files / "x-f16.gguf", "--run", tmp_path): "not a trained run",
        (
            files / "x-f16.gguf",
            "--base",
            micro_base,
            "--set",
            "export.parity.bounds.f17.kl=1",
        ): "did you mean f16?",
    }.items():
        outcome = command("verify", *arguments)
        assert outcome.code == 2 and outcome.out == ""
        assert "Traceback" not in outcome.err and words in outcome.err, outcome.err


def test_the_type_is_what_the_file_says(files: Path, tmp_path: Path) -> None:
    assert type_of(files / "x-q4_k_m.gguf") == "q4_k_m"
    raw = (files / "x-f16.gguf").read_bytes()
    key = b"general.file_type"
    at = raw.index(key) + len(key) + 4
    other = tmp_path / "other.gguf"
    other.write_bytes(raw[:at] + (27).to_bytes(4, "little") + raw[at + 4 :])
    assert read_header(other).file_type == 27 and type_of(other) == "type 27"


def test_built_in_prompts_are_all_different_and_closed() -> None:
    prompts = built_in_prompts(PromptOptions())
    assert len({prompt.user for prompt in prompts}) == 25
    assert all(prompt.scale.values for prompt in prompts)


def test_the_judge_computes_what_metrics_json_says(files: Path, tmp_path: Path) -> None:
    sides, _ = prepare_rows(Data(source="synthetic", synthetic=Synthetic(studies=3, people=20)))
    rows = scorable(sides["train"].sample(40, seed=1))
    with GgufPredictor(files / "x-f16.gguf") as predictor:

        def prompts(part: pl.DataFrame) -> Any:
            return prompts_of(part, PromptOptions())

        chosen = [3, 4, 5, 20, 39]
        distributions = predictor.predict(prompts(rows[chosen]))
        found = evaluate(predictor, rows[chosen], prompts, tmp_path, Setting("", report=False))
    judged = judge_by(rows)(chosen, distributions)
    assert {"wasserstein.stated", "wasserstein.truth", "accuracy", "mae", "answer_mass"} <= judged.keys()
    for name, value in judged.items():
        assert found.metrics[name]["value"] == pytest.approx(value, abs=1e-9)
