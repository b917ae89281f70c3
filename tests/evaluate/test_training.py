"""What a model was trained on: people seen before are named, and training rows that cannot be used are not."""

from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from socrates_fast.errors import DataError
from socrates_fast.evaluate.training import Training

Experiment = Callable[..., pl.DataFrame]


@pytest.fixture
def train(experiment: Experiment, tmp_path: Path) -> Path:
    rows = experiment(studies=4, people=20)
    rows.write_parquet(tmp_path / "train.parquet")
    return tmp_path / "train.parquet"


def test_people_who_trained_the_model_are_counted(train: Path) -> None:
    rows = pl.read_parquet(train)
    strangers = rows.with_columns(participant=pl.col("participant") + 10_000)
    mixed = pl.concat([rows[:30], strangers])
    assert Training(train).seen(strangers) == {
        "what": "people",
        "rows": 0,
        "value": 0.0,
        "of": "train.parquet",
    }
    assert Training(train).seen(mixed)["rows"] == 30
    assert Training(train, "study").seen(strangers)["rows"] == strangers.height
    # by condition and by random rows the same people may stand on both sides
    elsewhere = rows.with_columns(
        condition_num=pl.col("condition_num") + 7, sample_id=pl.col("sample_id") + 10**6
    )
    assert Training(train, "condition").seen(elsewhere)["rows"] == 0
    assert Training(train, "random").seen(elsewhere)["rows"] == 0
    assert Training(train, "random").seen(rows)["what"] == "rows"


def test_training_answers_leave_out_what_cannot_be_used(train: Path) -> None:
    rows = pl.read_parquet(train).with_row_index("i")
    damaged = rows.with_columns(
        open=pl.col("i") == 0, response=pl.when(pl.col("i") == 1).then(99).otherwise("response"),
        high=pl.when(pl.col("i") == 2).then(pl.col("high") + 1).otherwise("high"),
    )  # fmt: skip
    damaged.drop("i").write_parquet(train)
    found = Training(train).answers(("gender",))
    assert found is not None
    # The cell of row 2 has two scales now: all of its 20 rows go, rows 0 and 1 among them.
    assert found.height == rows.height - 20
    assert found.groups["gender"].levels == ("Female", "Male")
    with pytest.raises(DataError, match="no demographic field shoe_size"):
        Training(train).answers(("gender", "shoe_size"))
    damaged.filter(pl.col("i") == 0).drop("i").write_parquet(train)
    assert Training(train).answers(()) is None


def test_what_is_no_prepared_file_is_said(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"absent\.parquet: cannot be read"):
        Training(tmp_path / "absent.parquet").seen(pl.DataFrame())
    pl.DataFrame({"study_id": ["a"]}).write_parquet(tmp_path / "other.parquet")
    with pytest.raises(DataError, match="not prepared rows .no participant"):
        Training(tmp_path / "other.parquet").seen(pl.DataFrame())
