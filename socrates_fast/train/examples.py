"""Prepared rows as what is trained on, with a check that something can be learnt from it."""

from collections.abc import Sequence

import polars as pl

from socrates_fast.data.choice import sample_rows
from socrates_fast.errors import TrainingError
from socrates_fast.prompt import ChatRenderer
from socrates_fast.recipe import Recipe
from socrates_fast.train.objectives import OBJECTIVES, Sequenced


def examples_of(
    rows: pl.DataFrame, renderer: ChatRenderer, recipe: Recipe, most: int | None = None
) -> Sequence[Sequenced]:
    """What the recipe's objective learns from each of the rows that it can learn from.

    Args:
        rows: of one side.
        renderer: of the base.
        recipe: its objective counts, and the seed of its split.
        most: rows, chosen by hash; None for all.

    Raises:
        TrainingError: there are none, none has a supervised token, or one is longer than ``model.max_length``.
    """
    objective = OBJECTIVES[recipe.train.objective]
    side = objective.usable(rows, recipe)
    rows = sample_rows(side, most, recipe.data.split.seed)
    examples = objective.examples(rows, renderer, recipe, side)
    if not any(example.supervised for example in examples):
        raise TrainingError(
            f"none of the {len(examples)} rows has a supervised token; nothing can be learned"
        )
    longest = max(range(len(examples)), key=lambda i: examples[i].tokens)
    length, limit = examples[longest].tokens, recipe.model.max_length
    if length > limit:
        study, sample = rows.row(longest, named=True)["study_id"], rows["sample_id"][longest]
        raise TrainingError(
            f"study {study} sample {sample} has {length} tokens and model.max_length is {limit}; "
            f"set model.max_length={length} or leave the row out (nothing is cut)"
        )
    return examples
