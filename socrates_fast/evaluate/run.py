"""Predict rows, compute the figures, write predictions.parquet, metrics.json and report.html."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from socrates_fast.console import Console, Rows
from socrates_fast.errors import ScoringError
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

WINDOW = 8192
"""Rows given to the predictor at once: sorted by their tokens, so many share nearly all that they can share."""

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
    batch: int = WINDOW,
    console: Console | None = None,
    follow: Callable[[Rows], object] | None = None,
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
        console: where rows/s, tokens and time left are shown.
        follow: told of the bar that it shows, for predictors that report their tokens.

    Raises:
        DataError: the rows cannot be evaluated, or were predicted on other answers than they allow.
        ScoringError: the predictor returned another number of predictions than it got prompts.
        SocratesError: a file cannot be written.
    """
    answers = read_answers(rows)  # before the hours of predicting, not after
    predictions = predict(predictor, rows, prompts, batch=batch, console=console, follow=follow)
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
    batch: int = WINDOW,
    console: Console | None = None,
    follow: Callable[[Rows], object] | None = None,
) -> pl.DataFrame:
    """Predict all rows, in the columns of ``predictions_frame``; arguments as for ``evaluate``."""
    distributions: list[AnswerDistribution] = []
    with (console or Console(quiet=True)).rows("predict", rows.height) as bar:
        if follow is not None:
            follow(bar)
        for part in rows.iter_slices(batch):
            distributions += _window(predictor, part, prompts(part), bar)
            bar.next_window()
    return predictions_frame(
        rows.select(KEYS),
        Ragged(np.array([len(item.values) for item in distributions], dtype=np.int64)),
        np.concatenate([item.values for item in distributions]).astype(np.float64),
        np.concatenate([item.probabilities for item in distributions]),
        np.array([item.answer_mass for item in distributions]),
    )


def _window(
    predictor: Predictor, rows: pl.DataFrame, prompts: list[Prompt], bar: Rows
) -> list[AnswerDistribution]:
    """What ``predictor.predict`` gives, with every result shown as it becomes known."""
    found: dict[int, AnswerDistribution] = {}
    for number, result in predictor.stream(prompts):
        if isinstance(result, ScoringError):
            study, sample = rows.select("study_id", "sample_id").row(number)
            raise ScoringError(f"study {study}, sample {sample}: {result}")
        found[number] = result
        bar.reach(len(found))
    if len(found) != len(prompts):
        raise ScoringError(f"{predictor.name} returned {len(found)} predictions for {len(prompts)} prompts")
    return [found[number] for number in range(len(prompts))]
