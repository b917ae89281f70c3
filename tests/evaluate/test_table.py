"""The table of predictors for the terminal."""

from collections.abc import Callable
from typing import Any

import polars as pl
from rich.console import Console

from socrates_fast.evaluate.answers import read_answers
from socrates_fast.evaluate.baselines import ByCell, midpoint
from socrates_fast.evaluate.summary import summarise
from socrates_fast.evaluate.table import comparison_table, with_baselines

Cell = Callable[..., pl.DataFrame]


def _metrics(rows: pl.DataFrame) -> dict[str, Any]:
    answers = read_answers(rows)
    return summarise(answers, ByCell(midpoint(answers.cells)), "midpoint").metrics


def _lines(predictors: dict[str, Any]) -> list[str]:
    console = Console(width=80, record=True, file=None, quiet=False, force_terminal=False)
    with console.capture() as capture:
        console.print(comparison_table(predictors))
    return capture.get().splitlines()


def test_predictors_stand_among_the_baselines(survey: pl.DataFrame) -> None:
    metrics = _metrics(survey)
    table = with_baselines({"base": metrics, "fine-tuned": metrics})
    assert list(table) == ["uniform", "midpoint", "pooled", "base", "fine-tuned", "floor", "oracle"]
    lines = _lines(table)
    assert max(map(len, lines)) <= 80
    oracle = next(line for line in lines if "oracle" in line)
    assert oracle.split()[1] == "0.000"


def test_columns_that_nobody_has_are_left_out_and_unknown_values_are_dashes(cell: Cell) -> None:
    lines = _lines(with_baselines({"[red]m.gguf": _metrics(cell([1, 4, 4]))}))
    assert not any("truth" in line for line in lines)
    model = next(line for line in lines if "[red]m.gguf" in line)
    assert model.split()[4] == model.split()[5] == "-"
