"""Preparing: every dropped row is counted, people stay whole, and the split never reshuffles."""

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from socrates_fast import recipes
from socrates_fast.data.columns import NO_SCALE
from socrates_fast.data.prepare import (
    NO_ANSWER,
    NOT_AN_INTEGER,
    OFF_SCALE,
    OPEN_SCALE,
    prepare,
    prompts_of,
    read_rows,
    to_prepared,
)
from socrates_fast.data.schema import PREPARED
from socrates_fast.data.sources import read_files, read_source
from socrates_fast.data.splits import sample_rows, share, split_rows
from socrates_fast.data.synthetic import generate
from socrates_fast.errors import DataError
from socrates_fast.recipe import Data, PromptOptions, Split, Synthetic


@pytest.fixture(scope="module")
def rows() -> pl.DataFrame:
    return generate(Synthetic(studies=3, people=40)).rows


def plain(
    response: Any, stimulus: str = "Only return an integer from 1 to 7, nothing else."
) -> dict[str, Any]:
    return {
        "study_id": "s", "sample_id": 0, "participant": 0, "condition_num": 0, "task_num": 0,
        "stimuli": stimulus, "response": response, "age": 30,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("response", "stimulus", "reason"),
    [
        ("8", None, OFF_SCALE),
        ("3.5", None, NOT_AN_INTEGER),
        ("seven", None, NOT_AN_INTEGER),
        ("nan", None, NOT_AN_INTEGER),
        ("inf", None, NOT_AN_INTEGER),
        ("1e300", None, OFF_SCALE),
        (None, None, NO_ANSWER),
        ("3", "How much?", NO_SCALE),
        ("3", "Only return an integer from 0 to 900000, nothing else.", OPEN_SCALE),
        ("3", "Only return an integer representing the hours saved, nothing else.", OPEN_SCALE),
        ("3", "Only return 1 for A, 2 for B, or 4 for D, nothing else.", OFF_SCALE),
    ],
)
def test_every_kind_of_unusable_answer(
    tmp_path: Path, response: str | None, stimulus: str | None, reason: str
) -> None:
    bad = plain(response, stimulus) if stimulus else plain(response)
    file = tmp_path / "rows.csv"
    pl.DataFrame([plain("4"), bad], schema_overrides={"response": pl.String}).write_csv(file)
    prepared = to_prepared(read_files(file))
    assert prepared.rows["response"].to_list() == [4]
    assert prepared.dropped["reason"].to_list() == [reason]
    assert prepared.dropped["rows"].to_list() == [1]
    assert "line 3" in prepared.faults()


def test_all_formats_give_the_same_rows(rows: pl.DataFrame, tmp_path: Path) -> None:
    rows.write_parquet(tmp_path / "a.parquet")
    rows.write_ndjson(tmp_path / "a.jsonl")
    flat = rows.drop("demographic").hstack(rows["demographic"].struct.unnest())
    flat.write_csv(tmp_path / "a.csv")
    text = rows.with_columns(pl.col("demographic").struct.json_encode())
    text.write_csv(tmp_path / "b.csv")
    wanted = to_prepared(rows).rows
    for name in ("a.parquet", "a.jsonl", "a.csv", "b.csv"):
        got = to_prepared(read_files(tmp_path / name)).rows
        assert got.equals(wanted), name


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("x.parquet", b"not parquet", "not readable as parquet"),
        ("x.jsonl", b"{", "not readable as jsonl"),
        ("x.csv", b"a,b\n1,2\n", "missing columns: study_id, sample_id"),
        ("x.xlsx", b"", "unknown format '.xlsx'"),
    ],
)
def test_unreadable_file(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=message):
        read_files(tmp_path / name)


def test_missing_file_and_empty_folder(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such file or folder"):
        read_files(tmp_path / "none.parquet")
    with pytest.raises(DataError, match="holds no"):
        read_files(tmp_path)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 1000), test=st.floats(0.1, 0.4), validation=st.floats(0.1, 0.3))
def test_people_stay_whole_and_no_row_is_lost(seed: int, test: float, validation: float) -> None:
    prepared = to_prepared(generate(Synthetic(studies=2, people=60, tasks=2)).rows).rows
    sides = split_rows(prepared, Split(seed=seed, test=test, validation=validation))
    people = [set(side.select("study_id", "participant").iter_rows()) for side in sides.values()]
    assert sum(map(len, people)) == len(set.union(*people))
    assert sum(side.height for side in sides.values()) == prepared.height


def test_adding_rows_moves_nobody() -> None:
    few = to_prepared(generate(Synthetic(studies=1, people=50)).rows).rows
    many = pl.concat([few, few.with_columns(study_id=pl.lit("other"))])
    before, after = split_rows(few, Split()), split_rows(many, Split())
    for side, part in before.items():
        assert after[side].filter(pl.col("study_id") != "other").equals(part)


def test_sampling_is_stable_and_keeps_order(rows: pl.DataFrame) -> None:
    prepared = to_prepared(rows).rows
    ten = sample_rows(prepared, 10, 3)
    assert ten.height == 10
    assert (
        sample_rows(prepared.reverse(), 10, 3)
        .sort("study_id", "sample_id")
        .equals(ten.sort("study_id", "sample_id"))
    )
    assert sample_rows(prepared, None, 3).equals(prepared)
    assert 0 <= share(1, "a") < 1


def test_empty_split_is_an_error(rows: pl.DataFrame) -> None:
    one = to_prepared(rows).rows.filter((pl.col("participant") == 0) & (pl.col("study_id") == "syn00"))
    with pytest.raises(DataError, match="split is empty: 1 people"):
        split_rows(one, Split())


def test_prepared_folder(tmp_path: Path) -> None:
    recipe = recipes.load("tiny", ["data.synthetic.people=40"])
    files = prepare(recipe, tmp_path)
    assert sorted(file.name for file in files) == [
        "card.json", "card.md", "test.parquet", "train.parquet", "validation.parquet",
    ]  # fmt: skip
    card = json.loads((tmp_path / "card.json").read_text(encoding="utf-8"))
    test = read_rows(tmp_path)
    assert card["splits"]["test"]["rows"] == test.height
    assert dict(test.schema) == PREPARED
    assert test["truth"].null_count() == 0
    assert len(prompts_of(test, PromptOptions())) == test.height


def test_a_table_where_nothing_is_usable(tmp_path: Path) -> None:
    file = tmp_path / "rows.csv"
    pl.DataFrame([plain("99")]).write_csv(file)
    with pytest.raises(DataError, match="no usable row"):
        read_rows(file)


def test_truth_comes_with_the_synthetic_source() -> None:
    source = read_source(Data(source="synthetic", synthetic=Synthetic(studies=1, people=5)))
    prepared = to_prepared(source).rows
    lengths = prepared.select(pl.col("truth").list.len() == pl.col("values").list.len())
    assert lengths["truth"].all()
