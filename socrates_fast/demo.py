"""What ``run`` and ``demo`` show at the end: the table, one prediction, and where the report is."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from socrates_fast.ask import Question, ask
from socrates_fast.evaluate.table import comparison_table, with_baselines
from socrates_fast.pipeline import Evaluated, Pipeline


def show(pipeline: Pipeline) -> None:
    """Run the whole pipeline and explain what came of it."""
    evaluated = pipeline.evaluate()
    print_table(pipeline.recipe.name, evaluated)
    model = pipeline.model_file
    print(f"\nOne prediction ({model}):\n")
    ask(str(model), Question.built_in(1), as_json=False)
    print(f"\nAsk it yourself:\n  socrates-fast predict {model} --example 2")


def print_table(name: str, evaluated: Sequence[Evaluated]) -> None:
    """The evaluated models between the baselines, and where the reports are."""
    from rich.console import Console

    order = [one for one in evaluated if one.name == "base"]
    order += [one for one in evaluated if one.name != "base"]
    rows = with_baselines({one.name: one.metrics for one in order})
    Console().print(comparison_table(rows, f"{name}: people that training never saw"))
    tuned = evaluated[0].metrics
    print(
        f"{tuned['rows']['value']} rows, {tuned['cells']['value']} cells, {tuned['studies']['value']} studies"
    )
    print_warnings(tuned)
    for one in evaluated:
        print(f"report of {one.name}: {one.folder / 'report.html'}")


def print_metrics(model: str, metrics: Mapping[str, Any], folder: Path) -> None:
    """One model between its baselines."""
    from rich.console import Console

    Console().print(comparison_table(with_baselines({Path(model).name: metrics})))
    print_warnings(metrics)
    print(f"report: {folder / 'report.html'}")


def print_warnings(metrics: Mapping[str, Any]) -> None:
    """What undermines the figures, and what else a reader must know."""
    for banner in metrics["banners"]:
        print(f"! {banner}")
    for note in metrics["notes"]:
        print(f"- {note}")
