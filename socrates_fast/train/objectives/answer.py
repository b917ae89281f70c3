"""Learn the answer that the person gave, after a reasoning if the recipe says so.

The loss is the mean negative log likelihood of the answer's tokens and the token that ends it, and of the reasoning's.
"""

from pathlib import Path
from typing import Any

import polars as pl

from socrates_fast.data.prepared import after_reasoning, answers_of, prompts_of
from socrates_fast.prompt import ChatRenderer, Example
from socrates_fast.recipe import Recipe
from socrates_fast.train.config import sft_config


def usable(rows: pl.DataFrame, recipe: Recipe) -> pl.DataFrame:
    """All rows; or those that have a reasoning, if the model is to learn reasonings."""
    return rows.filter(pl.col("reasoning").str.strip_chars() != "") if recipe.prompt.reasoning else rows


def examples(rows: pl.DataFrame, renderer: ChatRenderer, recipe: Recipe, _: pl.DataFrame) -> list[Example]:
    """One sequence a row."""
    prompts = after_reasoning(prompts_of(rows, recipe.prompt), rows)
    return [renderer.example(p, a) for p, a in zip(prompts, answers_of(rows), strict=True)]


def trainer(recipe: Recipe, checkpoints: Path, **of_trl: Any) -> Any:
    """TRL's ``SFTTrainer``."""
    from trl import SFTTrainer

    validate = of_trl["eval_dataset"] is not None
    return SFTTrainer(args=sft_config(recipe, checkpoints, validate), **of_trl)
