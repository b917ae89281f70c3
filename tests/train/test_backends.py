"""Both backends train the same: the same rows in the same order, the same start, the same losses."""

import json
from pathlib import Path

import pytest

from socrates_fast.errors import TrainingError
from socrates_fast.train.backends import begin_adapter
from socrates_fast.train.checkpoints import LAST_GOOD
from tests.conftest import Command

FLOAT32 = ("--set", "train.precision=float32", "--set", "train.eval_steps=50")


def _steps(run: Path) -> list[dict[str, float]]:
    lines = [json.loads(line) for line in (run / "log.jsonl").read_text(encoding="utf-8").splitlines()]
    return [line for line in lines if line["event"] == "train" and "loss" in line]


@pytest.mark.long
@pytest.mark.parametrize("four_bit", [True, False])
def test_losses_of_both_backends_are_equal_over_twenty_steps(
    command: Command, micro_recipe: Path, tmp_path: Path, four_bit: bool
) -> None:
    options = (
        *FLOAT32,
        "--set",
        "train.max_steps=20",
        "--set",
        "train.learning_rate=0.002",  # at 0.01 gradients explode, and rounding is seen many times over
        "--set",
        f"model.load_in_4bit={str(four_bit).lower()}",
    )
    found = []
    for backend in ("unsloth", "transformers"):
        out = tmp_path / backend
        done = command("train", micro_recipe, "--out", out, "--set", f"train.backend={backend}", *options)
        assert done.code == 0, done.err
        assert f"4-bit base {'yes' if four_bit else 'no'}" in done.err
        assert (out / "adapter" / "adapter_model.safetensors").is_file()
        found.append(_steps(out))
    assert len(found[0]) == 20
    for one, other in zip(*found, strict=True):
        assert one["loss"] == pytest.approx(other["loss"], abs=1e-5)
        assert (one["tokens"], one["supervised"]) == (other["tokens"], other["supervised"])
    assert found[0][-1]["loss"] < found[0][0]["loss"]


@pytest.mark.long
def test_a_loss_that_is_no_number_stops_and_keeps_the_last_good_adapter(
    command: Command, micro_recipe: Path, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    done = command(
        "train", micro_recipe, "--out", out, *FLOAT32, "--set", "train.learning_rate=1e25",
        "--set", "train.warmup=0.5", "--set", "train.max_steps=12", "--set", "train.max_grad_norm=1e30",
        "--set", "train.save_steps=1", "--set", "train.backend=transformers",
    )  # fmt: skip
    assert done.code == 2
    assert "is not a number" in done.err and "train.learning_rate=3.3e+24" in done.err
    assert not (out / "adapter").exists()
    assert (out / LAST_GOOD / "adapter_model.safetensors").is_file()
    assert str(out / LAST_GOOD) in done.err


@pytest.mark.long
def test_checkpoints_come_by_the_clock_too(command: Command, micro_recipe: Path, tmp_path: Path) -> None:
    """``save_steps`` is far away; a training that diverges leaves what the clock saved before."""
    options = (*FLOAT32, "--set", "train.save_steps=1000", "--set", "train.backend=transformers")
    clock = ("--set", "train.save_minutes=0.00001")
    diverging = command(
        "train", micro_recipe, "--out", tmp_path / "a", *options, *clock, "--set", "train.learning_rate=1e25",
        "--set", "train.max_grad_norm=1e30", "--set", "train.max_steps=12", "--set", "train.warmup=0.5",
    )  # fmt: skip
    assert diverging.code == 2
    assert list((tmp_path / "a" / "checkpoints").glob("checkpoint-*"))


def test_an_adapter_begins_with_numbers_of_its_seed_and_names_alone() -> None:
    import torch

    def lora_a(seed: int) -> torch.Tensor:
        made = torch.nn.ModuleDict(
            {"lora_A": torch.nn.Linear(50, 4, bias=False), "lora_B": torch.nn.Linear(4, 50, bias=False)}
        )
        begin_adapter(torch.nn.ModuleDict({"layers": made}), seed)
        first, second = made["lora_A"], made["lora_B"]
        assert isinstance(first, torch.nn.Linear) and isinstance(second, torch.nn.Linear)
        assert (second.weight == 0).all()
        return first.weight.detach()

    assert torch.equal(lora_a(3), lora_a(3))
    assert not torch.equal(lora_a(3), lora_a(4))
    expected = torch.empty(4, 50)
    torch.nn.init.kaiming_uniform_(expected, a=5**0.5)  # as PEFT begins
    assert float(lora_a(3).abs().max()) == pytest.approx(float(expected.abs().max()), rel=0.05)


def test_the_plain_backend_is_refused_where_unsloth_has_changed_the_libraries(
    micro_recipe: Path, micro_base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import sys
    from types import ModuleType

    from socrates_fast import recipes
    from socrates_fast.train.backends import load

    monkeypatch.setitem(sys.modules, "unsloth", ModuleType("unsloth"))
    with pytest.raises(TrainingError, match="train in a fresh one"):
        load(recipes.load(str(micro_recipe), ["train.backend=transformers"]), micro_base)
