"""Learn which of two answers a person gave: direct preference optimisation (Rafailov et al. 2023, arXiv 2305.18290).

It goes on from an adapter that learnt answers; what that adapter was at the start is the reference.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from socrates_fast.data.prepared import answers_of, prompts_of
from socrates_fast.prompt import ChatRenderer
from socrates_fast.recipe import Recipe
from socrates_fast.train.config import dpo_config
from socrates_fast.train.start import go_on_from


@dataclass(frozen=True)
class Pair:
    """Two answers to one prompt, as token ids; both end with the token that ends an answer."""

    prompt_ids: list[int]
    chosen_ids: list[int]
    rejected_ids: list[int]

    @property
    def tokens(self) -> int:
        """Tokens of the longer sequence."""
        return len(self.prompt_ids) + max(len(self.chosen_ids), len(self.rejected_ids))

    @property
    def supervised(self) -> int:
        """Tokens of both answers."""
        return len(self.chosen_ids) + len(self.rejected_ids)


def usable(rows: pl.DataFrame, recipe: Recipe) -> pl.DataFrame:
    """All pairs; or those whose rejected answer is to the very same text, if the recipe says so."""
    return rows.filter("rejected_same_stimulus") if recipe.train.dpo.same_stimulus else rows


def examples(rows: pl.DataFrame, renderer: ChatRenderer, recipe: Recipe, _: pl.DataFrame) -> list[Pair]:
    """One pair a row; columns of ``schema.PAIRS``."""

    def said(answer: int) -> list[int]:
        return [*renderer.answer_ids(answer), renderer.end_id]

    prompts = prompts_of(rows, recipe.prompt)
    return [
        Pair(renderer.prompt_ids(prompt), said(chosen), said(rejected))
        for prompt, chosen, rejected in zip(prompts, answers_of(rows), rows["rejected"], strict=True)
    ]


def trainer(recipe: Recipe, checkpoints: Path, **of_trl: Any) -> Any:
    """TRL's ``DPOTrainer`` on sequences that are tokenised already."""
    from trl import DPOTrainer

    class PairsTrainer(DPOTrainer):  # type: ignore[misc]  # TRL is untyped here
        def _prepare_dataset(self, dataset: Any, *_: Any, **__: Any) -> Any:
            return dataset

        def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
            # Transformers finds the reference's subfolder and loads that alone; it is as train.adapter left it anyway.
            go_on_from(self.model, Path(resume_from_checkpoint))

    validate = of_trl["eval_dataset"] is not None
    return PairsTrainer(args=dpo_config(recipe, checkpoints, validate), **of_trl)
