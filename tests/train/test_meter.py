"""What is counted at the model's input: against the rows that went in, with the collators that training uses."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from socrates_fast.plan.shapes import shape_of
from socrates_fast.plan.utilisation import utilisation
from socrates_fast.recipe import Model
from socrates_fast.train.meter import Meter, examples_in, multiplied

LENGTHS = (5, 9, 3, 7)
ROWS = [{"input_ids": list(range(1, many + 1)), "labels": [-100] * (many - 2) + [1, 1]} for many in LENGTHS]


@pytest.fixture(scope="module")
def model(micro_base: Path) -> Any:
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    base = AutoModelForCausalLM.from_pretrained(str(micro_base))
    targets = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
    return get_peft_model(base, LoraConfig(r=4, target_modules=targets, task_type="CAUSAL_LM"))


@pytest.fixture
def meter(model: Any) -> Iterator[Meter]:
    meter = Meter(model)
    yield meter
    meter.close()


def batch(padding_free: bool = False, **options: Any) -> dict[str, Any]:
    """The rows as TRL's collator gives them to the model."""
    from trl.trainer.sft_trainer import DataCollatorForLanguageModeling

    collator = DataCollatorForLanguageModeling(pad_token_id=0, padding_free=padding_free, **options)
    return dict(collator([dict(row) for row in ROWS]))


def test_a_padded_batch(model: Any, meter: Meter) -> None:
    model.train()
    model(**batch())
    found = meter.read()
    assert (found["tokens"], found["supervised"]) == (sum(LENGTHS), 2 * len(LENGTHS))
    assert found["padding"] == pytest.approx(1 - sum(LENGTHS) / (4 * max(LENGTHS)), abs=1e-4)
    ratio = found["examples_per_second"] / found["tokens_per_second"]
    assert ratio == pytest.approx(len(LENGTHS) / sum(LENGTHS), rel=0.01)


def test_rows_without_padding_are_told_apart_by_their_positions(model: Any, meter: Meter) -> None:
    joined = batch(padding_free=True)
    assert joined["input_ids"].shape[0] == 1
    assert int(examples_in(joined)) == len(LENGTHS)
    model.train()
    model(**joined)
    found = meter.read()
    assert (found["tokens"], found["padding"]) == (sum(LENGTHS), 0)
    ratio = found["examples_per_second"] / found["tokens_per_second"]
    assert ratio == pytest.approx(len(LENGTHS) / sum(LENGTHS), rel=0.01)


def test_packed_rows_by_their_lengths_and_padded_ones_by_their_number() -> None:
    import torch

    lengths = torch.tensor(LENGTHS, dtype=torch.int32)
    ids = torch.ones(1, sum(LENGTHS), dtype=torch.long)
    assert examples_in({"input_ids": ids, "packed_seq_lengths": lengths}) == len(LENGTHS)
    # TRL fills positions up with zeros, which begin nothing.
    assert examples_in(batch(return_position_ids=True)) == len(LENGTHS)


def test_what_cannot_be_known_is_left_out(model: Any, meter: Meter) -> None:
    ids = batch(padding_free=True)["input_ids"]
    assert examples_in({"input_ids": ids}) is None
    model.train()
    model(input_ids=ids)
    found = meter.read()
    assert found["tokens"] == sum(LENGTHS)
    assert "examples_per_second" not in found


def test_validation_and_a_reference_are_not_counted(model: Any, meter: Meter) -> None:
    import torch

    model.eval()
    model(**batch())
    model.train()
    with torch.no_grad():
        model(**batch())
    assert meter.read() == {}


def test_parameters_that_tokens_are_multiplied_with_are_those_of_the_plan(
    model: Any, micro_base: Path
) -> None:
    assert multiplied(model) == shape_of(Model(base=str(micro_base))).multiplied


def test_a_share_of_the_peak_is_told_only_where_the_peak_is_known(
    model: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No GPU is needed for the arithmetic: the name of one is what decides."""
    for gpu, known in (("NVIDIA A100-SXM4-80GB", True), ("NVIDIA Nothing 9000", False), (None, False)):
        monkeypatch.setattr("socrates_fast.train.meter._gpu", lambda gpu=gpu: gpu)
        meter = Meter(model)
        model.train()
        model(**batch())
        found = meter.read()
        meter.close()
        assert ("mfu" in found) == known
        if known:
            expected = utilisation(found["tokens_per_second"], multiplied(model), 312)
            assert found["mfu"] == pytest.approx(expected, rel=0.01) and found["mfu"] > 0
