"""Scales are read from the answer instruction; what is not clearly a scale is not guessed at."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from socrates_fast.data.scales import parse_scale, range_scale

CASES = [
    ("Only return an integer from 1 to 5, nothing else.", (1, 5), 5, {}),
    ("Only return 1 for Yes or 2 for No, nothing else.", (1, 2), 2, {1: "Yes", 2: "No"}),
    ("Only return 1 for the first; 2 for the second, nothing else.", (1, 2), 2, {1: "the first", 2: "the second"}),
    ("Only return 1 for 'A', 2 for 'B', or 4 for 'D', nothing else.", (1, 4), 3, {1: "A", 2: "B", 4: "D"}),
    ("Only return an integer from 1 ($0) to 9 ($45), nothing else.", (1, 9), 9, {}),
    ("Only return an integer from 0 to 1200 representing dollars, nothing else.", (0, 1200), 1201, {}),
    ("Only return a number from 1 to 4, where 1 = “bad” and 4 = “good”.", (1, 4), 4, {1: "bad", 4: "good"}),
    ("Only return an integer from 1 to 5 (1=low; 5=high).", (1, 5), 5, {1: "low", 5: "high"}),
    ("Only return an integer from -3 to 3, nothing else.", (-3, 3), 7, {}),
    (
        "Only return an integer from 1 to 7, where 1 means Extremely unlikely and 7 means Extremely likely.",
        (1, 7), 7, {1: "Extremely unlikely", 7: "Extremely likely"},
    ),
    (
        "Only return an integer from 0 to 100, where 0 means none, 50 means half, and 100 means all, nothing else.",
        (0, 100), 101, {0: "none", 50: "half", 100: "all"},
    ),
]  # fmt: skip


@pytest.mark.parametrize(("text", "bounds", "count", "labels"), CASES, ids=lambda v: str(v)[:40])
def test_instruction(text: str, bounds: tuple[int, int], count: int, labels: dict[int, str]) -> None:
    scale = parse_scale(f"In 2019, from 3 to 900 people came. {text}")
    assert scale is not None and scale.values is not None
    assert (scale.low, scale.high) == bounds
    assert len(scale.values) == count
    assert scale.labels == labels


@pytest.mark.parametrize(
    "text",
    [
        "How many hours? Only return an integer representing the hours, nothing else.",
        "From 1 to 7, how much?",
        "Only return an integer from 7 to 1, nothing else.",
        "Only return 1 for Yes, nothing else.",
        "",
    ],
)
def test_what_states_no_scale_is_unknown(text: str) -> None:
    assert parse_scale(text) is None


@given(low=st.integers(-1000, 1000), width=st.integers(1, 2000), words=st.sampled_from(["means", "="]))
def test_every_range_is_read_back(low: int, width: int, words: str) -> None:
    high = low + width
    scale = parse_scale(
        f"Text with 5 for free. Only return an integer from {low} to {high}, "
        f"where {low} {words} nothing and {high} {words} all of it, nothing else."
    )
    assert scale is not None and scale.values == range_scale(low, high).values
    assert scale.labels == {low: "nothing", high: "all of it"}
    assert scale.span == width


def test_a_range_too_wide_is_not_enumerated() -> None:
    scale = range_scale(0, 10**9)
    assert scale.values is None
    assert scale.span == 10**9
