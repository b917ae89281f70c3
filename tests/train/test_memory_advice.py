"""Too little memory: which option helps, and by how much."""

import pytest

from socrates_fast import recipes
from socrates_fast.errors import TrainingError
from socrates_fast.train.sft import memory_advice, memory_is_a_message


def test_the_advice_keeps_the_rows_of_a_step() -> None:
    recipe = recipes.load("tiny", ["train.batch_size=9", "train.accumulation=2", "model.load_in_4bit=false"])
    advice = memory_advice(recipe)
    assert "train.batch_size=4 and train.accumulation=6" in advice
    assert "train.gradient_checkpointing=true" in advice and "model.load_in_4bit=true" in advice


def test_what_is_on_already_is_not_advised() -> None:
    changes = ["train.batch_size=1", "train.gradient_checkpointing=true", "train.optimizer=adamw_8bit"]
    advice = memory_advice(recipes.load("tiny", changes))
    assert advice == "Try a smaller base model"


def test_out_of_memory_is_a_message() -> None:
    import torch

    for error in (torch.OutOfMemoryError("CUDA out of memory. Tried\nmore"), MemoryError()):
        with (
            pytest.raises(TrainingError, match=r"memory ran out .*train\.batch_size=8"),
            memory_is_a_message(recipes.load("tiny")),
        ):
            raise error


def test_other_errors_stay_what_they_are() -> None:
    with pytest.raises(ValueError, match="else"), memory_is_a_message(recipes.load("tiny")):
        raise ValueError("something else")
