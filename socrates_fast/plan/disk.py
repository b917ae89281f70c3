"""Bytes that a run downloads and that it writes."""

from dataclasses import dataclass

from socrates_fast.infer.hub import is_hub_id
from socrates_fast.plan.models import GATED
from socrates_fast.plan.rows import Rows
from socrates_fast.plan.shapes import Shape
from socrates_fast.recipe import TINY, Recipe

DATASET = 1.45e9
"""Bytes of SocSci210's 17 parquet files."""
PREPARED_ROW = 120.0
"""Bytes of a row in prepared parquet, texts that repeat compressed; assumed."""
TOKENIZER = 12e6
CHECKPOINTS = 3
"""Two that are kept, and one being written."""


@dataclass(frozen=True)
class Disk:
    """Bytes, by what they are for.

    Attributes:
        downloads: from the Hub, where they are not in its cache already.
        written: into the run's folder.
        gated: whether the model's licence must be accepted first.
    """

    downloads: dict[str, float]
    written: dict[str, float]
    gated: bool

    @property
    def needed(self) -> float:
        """All of it: what must be free."""
        return sum(self.downloads.values()) + sum(self.written.values())


def disk_of(shape: Shape, recipe: Recipe, rows: Rows) -> Disk:
    """What a whole run (data, training, export) downloads and writes."""
    trained = shape.adapter(recipe.train.lora.r, recipe.train.lora.targets)
    downloads: dict[str, float] = {}
    if recipe.data.source == "socsci210":
        downloads["dataset"] = DATASET
    if recipe.model.base != TINY and is_hub_id(recipe.model.base) and recipe.model.base == shape.name:
        downloads["model (16 bit)"] = shape.parameters * 2 + TOKENIZER
    kinds = recipe.export.quantisations
    written = {
        "prepared rows": (rows.train.high + rows.validation.high + rows.test.high) * PREPARED_ROW,
        "checkpoints": CHECKPOINTS * trained * (12.0 if recipe.train.optimizer == "adamw_torch" else 6.0),
        "adapter": trained * 4.0,
        **{f"GGUF {kind}": float(shape.file_bytes(kind)) for kind in kinds},
    }
    if recipe.evaluate.base:
        written[f"GGUF {recipe.evaluate.quantisation} of the base"] = float(
            shape.file_bytes(recipe.evaluate.quantisation)
        )
    return Disk(downloads, written, recipe.model.base.startswith(GATED))
