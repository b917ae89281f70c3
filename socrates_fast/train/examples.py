"""Prepared rows as the token sequences that are trained on."""

import polars as pl

from socrates_fast.data.prepared import answers_of, prompts_of
from socrates_fast.errors import TrainingError
from socrates_fast.prompt import ChatRenderer, Example
from socrates_fast.recipe import Recipe


def examples_of(rows: pl.DataFrame, renderer: ChatRenderer, recipe: Recipe) -> list[Example]:
    """The supervised sequences of prepared rows.

    Raises:
        TrainingError: there are none, none has a supervised token, or one is longer than ``model.max_length``.
    """
    prompts = prompts_of(rows, recipe.prompt)
    examples = [renderer.example(p, a) for p, a in zip(prompts, answers_of(rows), strict=True)]
    if not any(any(example.completion_mask) for example in examples):
        raise TrainingError(
            f"none of the {len(examples)} rows has a supervised token; nothing can be learned"
        )
    longest = max(range(len(examples)), key=lambda i: len(examples[i].input_ids))
    length, limit = len(examples[longest].input_ids), recipe.model.max_length
    if length > limit:
        study, sample = rows.row(longest, named=True)["study_id"], rows["sample_id"][longest]
        raise TrainingError(
            f"study {study} sample {sample} has {length} tokens and model.max_length is {limit}; "
            f"set model.max_length={length} or leave the row out (nothing is cut)"
        )
    return examples
