"""The prompt renderer of a recipe's base model, without its weights."""

from pathlib import Path

from socrates_fast.errors import ModelError, RecipeError
from socrates_fast.infer.hub import TOKENIZER, downloaded, is_hub_id
from socrates_fast.prompt import ChatRenderer
from socrates_fast.recipe import TINY, Model
from socrates_fast.tokenizer import FolderTokenizer


def renderer_of(model: Model) -> ChatRenderer:
    """The renderer of a base model: of a folder, of the built-in one once it is made, or from the Hub.

    Raises:
        ModelError: there is no such folder, it holds no tokenizer, it cannot be downloaded, or ``tiny`` is not made yet.
        RecipeError: an id on the Hub without a revision.
    """
    return FolderTokenizer(_folder(model)).renderer()


def _folder(model: Model) -> Path:
    if model.base == TINY:
        from socrates_fast.train.tiny import folder

        if not (folder() / "tokenizer.json").is_file():
            raise ModelError(f"the base model {TINY} is made when a run first trains (socrates-fast demo)")
        return folder()
    path = Path(model.base).expanduser()
    if path.is_dir():
        return path
    if not is_hub_id(model.base):
        raise ModelError(f"model.base: no folder {model.base}")
    if model.revision is None:
        raise RecipeError(
            f"model.base is {model.base} on the Hugging Face Hub; pin it with model.revision=COMMIT"
        )
    return downloaded(model.base, model.revision, "model.base", TOKENIZER)
