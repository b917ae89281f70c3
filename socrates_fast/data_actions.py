"""What the verbs of ``data`` do with a path or a recipe's name."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl

from socrates_fast import recipes
from socrates_fast.console import Console
from socrates_fast.data.check import Checked, check
from socrates_fast.data.prepared import to_prepared
from socrates_fast.data.preview import Shown, preview
from socrates_fast.data.sources import open_source
from socrates_fast.errors import DataError
from socrates_fast.recipe import Data, Recipe
from socrates_fast.tokens import renderer_of

if TYPE_CHECKING:
    from collections.abc import Callable


def checked_data(path: str, recipe: str | None, overrides: Sequence[str], console: Console) -> Checked:
    """Everything wrong with a file, a folder, or the source of a recipe.

    Args:
        path: a file or folder; or a recipe, whose source is checked.
        recipe: says how ``path`` is mapped.

    Raises:
        DataError: there is nothing to check.
        RecipeError: the recipe is none.
    """
    if recipe is None and not _is_data(path):
        loaded = recipes.load(path, list(overrides))
        return check(_source_path(loaded.data, console.say), loaded.data, console.say)
    data = recipes.load(recipe, list(overrides)).data if recipe else None
    return check(Path(path), data, console.say)


def _is_data(path: str) -> bool:
    """Whether it names data rather than a recipe."""
    return Path(path).suffix not in ("", ".yaml", ".yml") or Path(path).is_dir()


def _source_path(data: Data, say: "Callable[[str], None]") -> Path:
    if data.source == "synthetic":
        raise DataError("the recipe's data is made up: there is no file to check")
    if data.source == "socsci210":
        from socrates_fast.data.hub import shards

        return shards(data.socsci210, say).files[0].parent
    assert data.path is not None  # the recipe's own check
    return data.path


def previewed(
    recipe: str, count: int, example: int | None, overrides: Sequence[str], console: Console
) -> list[Shown]:
    """Rows of a recipe's source, or training rows of a run, as the sequences that they train as.

    Args:
        recipe: a recipe's file or name, or the folder of a run.
        count, example: see ``preview``.

    Raises:
        DataError: there is no row, or none of that number.
        ModelError: the base model's tokenizer cannot be had.
    """
    run = Path(recipe) / "recipe.yaml"
    loaded = recipes.load(str(run) if run.is_file() else recipe, list(overrides))
    prepared = Path(recipe) / "data" / "train.parquet"
    rows = pl.scan_parquet(prepared) if prepared.is_file() else _first_rows(loaded, console).lazy()
    return preview(rows, loaded, renderer_of(loaded.model), count, example)


def _first_rows(recipe: Recipe, console: Console) -> pl.DataFrame:
    """The usable rows among the first that hold one."""
    for batch in open_source(recipe.data, console.say).batches():
        rows = to_prepared(batch, recipe.data).rows
        if rows.height:
            return rows
    raise DataError("the source holds no usable row; see: socrates-fast data check")
