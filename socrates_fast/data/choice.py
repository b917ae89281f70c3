"""Choosing rows by hash: what trains of all that could, and samples that stay the same when rows are added."""

import hashlib
from collections.abc import Sequence

import numpy as np
import polars as pl

from socrates_fast.data.columns import CELL
from socrates_fast.recipe import Data

PERSON = ("study_id", "participant")
ROW = ("study_id", "sample_id")

_SEPARATOR = "\x1f"
_AT_ONCE = 100_000
_TIES = ("participant", "condition_num", "task_num")
"""What orders rows of the same id, where the recipe keeps such."""


def share(seed: int, key: str) -> float:
    """A number in [0, 1) that depends on ``seed`` and ``key`` alone, evenly spread over keys."""
    digest = hashlib.blake2b(f"{seed}{_SEPARATOR}{key}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2**64


def positions(rows: pl.DataFrame, columns: Sequence[str], seed: int, purpose: str = "") -> pl.Series:
    """``share`` of every row's ``columns``, shape (n,), Float64.

    Args:
        purpose: makes choices independent of one another: with the same purpose, rows that a first choice prefers are
            those that a second prefers.
    """
    cast = [pl.col(column).cast(pl.String).fill_null("None") for column in columns]
    key = pl.concat_str([*([pl.lit(purpose)] if purpose else []), *cast], separator=_SEPARATOR)
    start = f"{seed}{_SEPARATOR}".encode()
    found = np.empty(rows.height)
    for first in range(0, rows.height, _AT_ONCE):
        texts = rows.slice(first, _AT_ONCE).select(key).to_series().to_list()
        digests = b"".join(hashlib.blake2b(start + text.encode(), digest_size=8).digest() for text in texts)
        found[first : first + len(texts)] = np.frombuffer(digests, ">u8") / 2**64
    return pl.Series("position", found)


def trains(keys: pl.DataFrame, side: pl.Series, data: Data) -> pl.Series:
    """Which rows stay once the recipe's share and caps have thinned the training side.

    First ``data.share`` of each study's training people, and one at least of each study; then
    ``data.max_rows_per_cell`` of their rows; then ``data.max_train_rows``. Each choice is by a hash of its own, so a cap
    over all takes large cells and small ones alike, and each is nested: 1% of the people are among the 10%, the first 100
    rows among the first 1000.

    Args:
        keys: ``schema.CELL``, ``participant`` and ``sample_id``, shape (n,).
        side: the side of each, null for none.

    Returns:
        Boolean, shape (n,); rows that do not train are all true.
    """
    seed = data.split.seed
    wanted = [*CELL, *PERSON[1:], *ROW[1:]]
    rows = keys.select(wanted).with_row_index("row").filter(side == "train")
    stays = (side != "train").fill_null(True).to_numpy().copy()
    if data.share < 1:
        rows = _people(rows, data.share, seed)
    if data.max_rows_per_cell is not None:
        rows = _capped(rows, data.max_rows_per_cell, seed)
    if data.max_train_rows is not None:
        rows = _lowest(rows, data.max_train_rows, seed)
    stays[rows["row"].to_numpy()] = True
    return pl.Series("trains", stays)


def _people(rows: pl.DataFrame, part: float, seed: int) -> pl.DataFrame:
    """Rows of the people whose position is below ``part``, and of the lowest of each study."""
    people = rows.select(PERSON).unique()
    people = people.with_columns(positions(people, PERSON, seed, "share"))
    lowest = pl.col("position") == pl.col("position").min().over("study_id")
    chosen = people.filter((pl.col("position") < part) | lowest)
    return rows.join(chosen, on=PERSON, how="semi", nulls_equal=True)


def _capped(rows: pl.DataFrame, most: int, seed: int) -> pl.DataFrame:
    """At most ``most`` rows of each cell; only the rows of cells that have more are hashed."""
    large = pl.len().over(CELL) > most
    crowded = rows.filter(large)
    crowded = crowded.with_columns(positions(crowded, ROW, seed, "cell")).sort("position", *_TIES)
    return pl.concat([rows.filter(~large), crowded.group_by(CELL).head(most).select(rows.columns)])


def _lowest(rows: pl.DataFrame, most: int, seed: int) -> pl.DataFrame:
    """The ``most`` rows of the lowest positions, in no order."""
    if rows.height <= most:
        return rows
    ties = [column for column in _TIES if column in rows.columns]
    ranked = rows.with_columns(positions(rows, ROW, seed))
    # Only what can be among them is sorted.
    last = ranked["position"].bottom_k(most).max()
    return ranked.filter(pl.col("position") <= last).sort("position", *ties).head(most).drop("position")


def sample_rows(rows: pl.DataFrame, most: int | None, seed: int) -> pl.DataFrame:
    """At most ``most`` rows, chosen by hash of their key, in their own order; None takes all."""
    if most is None or rows.height <= most:
        return rows
    ties = [column for column in _TIES if column in rows.columns]
    numbers = _lowest(rows.select(*ROW, *ties).with_row_index("row"), most, seed)["row"]
    return rows[numbers.sort()]
