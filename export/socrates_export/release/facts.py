"""What a release is written from. Every figure in it comes from a file that something measured it into."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from socrates_export.source.base import BaseModel
from socrates_fast.recipe import PromptOptions, Recipe


@dataclass(frozen=True)
class RunFacts:
    """What is known of how an adapter was trained; all of it empty where a folder is exported without its run.

    Attributes:
        recipe: that trained it.
        data: the prepared data's ``card.json``.
        metrics: an evaluation's ``metrics.json``.
        evaluated: sha256 of the file that ``metrics`` is of.
    """

    recipe: Recipe | None = None
    data: Mapping[str, Any] = field(default_factory=dict)
    metrics: Mapping[str, Any] = field(default_factory=dict)
    evaluated: str = ""


@dataclass(frozen=True)
class ReleaseFacts:
    """What a release is written from.

    Attributes:
        name: of the model.
        base: the base model.
        adapter: folder of the PEFT adapter, or None for the base as it is.
        files: the GGUF files that are delivered, by type.
        others: further files that are delivered (importance matrix, LoRA).
        parity: the content of ``parity.json``, with ``files``: by type the ``file``, ``bytes`` and ``sha256``.
        prompt: what the model was trained on; None if that is not known.
        run: what is known of the training.
        merge_base: the weights that the adapter was added to.
    """

    name: str
    base: BaseModel
    adapter: Path | None
    files: Mapping[str, Path]
    others: Sequence[Path]
    parity: Mapping[str, Any]
    prompt: PromptOptions | None = None
    run: RunFacts = RunFacts()
    merge_base: str = "original"

    @property
    def main(self) -> str:
        """The type to show first: the one that the recipe evaluates, else the smallest file."""
        recipe = self.run.recipe
        if recipe is not None and recipe.evaluate.quantisation in self.files:
            return recipe.evaluate.quantisation
        return min(self.files, key=lambda kind: self.parity["files"][kind]["bytes"])

    @property
    def options(self) -> PromptOptions:
        """The prompt that the file is asked with: the trained one, or the published one."""
        return self.prompt or PromptOptions()
