"""Preference pairs: another's answer on the same scale, to the same stimulus where there is one, chosen evenly by hash."""

import hashlib
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from socrates_fast.data.pairs import pairs, write_pairs
from socrates_fast.data.schema import PAIRS
from socrates_fast.errors import SocratesError
from tests.data.prepared_rows import prepared, write

SCALES: list[dict[str, Any]] = [
    {"low": 1, "high": 3},
    {"low": 1, "high": 4},
    {"low": 1, "high": 4, "values": [1, 2, 4]},
    {"low": 1, "high": 10**9, "open": True},
]
ROWS = st.lists(
    st.builds(
        lambda study, task, person, text, answer, scale: {
            "study_id": study, "task_num": task, "participant": person, "stimuli": text, "response": answer,
            **SCALES[scale],
        },
        st.sampled_from("ab"), st.integers(0, 1), st.integers(0, 3), st.sampled_from("xyz"), st.integers(1, 4),
        st.sampled_from([0, 0, 0, 1, 2, 3]),
    ),
    max_size=24,
)  # fmt: skip

Row = dict[str, Any]


def fits(row: Row) -> bool:
    listed = row["values"] is None or row["response"] in row["values"]
    return bool(row["open"] or (row["low"] <= row["response"] <= row["high"] and listed))


def others(row: Row, rows: list[Row], *same: str) -> set[tuple[int, int]]:
    """Answers, and whose, that ``row`` may be given: all there are."""
    same = ("study_id", "condition_num", "task_num", "low", "high", "values", "open", *same)
    return {
        (other["response"], other["participant"])
        for other in rows
        if fits(other)
        and all(row[name] == other[name] for name in same)
        and row["response"] != other["response"]
        and row["participant"] != other["participant"]
    }


def by_row(found: pl.DataFrame) -> dict[tuple[str, int], Row]:
    return {(row["study_id"], row["sample_id"]): row for row in found.iter_rows(named=True)}


@settings(max_examples=150, deadline=None)
@given(ROWS, st.integers(0, 3))
def test_every_pair_is_one_that_may_be_and_none_is_missing(given_rows: list[Row], seed: int) -> None:
    frame = prepared(given_rows)
    rows = frame.to_dicts()
    found = pairs(frame, seed)
    assert dict(found.schema) == PAIRS
    chosen = by_row(found)
    for row in rows:
        same = others(row, rows, "stimuli")
        allowed = (same or others(row, rows)) if fits(row) else set()
        pair = chosen.pop((row["study_id"], row["sample_id"]), None)
        assert (pair is not None) == bool(allowed)
        if pair is not None:
            assert (pair["rejected"], pair["rejected_participant"]) in allowed
            assert pair["rejected_same_stimulus"] == bool(same)
            assert {name: pair[name] for name in row if name != "truth"} == {
                name: value for name, value in row.items() if name != "truth"
            }
    assert not chosen


@settings(max_examples=60, deadline=None)
@given(ROWS, st.randoms(use_true_random=False))
def test_the_order_of_rows_does_not_matter(given_rows: list[Row], random: Any) -> None:
    frame = prepared(given_rows)
    order = list(range(frame.height))
    random.shuffle(order)
    shuffled = pairs(frame[order], 7)
    assert by_row(shuffled) == by_row(pairs(frame, 7))
    numbers = {
        key: place for place, key in enumerate(frame[order].select("study_id", "sample_id").iter_rows())
    }
    places = [numbers[key] for key in shuffled.select("study_id", "sample_id").iter_rows()]
    assert places == sorted(places)


@settings(max_examples=60, deadline=None)
@given(ROWS.filter(bool))
def test_a_new_row_changes_only_the_pairs_that_it_gets_into(given_rows: list[Row]) -> None:
    frame = prepared(given_rows)
    before, after = by_row(pairs(frame.head(-1), 7)), by_row(pairs(frame, 7))
    new = frame.row(-1, named=True)
    for key, pair in after.items():
        if key != (new["study_id"], new["sample_id"]) and before.get(key) != pair:
            assert (pair["rejected"], pair["rejected_participant"]) == (new["response"], new["participant"])


def test_answers_are_rejected_as_often_as_people_give_them() -> None:
    answers = [1] * 10 + [2] * 20 + [3] * 70
    frame = prepared([{"participant": person, "response": answer} for person, answer in enumerate(answers)])
    total = pl.concat([pairs(frame, seed) for seed in range(60)])
    of_ones = total.filter(pl.col("response") == 1)["rejected"]
    # 600 draws, ten of each seed not independent: 20/90 within four standard errors of 60 independent ones.
    assert (of_ones == 2).mean() == pytest.approx(20 / 90, abs=4 * (20 / 90 * 70 / 90 / 60) ** 0.5)
    changed = pairs(frame, 0)["rejected_participant"] != pairs(frame, 1)["rejected_participant"]
    assert int(changed.sum()) > 80


def test_file_and_frame_give_the_same_and_what_is_left_out_is_counted(tmp_path: Path) -> None:
    rows = [{"participant": n, "response": 1 + n % 3, "stimuli": "ab"[n % 2]} for n in range(90)]
    rows += [{"participant": 1, "response": 9}, {"task_num": 5, "participant": 1, "response": 2}]
    rows += [{"task_num": 6, "participant": n, "response": n, "stimuli": str(n)} for n in (1, 2)]
    frame = prepared(rows)
    write(tmp_path, train=frame)
    facts = write_pairs(tmp_path / "train.parquet", tmp_path / "pairs.parquet", 7)
    written = pl.read_parquet(tmp_path / "pairs.parquet")
    assert written.equals(pairs(frame, 7)) and dict(written.schema) == PAIRS
    assert facts.as_json() == {"rows": 94, "pairs": 92, "same_stimulus": 90, "off_scale": 1, "alone": 1}


def test_no_rows_no_pairs(tmp_path: Path) -> None:
    write(tmp_path)
    assert write_pairs(tmp_path / "train.parquet", tmp_path / "pairs.parquet", 7).pairs == 0
    assert dict(pl.read_parquet_schema(tmp_path / "pairs.parquet")) == PAIRS


def test_a_full_disk_is_named_and_leaves_nothing(small_disk: Path, tmp_path: Path) -> None:
    texts = [hashlib.sha256(str(n).encode()).hexdigest() for n in range(1500)]  # does not compress
    write(
        tmp_path,
        train=prepared(
            [{"participant": n, "response": 1 + n % 2, "stimuli": t} for n, t in enumerate(texts)]
        ),
    )
    with pytest.raises(SocratesError, match="No space left on device"):
        write_pairs(tmp_path / "train.parquet", small_disk / "pairs.parquet", 7)
    assert not list(small_disk.iterdir())
