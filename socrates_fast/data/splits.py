"""Which rows train, which validate, which test: whole groups by hash, so that adding rows never reshuffles the rest.

A group's side depends on the seed and on what the group is, on nothing else: not on the order of the rows, and not on
which others there are. The one exception is in the splits by condition and by task, where the group that comes last in
its study by hash always trains: see ``sides``. What each split measures and what it leaks: ``docs/splits.md``.
"""

from typing import Any

import polars as pl

from socrates_fast.data.choice import PERSON, ROW, positions, sample_rows, share
from socrates_fast.data.mapping import SIDE, SIDES, Mapping, read_mapping
from socrates_fast.errors import DataError
from socrates_fast.recipe import Split

__all__ = [
    "RANDOM_LEAKS", "SIDES", "Mapping", "assert_whole", "overlap", "read_mapping", "sample_rows", "share", "sides",
    "sides_warning", "split_rows",
]  # fmt: skip

GROUPS: dict[str, tuple[str, ...]] = {
    "participant": PERSON,
    "condition": ("study_id", "condition_num"),
    "task": ("study_id", "task_num"),
    "study": ("study_id",),
    "random": ROW,
}
"""What each split keeps whole, by its columns; every id but the study's restarts in each study."""

RANDOM_LEAKS = (
    "the split is random by row: the same people and the same questions stand on both sides, so a model that remembers "
    "what a person or an arm answered scores well without predicting anything. Its figures say nothing about new people, "
    "conditions, questions or studies; split by one of these instead (data.split.by)"
)
"""What is wrong with ``random``."""

_NAMES = {
    "participant": "people",
    "condition": "conditions",
    "task": "tasks",
    "study": "studies",
    "random": "rows",
}
_NESTED = ("condition", "task")
"""Splits inside a study, of which each study must have groups to train on."""
_PURPOSE = {"participant": ""}
"""What is hashed with a group, else its split's name; people are hashed alone, as ever since the first version."""
_SEEDS, _FEW = 200, 2000


def sides(keys: pl.DataFrame, split: Split, mapping: Mapping | None = None) -> pl.Series:
    """The side of every row.

    A group's position is a hash in [0, 1): those below ``test`` test, the next ``validation`` validate, the others train.
    By condition and by task the group with the highest position of its study always trains, so that no study is tested
    or validated which is not trained on, and a study of one group trains. A new group can end up there instead; then the
    one that it replaces goes where its own position says. Nothing else ever moves.

    With a mapping the file says; people on its training side validate by hash, as in the split by participant.

    Args:
        keys: ``study_id``, ``participant``, ``condition_num``, ``task_num``, ``sample_id``, shape (n,).
        mapping: needed where ``split.by`` is ``mapping``.

    Returns:
        ``SIDE`` (train, validation, test), null where the mapping does not name the row, shape (n,), in ``keys``' order.

    Raises:
        DataError: a side that should have rows has none.
    """
    if split.by == "mapping":
        if mapping is None:
            raise ValueError("split.by is mapping, and sides() was given none")
        return _mapped(keys, split, mapping)
    columns = GROUPS[split.by]
    if split.by == "random":
        side = _placed(keys.select(columns), split)["side"]
        _refuse_empty(_counts(side), split, keys)
        return side
    groups = _placed(keys.select(columns).unique(), split)
    _refuse_empty(_counts(groups["side"]), split, groups)
    return _joined(keys, groups, columns)


def _joined(keys: pl.DataFrame, groups: pl.DataFrame, columns: tuple[str, ...]) -> pl.Series:
    joined = keys.select(columns).join(
        groups.select(*columns, "side"), on=columns, how="left", maintain_order="left", nulls_equal=True
    )
    return joined["side"]


def _placed(groups: pl.DataFrame, split: Split) -> pl.DataFrame:
    """Groups, one a line, with their ``position`` and ``side``."""
    purpose = _PURPOSE.get(split.by, split.by)
    placed = groups.with_columns(positions(groups, GROUPS[split.by], split.seed, purpose))
    trains = pl.col("position") >= split.test + split.validation
    if split.by in _NESTED:
        trains |= pl.col("position") == pl.col("position").max().over("study_id")
    tests = pl.col("position") < split.test
    side = (
        pl.when(trains).then(pl.lit("train")).when(tests).then(pl.lit("test")).otherwise(pl.lit("validation"))
    )
    return placed.with_columns(side=side.cast(SIDE))


def _mapped(keys: pl.DataFrame, split: Split, mapping: Mapping) -> pl.Series:
    side = mapping.sides(keys)
    people = keys.select(PERSON).filter(side == "train").unique()
    validating = people.with_columns(positions(people, PERSON, split.seed)).with_columns(
        side=(pl.col("position") < split.validation)
    )
    validates = _joined(keys, validating, PERSON).fill_null(False) & (side == "train")
    rows = pl.DataFrame({"side": side, "validates": validates})
    side = rows.select(
        pl.when("validates").then(pl.lit("validation", dtype=SIDE)).otherwise("side").alias("side")
    )["side"]
    counts = _counts(side)
    if empty := _empty(counts, split):
        raise DataError(
            f"the {empty} side is empty: {mapping.path.name} names "
            f"{mapping.table.height} {'studies' if mapping.kind == 'study' else 'rows'}, {_in_words(counts)} of the "
            f"{keys.height} usable rows; is it the mapping of this data, and does data.split.validation leave people?"
        )
    return side


def _counts(side: pl.Series) -> dict[str, int]:
    found = dict(side.drop_nulls().cast(pl.String).value_counts().iter_rows())
    return {name: found.get(name, 0) for name in SIDES}


def _empty(counts: dict[str, int], split: Split) -> str | None:
    """A side that should have groups and has none."""
    wanted = [name for name in SIDES if name != "validation" or split.validation > 0]
    return next((name for name in wanted if not counts[name]), None)


def _in_words(counts: dict[str, int]) -> str:
    return ", ".join(f"{count} {name}" for name, count in counts.items())


def _refuse_empty(counts: dict[str, int], split: Split, groups: pl.DataFrame) -> None:
    empty = _empty(counts, split)
    if empty is None:
        return
    names = _NAMES[split.by]
    inside = f", of which one in each of {groups['study_id'].n_unique()} studies must train"
    raise DataError(
        f"the {empty} split is empty: {groups.height} {names}{inside if split.by in _NESTED else ''}; "
        f"{split.validation:.0%} should validate and {split.test:.0%} test, and by their hash {_in_words(counts)}. "
        f"{_remedy(split, groups)}"
    )


def _remedy(split: Split, groups: pl.DataFrame) -> str:
    """What to change; looks for a seed that fills all sides, which is quick where groups are few."""
    others = "change data.split.test and data.split.validation, split by something of which there is more "
    others += "(data.split.by), or bring more data"
    if groups.height > _FEW:
        return others
    for seed in range(split.seed + 1, split.seed + 1 + _SEEDS):
        counts = _counts(
            _placed(groups.select(GROUPS[split.by]), split.model_copy(update={"seed": seed}))["side"]
        )
        if _empty(counts, split) is None:
            return f"data.split.seed={seed} would give {_in_words(counts)}; or {others}"
    return f"No seed near {split.seed} fills all sides: {others}"


def _presence(keys: pl.DataFrame, side: pl.Series, columns: tuple[str, ...]) -> pl.DataFrame:
    """Groups with the number of their rows on each side; rows without a side do not count."""
    named = (
        keys.select(columns).with_columns(_side=side.cast(pl.String)).filter(pl.col("_side").is_not_null())
    )
    counts = [(pl.col("_side") == name).sum().alias(name) for name in SIDES]
    return named.group_by(columns).agg(counts)


def overlap(keys: pl.DataFrame, side: pl.Series, split: Split) -> dict[str, Any]:
    """What stands on more than one side, for the data card.

    Args:
        keys: see ``sides``; and ``stimulus``, a hash of the text.
        side: of each row, null for none.

    Returns:
        For ``people``, ``conditions``, ``tasks``, ``studies`` and ``stimuli`` (texts, whichever study they stand in):
        ``all``, how many there are; ``shared``, how many stand on more than one side; ``test_rows``, how many rows of the
        test side have one that also trains. And ``whole``, what the split keeps whole (null for a mapping), and
        ``test_rows``, all there are.
    """
    found: dict[str, Any] = {"by": split.by, "whole": _NAMES.get(split.by)}
    kinds = {_NAMES[by]: columns for by, columns in GROUPS.items() if by != "random"} | {
        "stimuli": ("stimulus",)
    }
    for name, columns in kinds.items():
        groups = _presence(keys, side, columns)
        several = sum((pl.col(one) > 0).cast(pl.UInt8) for one in SIDES) > 1
        found[name] = {
            "all": groups.height,
            "shared": groups.filter(several).height,
            "test_rows": int(groups.filter(pl.col("train") > 0)["test"].sum()),
        }
    return found | {"test_rows": int((side.cast(pl.String) == "test").sum())}


def sides_warning(split: Split, found: dict[str, Any]) -> list[str]:
    """What a reader of the split's figures must know, in words.

    Args:
        found: see ``overlap``.
    """
    warnings = [RANDOM_LEAKS] if split.by == "random" else []
    same = found["stimuli"]["test_rows"]
    if split.by in ("condition", "task", "study", "mapping") and same:
        warnings.append(
            f"{same} of {found['test_rows']} test rows have a stimulus that also trains, word for word: to the model they "
            f"are not unseen ({found['stimuli']['shared']} texts on more than one side)"
        )
    if split.by == "mapping" and found["people"]["shared"] and not found["studies"]["shared"]:
        warnings.append(f"{found['people']['shared']} people stand on more than one side")
    return warnings


def assert_whole(keys: pl.DataFrame, side: pl.Series, split: Split, mapping: Mapping | None = None) -> None:
    """Check that no group that the split keeps whole stands on two sides.

    ``random`` keeps nothing whole. Of a mapping: studies, if it holds out these; and people, between training and
    validation.

    Raises:
        AssertionError: one does, which is a fault of this program.
    """
    if split.by == "random":
        return
    if split.by != "mapping":
        _whole(keys, side, split.by)
        return
    if mapping is not None and mapping.kind == "study":
        text = side.cast(pl.String)
        _whole(keys, text.replace("validation", "train"), "study")
    _whole(keys, side.cast(pl.String).replace("test", None), "participant")


def _whole(keys: pl.DataFrame, side: pl.Series, by: str) -> None:
    columns = GROUPS[by]
    groups = _presence(keys, side, columns)
    cut = groups.filter(sum((pl.col(one) > 0).cast(pl.UInt8) for one in SIDES) > 1).sort(columns)
    if not cut.is_empty():
        first = "; ".join(str(group) for group in cut.head(5).rows(named=True))
        raise AssertionError(
            f"{cut.height} {_NAMES[by]} stand on more than one side of the split by {by}: {first}"
        )


def split_rows(rows: pl.DataFrame, split: Split, mapping: Mapping | None = None) -> dict[str, pl.DataFrame]:
    """Rows by side (train, validation, test), groups kept whole; rows without a side are left out.

    Raises:
        DataError: see ``sides``.
    """
    side = sides(rows, split, mapping)
    assert_whole(rows, side, split, mapping)
    return {name: rows.filter(side == name) for name in SIDES}
