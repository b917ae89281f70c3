"""Every option, declared once: its YAML key, its type, its unit, its default and what it does.

``docs/recipe.md``, the flags ``--set a.b=c`` and the checks all come from the models of this package.
"""

from difflib import get_close_matches
from typing import Self

from pydantic import Field, model_validator

from socrates_fast.recipe.data import Data, ScaleOverride, SocSci210, Split, Synthetic
from socrates_fast.recipe.export import Bounds, Evaluate, Export, Parity
from socrates_fast.recipe.model import Dpo, Lora, Model, PromptOptions, Soft, Train
from socrates_fast.recipe.section import (
    PERSONA_FIELDS,
    SYSTEM,
    TINY,
    MergeBase,
    Order,
    Quantisation,
    Section,
)
from socrates_fast.recipe.table import Answers, PersonaColumn, Table

__all__ = [
    "PERSONA_FIELDS", "SYSTEM", "TINY", "Answers", "Bounds", "Data", "Dpo", "Evaluate", "Export", "Lora", "MergeBase", "Model",
    "Order", "Parity", "PersonaColumn", "PromptOptions", "Quantisation", "Recipe", "ScaleOverride", "Section",
    "SocSci210", "Soft", "Split", "Synthetic", "Table", "Train",
]  # fmt: skip


class Recipe(Section):
    """Everything that a run does."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    """Name of the run and of its files."""
    data: Data
    """Where the answers come from."""
    prompt: PromptOptions = PromptOptions()
    """What the model is shown."""
    model: Model = Model()
    """The base model."""
    train: Train = Train()
    """Training."""
    export: Export = Export()
    """The files that are written."""
    evaluate: Evaluate = Evaluate()
    """The evaluation."""

    @model_validator(mode="after")
    def _persona_fields_exist(self) -> Self:
        mapped = tuple(self.data.table.persona) if self.data.table else ()
        for name in self.prompt.fields:
            if name not in {*PERSONA_FIELDS, *mapped}:
                near = get_close_matches(name, [*PERSONA_FIELDS, *mapped], n=1)
                hint = f" (did you mean {near[0]}?)" if near else ""
                raise ValueError(f"prompt.fields: the data has no field {name}{hint}")
        for name in mapped:
            if name not in {*PERSONA_FIELDS, *self.prompt.fields}:
                raise ValueError(f"data.table.persona.{name} is never shown; add it to prompt.fields")
        return self

    @model_validator(mode="after")
    def _evaluated_file_is_written(self) -> Self:
        if self.evaluate.quantisation not in self.export.quantisations:
            raise ValueError(
                f"evaluate.quantisation is {self.evaluate.quantisation}, "
                f"which export.quantisations does not list"
            )
        return self

    @model_validator(mode="after")
    def _objective_has_what_it_needs(self) -> Self:
        train = self.train
        if self.prompt.reasoning and not self.data.reasoning:
            raise ValueError(
                "prompt.reasoning trains on the source's reasoning column; set data.reasoning: true"
            )
        if train.objective == "answer":
            return self
        if self.prompt.reasoning:
            raise ValueError(f"prompt.reasoning goes with train.objective answer, not {train.objective}")
        if train.packing:
            raise ValueError(f"train.objective {train.objective} cannot pack rows; set train.packing: false")
        if train.objective == "dpo" and not self.data.pairs:
            raise ValueError("train.objective dpo learns from pairs; set data.pairs: true")
        if train.objective == "dpo" and train.adapter is None:
            raise ValueError(
                "train.objective dpo goes on from an adapter; set train.adapter to the run that trained one on answers"
            )
        return self
