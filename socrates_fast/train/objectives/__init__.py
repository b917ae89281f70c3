"""What a training learns from prepared rows: sequences to train on, and TRL's trainer with the loss that goes with them."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol

import polars as pl

from socrates_fast.prompt import ChatRenderer
from socrates_fast.recipe import Recipe
from socrates_fast.train.objectives import answer, preference, soft


class Sequenced(Protocol):
    """A row as it is trained on; its attributes are the columns that the trainer gets."""

    @property
    def tokens(self) -> int:
        """Tokens of the longest sequence."""

    @property
    def supervised(self) -> int:
        """Tokens on which the loss counts."""


class Objective(NamedTuple):
    """One way to learn from rows."""

    usable: Callable[[pl.DataFrame, Recipe], pl.DataFrame]
    """``usable(rows, recipe)``: the rows from which something can be learnt."""
    examples: Callable[[pl.DataFrame, ChatRenderer, Recipe, pl.DataFrame], Sequence[Sequenced]]
    """``examples(rows, renderer, recipe, side)``: one of each row, in order; ``side`` are all rows of which these may be a sample."""
    trainer: Callable[..., Any]
    """``trainer(recipe, checkpoints, **of_trl)``: TRL's trainer; ``of_trl`` are its model, tokenizer and datasets."""


OBJECTIVES = {
    "answer": Objective(answer.usable, answer.examples, answer.trainer),
    "soft": Objective(lambda rows, _: rows, soft.examples, soft.trainer),
    "dpo": Objective(preference.usable, preference.examples, preference.trainer),
}
"""By the recipe's ``train.objective``."""
