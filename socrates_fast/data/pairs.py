"""Preference pairs: the answer that a person gave, and another that somebody else gave to the same question.

The published recipe takes the rejected answer from another participant of the same (study, condition, task). In many
studies a task number repeats with other texts (conjoint profiles, vignettes), and what somebody answered to another
profile says little about this one. So the same stimulus comes first; only a person whose stimulus nobody answered
otherwise (often, where profiles are drawn for each person) gets an answer to another text of the cell, on the same
scale. ``rejected_same_stimulus`` says which, so that a recipe can do without the second kind.

Who is chosen: the people who could be are placed on a circle by hash, and each person gets the next one round the circle
who gave another answer. Each of them is as likely as any other, so rejected answers come as often as people give them;
the order of the rows plays no part; a new row changes the pairs of those just before it on the circle, one or two on
average, and no others.
"""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from socrates_fast.data.choice import ROW, positions
from socrates_fast.data.schema import CELL, PAIRS
from socrates_fast.runs import atomic_path

PURPOSE = "pairs"
"""Hashed with the seed, so that pairs are independent of the split and of samples."""

REJECTED = ("rejected", "rejected_participant", "rejected_same_stimulus")

_OWN = [name for name in PAIRS if name not in REJECTED]
_SCALE = ("low", "high", "levels", "open")
_TIES = ("participant", "response")
_NONE = -1
BATCH = 65_536
"""Rows that are written at once."""

Integers = NDArray[np.int64]


@dataclass(frozen=True)
class PairFacts:
    """What became of the rows.

    Attributes:
        rows: all training rows.
        pairs: rows with a rejected answer.
        same_stimulus: of these, rows whose rejected answer is to the same stimulus.
        off_scale: rows left out because their own answer is off its scale: it is none to prefer.
        alone: rows left out because nobody else in the cell gave another answer on that scale.
    """

    rows: int
    pairs: int
    same_stimulus: int
    off_scale: int
    alone: int

    def as_json(self) -> dict[str, int]:
        """The same as a dictionary."""
        return asdict(self)


def pairs(rows: pl.DataFrame, seed: int) -> pl.DataFrame:
    """The preference pairs of prepared rows, in the rows' order; rows without a rejected answer are left out.

    Args:
        rows: columns of ``schema.PREPARED``.
        seed: of the choice.

    Returns:
        Columns of ``schema.PAIRS``.
    """
    return _with_rejected(rows, _found(rows.lazy(), seed))


def write_pairs(train: Path, out: Path, seed: int) -> PairFacts:
    """Write the pairs of a prepared parquet file to another, whole or not at all.

    Texts pass through in batches; what is kept in memory is about 100 bytes a row.

    Raises:
        SocratesError: the disk is full or the folder cannot be written.
    """
    frame = pl.scan_parquet(train)
    found = _found(frame, seed)
    with atomic_path(out) as partial:
        _write(frame.select(_OWN), found, partial)
    same = found["rejected_same_stimulus"]
    count, off = found.height - same.null_count(), int((~found["on_scale"]).sum())
    return PairFacts(found.height, count, int(same.sum()), off, found.height - count - off)


def _write(frame: pl.LazyFrame, found: pl.DataFrame, path: Path) -> None:
    """Write by batches through Arrow, whose error on a full disk says so; that of polars' own sink does not."""
    import pyarrow.parquet as pq

    oldest = pl.CompatLevel.oldest()
    empty = _with_rejected(frame.clear().collect(), found.clear())
    start = 0
    with pq.ParquetWriter(path, empty.to_arrow(compat_level=oldest).schema, compression="zstd") as writer:
        for batch in frame.collect_batches(chunk_size=BATCH, maintain_order=True):
            part = _with_rejected(batch, found.slice(start, batch.height))
            writer.write_table(part.to_arrow(compat_level=oldest))
            start += batch.height


def _with_rejected(rows: pl.DataFrame, found: pl.DataFrame) -> pl.DataFrame:
    both = rows.select(_OWN).hstack(found.select(REJECTED))
    return both.filter(pl.col("rejected").is_not_null())


def _found(frame: pl.LazyFrame, seed: int) -> pl.DataFrame:
    """``REJECTED`` and ``on_scale`` for every row, in order; null where there is no other answer."""
    keys = _keys(frame, seed)
    usable = keys.filter("on_scale")
    partner = _partners(usable, "text")
    same = partner != _NONE
    if not same.all():
        partner = np.where(same, partner, _partners(usable, "cell"))
    answers, people = (usable[name].to_numpy()[partner] for name in ("response", "participant"))
    chosen = pl.DataFrame({"row": usable["row"], **dict(zip(REJECTED, (answers, people, same), strict=True))})
    chosen = chosen.filter(pl.Series(partner != _NONE))
    return (
        keys.select("row", "on_scale").join(chosen, on="row", how="left", maintain_order="left").drop("row")
    )


def _keys(frame: pl.LazyFrame, seed: int) -> pl.DataFrame:
    """Everything on which the choice depends: ``row``, ``on_scale``, answer, person, ``cell``, ``text``, ``position``.

    ``cell`` and ``text`` are 64-bit hashes of the cell with its scale, and of these with the stimulus: they say which
    rows belong together and nothing else, so it does not matter that they may change with polars' version.
    """
    levels = pl.col("values").cast(pl.List(pl.String)).list.join(",")
    keys = (
        frame.select(*ROW, *CELL[1:], *_TIES, "low", "high", "open", on_scale(), levels=levels,
                     stimuli=pl.col("stimuli").hash())
        .with_columns(cell=pl.struct(*CELL, *_SCALE).hash())
        .with_columns(text=pl.struct("cell", "stimuli").hash())
        .select(*ROW, *_TIES, "on_scale", "cell", "text")
        .collect(engine="streaming")
    )  # fmt: skip
    return keys.with_columns(positions(keys, ROW, seed, PURPOSE)).drop(ROW).with_row_index("row")


def on_scale() -> pl.Expr:
    """Whether a prepared row's answer is on its scale (of an open question: any is), named ``on_scale``."""
    listed = pl.col("values").list.contains(pl.col("response")).fill_null(True)
    return (pl.col("open") | (pl.col("response").is_between("low", "high") & listed)).alias("on_scale")


def _partners(usable: pl.DataFrame, group: str) -> Integers:
    """For every row the number of the one whose answer it gets, -1 for none, shape (n,)."""
    ring = usable.select(pl.int_range(pl.len()).alias("number"), group, "position", *_TIES)
    ring = ring.sort(group, "position", *_TIES)
    number = ring["number"].to_numpy()
    found = next_other(*(ring[name].to_numpy() for name in (group, "response", "participant")))
    result = np.full(len(number), _NONE, dtype=np.int64)
    result[number] = np.where(found == _NONE, _NONE, number[found])
    return result


def next_other(group: NDArray[Any], answer: Integers, person: Integers) -> Integers:
    """For every row the next one round its group's circle with another answer by another person; -1 for none.

    Args:
        group: sorted, so that each group's rows stand together in their order on the circle; shape (n,).
        answer: shape (n,).
        person: shape (n,).

    Returns:
        Indices into these arrays, shape (n,).
    """
    starts, sizes = _runs(group[1:] != group[:-1], len(group))
    first, size = np.repeat(starts, sizes), np.repeat(sizes, sizes)
    runs, lengths = _runs((group[1:] != group[:-1]) | (answer[1:] != answer[:-1]), len(group))
    run_end = np.repeat(runs + lengths, lengths)
    end = first + size
    # After the last run of equal answers comes the first; or the second, where the first is of the same answer.
    around = np.where(answer[first] != answer, first, run_end[first])
    other = np.where(run_end == end, around, run_end)
    other[other == end] = _NONE
    return _by_another(other, answer, person, first, size)


def _runs(changes: NDArray[np.bool_], count: int) -> tuple[Integers, Integers]:
    """Starts and lengths of the runs in ``count`` rows between whose neighbours there are ``changes``."""
    starts = np.concatenate([np.zeros(min(count, 1), dtype=np.int64), np.flatnonzero(changes) + 1])
    return starts, np.diff(np.append(starts, count))


def _by_another(
    other: Integers, answer: Integers, person: Integers, first: Integers, size: Integers
) -> Integers:
    """``other``, moved on round the circle where the one with another answer is the same person."""
    found = other.copy()
    mine = np.flatnonzero((other != _NONE) & (person[other] == person))
    while mine.size:
        before = found[mine]
        at = first[mine] + (before + 1 - first[mine]) % size[mine]
        at = np.where(answer[at] == answer[mine], other[at], at)
        came, went = ((index - mine) % size[mine] for index in (before, at))
        found[mine] = np.where(went > came, at, _NONE)  # no further round than once
        mine = mine[(went > came) & (person[at] == person[mine])]
    return found
