"""Sources: files of every form give the same rows, and each unusable answer has its reason."""

from pathlib import Path
from typing import Any

import polars as pl
import pytest

from socrates_fast.data.columns import NO_ANSWER, NO_SCALE, NOT_AN_INTEGER, OFF_SCALE, OPEN_SCALE
from socrates_fast.data.prepared import to_prepared
from socrates_fast.data.sources import open_files, open_source
from socrates_fast.data.synthetic import generate
from socrates_fast.errors import DataError
from socrates_fast.recipe import Data, Synthetic


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
    prepared = to_prepared(open_files(file).read())
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
        got = to_prepared(open_files(tmp_path / name).read()).rows
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
        open_files(tmp_path / name).read()


def test_missing_file_and_empty_folder(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such file or folder"):
        open_files(tmp_path / "none.parquet")
    with pytest.raises(DataError, match="holds no"):
        open_files(tmp_path)


def test_a_folder_of_files_with_different_columns(rows: pl.DataFrame, tmp_path: Path) -> None:
    rows[:50].write_parquet(tmp_path / "a.parquet")
    rows[50:].drop("prompt", "reasoning").write_ndjson(tmp_path / "b.jsonl")
    source = open_files(tmp_path)
    assert source.count() == rows.height
    read = source.read()
    assert read["file"].unique().sort().to_list() == ["a.parquet", "b.jsonl"]
    assert read["line"].to_list()[48:52] == [49, 50, 1, 2]
    assert to_prepared(read).rows.equals(to_prepared(rows).rows)


def test_batches_are_the_whole_in_order(
    rows: pl.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("socrates_fast.data.sources.BATCH", 17)
    rows.write_parquet(tmp_path / "a.parquet", row_group_size=40)
    batches = list(open_files(tmp_path / "a.parquet").batches(["sample_id", "study_id"]))
    assert len(batches) > 10 and max(batch.height for batch in batches) <= 40
    assert pl.concat(batches).equals(rows.select("sample_id", "study_id"))


def test_truth_comes_with_the_synthetic_source() -> None:
    prepared = to_prepared(
        open_source(Data(source="synthetic", synthetic=Synthetic(studies=1, people=5))).read()
    )
    lengths = prepared.rows.select(
        pl.col("truth").list.len()
        == pl.col("values").list.len().fill_null(pl.col("high") - pl.col("low") + 1)
    )
    assert lengths["truth"].all()
