"""The verbs of ``data``: prepare and inspect. Each imports its work when it is called."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from socrates_fast.cli_bench import JsonOption
from socrates_fast.errors import SocratesError

if TYPE_CHECKING:
    from socrates_fast.prompt import ChatRenderer
    from socrates_fast.recipe import Recipe

data_app = typer.Typer(help="Prepare and inspect data.", no_args_is_help=True, rich_markup_mode=None)

RecipeArgument = Annotated[
    str, typer.Argument(metavar="RECIPE", help="A recipe's file, or a shipped one's name.")
]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Override an option (train.epochs=2); may be repeated."),
]


def _renderer(recipe: "Recipe", say: Callable[[str], None]) -> "ChatRenderer | None":
    """The renderer of a recipe's model; None, and the reason said, where it is not at hand: lengths are then characters."""
    from socrates_fast.tokens import renderer_of

    try:
        return renderer_of(recipe.model)
    except SocratesError as error:
        say(f"lengths in the card are in characters: {error}")
        return None


@data_app.command("prepare")
def prepare(
    recipe: RecipeArgument,
    out: Annotated[Path, typer.Option("--out", help="New or empty folder, or one prepared before.")],
    overrides: SetOption = None,
) -> None:
    """Rows of a recipe's source to train, validation and test parquet, with a card of what was left out."""
    from socrates_fast import recipes
    from socrates_fast.console import Console
    from socrates_fast.data.prepare import prepare as prepare_folder

    console, loaded = Console(), recipes.load(recipe, overrides or ())
    renderer = _renderer(loaded, console.say)
    with console.steps("preparing") as advance:
        files = prepare_folder(loaded, out, console.say, advance, renderer)
    for file in files:
        print(file)


@data_app.command("check")
def check(
    path: Annotated[
        str, typer.Argument(metavar="FILE|DIR|RECIPE", help="A survey file, a folder, or a recipe.")
    ],
    recipe: Annotated[
        str | None,
        typer.Option("--recipe", metavar="RECIPE", help="How the file is mapped; see its data section."),
    ] = None,
    overrides: SetOption = None,
    limit: Annotated[int, typer.Option("--limit", min=1, help="Entries of each kind that are printed.")] = 20,
    as_json: JsonOption = False,
) -> None:
    """Everything wrong with a survey file, by file and row, before any work is done."""
    from socrates_fast.console import Console
    from socrates_fast.data.check import print_checked
    from socrates_fast.data_actions import checked_data

    found = checked_data(path, recipe, overrides or (), Console())
    if as_json:
        print(json.dumps(found.as_dict(), ensure_ascii=False))
    else:
        print_checked(found, limit)
    raise typer.Exit(found.exit_code)


@data_app.command("scales")
def scales(
    path: Annotated[Path, typer.Argument(metavar="FILE|DIR", help="Files in SocSci210's columns.")],
    as_json: JsonOption = False,
) -> None:
    """How every distinct answer instruction was read, those that were not first."""
    from socrates_fast.data.scale_report import report
    from socrates_fast.data.scale_text import print_report

    print_report(report(path), as_json)


@data_app.command("preview")
def preview(
    recipe: Annotated[str, typer.Argument(metavar="RECIPE|RUN", help="A recipe, or the folder of a run.")],
    rows: Annotated[
        int, typer.Option("--rows", min=1, help="Prompts, chosen by hash from different cells.")
    ] = 3,
    example: Annotated[
        int | None, typer.Option("--example", min=1, help="Instead the row of this number.")
    ] = None,
    overrides: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Prompts as the model sees them, with their token counts and what is trained on marked."""
    from socrates_fast.console import Console
    from socrates_fast.data.preview import print_preview
    from socrates_fast.data_actions import previewed

    found = previewed(recipe, rows, example, overrides or (), Console())
    if as_json:
        print(json.dumps([one.as_json() for one in found], ensure_ascii=False))
    else:
        print_preview(found)
