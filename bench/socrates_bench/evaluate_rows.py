"""A made-up evaluation: prepared rows, the same studies' training rows, the predictions of two models, and the truth by cell.

Why it matters: of real answers nobody knows the distributions they were drawn from, nor the effects behind them, so nobody
can say that an evaluation of 2.9 million rows found what is there.
Method: the plan of studies, people and scales of the data bench (data_plan.py, data_people.py); the answers are drawn from
known distributions (evaluate_people.py). Study by study, with whole columns at a time, into parquet files.
Output: ``FOLDER/test.parquet`` and ``train.parquet`` (the columns of a prepared folder), ``predictions.parquet`` in the
order of the rows, ``known.parquet`` (those of the model that knows every person's distribution) in another order,
``truth.parquet`` (one line a cell) and ``made.json``.
"""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from socrates_bench import evaluate_people as model
from socrates_bench.data_people import people
from socrates_bench.data_plan import ROWS, Integers, Study, plan
from socrates_bench.evaluate_people import Cell, Floats
from socrates_bench.evaluate_truth import of_cell
from socrates_fast.data.schema import DEMOGRAPHIC, PREPARED
from socrates_fast.errors import SocratesError
from socrates_fast.evaluate.checks import KEYS
from socrates_fast.evaluate.frame import predictions_frame
from socrates_fast.evaluate.ragged import Ragged
from socrates_fast.runs import atomic_folder, fingerprint, write_json

TEST, TRAIN, PREDICTIONS, KNOWN, TRUTH, MADE = (
    "test.parquet", "train.parquet", "predictions.parquet", "known.parquet", "truth.parquet", "made.json",
)  # fmt: skip
FILES = (TEST, TRAIN, PREDICTIONS, KNOWN, TRUTH)
TRAINING = 0.1
"""Training rows for one row."""
LEAST_ROWS = 4_000
"""Fewer make no studies with several people in their cells."""
ROW_GROUP = 8192
"""Rows of a parquet row group, as many as an evaluation writes at once."""
_VARIANTS, _LENGTH = 16, 540
"""Stimuli of a cell, and characters of each."""
_PARTS = ("data_people", "data_plan", "data_texts", "evaluate_people", "evaluate_rows", "evaluate_truth")
"""Modules on which the files depend."""

Frames = dict[str, pl.DataFrame]
"""The lines of one study by file."""


def made(
    folder: Path, rows: int = ROWS, seed: int = 1, announce: Callable[[str], None] = lambda _: None
) -> dict[str, Any]:
    """What is in ``folder``; its files are written unless the same ones are there already.

    Args:
        folder: written whole or not at all.
        rows: of ``test.parquet``.
        seed: the same seed gives the same rows.
        announce: told how far it is.

    Raises:
        SocratesError: the folder holds other files.
    """
    sources = [Path(__file__).with_name(f"{part}.py").read_text("utf-8") for part in _PARTS]
    key = fingerprint([rows, seed, sources])
    if (folder / MADE).is_file():
        there: dict[str, Any] = json.loads((folder / MADE).read_text(encoding="utf-8"))
        if there["key"] == key:
            return there
    if folder.is_dir() and not {path.name for path in folder.iterdir()} <= {*FILES, MADE}:
        raise SocratesError(f"{folder} holds other files, which would be lost; name a new or empty folder")
    with atomic_folder(folder) as partial:
        facts = {"key": key, **_write(partial, rows, seed, announce)}
        write_json(partial / MADE, facts)
    return facts


def _write(folder: Path, rows: int, seed: int, announce: Callable[[str], None]) -> dict[str, Any]:
    import pyarrow.parquet as pq

    started, counts, writers = time.monotonic(), dict.fromkeys(FILES, 0), {}
    with ExitStack() as stack:
        for number, frames in enumerate(studies_of(rows, seed)):
            for name, frame in frames.items():
                table = frame.to_arrow()
                if name not in writers:
                    writers[name] = stack.enter_context(pq.ParquetWriter(folder / name, table.schema))
                writers[name].write_table(table, row_group_size=ROW_GROUP)
                counts[name] += frame.height
            if number % 30 == 29:
                announce(f"{number + 1} studies made, {time.monotonic() - started:.0f} s")
    truth = pl.read_parquet(folder / TRUTH)
    return {
        "rows": counts[TEST], "training_rows": counts[TRAIN], "seed": seed, "studies": truth["study_id"].n_unique(),
        "cells": truth.height, "conditions": truth.select("study_id", "condition_num").n_unique(),
        "answers": int((truth["people"] * truth["values"].list.len()).sum()),
        "bytes": sum((folder / name).stat().st_size for name in FILES), "seconds": time.monotonic() - started,
    }  # fmt: skip


def studies_of(rows: int, seed: int) -> Iterator[Frames]:
    """The lines of every file, study by study."""
    for study in plan(rows, seed):
        random = np.random.default_rng([seed, study.number])
        yield _study(study, model.cells_of(study, random), random)


def _study(study: Study, cells: list[Cell], random: np.random.Generator) -> Frames:
    cell, person = model.people_of(study, random)
    others = random.random(len(cell)) < TRAINING  # of each such row, another person answers the same question
    count = int(person.max()) + 1
    crowd = people(2 * count, study.fields, random)
    lean = model.leaning(crowd, random)
    bounds = np.searchsorted(cell, np.arange(len(cells) + 1))
    response, taught, predicted, known, truth = [], [], [], [], []
    for number, one in enumerate(cells):
        here = slice(bounds[number], bounds[number + 1])
        right = model.true_distribution(one, lean[person[here]])
        guess = model.model_distribution(one, lean[person[here]], random)
        response.append(model.answers_of(one.scale, right, random))
        student = person[here][others[here]] + count
        taught.append(model.answers_of(one.scale, model.true_distribution(one, lean[student]), random))
        known.append(right.ravel())
        predicted.append(guess.ravel())
        truth.append(of_cell(one.scale, right, guess))
    asked = _asked(study, cells, cell)
    rows = _prepared(asked, crowd, person, np.concatenate(response))
    shape = Ragged(np.array([len(one.scale.values) for one in cells])[cell])
    values = np.concatenate([cells[number].scale.values for number in cell])
    mass = random.beta(60, 1, len(cell))

    def file(probabilities: list[Floats], order: Integers) -> pl.DataFrame:
        return predictions_frame(rows.select(KEYS), shape, values, np.concatenate(probabilities), mass)[order]

    order = np.lexsort((rows["task_num"], rows["participant"]))  # as datasets are: person by person
    return {
        TEST: rows[order], TRAIN: _prepared(asked.filter(others), crowd, person[others] + count, np.concatenate(taught)),
        PREDICTIONS: file(predicted, order), KNOWN: file(known, random.permutation(len(cell))),
        TRUTH: _truth(study, cells, truth),
    }  # fmt: skip


def _asked(study: Study, cells: list[Cell], cell: Integers) -> pl.DataFrame:
    """What each row's person was asked."""
    condition, task = study.cells.T
    told = [
        f"{study.name} {c} {t} {variant} ".ljust(_LENGTH, "x")
        for c, t in study.cells.tolist() for variant in range(_VARIANTS)
    ]  # fmt: skip
    scales = {
        "study_id": pl.Series([study.name] * len(cells)), "condition_num": condition, "task_num": task,
        "low": [one.scale.low for one in cells], "high": [one.scale.high for one in cells],
        "values": pl.Series(
            [one.scale.values.astype(int).tolist() if one.scale.gaps else None for one in cells], dtype=pl.List(pl.Int64)
        ),
    }  # fmt: skip
    text = _VARIANTS * cell + np.arange(len(cell)) % _VARIANTS
    return pl.DataFrame(scales)[cell].with_columns(stimuli=pl.Series(told).gather(text))


def _prepared(asked: pl.DataFrame, crowd: pl.DataFrame, person: Integers, response: Integers) -> pl.DataFrame:
    demographic = crowd.select(pl.struct(list(DEMOGRAPHIC.to_schema())).alias("demographic"))[person]
    return (
        asked.hstack(demographic)
        .with_columns(
            participant=person,
            sample_id=np.arange(len(person)),
            response=response,
            open=pl.lit(False),
            truth=None,
        )
        .select(pl.col(name).cast(kind) for name, kind in PREPARED.items())
    )


def _truth(study: Study, cells: list[Cell], truth: list[dict[str, Any]]) -> pl.DataFrame:
    condition, task = study.cells.T
    return pl.DataFrame(truth).with_columns(
        study_id=pl.lit(study.name), condition_num=condition, task_num=task,
        low=pl.Series([one.scale.low for one in cells]), high=pl.Series([one.scale.high for one in cells]),
        values=pl.Series([one.scale.values.tolist() for one in cells]),
    )  # fmt: skip
