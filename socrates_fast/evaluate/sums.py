"""sums.parquet: an evaluation's figures as sums over cells and tasks, from which ``compare`` draws paired differences."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from socrates_fast.errors import DataError
from socrates_fast.evaluate.answers import Answers
from socrates_fast.evaluate.ragged import Ints
from socrates_fast.evaluate.scored import FINISH
from socrates_fast.evaluate.summary import Summary
from socrates_fast.evaluate.tally import BIASED
from socrates_fast.evaluate.uncertainty import Estimate
from socrates_fast.runs import write_parquet

SUMS = "sums.parquet"
_COLUMNS = ("kind", "unit", "study_id", "figure", "rule", "sums")


@dataclass(frozen=True)
class Sums:
    """Figures that share their units.

    Attributes:
        study: the study of each unit, by its number among all of them; shape (units,).
        estimates: the figures by name.
    """

    study: Ints
    estimates: Mapping[str, Estimate]


def write_sums(path: Path, answers: Answers, summary: Summary) -> None:
    """Write the figures of ``summary`` over the cells of its headline, and over their tasks.

    One line a figure and unit: ``kind`` (cell, task), ``unit`` (its number), ``study_id``, ``figure``, ``rule`` (of
    ``scored.FINISH``) and ``sums``.
    """
    kinds = {
        "cell": (answers.cells.study[summary.chosen], summary.estimates),
        "task": (summary.tasks.study, summary.task_estimates),
    }
    studies = pl.Series(answers.studies, dtype=pl.String)
    frames = [
        pl.DataFrame(
            {
                "kind": pl.Series([kind] * len(study), dtype=pl.String),
                "unit": np.arange(len(study), dtype=np.int64),
                "study_id": studies.gather(study),
                "figure": pl.Series([name] * len(study), dtype=pl.String),
                "rule": pl.Series([estimate.finish.__name__] * len(study), dtype=pl.String),
                "sums": pl.Series(estimate.sums.tolist(), dtype=pl.List(pl.Float64)),
            }
        )
        for kind, (study, estimates) in kinds.items()
        for name, estimate in estimates.items()
    ]
    write_parquet(path, pl.concat(frames))


def read_sums(path: Path) -> tuple[tuple[str, ...], dict[str, Sums]]:
    """The studies of an evaluation, sorted, and its figures by the kind of their units.

    Raises:
        DataError: the file is not there, or not what ``write_sums`` writes.
    """
    try:
        frame = pl.read_parquet(path)
    except (OSError, pl.exceptions.PolarsError) as error:
        raise DataError(f"{path}: no sums of an evaluation there ({error}); evaluate again") from error
    if set(_COLUMNS) - set(frame.columns) or set(frame["rule"].unique()) - set(FINISH):
        raise DataError(f"{path}: not the sums of this version's evaluations; evaluate again")
    studies = tuple(frame["study_id"].unique().sort())
    found: dict[str, Sums] = {}
    for (kind,), part in frame.group_by("kind", maintain_order=True):
        estimates: dict[str, Estimate] = {}
        units = part.filter(pl.col("figure") == part["figure"][0]).sort("unit")
        for (name,), lines in part.sort("unit").group_by("figure", maintain_order=True):
            sums = np.array(lines["sums"].to_list(), dtype=np.float64)
            rule = str(lines["rule"][0])
            estimates[str(name)] = Estimate(sums, FINISH[rule], rule not in BIASED)
        found[str(kind)] = Sums(np.searchsorted(studies, units["study_id"].to_numpy()), estimates)
    return studies, found
