"""Predict rows, compute the figures, write predictions.parquet, metrics.json, the report and what ``compare`` needs."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from socrates_fast.console import Console, Rows
from socrates_fast.curves.history import History
from socrates_fast.errors import ScoringError
from socrates_fast.evaluate.answers import Answers, leave_out_mixed, read_answers
from socrates_fast.evaluate.checks import KEYS, check_rows
from socrates_fast.evaluate.frame import predictions_frame
from socrates_fast.evaluate.predictions import Predictions, Stored
from socrates_fast.evaluate.ragged import Ragged
from socrates_fast.evaluate.report import write_report
from socrates_fast.evaluate.summary import Beside, Summary, summarise
from socrates_fast.evaluate.sums import SUMS, write_sums
from socrates_fast.infer.predictor import AnswerDistribution, Predictor
from socrates_fast.prompt import Prompt
from socrates_fast.runs import atomic_path, environment, write_json, write_parquet

PREDICTIONS, METRICS, CELLS, EFFECTS = (
    "predictions.parquet",
    "metrics.json",
    "cells.parquet",
    "effects.parquet",
)
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
        summary: the figures by study and by cell.
        files: all files that were written.
    """

    metrics: dict[str, Any]
    summary: Summary
    files: tuple[Path, ...]


@dataclass(frozen=True)
class Setting:
    """How rows are evaluated.

    Attributes:
        title: headline of the report.
        details: what made the predictor (see ``report.render_report``); the versions of the packages at work are added.
        groups: demographic fields whose people are compared.
        beside: what stands beside the figures.
        report: draw and write the report, which takes a second or two.
        history: how the predictor was trained, where that is known.
    """

    title: str
    details: Mapping[str, Any] = field(default_factory=dict)
    groups: Sequence[str] = ()
    beside: Beside = field(default_factory=Beside)
    report: bool = True
    history: History | None = None


@dataclass
class _Unscorable:
    """Rows that the predictor could not score: their numbers, and why not the first."""

    rows: list[int] = field(default_factory=list)
    example: str = ""


def evaluate(
    predictor: Predictor,
    rows: pl.DataFrame,
    prompts: Prompts,
    out: Path,
    setting: Setting,
    *,
    batch: int = WINDOW,
    console: Console | None = None,
    follow: Callable[[Rows], object] | None = None,
) -> Evaluation:
    """Predict every row and write its evaluation to ``out``.

    Rows that the predictor cannot score are left out of all figures, and a banner says so.

    Args:
        predictor: what is evaluated.
        rows: a prepared frame (``data.schema.PREPARED``).
        prompts: renders some of the rows.
        out: folder of the files; made if it does not exist. Nothing is written before all is predicted.
        setting: how they are evaluated.
        batch: rows given to the predictor at once, in the order of ``rows``.
        console: where rows/s, tokens and time left are shown.
        follow: told of the bar that it shows, for predictors that report their tokens.

    Raises:
        DataError: the rows cannot be evaluated, or were predicted on other answers than they allow.
        ScoringError: the predictor returned another number of predictions than it got prompts, or could score none.
        SocratesError: a file cannot be written.
    """
    check_rows(rows)  # before the hours of predicting, not after
    rows, mixed = leave_out_mixed(rows)
    check_rows(rows)
    with atomic_path(out / PREDICTIONS) as partial:
        lost = _predict(predictor, rows, prompts, partial, batch, console or Console(quiet=True), follow)
        kept = (
            rows.with_row_index("_row").filter(~pl.col("_row").is_in(lost.rows)).drop("_row")
            if lost.rows
            else rows
        )
        summary, answers = _summary(kept, Stored(partial), predictor.name, setting, _facts(rows, mixed, lost))
    files = _write(out, answers, summary, setting)
    return Evaluation(summary.metrics, summary, (out / PREDICTIONS, *files))


def evaluate_predictions(
    rows: pl.DataFrame, predictions: Path, out: Path, name: str, setting: Setting
) -> Evaluation:
    """Evaluate predictions that exist already (the columns of ``frame.predictions_frame``); they are not copied.

    Raises:
        DataError: as for ``evaluate``; or they are predictions of other rows.
        SocratesError: a file cannot be written.
    """
    check_rows(rows)
    rows, mixed = leave_out_mixed(rows)
    summary, answers = _summary(rows, Stored(predictions), name, setting, _facts(rows, mixed, _Unscorable()))
    return Evaluation(summary.metrics, summary, tuple(_write(out, answers, summary, setting)))


def _summary(
    rows: pl.DataFrame, predictions: Predictions, name: str, setting: Setting, facts: dict[str, Any]
) -> tuple[Summary, Answers]:
    answers = read_answers(rows, setting.groups)
    beside = replace(setting.beside, facts={**facts, **setting.beside.facts})
    return summarise(answers, predictions, name, beside), answers


def _facts(rows: pl.DataFrame, mixed: pl.DataFrame, lost: _Unscorable) -> dict[str, Any]:
    """What was left out, for metrics.json."""
    return {
        "unscorable": {"value": len(lost.rows) / rows.height, "rows": len(lost.rows), "example": lost.example},
        "mixed_scales": {
            "cells": mixed.height, "rows": int(mixed["rows"].sum()),
            "example": list(mixed.row(0)[:3]) if mixed.height else None,
        },
    }  # fmt: skip


def _write(out: Path, answers: Answers, summary: Summary, setting: Setting) -> list[Path]:
    """Write all but the predictions."""
    details = {**setting.details, ENVIRONMENT: environment()}
    write_sums(out / SUMS, answers, summary)
    write_parquet(out / CELLS, summary.cells)
    write_parquet(out / EFFECTS, summary.effects)
    report = (
        write_report(out, setting.title, answers, summary, details, setting.history) if setting.report else []
    )
    write_json(out / METRICS, summary.metrics)
    return [*(out / name for name in (METRICS, SUMS, CELLS, EFFECTS)), *report]


def _predict(
    predictor: Predictor,
    rows: pl.DataFrame,
    prompts: Prompts,
    path: Path,
    batch: int,
    console: Console,
    follow: Callable[[Rows], object] | None,
) -> _Unscorable:
    """Predict all rows into a parquet file, window by window; which could not be scored."""
    import pyarrow.parquet as pq

    lost, writer = _Unscorable(), None
    try:
        with console.rows("predict", rows.height) as bar:
            if follow is not None:
                follow(bar)
            for start in range(0, rows.height, batch):
                part = rows[start : start + batch]
                frame = _frame(part, _window(predictor, part, prompts(part), bar, start, lost))
                table = frame.to_arrow()
                writer = writer or pq.ParquetWriter(path, table.schema)
                writer.write_table(table)
                bar.next_window()
    finally:
        if writer is not None:
            writer.close()
    if len(lost.rows) == rows.height:
        raise ScoringError(f"none of the {rows.height} rows could be scored; the first: {lost.example}")
    return lost


def _frame(rows: pl.DataFrame, found: dict[int, AnswerDistribution]) -> pl.DataFrame:
    """The predictions of some rows in the columns of predictions.parquet."""
    numbers = sorted(found)
    distributions = [found[number] for number in numbers]
    return predictions_frame(
        rows.select(KEYS)[numbers],
        Ragged(np.array([len(item.values) for item in distributions], dtype=np.int64)),
        np.concatenate([np.zeros(0), *(item.values for item in distributions)]),
        np.concatenate([np.zeros(0), *(item.probabilities for item in distributions)]),
        np.array([item.answer_mass for item in distributions]),
    )


def _window(
    predictor: Predictor, rows: pl.DataFrame, prompts: list[Prompt], bar: Rows, start: int, lost: _Unscorable
) -> dict[int, AnswerDistribution]:
    """The window's predictions by row, shown as they become known; rows that cannot be scored join ``lost``."""
    found: dict[int, AnswerDistribution] = {}
    seen = 0
    for number, result in predictor.stream(prompts):
        seen += 1
        if isinstance(result, ScoringError):
            study, sample = rows.select("study_id", "sample_id").row(number)
            lost.example = lost.example or f"study {study}, sample {sample}: {result}"
            lost.rows.append(start + number)
        else:
            found[number] = result
        bar.reach(seen)
    if seen != len(prompts):
        raise ScoringError(f"{predictor.name} returned {seen} predictions for {len(prompts)} prompts")
    return found
