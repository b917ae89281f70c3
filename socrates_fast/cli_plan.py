"""The verb ``plan``. It imports its work when it is called."""

import json
from pathlib import Path
from typing import Annotated

import typer

from socrates_fast.cli_bench import JsonOption
from socrates_fast.cli_data import RecipeArgument, SetOption

PriceOption = Annotated[
    float | None,
    typer.Option("--usd-per-hour", metavar="PRICE", help="Of the machine, for the price of the run."),
]


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
    gpus: Annotated[
        int,
        typer.Option("--gpus", metavar="N", min=1, help="How many of them train together, on one machine."),
    ] = 1,
    usd_per_hour: PriceOption = None,
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

    made = make_plan(recipes.load(recipe, overrides or ()), gpu, usd_per_hour, data, gpus)
    print(json.dumps(document(made), allow_nan=False) if as_json else plan_text(made))
