"""Near-duplicates across a split: everything that is there is found, and nothing that is named is less alike than said."""

import json
import random
import re
from collections.abc import Sequence
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from socrates_fast.data import near
from socrates_fast.data.near import SHINGLE, near_duplicates, words

COLUMNS = ("study_id", "condition_num", "task_num", "side", "stimuli")
INSTRUCTION = "Only return an integer from 1 to 7, where 1 means never and 7 means always, nothing else."
WORDS = [f"word{number}" for number in range(400)]


def frame(rows: Sequence[tuple[Any, ...]]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=COLUMNS, orient="row")


def shingles(text: str) -> set[tuple[str, ...]]:
    """The oracle's: written apart from the package's, over plain lower-case words."""
    found = text.split()
    if len(found) < SHINGLE:
        return {tuple(found)}
    return {tuple(found[start : start + SHINGLE]) for start in range(len(found) - SHINGLE + 1)}


def jaccard(one: str, other: str) -> float:
    left, right = shingles(one), shingles(other)
    return len(left & right) / len(left | right)


def pairs_of(found: pl.DataFrame, texts: dict[Any, str]) -> dict[tuple[str, str], float]:
    """The texts of the named pairs, looked up by their cells, and their similarity."""
    cell, test = ["study_id", "condition_num", "side"], ["test_study_id", "test_condition_num", "test_side"]
    columns = zip(found.select(cell).rows(), found.select(test).rows(), found["jaccard"], strict=True)
    return {(texts[one], texts[other]): value for one, other, value in columns}


def changed(text: str, count: int, dice: random.Random) -> str:
    found = text.split()
    for place in dice.sample(range(len(found)), min(count, len(found))):
        found[place] = dice.choice(WORDS)
    return " ".join(found)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10**6), threshold=st.sampled_from([0.5, 0.7, 0.8, 1.0]))
def test_against_all_pairs_compared_in_full(seed: int, threshold: float) -> None:
    dice = random.Random(seed)
    bases = [" ".join(dice.choices(WORDS, k=dice.randint(1, 60))) for _ in range(6)]
    rows = [
        (
            f"s{study}",
            number,
            0,
            dice.choice(["train", "validation", "test"]),
            changed(base, dice.randint(0, 6), dice),
        )
        for study in range(4)
        for number, base in enumerate(bases)
    ]
    found = near_duplicates(frame(rows), threshold, most=1000)
    texts = {(study, condition, side): text for study, condition, _, side, text in rows}
    across = pairs_of(found.pairs, texts)
    for (text, test), value in {**across, **pairs_of(found.within, texts)}.items():
        assert value == pytest.approx(jaccard(text, test)) and value >= threshold
    exact = {
        (text, test): jaccard(text, test)
        for study, _, _, side, text in rows if side != "test"
        for other, _, _, tests, test in rows if tests == "test" and study != other
    }  # fmt: skip
    sure = {pair for pair, value in exact.items() if value >= min(1, threshold + 0.1)}
    assert sure <= set(across) <= {pair for pair, value in exact.items() if value >= threshold}
    assert found.pairs["jaccard"].is_sorted(descending=True) and found.within["jaccard"].is_sorted(
        descending=True
    )
    assert found.count == found.pairs.height and found.beyond == 0


def test_a_pair_is_named_with_both_cells() -> None:
    text = " ".join(WORDS[:80])
    other = text.replace("word40", "another")
    found = near_duplicates(
        frame([("seen1", 2, 3, "train", text + " " + INSTRUCTION), ("held1", 4, 5, "test", other),
               ("seen2", 0, 0, "train", " ".join(WORDS[100:180])), ("seen1", 6, 3, "train", text)]), 0.8,
    )  # fmt: skip
    (pair,) = found.pairs.rows(named=True)
    assert [pair[name] for name in COLUMNS[:4]] == ["seen1", 2, 3, "train"]
    assert [pair[f"test_{name}"] for name in COLUMNS[:4]] == ["held1", 4, 5, "test"]
    assert pair["jaccard"] == pytest.approx(75 / 81) and abs(pair["estimate"] - 75 / 81) < 0.1
    assert pair["cells"] == 2 and pair["test_cells"] == 1, "two arms render the same text"
    assert pair["text"] == text[: near.SHOWN] and "another" not in pair["text"]
    assert (found.count, found.count_within, found.texts, found.looked_at, found.per_cell) == (1, 0, 4, 4, 1)
    assert json.loads(json.dumps(found.as_json()))["pairs"] == [pair]


def test_inside_a_study_pairs_are_counted_apart() -> None:
    text = " ".join(WORDS[:60])
    rows = [("s", arm, 0, "test" if arm < 5 else "train", f"{text} arm{arm}") for arm in range(15)]
    found = near_duplicates(frame(rows), 0.8)
    assert (found.count, found.count_within) == (0, 50)
    assert found.within.height == near.MOST_WITHIN and found.pairs.is_empty()
    assert set(found.within["study_id"]) == set(found.within["test_study_id"]) == {"s"}


def test_pairs_beyond_the_most_are_counted_and_the_closest_named() -> None:
    dice = random.Random(2)
    text = " ".join(WORDS[:90])
    rows = [(f"s{study}", 0, 0, "train", changed(text, study % 4, dice)) for study in range(20)]
    rows += [(f"t{study}", 0, 0, "test", changed(text, 1, dice)) for study in range(5)]
    every, few = near_duplicates(frame(rows), 0.6), near_duplicates(frame(rows), 0.6, most=7)
    assert every.count == few.count > 50 and few.beyond == few.count - 7
    assert few.pairs.equals(every.pairs.head(7))
    assert near_duplicates(frame(rows).sample(fraction=1, shuffle=True, seed=1), 0.6).pairs.equals(
        every.pairs
    )


@pytest.mark.parametrize(
    "other",
    [
        "HE SAID:  “How often do you\nsee them”, and can’t say more?",
        "He said: 'How often do you see them', and can't say more? Only return 1 for Yes or 2 for No, nothing else.",
        "He said how often do you see them and can't say more " + INSTRUCTION + " ...",
    ],
)
def test_case_quotes_spaces_and_the_instruction_do_not_count(other: str) -> None:
    one = 'He said: "How often do you see them", and can\'t say more? ' + INSTRUCTION
    assert words(one) == words(other)


def test_numbers_and_words_count() -> None:
    assert words("It costs $500.") != words("It costs $900.")
    assert words("Only return an integer from 1 to 7.") == [
        "only",
        "return",
        "an",
        "integer",
        "from",
        "1",
        "to",
        "7",
    ]
    assert words("They only return at night. How often? " + INSTRUCTION)[:5] == [
        "they",
        "only",
        "return",
        "at",
        "night",
    ]
    assert words(INSTRUCTION + " The house is old.") == ["the", "house", "is", "old"]


def test_one_instruction_does_not_make_short_stimuli_alike() -> None:
    texts = ["Do you like tea?", "Will it rain?", "Is the tax fair?"]
    rows = [(f"s{number}", 0, 0, side, f"{text} {INSTRUCTION}")
            for number, (text, side) in enumerate(zip(texts, ["train", "test", "train"], strict=True))]  # fmt: skip
    assert near_duplicates(frame(rows), 0.3).count == 0
    assert jaccard(*(re.sub(r"[^\w\s]", "", row[-1]) for row in rows[:2])) > 0.6, "as they would be with it"


def test_what_is_looked_at_is_limited_and_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(near, "MOST_TEXTS", 10)
    rows = [(f"s{study}", 0, 0, "test" if study else "train", f"text {number} of the study {study}")
            for study in range(4) for number in range(1 if study == 3 else 20)]  # fmt: skip
    found = near_duplicates(frame(rows), 0.8)
    assert (found.texts, found.looked_at, found.per_cell) == (61, 10, 3)
    shuffled = near_duplicates(frame(rows).sample(fraction=1, shuffle=True, seed=3), 0.8)
    assert shuffled.as_json() == found.as_json()


@pytest.mark.parametrize("sides", [["train", "validation"], ["test", "test"], []])
def test_nothing_to_compare(sides: list[str]) -> None:
    rows = [(f"s{number}", 0, 0, side, "the very same text") for number, side in enumerate(sides)]
    stimuli = frame(rows) if rows else frame([("s", 0, 0, "train", "x")]).clear()
    found = near_duplicates(stimuli, 0.8)
    assert (found.count, found.count_within, found.looked_at) == (0, 0, len(sides))
    assert found.pairs.is_empty() and "test_study_id" in found.pairs.columns
