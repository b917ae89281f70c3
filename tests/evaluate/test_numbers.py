"""Numbers in place of keys: they say what the keys say, whatever their size, and null is a value like others."""

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from socrates_fast.data.schema import DEMOGRAPHIC, PREPARED
from socrates_fast.evaluate.answers import needed, read_answers
from socrates_fast.evaluate.checks import KEYS
from socrates_fast.evaluate.groups import read_groups
from socrates_fast.evaluate.numbers import any_twice, differs, key_of, numbered, places
from tests.evaluate.conftest import Cell

NAMES = ("study", "number", "share")
LARGE = 2**62

lines = st.lists(
    st.tuples(
        st.sampled_from(["b", "a", "", "ä", None]),
        st.one_of(st.integers(-3, 3), st.sampled_from([LARGE, -LARGE, None])),
        st.sampled_from([0.5, -1.0, None]),
    ),
    min_size=1,
    max_size=30,
)


def _frame(rows: list[tuple[object, ...]]) -> pl.DataFrame:
    return pl.DataFrame(rows, dict(zip(NAMES, (pl.String, pl.Int64, pl.Float64), strict=True)), orient="row")


@given(lines)
def test_numbers_follow_the_order_of_the_keys(rows: list[tuple[object, ...]]) -> None:
    frame = _frame(rows)
    number, first = numbered(key_of(frame, NAMES))
    groups = frame.unique().sort(NAMES)
    assert frame[first].equals(groups)
    assert frame.equals(groups[number])
    assert all(number[row] not in number[:row] for row in first)
    assert any_twice(key_of(frame, NAMES)) == (groups.height < frame.height)


def test_keys_far_apart_and_none_at_all() -> None:
    number, first = numbered(np.array([2**50, 7, 2**50, 7, 8]))
    assert number.tolist() == [2, 0, 2, 0, 1] and first.tolist() == [1, 4, 0]
    number, first = numbered(np.zeros(0, np.int64))
    assert len(number) == len(first) == 0


@given(lines)
def test_places_of_the_same_rows_in_another_order(rows: list[tuple[object, ...]]) -> None:
    key = np.unique(key_of(_frame(rows), NAMES))
    order = np.random.default_rng(len(key)).permutation(len(key))
    found = places(key, key[order])
    assert found is not None and found.tolist() == order.tolist()


@pytest.mark.parametrize("wanted", [[1, 2], [1, 2, 4], [1, 2, 2], [1, 2, 3, 3]])
def test_other_rows_have_no_places(wanted: list[int]) -> None:
    assert places(np.array([1, 2, 3]), np.array(wanted)) is None
    assert places(np.array([1, 2, 2]), np.array([2, 1, 2])) is None


def test_which_groups_do_not_agree() -> None:
    number, first = np.array([0, 1, 0, 1, 2]), np.array([0, 1, 4])
    assert differs(pl.Series([5, 6, 5, None, 7]), number, first).tolist() == [False, True, False]
    lists = pl.Series([[1, 2], [1], [1, 2], [1, 3], None], dtype=pl.List(pl.Int64))
    assert differs(lists, number, first).tolist() == [False, True, False]
    some = pl.Series([[1, 2], [1], None, [1], None], dtype=pl.List(pl.Int64))
    assert differs(some, number, first).tolist() == [True, False, False]
    assert not differs(pl.Series([None] * 5, dtype=pl.List(pl.Int64)), number, first).any()


def test_what_an_evaluation_needs_is_enough(cell: Cell) -> None:
    rows = cell([1, 2, 5], 1, 5).with_columns(
        open=pl.lit(False), stimuli=pl.lit("?"),
        demographic=pl.struct(
            pl.lit(None, dtype=kind).alias(name) if name not in ("age", "gender") else
            (pl.Series([20, 33, 70]) if name == "age" else pl.Series(["Male", None, "Female"])).alias(name)
            for name, kind in DEMOGRAPHIC.to_schema().items()
        ),
    ).select(pl.col(name).cast(kind) for name, kind in PREPARED.items())  # fmt: skip
    fields = ("gender", "age")
    whole, part = (
        read_answers(frame, fields) for frame in (rows, rows.lazy().select(needed(fields)).collect())
    )
    assert whole.sha256 == part.sha256 and whole.keys.equals(part.keys) and part.keys.columns == list(KEYS)
    for name in fields:
        assert whole.groups[name].levels == part.groups[name].levels
        assert whole.groups[name].code.tolist() == part.groups[name].code.tolist()
    assert part.groups["gender"].code.tolist() == [1, -1, 0] and part.groups["gender"].code.dtype == np.int8
    assert read_groups(rows.select(needed()), ()) == {}
