"""Going on from an adapter that was trained before."""

import json
from pathlib import Path
from typing import Any

from socrates_fast.errors import TrainingError
from socrates_fast.recipe import Lora, Recipe
from socrates_fast.recipes import load
from socrates_fast.runs import Run, sha256_file, write_json

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


def start_of(recipe: Recipe, run: Run) -> str | None:
    """The sha256 of the adapter that a run goes on from; None if it begins a new one.

    It is kept in the run's folder, so that a trained run can be exported when the adapter it began with is gone.

    Raises:
        TrainingError: see ``adapter_folder``; or it is the run's own, which training replaces.
    """
    kept = run.folder / "start.json"
    known = json.loads(kept.read_text(encoding="utf-8")) if kept.is_file() else {}
    try:
        before = adapter_folder(recipe)
    except TrainingError:
        if known.get("adapter") == recipe.train.adapter and "train" in run.manifest:
            return str(known["sha256"])
        raise
    if before is None:
        return None
    if before.resolve().is_relative_to(run.folder.resolve()):
        raise TrainingError(
            f"train.adapter is in {run.folder}, whose adapter is replaced; name another folder with --out"
        )
    sha256 = sha256_file(before / WEIGHTS)
    found = {"adapter": recipe.train.adapter, "sha256": sha256}
    if found != known:
        write_json(kept, found)
    return sha256


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
    missing = [
        name for name in found.missing_keys if "lora_" in name and ".default." in name
    ]  # not DPO's reference
    if missing or found.unexpected_keys:
        raise TrainingError(
            f"train.adapter: {folder} is of another base: {len(missing)} of its weights are missing, "
            f"{len(found.unexpected_keys)} are not known (such as {[*missing, *found.unexpected_keys][0]})"
        )
