"""Going on from an adapter that was trained before."""

import json
from pathlib import Path
from typing import Any

from socrates_fast.errors import TrainingError
from socrates_fast.recipe import Lora, Recipe
from socrates_fast.recipes import load

WEIGHTS = "adapter_model.safetensors"


def adapter_folder(recipe: Recipe) -> Path | None:
    """The folder of ``train.adapter``, a run's or the adapter's own; None if the recipe begins a new adapter.

    Raises:
        TrainingError: no adapter is there, it has another rank, scale or targets than the recipe, or another base.
    """
    if recipe.train.adapter is None:
        return None
    given = Path(recipe.train.adapter).expanduser()
    folder = given / "adapter" if (given / "adapter").is_dir() else given
    try:
        config = json.loads((folder / "adapter_config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise TrainingError(
            f"train.adapter: no adapter in {given} ({error}); give the folder of a run that has trained"
        ) from error
    if not (folder / WEIGHTS).is_file():
        raise TrainingError(f"train.adapter: {folder} has no {WEIGHTS}; only safetensors are read")
    _check_shape(folder, config, recipe.train.lora)
    _check_base(folder, recipe)
    return folder


def _check_shape(folder: Path, config: dict[str, Any], lora: Lora) -> None:
    theirs = {
        "r": config.get("r"),
        "alpha": config.get("lora_alpha"),
        "rslora": bool(config.get("use_rslora")),
        "targets": sorted(config.get("target_modules") or []),
    }
    ours = {"r": lora.r, "alpha": lora.alpha, "rslora": lora.rslora, "targets": sorted(lora.targets)}
    differing = [name for name in ours if theirs[name] != ours[name]]
    if differing:
        said = ", ".join(f"{name} {theirs[name]} (recipe: {ours[name]})" for name in differing)
        raise TrainingError(f"train.adapter: {folder} has {said}; set train.lora to what it has")


def _check_base(folder: Path, recipe: Recipe) -> None:
    """An adapter says nothing that can be relied on of its base; the recipe beside it does."""
    beside = folder.parent / "recipe.yaml"
    if not beside.is_file():
        return
    theirs = load(str(beside)).model
    if (theirs.base, theirs.revision) != (recipe.model.base, recipe.model.revision):
        raise TrainingError(
            f"train.adapter: {folder} was trained on {theirs.base} {theirs.revision or ''}".rstrip()
            + f", and the recipe's base is {recipe.model.base} {recipe.model.revision or ''}".rstrip()
        )


def go_on_from(model: Any, folder: Path) -> None:
    """Give the model's adapter the numbers of a saved one.

    Raises:
        TrainingError: they are not of this model.
    """
    from peft import set_peft_model_state_dict
    from safetensors.torch import load_file

    state = load_file(folder / WEIGHTS)
    try:
        found = set_peft_model_state_dict(model, state)
    except RuntimeError as error:  # a shape
        raise TrainingError(f"train.adapter: {folder} is of another base ({error})") from error
    missing = [name for name in found.missing_keys if "lora_" in name]
    if missing or found.unexpected_keys:
        raise TrainingError(
            f"train.adapter: {folder} is of another base: {len(missing)} of its weights are missing, "
            f"{len(found.unexpected_keys)} are not known (such as {[*missing, *found.unexpected_keys][0]})"
        )
