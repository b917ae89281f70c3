"""evaluate(): files, progress, and nothing half-written."""

import json
import resource
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from socrates_fast.console import Console
from socrates_fast.data.scales import Scale
from socrates_fast.data.schema import DEMOGRAPHIC
from socrates_fast.errors import DataError, ScoringError, SocratesError
from socrates_fast.evaluate.answers import read_answers
from socrates_fast.evaluate.baselines import baseline_frame
from socrates_fast.evaluate.figures import FIGURES
from socrates_fast.evaluate.predictions import Stored
from socrates_fast.evaluate.run import Evaluation, Setting, evaluate, evaluate_predictions
from socrates_fast.evaluate.summary import Beside
from socrates_fast.evaluate.training import Training
from socrates_fast.infer import AnswerDistribution, Predictor, load_predictor
from socrates_fast.infer.predictor import Result
from socrates_fast.prompt import Prompt

Cell = Callable[..., pl.DataFrame]


def _prompts(rows: pl.DataFrame) -> list[Prompt]:
    return [
        Prompt("", f"{sample}", Scale(low, high, tuple(values)))
        for sample, low, high, values in rows.select("sample_id", "low", "high", "values").rows()
    ]


SETTING = Setting("A run", beside=Beside(min_people=2), report=False)


class _ByNumber(Predictor):
    """Puts all probability on the answer that the prompt's number picks; remembers its batches.

    ``lost`` prompts at the beginning get no result; those whose number is in ``hard`` cannot be scored.
    """

    name = "by number"

    def __init__(self, lost: int = 0, hard: Sequence[int] = ()) -> None:
        self.batches: list[int] = []
        self._lost, self._hard = lost, hard

    def stream(self, prompts: Sequence[Prompt]) -> Iterator[tuple[int, Result]]:
        self.batches.append(len(prompts))
        yield from reversed(list(enumerate(self._one(prompt) for prompt in prompts[self._lost :])))

    def _one(self, prompt: Prompt) -> Result:
        if int(prompt.user) in self._hard:
            return ScoringError("it has 9000 tokens")
        values = np.array(prompt.scale.values)
        picked = np.arange(len(values)) == int(prompt.user) % len(values)
        return AnswerDistribution(values, picked.astype(np.float64), 0.75)


def _evaluate(
    predictor: Predictor,
    rows: pl.DataFrame,
    out: Path,
    batch: int = 512,
    console: Console | None = None,
    setting: Setting = SETTING,
) -> Evaluation:
    return evaluate(predictor, rows, _prompts, out, setting, batch=batch, console=console)


def test_files_hold_what_is_returned(survey: pl.DataFrame, tmp_path: Path) -> None:
    predictor = _ByNumber()
    evaluation = _evaluate(
        predictor, survey, tmp_path / "evaluation", 500, setting=replace(SETTING, report=True)
    )
    assert predictor.batches == [500, 220]
    names = {
        "metrics.json",
        "predictions.parquet",
        "cells.parquet",
        "effects.parquet",
        "sums.parquet",
        "report.html",
    }
    assert names <= {path.name for path in (tmp_path / "evaluation").iterdir()}
    assert {path for path in (tmp_path / "evaluation").rglob("*") if path.is_file()} == set(evaluation.files)
    assert json.loads((tmp_path / "evaluation" / "metrics.json").read_text()) == evaluation.metrics
    stored = pl.read_parquet(tmp_path / "evaluation" / "predictions.parquet")
    expected = (survey["sample_id"] % 5 + 1).cast(pl.Float64).to_list()
    assert stored["mean"].to_list() == expected
    assert evaluation.metrics["answer_mass"]["value"] == pytest.approx(0.75)
    assert evaluation.metrics["predictor"] == "by number"


def test_evaluating_a_baseline_gives_the_baselines_figures(survey: pl.DataFrame, tmp_path: Path) -> None:
    metrics = _evaluate(load_predictor("midpoint"), survey, tmp_path).metrics
    for name, figure in metrics["baselines"]["midpoint"].items():
        assert metrics[name] == pytest.approx(figure, abs=1e-12), name


def test_stored_predictions_give_the_same_evaluation(survey: pl.DataFrame, tmp_path: Path) -> None:
    first = _evaluate(_ByNumber(), survey, tmp_path / "first")
    stored = tmp_path / "reversed.parquet"
    pl.read_parquet(tmp_path / "first" / "predictions.parquet").reverse().write_parquet(stored)
    again = evaluate_predictions(survey, stored, tmp_path / "again", "by number", SETTING)
    assert again.metrics["rows_sha256"] == first.metrics["rows_sha256"]
    for name in FIGURES:
        assert again.metrics[name] == pytest.approx(first.metrics[name]), name
    assert not (tmp_path / "again" / "predictions.parquet").exists()


def test_predictions_of_other_rows_leave_no_evaluation(survey: pl.DataFrame, tmp_path: Path) -> None:
    """The predictions of one half for the other."""
    _evaluate(_ByNumber(), survey[:360], tmp_path / "first")
    with pytest.raises(DataError, match="they belong to other rows: 360 rows are not predicted"):
        evaluate_predictions(
            survey[360:], tmp_path / "first" / "predictions.parquet", tmp_path / "out", "by number", SETTING
        )
    assert not (tmp_path / "out").exists()


def test_rows_that_cannot_be_scored_are_missing_and_said(survey: pl.DataFrame, tmp_path: Path) -> None:
    sample = survey["sample_id"][7]
    hard = survey["sample_id"].eq(sample).sum()
    assert hard == 6  # one in each study
    metrics = _evaluate(_ByNumber(hard=[sample]), survey, tmp_path / "a", batch=100).metrics
    assert metrics["rows"]["value"] == 714
    assert metrics["unscorable"]["rows"] == 6
    assert metrics["unscorable"]["value"] == pytest.approx(6 / 720)
    assert any(
        f"6 rows (0.8 %) could not be scored and are missing from all figures; the first: study study0, sample {sample}: it has 9000 tokens"
        in one
        for one in metrics["banners"]
    )
    assert metrics["rows_sha256"] == read_answers(survey.filter(pl.col("sample_id") != sample)).sha256
    with pytest.raises(ScoringError, match="none of the 3 rows could be scored; the first: study"):
        _evaluate(_ByNumber(hard=[*range(10_000)]), survey[:3], tmp_path / "b")
    assert not (tmp_path / "b" / "predictions.parquet").exists()


def test_cells_with_two_scales_are_left_out_and_said(survey: pl.DataFrame, tmp_path: Path) -> None:
    wider = pl.int_range(pl.len()) == 3
    rows = survey.with_columns(
        high=pl.when(wider).then(6).otherwise("high").cast(pl.Int64),
        values=pl.when(wider).then(pl.lit([1, 2, 3, 4, 5, 6])).otherwise("values"),
        truth=pl.lit(None, dtype=pl.List(pl.Float64)),
    )
    metrics = _evaluate(_ByNumber(), rows, tmp_path).metrics
    assert metrics["mixed_scales"]["cells"] == 1 and metrics["mixed_scales"]["rows"] == 60
    assert metrics["cells"]["value"] == 11
    assert any("1 cells with 60 rows are left out" in banner for banner in metrics["banners"])


def test_people_seen_in_training_are_said(survey: pl.DataFrame, tmp_path: Path) -> None:
    survey.filter(study_id="study1").with_columns(
        open=pl.lit(False), demographic=pl.lit(None, dtype=DEMOGRAPHIC)
    ).write_parquet(tmp_path / "train.parquet")
    training = Training(tmp_path / "train.parquet", "study")
    beside = Beside(training.answers(()), min_people=2, facts={"seen_in_training": training.seen(survey)})
    metrics = evaluate(
        _ByNumber(), survey, _prompts, tmp_path / "out", Setting("A run", beside=beside, report=False)
    ).metrics
    assert any(
        "120 of 720 rows are of studies that the model was trained on" in one for one in metrics["banners"]
    )


def test_the_base_model_stands_beside(survey: pl.DataFrame, tmp_path: Path) -> None:
    base = _evaluate(load_predictor("midpoint"), survey, tmp_path / "base")
    beside = Beside(base=Stored(tmp_path / "base" / "predictions.parquet"), min_people=2)
    tuned = evaluate(
        _ByNumber(), survey, _prompts, tmp_path / "tuned", Setting("A run", beside=beside, report=False)
    )
    for name, figure in tuned.metrics["baselines"]["base"].items():
        assert base.metrics[name] == figure, name


def test_no_rows_is_an_error_and_leaves_no_file(survey: pl.DataFrame, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no rows to evaluate"):
        _evaluate(_ByNumber(), survey.clear(), tmp_path / "evaluation")
    assert not (tmp_path / "evaluation").exists()


def test_bad_rows_are_found_before_anything_is_predicted(cell: Cell, tmp_path: Path) -> None:
    predictor = _ByNumber()
    rows = cell([1, 2]).with_columns(sample_id=pl.lit(1, dtype=pl.Int64))
    with pytest.raises(DataError, match="occur more than once"):
        _evaluate(predictor, rows, tmp_path)
    assert predictor.batches == []


@contextmanager
def little_space() -> Iterator[None]:
    """Files cannot grow beyond 2,000 bytes, as on a disk that is full.

    Not a fixture: pytest writes its own log between a fixture and the test, and that log may be a file.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_full_disk_is_an_error_and_leaves_no_file(survey: pl.DataFrame, tmp_path: Path) -> None:
    with little_space(), pytest.raises(SocratesError, match=r"cannot write .*predictions\.parquet"):
        _evaluate(_ByNumber(), survey, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_predictor_that_loses_a_prompt_is_an_error(cell: Cell, tmp_path: Path) -> None:
    with pytest.raises(ScoringError, match="by number returned 2 predictions for 3 prompts"):
        _evaluate(_ByNumber(lost=1), cell([1, 2, 3]), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_progress_goes_to_stderr_and_can_be_silenced(
    cell: Cell, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _evaluate(_ByNumber(), cell([1, 2, 3]), tmp_path)
    assert capsys.readouterr() == ("", "")
    _evaluate(_ByNumber(), cell([1, 2, 3]), tmp_path, batch=2, console=Console())
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "3/3" in shown.err
    assert "rows/s" in shown.err


def test_frames_of_baselines_can_be_evaluated(survey: pl.DataFrame, tmp_path: Path) -> None:
    baseline_frame("pooled", read_answers(survey)).write_parquet(tmp_path / "pooled.parquet")
    metrics = evaluate_predictions(
        survey, tmp_path / "pooled.parquet", tmp_path / "out", "pooled", SETTING
    ).metrics
    for name, figure in metrics["baselines"]["pooled"].items():
        assert metrics[name] == pytest.approx(figure, abs=1e-12), name
