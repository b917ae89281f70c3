"""Which rows train, which validate, which test: by hash, so that adding rows never reshuffles the rest."""

import hashlib

import polars as pl

from socrates_fast.errors import DataError
from socrates_fast.recipe import Split

SIDES = ("train", "validation", "test")


def share(seed: int, key: str) -> float:
    """A number in [0, 1) that depends on ``seed`` and ``key`` alone, evenly spread over keys."""
    digest = hashlib.blake2b(f"{seed}\x1f{key}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2**64


def split_rows(rows: pl.DataFrame, split: Split) -> dict[str, pl.DataFrame]:
    """Rows by side (train, validation, test), people kept whole.

    Raises:
        DataError: a side that should have rows has none.
    """
    people = rows.select("study_id", "participant").unique(maintain_order=True)
    sides = [_side(f"{study}\x1f{person}", split) for study, person in people.iter_rows()]
    sided = rows.join(
        people.with_columns(side=pl.Series(sides, dtype=pl.String)),
        on=["study_id", "participant"],
        how="left",
        maintain_order="left",
    )
    result = {side: sided.filter(pl.col("side") == side).drop("side") for side in SIDES}
    for side, part in result.items():
        if part.is_empty() and not (side == "validation" and split.validation == 0):
            raise DataError(
                f"the {side} split is empty: {people.height} people with rows, of whom "
                f"{split.validation:.0%} validate and {split.test:.0%} test; "
                f"change data.split or bring more people"
            )
    return result


def _side(person: str, split: Split) -> str:
    position = share(split.seed, person)
    if position < split.test:
        return "test"
    return "validation" if position < split.test + split.validation else "train"


def sample_rows(rows: pl.DataFrame, most: int | None, seed: int) -> pl.DataFrame:
    """At most ``most`` rows, chosen by hash of their key, in their own order; None takes all."""
    if most is None or rows.height <= most:
        return rows
    keys = rows.select("study_id", "sample_id").iter_rows()
    positions = pl.Series([share(seed, f"{study}\x1f{sample}") for study, sample in keys])
    ranked = rows.with_columns(_position=positions, _order=pl.int_range(rows.height)).sort("_position")
    return ranked.head(most).sort("_order").drop("_position", "_order")
