"""Predict rows, compute the figures, write predictions.parquet, metrics.json and report.html."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from socrates_fast.evaluate.answers import KEYS, Answers, read_answers, read_predictions
from socrates_fast.evaluate.frame import predictions_frame
from socrates_fast.evaluate.ragged import Ragged
from socrates_fast.evaluate.report import render_report
from socrates_fast.evaluate.summary import Summary, summarise
from socrates_fast.infer.predictor import AnswerDistribution, Predictor
from socrates_fast.prompt import Prompt
from socrates_fast.runs import environment, write_json, write_parquet, write_text

PREDICTIONS, METRICS, REPORT = "predictions.parquet", "metrics.json", "report.html"
ENVIRONMENT = "environment of the evaluation"

Prompts = Callable[[pl.DataFrame], list[Prompt]]
"""The prompts of some rows, in their order."""


@dataclass(frozen=True)
class Evaluation:
    """One evaluation, as written.

    Attributes:
        metrics: the content of metrics.json.
        predictions: the content of predictions.parquet.
        summary: the figures by study and by cell.
        files: predictions.parquet, metrics.json and report.html.
    """

    metrics: dict[str, Any]
    predictions: pl.DataFrame
    summary: Summary
    files: tuple[Path, ...]


def evaluate(
    predictor: Predictor,
    rows: pl.DataFrame,
    prompts: Prompts,
    out: Path,
    *,
    title: str,
    details: Mapping[str, Any],
    batch: int = 512,
    progress: bool = True,
) -> Evaluation:
    """Predict every row and write its evaluation to ``out``.

    Args:
        predictor: what is evaluated.
        rows: a prepared frame (``data.schema.PREPARED``).
        prompts: renders some of the rows.
        out: folder of the three files; made if it does not exist. Nothing is written before all is
            predicted.
        title: headline of the report.
        details: what made the predictor (see ``report.render_report``); the versions of the
            packages at work are added.
        batch: rows given to the predictor at once, in the order of ``rows``.
        progress: show a bar with rows/s and time left on stderr.

    Raises:
        DataError: the rows cannot be evaluated, or were predicted on other answers than they allow.
        ScoringError: the predictor returned another number of predictions than it got prompts.
        SocratesError: a file cannot be written.
    """
    answers = read_answers(rows)  # before the hours of predicting, not after
    predictions = predict(predictor, rows, prompts, batch=batch, progress=progress)
    return evaluate_predictions(answers, predictions, out, name=predictor.name, title=title, details=details)


def evaluate_predictions(
    answers: Answers,
    predictions: pl.DataFrame,
    out: Path,
    *,
    name: str,
    title: str,
    details: Mapping[str, Any],
) -> Evaluation:
    """Evaluate predictions that exist already; files, arguments and errors as for ``evaluate``."""
    summary = summarise(answers, read_predictions(answers, predictions), name)
    report = render_report(title, answers, summary, {**details, ENVIRONMENT: environment()})
    files = tuple(out / file for file in (PREDICTIONS, METRICS, REPORT))
    write_parquet(files[0], predictions)
    write_json(files[1], summary.metrics)
    write_text(files[2], report)
    return Evaluation(summary.metrics, predictions, summary, files)


def predict(
    predictor: Predictor,
    rows: pl.DataFrame,
    prompts: Prompts,
    *,
    batch: int = 512,
    progress: bool = True,
) -> pl.DataFrame:
    """Predict all rows, in the columns of ``predictions_frame``; arguments as for ``evaluate``."""
    distributions: list[AnswerDistribution] = []
    with _progress_bar(progress) as bar:
        task = bar.add_task("predict", total=rows.height)
        for part in rows.iter_slices(batch):
            distributions += predictor.predict(prompts(part))
            bar.advance(task, part.height)
    return predictions_frame(
        rows.select(KEYS),
        Ragged(np.array([len(item.values) for item in distributions], dtype=np.int64)),
        np.concatenate([item.values for item in distributions]).astype(np.float64),
        np.concatenate([item.probabilities for item in distributions]),
        np.array([item.answer_mass for item in distributions]),
    )


def _progress_bar(shown: bool) -> Progress:
    """Rows done, rows/s and time left, on stderr."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        _RowsPerSecond(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        disable=not shown,
    )


class _RowsPerSecond(ProgressColumn):
    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        if not speed and task.elapsed:  # one batch was all: rich measures between batches
            speed = task.completed / task.elapsed
        return Text(f"{speed:,.0f} rows/s" if speed else "- rows/s", no_wrap=True)
