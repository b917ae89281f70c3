"""Where a recipe's base model is."""

from pathlib import Path

from socrates_fast.console import Console
from socrates_fast.errors import ModelError, RecipeError
from socrates_fast.infer.hub import downloaded, is_hub_id
from socrates_fast.recipe import TINY, Model


def resolve_base(model: Model, console: Console) -> Path:
    """The folder of a recipe's base model: made (``tiny``), given, or downloaded at its pinned revision.

    Raises:
        ModelError: a given folder is not there.
        RecipeError: a Hugging Face id without a revision.
    """
    if model.base == TINY:
        from socrates_fast.train.tiny import ensure

        with console.steps("making the built-in base model (once)") as progress:
            return ensure(lambda step, steps, loss: progress(step, steps, f"loss {loss:.3f}"))
    folder = Path(model.base).expanduser()
    if folder.is_dir():
        return folder
    if not is_hub_id(model.base):
        raise ModelError(
            f"model.base: no folder {model.base}; give a Hugging Face model folder, an id on its Hub, or {TINY}"
        )
    if model.revision is None:
        raise RecipeError(
            f"model.base is {model.base} on the Hugging Face Hub; pin it with model.revision=COMMIT"
        )
    return downloaded(model.base, model.revision, "model.base")
