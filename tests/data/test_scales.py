"""Scales are read from the answer instruction; what is not clearly a scale is not guessed at."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from socrates_fast.data.scales import (
    OPEN_HIGH,
    Scale,
    declared_scale,
    instruction_of,
    parse_scale,
    range_scale,
)
from socrates_fast.errors import DataError

CASES = [
    ("Only return an integer from 1 to 5, nothing else.", (1, 5), 5, {}),
    ("Only return 1 for Yes or 2 for No, nothing else.", (1, 2), 2, {1: "Yes", 2: "No"}),
    ("Only return 1 for the first; 2 for the second, nothing else.", (1, 2), 2, {1: "the first", 2: "the second"}),
    ("Only return 1 for 'A', 2 for 'B', or 4 for 'D', nothing else.", (1, 4), 3, {1: "A", 2: "B", 4: "D"}),
    ("Only return an integer from 1 ($0) to 9 ($45), nothing else.", (1, 9), 9, {1: "$0", 9: "$45"}),
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


@pytest.mark.parametrize(
    "instruction",
    [
        "Only return an integer representing the estimated monthly hours saved, nothing else.",
        "Only return a number representing dollars, nothing else.",
        "Only return a whole number representing the number of people who would help, nothing else.",
        "Only return an integer representing how many minutes you would wait.",
        "Only return an integer representing hours, nothing else.”",
    ],
)
def test_a_quantity_without_a_range_is_open(instruction: str) -> None:
    scale = parse_scale(f"From 1 to 7, or 1 for Yes: how much? {instruction}")
    assert scale == Scale(0, OPEN_HIGH, None)


@pytest.mark.parametrize(
    "what",
    [
        "hours from one to seven",
        "hours between zero and ten",
        "hours (0 to 24)",
        "hours, at most 24",
        "hours, where none is 0",
        "days or weeks",
        "the number of your answer",
        "the number of the option you choose",
        "your rating in points out of ten days",
        "the number of the category of hours",
        "the percentage of hours",
        "the share of the amount",
        "the level of your agreement with the number of days",
        "hours on the scale above",
        "your choice",
        "how much you agree",
        "your decision",
        "hours: 1 for few; 2 for many",
        "hours. 1 = few",
    ],
)
def test_what_might_be_a_range_or_options_is_not_open(what: str) -> None:
    scale = parse_scale(f"How much? Only return an integer representing {what}, nothing else.")
    assert scale is None or scale.values is not None


@given(
    low=st.integers(-50, 50),
    width=st.integers(1, 500),
    word=st.sampled_from(["to", "through", "up to", "-", "–"]),
)
def test_no_wording_of_a_range_becomes_open(low: int, width: int, word: str) -> None:
    text = f"Only return an integer representing the hours from {low} {word} {low + width}, nothing else."
    scale = parse_scale(text)
    assert scale is None or scale.values is not None


@pytest.mark.parametrize(
    ("text", "scale"),
    [
        ("1-7", range_scale(1, 7)),
        (" 0 - 100 ", range_scale(0, 100)),
        ("-3..3", range_scale(-3, 3)),
        ("-3--1", range_scale(-3, -1)),
        ("-3 to 3", range_scale(-3, 3)),
        ("1–5", range_scale(1, 5)),
        ("1,2,4", Scale(1, 4, (1, 2, 4))),
        ("2, 1", Scale(1, 2, (1, 2))),
        ("1=Yes, 2 = No way", Scale(1, 2, (1, 2), {1: "Yes", 2: "No way"})),
        ("open", Scale(0, OPEN_HIGH, None)),
        ("0-5000000000", Scale(0, 5_000_000_000, None)),
    ],
)
def test_a_typed_scale(text: str, scale: Scale) -> None:
    assert declared_scale(text) == scale


@pytest.mark.parametrize(
    "text", ["", "7", "7-1", "5-5", "1,1,2", "1-", "one to seven", "1;2", "1,,2", "0-1" + "0" * 20, "1.5-3"]
)
def test_a_typed_scale_that_is_none(text: str) -> None:
    with pytest.raises(DataError, match="scale"):
        declared_scale(text)


@pytest.mark.parametrize(
    ("scale", "kind"),
    [
        ("1-7", "range"),
        ("1,2,3", "range"),
        ("1=Yes,2=No", "options"),
        ("1,2,4", "options"),
        ("open", "open"),
        ("0-5000000000", "range"),
    ],
)
def test_what_kind_of_scale_it_is(scale: str, kind: str) -> None:
    assert declared_scale(scale).kind == kind


def test_the_last_instruction_is_the_one_that_is_read() -> None:
    text = "Only return 1 for Yes or 2 for No. Then: how much?\nOnly\nreturn an integer from 0 to 10."
    assert instruction_of(text) == "Only\nreturn an integer from 0 to 10."
    assert parse_scale(text) == range_scale(0, 10)
    assert instruction_of("The shop will return only 3 of 5. Only returns from 1 to 5 count.") is None
