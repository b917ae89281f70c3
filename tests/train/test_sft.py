"""What training refuses, and what it is told; the training itself is in test_pipeline."""

from pathlib import Path

import polars as pl
import pytest

from socrates_fast import recipes
from socrates_fast.data.prepare import prepare_rows
from socrates_fast.errors import TrainingError
from socrates_fast.prompt import ChatRenderer, Example
from socrates_fast.recipe import Recipe
from socrates_fast.tokenizer import FolderTokenizer
from socrates_fast.train.callbacks import Interrupt
from socrates_fast.train.checkpoints import close_checkpoint, newest_checkpoint
from socrates_fast.train.examples import examples_of


@pytest.fixture(scope="module")
def recipe() -> Recipe:
    return recipes.load("tiny", ["data.synthetic.people=20"])


@pytest.fixture(scope="module")
def rows(recipe: Recipe) -> pl.DataFrame:
    return prepare_rows(recipe.data)[0]["train"]


@pytest.fixture
def renderer(micro_base: Path) -> ChatRenderer:
    return FolderTokenizer(micro_base).renderer()


def test_one_example_a_row(recipe: Recipe, rows: pl.DataFrame, renderer: ChatRenderer) -> None:
    examples = examples_of(rows, renderer, recipe)
    assert len(examples) == rows.height
    digits = sum(len(str(answer)) for answer in rows["response"])
    assert sum(example.supervised for example in examples) == digits + rows.height


def test_a_row_that_is_too_long_is_named_and_never_cut(
    recipe: Recipe, rows: pl.DataFrame, renderer: ChatRenderer
) -> None:
    short = recipe.model_copy(update={"model": recipe.model.model_copy(update={"max_length": 40})})
    with pytest.raises(
        TrainingError, match=r"study syn\d\d sample \d+ has \d+ tokens and model\.max_length is 40"
    ):
        examples_of(rows, renderer, short)


def test_zero_supervised_tokens_is_an_error(
    recipe: Recipe, rows: pl.DataFrame, renderer: ChatRenderer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ChatRenderer, "example", lambda *_: Example([1, 2], [0, 0]))
    with pytest.raises(TrainingError, match="none of the .* rows has a supervised token"):
        examples_of(rows, renderer, recipe)


def test_a_checkpoint_cut_short_is_not_resumed_from(tmp_path: Path) -> None:
    for step in (2, 10):
        (tmp_path / f"checkpoint-{step}").mkdir()
        (tmp_path / f"checkpoint-{step}" / "trainer_state.json").touch()
    close_checkpoint(tmp_path, 2)
    assert newest_checkpoint(tmp_path) == tmp_path / "checkpoint-2"
    assert not (tmp_path / "checkpoint-10").exists()


def test_second_ctrl_c_stops_at_once() -> None:
    import signal

    interrupt = Interrupt()
    with pytest.raises(KeyboardInterrupt), interrupt:
        signal.raise_signal(signal.SIGINT)
        assert interrupt.asked
        signal.raise_signal(signal.SIGINT)
