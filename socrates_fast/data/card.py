"""What a prepared folder says about itself: ``card.json``, and ``card.md`` and two plots made from it.

The rows are read in three passes, none of which holds their texts: one that counts them by cell and scale, one that counts
them by person and cell, and one over the personas in batches.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from socrates_fast.data.card_text import card_text
from socrates_fast.data.facts import Facts
from socrates_fast.data.plots import draw
from socrates_fast.data.schema import CELL
from socrates_fast.data.splits import SIDES
from socrates_fast.recipe import Recipe
from socrates_fast.runs import environment

__all__ = ["FEW", "KINDS", "Facts", "card", "card_text", "draw", "scale_kind"]

KINDS = (
    "2 options", "5-level range", "7-level range", "0 to 10", "0 to 100", "other range", "listed options", "open",
)  # fmt: skip
"""Kinds of scale. ``listed options`` are three or more with gaps between them; options without gaps count as a range."""

FEW = 50
"""People in a cell below whom a Wasserstein distance to their answers is mostly noise: in SocSci210 two halves of a cell,
50 people each, are 0.06 apart on average (each cell's observed range as 1)."""

BATCH = 65_536
_SCALE = ("low", "high", "levels", "open")


def card(folder: Path, recipe: Recipe, facts: Facts, lengths: dict[str, Any] | None = None) -> dict[str, Any]:
    """All that is to be said about a prepared folder; JSON-able.

    Args:
        folder: holds ``train.parquet``, ``validation.parquet``, ``test.parquet``, and ``pairs.parquet`` if there are any.
        recipe: that it was prepared with.
        facts: what the rows do not show.
        lengths: see ``lengths.lengths``; None: not measured.
    """
    frames = {side: pl.scan_parquet(folder / f"{side}.parquet") for side in SIDES}
    scales = _by_scale(frames)
    people = _by_person(frames)
    left = int(facts.dropped["rows"].sum())
    return {
        "name": recipe.name,
        **facts.as_json(),
        "dropped_rows": left,
        "splits": _splits(frames, scales, people),
        "scales": _scales(scales),
        "repeated": _repeated(people),
        "cell_sizes": _cell_sizes(people),
        "persona": _persona(frames, recipe),
        "lengths": lengths,
        "pairs": _pairs(folder / "pairs.parquet"),
        "prompt": recipe.prompt.model_dump(mode="json"),
        "data": _without_folders(recipe),
        "versions": environment(),
    }


def _without_folders(recipe: Recipe) -> dict[str, Any]:
    """The recipe's data section; of paths the last part, for folders are of one machine."""
    data = recipe.data.model_dump(mode="json")
    for section, key in ((data, "path"), (data["split"], "mapping")):
        section[key] = section[key] and Path(section[key]).name
    return data


def _by_scale(frames: dict[str, pl.LazyFrame]) -> pl.DataFrame:
    """``side``, ``CELL``, ``_SCALE``, ``rows``, ``lowest`` and ``highest`` answer, and ``kind``: one line each scale of a cell."""
    levels = pl.col("values").cast(pl.List(pl.String)).list.join(",")
    parts = [
        frame.select(*CELL, "low", "high", "open", "response", levels=levels, side=pl.lit(side))
        for side, frame in frames.items()
    ]
    answer = pl.col("response")
    counted = pl.concat(parts).group_by("side", *CELL, *_SCALE)
    found = counted.agg(rows=pl.len(), lowest=answer.min(), highest=answer.max()).collect(engine="streaming")
    return found.with_columns(kind=scale_kind()).sort("side", *CELL, *_SCALE)


def scale_kind() -> pl.Expr:
    """One of ``KINDS``, from ``low``, ``high``, ``open`` and ``levels`` (the values joined by commas, null for a range)."""
    size = pl.coalesce(
        pl.col("levels").str.count_matches(",", literal=True) + 1, pl.col("high") - pl.col("low") + 1
    )
    start, end, listed = pl.col("low"), pl.col("high"), pl.col("levels").is_not_null()
    cases = (
        (pl.col("open"), "open"),
        (size == 2, "2 options"),
        (listed, "listed options"),
        (size == 5, "5-level range"),
        (size == 7, "7-level range"),
        ((start == 0) & (end == 10), "0 to 10"),
        ((start == 0) & (end == 100), "0 to 100"),
    )
    chosen = [pl.when(condition).then(pl.lit(name)) for condition, name in cases]
    return pl.coalesce(*chosen, pl.lit("other range")).alias("kind")


def _by_person(frames: dict[str, pl.LazyFrame]) -> pl.DataFrame:
    """``side``, ``CELL``, ``participant``, ``rows``, and the ``first`` and ``last`` of their stimuli's hashes."""
    parts = [
        frame.select(
            *CELL, "participant", text=pl.col("stimuli").hash(), side=pl.lit(side, dtype=pl.Enum(SIDES))
        )
        for side, frame in frames.items()
    ]
    counted = pl.concat(parts).group_by("side", *CELL, "participant")
    text = pl.col("text")
    return counted.agg(rows=pl.len(), first=text.min(), last=text.max()).collect(engine="streaming")


def _splits(frames: dict[str, pl.LazyFrame], scales: pl.DataFrame, people: pl.DataFrame) -> dict[str, Any]:
    found = {}
    for side, frame in frames.items():
        cells = scales.filter(pl.col("side") == side)
        persons = people.lazy().filter(pl.col("side") == side).select("study_id", "participant").unique()
        stimuli = frame.select(pl.col("stimuli").hash()).unique().select(pl.len())
        found[side] = {
            "rows": int(cells["rows"].sum()),
            "studies": cells["study_id"].n_unique(),
            "cells": cells.select(CELL).n_unique(),
            "people": int(persons.select(pl.len()).collect().item()),
            "stimuli": int(stimuli.collect(engine="streaming").item()),
        }
    return found


def _scales(scales: pl.DataFrame) -> dict[str, Any]:
    """Kinds of scale, cells with more than one scale, and tasks whose scale is not the same in all conditions."""
    kinds = {}
    for kind in KINDS:
        own = scales.filter(pl.col("kind") == kind)
        if own.height:
            rows = {side: int(own.filter(pl.col("side") == side)["rows"].sum()) for side in SIDES}
            kinds[kind] = {
                "rows": rows,
                "cells": own.select(CELL).n_unique(),
                "lowest": own["lowest"].min(),
                "highest": own["highest"].max(),
            }
    distinct = scales.select(*CELL, *_SCALE).unique()
    several = distinct.group_by(CELL).agg(scales=pl.len()).filter(pl.col("scales") > 1).sort(CELL)
    # A condition's scales as one text, so that two conditions can be compared.
    scale = pl.struct(_SCALE).hash().sort().cast(pl.String).str.join(",")
    tasks = distinct.group_by(CELL).agg(scale=scale).group_by("study_id", "task_num")
    differ = tasks.agg(conditions=pl.len(), scales=pl.col("scale").n_unique()).filter(pl.col("scales") > 1)
    differ = differ.sort("study_id", "task_num")
    return {
        "kinds": kinds,
        "cells_with_several": several.to_dicts(),
        "tasks_that_differ": differ.to_dicts(),
    }


def _repeated(people: pl.DataFrame) -> dict[str, int]:
    """How often one person answered one task more than once, with other stimuli: an item is (task, stimulus)."""
    items = people.lazy().group_by("study_id", "participant", "task_num").agg(
        pl.col("rows").sum(), pl.col("first").min(), pl.col("last").max()
    ).filter(pl.col("first") != pl.col("last"))  # fmt: skip
    counts = items.select(
        items=pl.len(), rows=pl.col("rows").sum(), studies=pl.col("study_id").n_unique()
    ).collect()
    return {name: int(value) for name, value in counts.row(0, named=True).items()}


def _cell_sizes(people: pl.DataFrame) -> dict[str, Any]:
    """Quantiles over a side's cells of their rows and people, and the number of those with fewer than ``FEW`` people."""
    cells = people.group_by("side", *CELL).agg(people=pl.len(), rows=pl.col("rows").sum())
    found = {}
    for side in SIDES:
        own = cells.filter(pl.col("side") == side)
        if own.height:
            sizes = {name: _quantiles(own[name]) for name in ("rows", "people")}
            found[side] = {**sizes, "few_people": own.filter(pl.col("people") < FEW).height}
    return {"few": FEW, "sides": found}


def _quantiles(values: pl.Series) -> dict[str, float]:
    at = {"min": 0.0, "25%": 0.25, "median": 0.5, "75%": 0.75, "max": 1.0}
    return {name: float(np.quantile(values.to_numpy(), share)) for name, share in at.items()}


def _persona(frames: dict[str, pl.LazyFrame], recipe: Recipe) -> dict[str, Any]:
    """Of each persona field: the share of rows without it, its number of different values, whether the prompt shows it."""
    missing: dict[str, int] = {}
    values: dict[str, set[Any]] = {}
    rows = 0
    for persona in _personas(frames):
        rows += persona.height
        for column in persona.get_columns():
            missing[column.name] = missing.get(column.name, 0) + column.null_count()
            values.setdefault(column.name, set()).update(column.drop_nulls().unique())
    return {
        name: {
            "missing": missing[name] / rows,
            "distinct": len(values[name]),
            "shown": name in recipe.prompt.fields,
        }
        for name in missing
    }


def _personas(frames: dict[str, pl.LazyFrame]) -> Iterator[pl.DataFrame]:
    """The persona's fields as columns, in batches: counting different values lazily would hold all of them."""
    for frame in frames.values():
        for batch in frame.select("demographic").collect_batches(chunk_size=BATCH):
            if batch.height:
                yield batch.unnest("demographic")


def _pairs(path: Path) -> dict[str, int] | None:
    """Preference pairs, and how many of them are of one stimulus; None where the recipe wants none."""
    if not path.is_file():
        return None
    counts = pl.scan_parquet(path).select(
        pairs=pl.len(), same_stimulus=pl.col("rejected_same_stimulus").sum()
    )
    return {name: int(value) for name, value in counts.collect(engine="streaming").row(0, named=True).items()}
