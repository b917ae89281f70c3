"""The verb ``plan``. It imports its work when it is called."""

import json
from pathlib import Path
from typing import Annotated

import typer

from socrates_fast.cli_bench import JsonOption
from socrates_fast.cli_data import RecipeArgument, SetOption


def plan(
    recipe: RecipeArgument,
    gpu: Annotated[
        str,
        typer.Option(
            "--gpu",
            metavar="NAME",
            help="t4, l4, a10g, rtx3090, rtx4090, rtx5090, a100-40gb, a100-80gb, h100, h200.",
        ),
    ] = "a100-80gb",
    usd_per_hour: Annotated[
        float | None,
        typer.Option("--usd-per-hour", metavar="PRICE", help="Of the machine, for the price of the run."),
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(
            "--data", metavar="DIR", help="What data prepare wrote: rows and lengths are counted there."
        ),
    ] = None,
    overrides: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Hours, price, GPU memory, disk and downloads of a recipe, estimated before anything starts."""
    from socrates_fast import recipes
    from socrates_fast.plan.planning import as_json as document
    from socrates_fast.plan.planning import make_plan
    from socrates_fast.plan.text import plan_text

    made = make_plan(recipes.load(recipe, overrides or ()), gpu, usd_per_hour, data)
    print(json.dumps(document(made), allow_nan=False) if as_json else plan_text(made))
