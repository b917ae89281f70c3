"""What becomes of doubtful rows: found, counted by cell and reason, and dealt with as the recipe says."""

from pathlib import Path
from typing import Any

import polars as pl
import pytest

from socrates_fast.data import columns as why
from socrates_fast.data import sources
from socrates_fast.data.judge import judged
from socrates_fast.data.keys import collect_keys, decide
from socrates_fast.data.prepared import to_prepared
from socrates_fast.data.sources import Source, open_files
from socrates_fast.errors import DataError
from socrates_fast.recipe import Data, ScaleOverride, Split
from tests.data.rows import HOURS, frame, many, row

DOUBTFUL = [
    (why.OFF_SCALE, "off_scale", row(sample_id=900, response=12)),
    (why.MISSING_CODE, "off_scale", row(sample_id=900, response=98)),
    (why.OPEN_SCALE, "open", row(sample_id=900, stimuli=HOURS, response=30)),
    (why.SAME_ID, "duplicates", row(sample_id=0, response=7)),
    (why.SAME_ANSWER, "duplicates", {**many(1)[0], "sample_id": 900}),
]


def options(**given: Any) -> Data:
    return Data(source="synthetic", split=Split(validation=0.2, test=0.3), **given)


def source_of(*rows: dict[str, Any]) -> Source:
    numbered = frame(*rows).with_row_index("line", 1)
    return Source("rows", numbered.lazy().with_columns(file=pl.lit("rows")))


@pytest.mark.parametrize(("reason", "option", "bad"), DOUBTFUL, ids=lambda value: str(value)[:24])
def test_a_doubtful_row_is_dropped_kept_or_refused(reason: str, option: str, bad: dict[str, Any]) -> None:
    source = source_of(*many(40), bad)
    dropped = decide(collect_keys(source, options()), options(), "rows")
    assert dropped.dropped.select("reason", "rows").rows() == [(reason, 1)]
    assert dropped.side.null_count() == 1 and dropped.side[-1] is None
    keep = options(**{option: "keep"})
    kept = decide(collect_keys(source, keep), keep, "rows")
    assert kept.dropped.is_empty() and kept.side.null_count() == 0
    assert kept.kept.select("reason", "rows").rows() == [(reason, 1)]
    if option == "open":
        return
    refuse = options(**{option: "refuse"})
    with pytest.raises(DataError, match=rf"1 rows cannot be used and data.{option} is refuse") as caught:
        decide(collect_keys(source, refuse), refuse, "rows")
    assert reason in str(caught.value) and "line 81" in str(caught.value)


def test_a_row_without_an_answer_is_left_out_even_where_all_is_kept() -> None:
    data = options(off_scale="keep", duplicates="keep", open="keep")
    source = source_of(*many(40), row(sample_id=900, response=None))
    assert decide(collect_keys(source, data), data, "rows").dropped["reason"].to_list() == [why.NO_ANSWER]


def test_an_unread_scale_is_named_by_its_own_option() -> None:
    data = options(unread="refuse")
    with pytest.raises(DataError, match=r"data\.unread=drop"):
        source = source_of(*many(40), row(sample_id=900, stimuli="How much?"))
        decide(collect_keys(source, data), data, "rows")


def test_the_same_question_answered_otherwise_is_no_duplicate() -> None:
    again = [row(sample_id=1, response=5), row(sample_id=2, response=5), row(sample_id=3, participant=1)]
    prepared = to_prepared(frame(row(), *again))
    assert prepared.rows["sample_id"].to_list() == [0, 1, 3]
    assert prepared.dropped["reason"].to_list() == [why.SAME_ANSWER]
    assert prepared.dropped["example"].to_list() == ["answer 5, line 3"]


def test_task_num_that_repeats_with_another_stimulus_is_another_item() -> None:
    first, second = row(sample_id=0, stimuli="A. " + HOURS.replace("the hours", "1")), row(sample_id=1)
    other = row(sample_id=2, stimuli="Other words. " + second["stimuli"])
    assert to_prepared(frame(second, other)).dropped.is_empty()
    assert first["task_num"] == other["task_num"]


def test_a_duplicate_in_another_batch_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [*many(40), {**many(1)[0], "sample_id": 900}, row(sample_id=3)]
    whole = collect_keys(source_of(*rows), options())
    monkeypatch.setattr(sources, "BATCH", 7)
    pieces = collect_keys(source_of(*rows), options())
    assert pieces.drop("stimulus").equals(whole.drop("stimulus"))
    assert pieces["reason"].drop_nulls().cast(pl.String).to_list() == [why.SAME_ANSWER, why.SAME_ID]


def test_the_scale_is_that_of_the_condition_never_of_the_task_alone() -> None:
    five = "How much? Only return an integer from 0 to 4, nothing else."
    rows = judged(frame(row(response=5), row(sample_id=1, condition_num=1, stimuli=five, response=5)))
    assert rows["high"].to_list() == [7, 4]
    assert rows["reason"].to_list() == [None, why.OFF_SCALE]


def test_the_narrowest_declared_scale_counts() -> None:
    declared = (
        ScaleOverride(study="s", condition=0, task=0, scale="1-9"),
        ScaleOverride(study="s", scale="0-100"),
        ScaleOverride(study="s", condition=0, scale="1,2,4"),
    )
    rows = frame(
        row(response=9),
        row(sample_id=1, task_num=1, response=3),
        row(sample_id=2, condition_num=1, response=98),
        row(sample_id=3, study_id="t", response=9),
    )
    found = judged(rows, options(scales=declared))
    assert found.select("low", "high").rows() == [(1, 9), (1, 4), (0, 100), (1, 7)]
    assert found["reason"].to_list() == [None, why.OFF_SCALE, None, why.OFF_SCALE]
    assert found["values"].to_list()[1] == [1, 2, 4]


def test_a_declared_scale_that_fits_no_cell_is_an_error() -> None:
    data = options(scales=(ScaleOverride(study="sz", scale="1-5"),))
    with pytest.raises(DataError, match="sz"):
        collect_keys(source_of(*many(4)), data)


@pytest.mark.parametrize(
    ("low", "high", "values", "reason"),
    [
        (1, 4, [1, 2, 4], None),
        (1, 4, [1, 3, 2, 4], why.BAD_SCALE),
        (1, 9, [1, 2, 4], why.BAD_SCALE),
        (4, 4, [4], why.BAD_SCALE),
        (9, 1, None, why.BAD_SCALE),
        (1, 3, None, why.OFF_SCALE),
    ],
)
def test_a_scale_that_the_row_declares(
    low: int, high: int, values: list[int] | None, reason: str | None
) -> None:
    declared = frame(row()).with_columns(
        low=pl.lit(low), high=pl.lit(high), values=pl.lit(values, dtype=pl.List(pl.Int64))
    )
    assert judged(declared)["reason"].to_list() == [reason]


def test_the_example_names_the_file_where_there_are_several(tmp_path: Path) -> None:
    frame(*many(3)).write_parquet(tmp_path / "a.parquet")
    frame(row(sample_id=90, response=12)).write_parquet(tmp_path / "b.parquet")
    keys = collect_keys(open_files(tmp_path), options())
    data = options(off_scale="refuse")
    with pytest.raises(DataError, match=r"answer 12, b\.parquet line 1"):
        decide(keys, data, "rows")


def test_no_row_and_no_usable_row() -> None:
    with pytest.raises(DataError, match="holds no row"):
        collect_keys(source_of(), options())
    with pytest.raises(DataError, match=r"no usable row is left:\nstudy s"):
        decide(collect_keys(source_of(row(response=99)), options()), options(), "rows")
