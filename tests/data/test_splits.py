"""Splits: whole groups, by hash alone, so that neither order nor other rows matter; and no side is empty in silence."""

from typing import Any, get_args

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from socrates_fast.data.choice import share
from socrates_fast.data.splits import (
    GROUPS,
    RANDOM_LEAKS,
    SIDES,
    assert_whole,
    overlap,
    sides,
    sides_warning,
    split_rows,
)
from socrates_fast.errors import DataError
from socrates_fast.recipe import Split

BY = ("participant", "random", "condition", "task", "study")
ID = st.integers(0, 4)
ROW = st.tuples(st.sampled_from("abc"), ID, ID, ID)


def keys_of(rows: list[tuple[str, int, int, int]]) -> pl.DataFrame:
    """Keys of rows (study, condition, task, participant)."""
    columns = ["study_id", "condition_num", "task_num", "participant"]
    frame = pl.DataFrame(rows, schema=columns, orient="row", schema_overrides={"study_id": pl.String})
    text = pl.struct("study_id", "condition_num", "task_num").hash()
    return frame.with_columns(sample_id=pl.int_range(pl.len()).over("study_id"), stimulus=text)


def grid(studies: int, conditions: int = 4, tasks: int = 3, people: int = 20) -> pl.DataFrame:
    """Everybody answers everything, in one condition."""
    rows = [
        (f"s{study:03d}", person % conditions, task, person)
        for study in range(studies)
        for person in range(people)
        for task in range(tasks)
    ]
    return keys_of(rows)


def tried(keys: pl.DataFrame, split: Split) -> pl.Series | None:
    """The sides; None where one is empty."""
    try:
        return sides(keys, split)
    except DataError as error:
        assert "split is empty" in str(error)
        return None


def test_every_way_to_split_is_tested() -> None:
    assert {*BY, "mapping"} == set(get_args(Split.model_fields["by"].annotation))


@pytest.mark.parametrize("by", BY)
@settings(max_examples=20, deadline=None)
@given(rows=st.lists(ROW, min_size=30, max_size=60, unique=True), seed=st.integers(0, 99), data=st.data())
def test_order_does_not_matter_and_groups_stay_whole(by: Any, rows: Any, seed: int, data: Any) -> None:
    keys = keys_of(rows)
    split = Split(by=by, seed=seed, test=0.3, validation=0)
    side = tried(keys, split)
    if side is None:
        return
    assert_whole(keys, side, split)
    assert side.null_count() == 0
    groups = keys.with_columns(side=side).group_by(GROUPS[by]).agg(pl.col("side").n_unique())
    assert groups["side"].to_list() == [1] * groups.height
    order = data.draw(st.permutations(range(keys.height)))
    for kind in (pl.String, pl.Categorical):
        shuffled = keys[order].with_columns(pl.col("study_id").cast(kind))
        assert sides(shuffled, split).equals(side[order])


@pytest.mark.parametrize("by", BY)
def test_more_rows_people_and_studies_move_nobody(by: Any) -> None:
    split = Split(by=by, test=0.3, validation=0.1, seed=3)
    few = grid(20)
    more = pl.concat([few, grid(40, people=50), keys_of([("s000", 0, 0, 999)])]).unique(
        ["study_id", "participant", "condition_num", "task_num"], keep="first", maintain_order=True
    )
    more = more.with_columns(sample_id=pl.int_range(pl.len()).over("study_id"))
    assert more.height > 4 * few.height
    before, after = sides(few, split), sides(more, split).head(few.height)
    assert before.equals(after)


@pytest.mark.parametrize(("by", "column"), [("condition", "condition_num"), ("task", "task_num")])
@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 999), groups=st.lists(st.integers(1, 5), min_size=30, max_size=30))
def test_a_new_group_moves_at_most_the_one_it_replaces(by: Any, column: str, seed: int, groups: Any) -> None:
    rows = [
        (f"s{study:02d}", number, number, 0) for study, count in enumerate(groups) for number in range(count)
    ]
    split = Split(by=by, seed=seed, test=0.4, validation=0.2)
    old, new = keys_of(rows), keys_of([*rows, ("s00", 99, 99, 0)])
    before, after = tried(old, split), tried(new, split)
    if before is None or after is None:
        return
    moved = old.with_columns(before=before, after=after.head(old.height)).filter(
        pl.col("before") != pl.col("after")
    )
    assert moved.height <= 1
    if moved.height:
        assert moved.select("study_id", "before").rows() == [("s00", "train")] and after[-1] == "train"
    trained = new.filter(after == "train")
    assert set(trained["study_id"]) == set(new["study_id"]), "every study has a group to train on"
    alone = new.with_columns(side=after).filter(pl.col(column).n_unique().over("study_id") == 1)
    assert set(alone["side"]) <= {"train"}


@pytest.mark.parametrize("by", BY)
def test_sides_have_about_the_shares_asked_for(by: Any) -> None:
    keys = grid(1500, conditions=12, tasks=1, people=12) if by != "task" else grid(1500, 1, 12, 1)
    split = Split(by=by, test=0.25, validation=0.1, seed=5)
    groups = keys.with_columns(side=sides(keys, split)).unique(GROUPS[by])
    for side, part in (("test", 0.25), ("validation", 0.1), ("train", 0.65)):
        count = groups.filter(pl.col("side") == side).height
        deviation = (groups.height * part * (1 - part)) ** 0.5
        assert abs(count - part * groups.height) < 4 * deviation + 1, side


@pytest.mark.parametrize("by", BY)
def test_another_seed_is_another_split(by: Any) -> None:
    keys = grid(60)
    one, other = (sides(keys, Split(by=by, seed=seed)) for seed in (1, 2))
    assert not one.equals(other)
    assert one.equals(sides(keys, Split(by=by, seed=1)))


def test_people_are_where_they_always_were() -> None:
    """The values of the first version: a prepared folder made again is the same."""
    split = Split()
    keys = grid(3, people=60)
    places = [
        share(split.seed, f"{study}\x1f{person}")
        for study, person in keys.select("study_id", "participant").rows()
    ]
    wanted = ["test" if place < 0.2 else "validation" if place < 0.2 + 0.05 else "train" for place in places]
    assert sides(keys, split).to_list() == wanted
    assert share(7, "s000\x1f0") == 0.7487914908021398
    rows = split_rows(keys, split)
    assert tuple(rows) == SIDES and sum(map(len, rows.values())) == keys.height
    assert rows["test"].equals(keys.filter(pl.Series(wanted) == "test"))


@pytest.mark.parametrize("by", BY)
def test_an_empty_side_is_an_error_that_says_what_to_change(by: Any) -> None:
    with pytest.raises(
        DataError, match=r"split is empty: 1 \w+.*No seed near 7 fills all sides: change"
    ) as caught:
        sides(keys_of([("s", 0, 0, 0)]), Split(by=by))
    assert "20% test" in str(caught.value)


def test_the_seed_that_an_error_names_fills_all_sides() -> None:
    keys = grid(6)
    split = next(
        one for one in (Split(by="study", seed=seed) for seed in range(99)) if tried(keys, one) is None
    )
    with pytest.raises(
        DataError, match=r"6 studies; 5% should validate.*data\.split\.seed=\d+ would give"
    ) as caught:
        sides(keys, split)
    seed, counts = str(caught.value).split("data.split.seed=")[1].split(" would give ")
    found = split_rows(keys, split.model_copy(update={"seed": int(seed)}))
    assert counts.startswith(
        ", ".join(f"{rows['study_id'].n_unique()} {side}" for side, rows in found.items())
    )


def test_no_validation_is_no_fault() -> None:
    found = split_rows(grid(10), Split(by="study", validation=0))
    assert found["validation"].is_empty() and not found["test"].is_empty()


@pytest.mark.parametrize("by", BY)
def test_overlap_counts_what_sets_count(by: Any) -> None:
    keys = grid(25)
    split = Split(by=by, test=0.3, validation=0.1)
    side = sides(keys, split)
    found = overlap(keys, side, split)
    named = {
        "people": ["study_id", "participant"], "conditions": ["study_id", "condition_num"],
        "tasks": ["study_id", "task_num"], "studies": ["study_id"], "stimuli": ["stimulus"],
    }  # fmt: skip
    for name, columns in named.items():
        on = {one: set(keys.filter(side == one).select(columns).rows()) for one in SIDES}
        several = [group for group in set.union(*on.values()) if sum(group in one for one in on.values()) > 1]
        test = keys.filter(side == "test").select(columns).rows()
        assert found[name] == {
            "all": len(set.union(*on.values())),
            "shared": len(several),
            "test_rows": sum(group in on["train"] for group in test),
        }
    assert found["test_rows"] == len(test)
    if by != "random":
        assert found[found["whole"]]["shared"] == 0 and found["studies"]["all"] == 25


def test_rows_without_a_side_do_not_overlap() -> None:
    keys = grid(2)
    side = pl.Series(["train", None]).gather([0 if study == "s000" else 1 for study in keys["study_id"]])
    found = overlap(keys, side, Split())
    assert found["studies"] == {"all": 1, "shared": 0, "test_rows": 0}


def test_a_cut_group_is_a_fault_of_the_program() -> None:
    keys = grid(3)
    side = pl.Series(["train", "test"]).gather([row % 2 for row in range(keys.height)])
    with pytest.raises(AssertionError, match=r"3 studies stand on more than one side .*s000"):
        assert_whole(keys, side, Split(by="study"))


def test_random_is_called_a_leak_and_identical_texts_are_counted() -> None:
    keys = grid(25)
    random, condition = Split(by="random"), Split(by="condition", test=0.4)
    side = sides(keys, random)
    assert sides_warning(random, overlap(keys, side, random)) == [RANDOM_LEAKS]
    side = sides(keys, condition)
    assert sides_warning(condition, overlap(keys, side, condition)) == []
    # As in SocSci210, arms whose manipulation was lost render the same text.
    same = keys.with_columns(stimulus=pl.struct("study_id", "task_num").hash())
    found = overlap(same, side, condition)
    assert found["stimuli"]["test_rows"] == found["test_rows"] > 0
    (warning,) = sides_warning(condition, found)
    assert (
        f"{found['test_rows']} of {found['test_rows']} test rows have a stimulus that also trains" in warning
    )
