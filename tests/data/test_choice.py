"""What trains of all that could: nested shares, exact caps, the same whatever the order and whatever is added."""

from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from socrates_fast.data.choice import positions, sample_rows, share, trains
from socrates_fast.data.columns import CELL
from socrates_fast.data.splits import sides
from socrates_fast.recipe import Data, Split
from tests.data.test_splits import grid

SPLIT = Split(test=0.2, validation=0.1)


def data(**options: Any) -> Data:
    return Data(source="synthetic", split=options.pop("split", SPLIT), **options)


def chosen(keys: pl.DataFrame, **options: Any) -> pl.DataFrame:
    side = sides(keys, SPLIT)
    stays = trains(keys, side, data(**options))
    assert stays.dtype == pl.Boolean and stays.filter(side != "train").all()
    return keys.filter(stays & (side == "train"))


def people(rows: pl.DataFrame) -> set[Any]:
    return set(rows.select("study_id", "participant").rows())


@given(seed=st.integers(), texts=st.lists(st.tuples(st.text(), st.integers(-(2**63), 2**63 - 1)), min_size=1))
@settings(max_examples=50, deadline=None)
def test_positions_are_the_hashes_of_single_keys(seed: int, texts: list[tuple[str, int]]) -> None:
    rows = pl.DataFrame(texts, schema={"study_id": pl.String, "sample_id": pl.Int64}, orient="row")
    found = positions(rows, ("study_id", "sample_id"), seed)
    assert found.to_list() == [share(seed, f"{study}\x1f{sample}") for study, sample in texts]
    labelled = positions(rows, ("study_id",), seed, "cell")
    assert labelled.to_list() == [share(seed, f"cell\x1f{study}") for study, _ in texts]


def test_positions_are_the_same_over_more_rows_than_are_hashed_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    keys = grid(3)
    whole = positions(keys, ("study_id", "sample_id"), 1)
    monkeypatch.setattr("socrates_fast.data.choice._AT_ONCE", 7)
    assert positions(keys, ("study_id", "sample_id"), 1).equals(whole)


@settings(max_examples=15, deadline=None)
@given(part=st.floats(0.01, 1), other=st.floats(0.01, 1), studies=st.integers(1, 8))
def test_a_larger_share_holds_a_smaller_one(part: float, other: float, studies: int) -> None:
    keys = grid(studies, people=40)
    small, large = (chosen(keys, share=one) for one in sorted((part, other)))
    assert people(small) <= people(large)
    side = sides(keys, SPLIT)
    for rows in (small, large):
        # People stay whole, and no study is lost.
        whole = keys.filter(side == "train").join(rows, on=("study_id", "participant"), how="semi")
        assert rows.height == whole.height
        assert set(rows["study_id"]) == set(keys.filter(side == "train")["study_id"])


def test_a_share_is_about_what_is_asked_for() -> None:
    keys = grid(20, tasks=1, people=600)
    all_people = len(people(chosen(keys)))
    for part in (0.01, 0.1, 0.5):
        count = len(people(chosen(keys, share=part)))
        assert abs(count - part * all_people) < 4 * (all_people * part * (1 - part)) ** 0.5 + 1
    assert len(people(chosen(keys, share=1.0))) == all_people


def test_all_of_it_is_all_of_it() -> None:
    keys = grid(5)
    assert trains(keys, sides(keys, SPLIT), data()).all()


@settings(max_examples=15, deadline=None)
@given(most=st.integers(1, 12), total=st.integers(1, 400))
def test_caps_are_exact_and_nested(most: int, total: int) -> None:
    keys = grid(6, people=30)
    sizes = {row[:3]: row[3] for row in chosen(keys).group_by(CELL).len().rows()}
    capped = chosen(keys, max_rows_per_cell=most)
    assert {row[:3]: row[3] for row in capped.group_by(CELL).len().rows()} == {
        cell: min(size, most) for cell, size in sizes.items()
    }
    assert set(capped.rows()) <= set(chosen(keys, max_rows_per_cell=most + 1).rows())
    few = chosen(keys, max_rows_per_cell=most, max_train_rows=total)
    assert few.height == min(total, capped.height) and set(few.rows()) <= set(capped.rows())
    assert set(few.rows()) <= set(chosen(keys, max_rows_per_cell=most, max_train_rows=total + 1).rows())


OPTIONS = ({"share": 0.3}, {"max_rows_per_cell": 3}, {"max_train_rows": 50})


@pytest.mark.parametrize("options", [*OPTIONS, {"share": 0.5, "max_rows_per_cell": 3, "max_train_rows": 50}])
def test_order_does_not_matter_and_the_seed_does(options: dict[str, Any]) -> None:
    keys = grid(6, people=30)
    once = chosen(keys, **options)
    again = chosen(keys.sample(fraction=1, shuffle=True, seed=4), **options)
    assert set(once.rows()) == set(again.rows())
    side = sides(keys, SPLIT)
    other = trains(keys, side, data(**options, split=SPLIT.model_copy(update={"seed": 8})))
    assert not other.equals(trains(keys, side, data(**options)))


def test_new_people_displace_nobody_from_a_share() -> None:
    few, more = grid(4, people=100), grid(9, people=200)
    before, after = people(chosen(few, share=0.2)), people(chosen(more, share=0.2))
    known = people(few)
    assert before == {person for person in after if person in known}


def test_a_cap_on_all_takes_no_sides_between_large_and_small_cells() -> None:
    """The caps hash apart; with one hash the cells that were cut, of low hashes only, would fill the second cap."""
    large = pl.concat(
        [grid(1, conditions=1, tasks=1, people=6000), grid(2, 1, 1, 400).filter(pl.col("study_id") == "s001")]
    )
    capped = chosen(large, max_rows_per_cell=200)
    few = chosen(large, max_rows_per_cell=200, max_train_rows=200)
    assert capped.group_by("study_id").len()["len"].to_list() == [200, 200]
    count = few.filter(pl.col("study_id") == "s000").height
    assert 70 < count < 130, "a binomial of 200 halves"


def test_rows_of_one_id_are_chosen_whatever_their_order() -> None:
    """As with ``data.duplicates=keep``."""
    keys = grid(1).with_columns(sample_id=pl.lit(1))
    side = pl.Series(["train"] * keys.height)
    options = data(max_train_rows=10, max_rows_per_cell=4)
    once = keys.filter(trains(keys, side, options))
    turned = keys.reverse()
    again = turned.filter(trains(turned, side, options))
    assert once.height == 10 and set(once.rows()) == set(again.rows())


def test_sampling_is_stable_and_keeps_order() -> None:
    keys = grid(3)
    ten = sample_rows(keys, 10, 3)
    assert ten.height == 10
    assert set(sample_rows(keys.reverse(), 10, 3).rows()) == set(ten.rows())
    assert keys.join(ten, on=("study_id", "sample_id"), how="semi", maintain_order="left").equals(ten)
    assert set(ten.rows()) <= set(sample_rows(keys, 11, 3).rows())
    lowest = sorted(
        keys.rows(named=True), key=lambda row: share(3, f"{row['study_id']}\x1f{row['sample_id']}")
    )
    assert {tuple(row.values()) for row in lowest[:10]} == set(ten.rows())
    assert sample_rows(keys, None, 3).equals(keys) and sample_rows(keys, 10**6, 3).equals(keys)
