"""What a recipe asks of its model that the model cannot give, as far as that is known without its weights."""

from collections.abc import Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

from socrates_fast.errors import ModelError, RecipeError
from socrates_fast.infer.hub import is_hub_id
from socrates_fast.plan.gpus import Gpu
from socrates_fast.plan.models import GATED, MODELS
from socrates_fast.plan.shapes import Shape, shape_of
from socrates_fast.recipe import TINY, Recipe


@dataclass(frozen=True)
class Checked:
    """What ``recipes check`` says besides "fine".

    Attributes:
        model: what was known of the model, in words.
        notes: what is no fault, but good to know before the launch.
    """

    model: str
    notes: tuple[str, ...]


def _size(parameters: int) -> str:
    """In billions, or of a small model in millions."""
    return f"{parameters / 1e9:.2f}B" if parameters >= 5e7 else f"{parameters / 1e6:.1f}M"


def check_limits(recipe: Recipe, path: str) -> Checked:
    """Check a recipe against its model's limits.

    Args:
        recipe: what to check.
        path: its file, for messages.

    Raises:
        RecipeError: every fault at once.
    """
    try:
        shape = shape_of(recipe.model)
    except ModelError as error:
        if Path(recipe.model.base).expanduser().is_dir() or not is_hub_id(recipe.model.base):
            raise RecipeError(f"{path}: {error}") from error
        note = f"{recipe.model.base}: its shape is not known here, so its limits were not checked"
        return Checked("", (note, *pin_notes(recipe)))
    found = list(faults(recipe, shape))
    if found:
        raise RecipeError("\n".join(f"{path}: {fault}" for fault in found))
    words = f"{_size(shape.parameters)} parameters, {shape.layers} layers, {shape.longest:,} positions"
    return Checked(f"{recipe.model.base}: {words}", (*pin_notes(recipe), *notes(recipe)))


def faults(recipe: Recipe, shape: Shape) -> Iterator[str]:
    """What cannot work."""
    if recipe.model.max_length > shape.longest:
        yield (
            f"model.max_length is {recipe.model.max_length:,}, but {shape.name} has {shape.longest:,} positions; "
            f"set it to {shape.longest} at most"
        )
    known = shape.targets()
    for target in recipe.train.lora.targets:
        if target not in known:
            near = get_close_matches(target, known, n=1)
            hint = f" (did you mean {near[0]}?)" if near else ""
            yield f"train.lora.targets: {shape.name} has no matrix {target}{hint}; it has {', '.join(known)}"
    smallest = min((min(known[name]) for name in recipe.train.lora.targets if name in known), default=0)
    if smallest and recipe.train.lora.r > smallest:
        yield f"train.lora.r is {recipe.train.lora.r}, above the smallest side of a target's matrix ({smallest})"


def pin_notes(recipe: Recipe) -> Iterator[str]:
    """What a Hub id still needs."""
    model = recipe.model
    if model.base == TINY or not is_hub_id(model.base) or Path(model.base).expanduser().is_dir():
        return
    if model.revision is None:
        known = MODELS[model.base].revision if model.base in MODELS else None
        commit = known or "COMMIT"
        yield f"model.revision must be pinned before the launch: --set model.revision={commit}"
    if model.base.startswith(GATED):
        yield f"{model.base}: accept its licence on the Hub, and log in (hf auth login), before the launch"


def notes(recipe: Recipe) -> Iterator[str]:
    """What works, but not as one might think."""
    train = recipe.train
    if train.lora.dropout > 0 and getattr(train, "backend", "unsloth") == "unsloth":
        yield "train.lora.dropout above 0 leaves Unsloth's fused kernels: slower, more memory"
    if train.precision == "float32" and recipe.model.load_in_4bit:
        yield "train.precision float32 computes in 32 bits although the base is in 4: bfloat16 or float16 on a GPU"
    if train.packing and train.group_by_length:
        yield "train.group_by_length does nothing with train.packing"


def card_notes(recipe: Recipe, gpu: Gpu) -> Iterator[str]:
    """What a card cannot do of what the recipe asks."""
    if gpu.bfloat16:
        return
    if recipe.train.precision == "bfloat16":
        yield f"{gpu.name} has no bfloat16: --set train.precision=float16"
    if recipe.train.packing:
        yield f"{gpu.name} has no FlashAttention 2, which packing needs: --set train.packing=false"
