"""Answers that were asked for by hand, shown: chart and table, JSON, and files."""

import csv
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from socrates_fast.ask import Answered, Drawn
from socrates_fast.errors import DataError
from socrates_fast.infer import AnswerDistribution
from socrates_fast.people import Person
from socrates_fast.runs import write_parquet, write_text

ENDINGS = (".csv", ".parquet", ".jsonl")
MOST_PEOPLE = 40
"""People that the table shows."""
MOST_COLUMNS = 101
"""A CSV has a column for each value of a scale that is not longer; else the lists are cells."""


def check_ending(out: Path) -> None:
    """Refuse a file that cannot be written.

    Raises:
        DataError: its ending is none of ``ENDINGS``.
    """
    if out.suffix not in ENDINGS:
        raise DataError(f"{out}: unknown ending; the answers go to {', '.join(ENDINGS)}")


def average(distributions: Sequence[AnswerDistribution]) -> AnswerDistribution:
    """The mean of some people's distributions, on all values that occur."""
    values = np.unique(np.concatenate([each.values for each in distributions]))
    total = np.zeros(len(values))
    for each in distributions:
        total[np.searchsorted(values, each.values)] += each.probabilities
    mass = float(np.mean([each.answer_mass for each in distributions]))
    unexplored = float(np.mean([each.unexplored for each in distributions]))
    return AnswerDistribution(values, total / len(distributions), mass, unexplored)


def show(answered: Answered) -> None:
    """Print the prompt and the chart of one person, or the table of several and the chart of their average."""
    from rich.console import Console

    from socrates_fast.infer.chart import print_chart

    labels = answered.question.scale.labels
    if len(answered.distributions) == 1:
        print(answered.prompts[0].user, end="\n\n")
        print_chart(answered.distributions[0], labels)
    else:
        print(answered.question.scenario.strip(), end="\n\n")
        console = Console()
        console.print(_table(answered, console.width))
        if len(answered.distributions) > MOST_PEOPLE:
            print(f"and {len(answered.distributions) - MOST_PEOPLE} more; --out FILE writes all")
        print(f"\nThe average of {len(answered.distributions)} people:\n")
        print_chart(average(answered.distributions), labels)
    if answered.sampling:
        print(_drawn_line(answered))


def _table(answered: Answered, width: int) -> Any:
    from rich.table import Table
    from rich.text import Text

    people = list(zip(answered.question.people, answered.distributions, strict=True))
    lines = [_cells(answered, person, found) for person, found in people[:MOST_PEOPLE]]
    names = ("who", "persona", "mean", "median", "most probable", "answer mass")
    widths = [max(len(cells[at]) for cells in [names, *lines]) for at in range(len(names))]
    widths[0] = min(widths[0], 14)
    widths[1] = max(16, min(widths[1], width - sum(widths) + widths[1] - len(names)))  # it gets what is left
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="bold")
    for at, name in enumerate(names):
        table.add_column(
            name, justify="left" if at < 2 else "right", width=widths[at], overflow="ellipsis", no_wrap=True
        )
    for cells in lines:
        table.add_row(*map(Text, cells))
    return table


def _cells(answered: Answered, person: Person, found: AnswerDistribution) -> tuple[str, ...]:
    label = answered.question.scale.labels.get(found.mode, "")
    mode = f"{found.mode} {label}".strip()[:24]
    numbers = (f"{found.mean:.2f}", str(found.median), mode, f"{found.answer_mass:.1%}")
    return (person.name, person.described(answered.options.fields), *numbers)


def _drawn_line(answered: Answered) -> str:
    texts = [text for each in answered.drawn for text in each.texts]
    answers = [answer for each in answered.drawn for answer in each.answers if answer is not None]
    mean = f"mean {np.mean(answers):.2f}" if answers else "no mean"
    sampling = answered.sampling
    assert sampling is not None
    return (
        f"{len(texts)} answers drawn at temperature {sampling.temperature:g}, top_p {sampling.top_p:g}, seed "
        f"{sampling.seed}: {mean}, {len(texts) - len(answers)} not on the scale"
    )


# --- documents ----------------------------------------------------------------------------------------------


def document(answered: Answered) -> dict[str, Any]:
    """All answers as JSON-able values: one person's, or ``people`` and their ``average``."""
    scale = answered.question.scale
    head = {
        "model": answered.model,
        "scenario": answered.question.scenario,
        "scale": {"low": scale.low, "high": scale.high, "open": scale.values is None},
    }
    people = _people(answered)
    if len(people) == 1:
        return {**head, **people[0]}
    return {**head, "people": people, "average": as_values(average(answered.distributions))}


def as_values(distribution: AnswerDistribution) -> dict[str, Any]:
    """A distribution as JSON-able values."""
    return {
        "values": distribution.values.tolist(),
        "probabilities": [round(p, 9) for p in distribution.probabilities.tolist()],
        "answer_mass": distribution.answer_mass,
        "unexplored": None if np.isnan(distribution.unexplored) else distribution.unexplored,
        "mean": distribution.mean,
        "median": distribution.median,
        "mode": distribution.mode,
    }


def _people(answered: Answered) -> list[dict[str, Any]]:
    """Each person's answer, as JSON-able values."""
    drawn: Sequence[Drawn | None] = answered.drawn or [None] * len(answered.distributions)
    found = []
    for person, prompt, distribution, draws in zip(
        answered.question.people, answered.prompts, answered.distributions, drawn, strict=True
    ):
        entry: dict[str, Any] = {
            "who": person.name,
            "persona": person.described(answered.options.fields),
            "prompt": {"system": prompt.system, "user": prompt.user},
            **as_values(distribution),
        }
        if draws is not None and answered.sampling is not None:
            how = answered.sampling
            entry["drawn"] = {"temperature": how.temperature, "top_p": how.top_p, "seed": how.seed,
                              "texts": list(draws.texts), "answers": list(draws.answers)}  # fmt: skip
        found.append(entry)
    return found


# --- files --------------------------------------------------------------------------------------------------


def write(out: Path, answered: Answered) -> None:
    """Write one line a person, whole or not at all.

    Raises:
        SocratesError: the file cannot be written.
    """
    rows = [_flat(entry) for entry in _people(answered)]
    if out.suffix == ".jsonl":
        write_text(out, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
    elif out.suffix == ".parquet":
        import polars as pl

        write_parquet(out, pl.DataFrame(rows, infer_schema_length=None))
    else:
        write_text(out, _csv(rows))


def _flat(entry: dict[str, Any]) -> dict[str, Any]:
    """A person's answer without what every line would repeat."""
    row = {name: value for name, value in entry.items() if name not in ("prompt", "drawn")}
    if "drawn" in entry:
        row |= {"drawn_texts": entry["drawn"]["texts"], "drawn_answers": entry["drawn"]["answers"]}
    return row


def _csv(rows: Sequence[dict[str, Any]]) -> str:
    values = rows[0]["values"]
    by_column = len(values) <= MOST_COLUMNS and all(row["values"] == values for row in rows)
    buffer = io.StringIO(newline="")
    writer: csv.DictWriter[str] | None = None
    for row in rows:
        cells = {
            name: json.dumps(value, ensure_ascii=False) if isinstance(value, list) else value
            for name, value in row.items()
            if not by_column or name not in ("values", "probabilities")
        }
        if by_column:
            cells |= {f"p_{value}": p for value, p in zip(values, row["probabilities"], strict=True)}
        if writer is None:
            writer = csv.DictWriter(buffer, list(cells))
            writer.writeheader()
        writer.writerow(cells)
    return buffer.getvalue()
