"""A made-up SocSci210: its columns, counts, shards, kinds of scales, faulty answers; and the truth about every row.

Why it matters: SocSci210's rows have no licence, so nobody can ship them for a measurement; and of real rows nobody
knows how many ought to be left out.
Method: a plan of studies (data_plan.py), people (data_people.py), texts with the scale that they state
(data_texts.py), and who is asked what and answers what (data_draw.py): every closed question's answer is drawn on its
scale, then ``OFF`` of all are replaced by answers that the scale does not allow, half of them codes of a missing answer,
and some rows are copied to a later place. Study by study, with whole columns at a time; a shard is written as soon as it
is full, so memory holds a study and a shard.
Output: ``FOLDER/data/train-000NN-of-00017.parquet`` and ``FOLDER/truth.json``.
"""

import json
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import polars as pl

from socrates_bench.data_draw import REASONS, Drawn, draw
from socrates_bench.data_people import people
from socrates_bench.data_plan import ROWS, Integers, Study, plan
from socrates_bench.data_texts import Story, rationales
from socrates_fast.data.schema import CELL, DEMOGRAPHIC, SOCSCI210
from socrates_fast.errors import SocratesError
from socrates_fast.prompt import TASK_HEAD
from socrates_fast.runs import atomic_folder, fingerprint, write_json

SHARDS = 17
ROW_GROUP = 10_000
"""Rows of a parquet row group."""
TRUTH = "truth.json"
_RATIONALES = 20_000
_PARTS = ("draw", "people", "plan", "rows", "texts")
"""Modules on which the rows depend."""


def folder_of_shards(folder: Path) -> Path:
    """Where the parquet files are, below what ``made`` was given."""
    return folder / "data"


def made(
    folder: Path, rows: int = ROWS, seed: int = 1, announce: Callable[[str], None] = lambda _: None
) -> dict[str, Any]:
    """The truth about the made-up rows in ``folder``; they are written unless the same ones are there already.

    Args:
        folder: for ``data/`` and ``truth.json``; written whole or not at all.
        rows: how many.
        seed: the same seed gives the same bytes.
        announce: told how far it is.

    Raises:
        SocratesError: the folder holds other files.
    """
    sources = [Path(__file__).with_name(f"data_{part}.py").read_text("utf-8") for part in _PARTS]
    key = fingerprint([rows, seed, sources])
    if (folder / TRUTH).is_file():
        truth: dict[str, Any] = json.loads((folder / TRUTH).read_text(encoding="utf-8"))
        if truth["key"] == key:
            return truth
    ours = {TRUTH, folder_of_shards(folder).name}
    if folder.is_dir() and not {path.name for path in folder.iterdir()} <= ours:
        raise SocratesError(f"{folder} holds other files, which would be lost; name a new or empty folder")
    with atomic_folder(folder) as partial:
        truth = write(partial, rows, seed, announce)
        write_json(partial / TRUTH, {"key": key, **truth})
    return {"key": key, **truth}


def write(folder: Path, rows: int, seed: int, announce: Callable[[str], None]) -> dict[str, Any]:
    """Write the shards; what is true of them."""
    started = time.monotonic()
    target = folder_of_shards(folder)
    target.mkdir(parents=True)
    tally = Tally()
    for number, shard in enumerate(_shards(plan(rows, seed), rows, seed, tally)):
        path = target / f"train-{number:05}-of-{SHARDS:05}.parquet"
        shard.write_parquet(path, compression="snappy", row_group_size=ROW_GROUP)
        announce(f"shard {number + 1} of {SHARDS}, {time.monotonic() - started:.0f} s")
    size = sum(path.stat().st_size for path in target.iterdir())
    return {
        "rows": rows, "seed": seed, **tally.facts(), "shards": SHARDS, "bytes": size, "seconds": time.monotonic() - started,
    }  # fmt: skip


def _shards(studies: list[Study], rows: int, seed: int, tally: "Tally") -> Iterator[pl.DataFrame]:
    """The rows of the studies in pieces of equal length."""
    bounds = np.linspace(0, rows, SHARDS + 1).round().astype(int)
    reasons = pl.Series(rationales(min(_RATIONALES, rows // 10), Random(f"{seed} rationales")))
    waiting, number = pl.DataFrame(schema=SOCSCI210), 0
    for study in studies:
        waiting = pl.concat([waiting, study_rows(study, seed, reasons, tally)])
        while number < SHARDS and len(waiting) >= (length := int(bounds[number + 1] - bounds[number])):
            yield waiting.head(length)
            waiting, number = waiting.slice(length), number + 1


class Tally:
    """What is true of the rows that were made."""

    def __init__(self) -> None:
        self._left_out: list[pl.DataFrame] = []
        self._counts: Counter[str] = Counter()
        self._sound: Counter[str] = Counter()
        self._kinds: Counter[str] = Counter()
        self._designs: Counter[str] = Counter()
        self._texts: set[int] = set()
        self._lengths: Counter[int] = Counter()

    def add(self, study: Study, drawn: Drawn, texts: list[str]) -> None:
        """Count the rows of a study."""
        cell = drawn.cell
        self._counts.update(
            studies=1, people=int(drawn.person.max()) + 1, cells=len(np.unique(cell)),
            conditions=len(np.unique(study.cells[cell, 0])), tasks=len(np.unique(study.cells[cell, 1])),
        )  # fmt: skip
        for number, count in enumerate(np.bincount(cell)):
            self._kinds[study.questions[number].kind] += int(count)
        self._designs[study.design] += len(cell)
        self._texts.update(map(hash, texts))
        for text, count in zip(texts, np.bincount(drawn.text, minlength=len(texts)), strict=True):
            self._lengths[len(text)] += int(count)
        faulty = drawn.reason >= 0
        self._sound.update(rows=int((~faulty).sum()), people=len(np.unique(drawn.person[~faulty])))
        keys = {"study_id": study.name, **dict(zip(CELL[1:], study.cells[cell[faulty]].T, strict=True))}
        reason = pl.Series(list(REASONS), dtype=pl.String).gather(drawn.reason[faulty])
        self._left_out.append(
            pl.DataFrame(keys | {"reason": reason}, schema_overrides={"study_id": pl.String})
        )

    def facts(self) -> dict[str, Any]:
        """The truth as JSON.

        Counts; characters of a row's stimulus; rows by kind of scale and by design; ``sound`` rows and people with such;
        rows to be left out, by reason, and as ``[study, condition, task, reason, rows]`` by cell.
        """
        left_out = pl.concat(self._left_out).group_by(*CELL, "reason").len("rows").sort(*CELL, "reason")
        by_reason = dict(left_out.group_by("reason").agg(pl.col("rows").sum()).iter_rows())
        return {
            **self._counts, "distinct_stimuli": len(self._texts), "characters": _quantiles(self._lengths),
            "kinds": dict(self._kinds.most_common()), "designs": dict(self._designs.most_common()),
            "sound": dict(self._sound), "left_out": {reason: by_reason.get(reason, 0) for reason in REASONS},
            "left_out_by_cell": [list(row) for row in left_out.iter_rows()],
        }  # fmt: skip


def _quantiles(counts: Counter[int]) -> dict[str, int]:
    lengths, rows = (np.array(part) for part in zip(*sorted(counts.items()), strict=True))
    median = lengths[np.searchsorted(np.cumsum(rows), rows.sum() / 2)]
    return {"least": int(lengths[0]), "median": int(median), "most": int(lengths[-1])}


def study_rows(study: Study, seed: int, reasons: pl.Series, tally: Tally) -> pl.DataFrame:
    """The rows of one study in SocSci210's columns.

    Args:
        study: what is planned.
        seed: of everything.
        reasons: texts for the column ``reasoning``.
        tally: counts them.
    """
    random = np.random.default_rng([seed, study.number])
    drawn, keys = draw(study, random)
    texts = _texts(study, keys, seed)
    tally.add(study, drawn, texts)
    crowd = people(int(drawn.person.max()) + 1, study.fields, random)
    why = reasons.gather(random.integers(len(reasons), size=study.rows))
    return _frame(study, drawn, texts, crowd, why)


def _texts(study: Study, keys: tuple[Integers, Integers], seed: int) -> list[str]:
    """The stimulus of each pair of cell and variant."""
    random = Random(f"{seed} {study.name}")
    story = Story(random, study.length, study.arms, study.design == "profiles")
    questions = {task: story.question() for task in sorted(set(study.cells[:, 1].tolist()))}
    cells = [
        (c, questions[t], one.instruction)
        for (c, t), one in zip(study.cells.tolist(), study.questions, strict=True)
    ]
    return [
        story.stimulus(cells[cell][0], variant, *cells[cell][1:])
        for cell, variant in zip(*(part.tolist() for part in keys), strict=True)
    ]


def _frame(study: Study, drawn: Drawn, texts: list[str], crowd: pl.DataFrame, why: pl.Series) -> pl.DataFrame:
    condition, task = study.cells[drawn.cell].T
    columns = {
        "sample_id": drawn.sample, "participant": drawn.person, "stimuli": pl.Series(texts).gather(drawn.text),
        "response": drawn.response, "condition_num": condition, "task_num": task, "why": why,
    }  # fmt: skip
    answered = pl.format("{} So the answer is {}.", "why", "response")
    rows = pl.DataFrame(columns).hstack(crowd[drawn.person].get_columns())
    return rows.select(
        "sample_id", "participant", pl.struct(list(DEMOGRAPHIC.to_schema())).alias("demographic"), "stimuli", "response",
        "condition_num", "task_num",
        pl.concat_str("persona", pl.lit(f"\n\n{TASK_HEAD}\n\n"), "stimuli").alias("prompt"),
        answered.alias("reasoning"), pl.lit(study.name).alias("study_id"),
    ).cast(pl.Schema(SOCSCI210))  # fmt: skip
