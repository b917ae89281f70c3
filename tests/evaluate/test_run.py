"""evaluate(): files, progress, and nothing half-written."""

import json
import resource
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from socrates_fast.console import Console
from socrates_fast.data.scales import Scale
from socrates_fast.errors import DataError, ScoringError, SocratesError
from socrates_fast.evaluate.answers import read_answers
from socrates_fast.evaluate.baselines import baseline_frame
from socrates_fast.evaluate.run import Evaluation, evaluate, evaluate_predictions
from socrates_fast.infer import AnswerDistribution, Predictor, load_predictor
from socrates_fast.infer.predictor import Result
from socrates_fast.prompt import Prompt

Cell = Callable[..., pl.DataFrame]


def _prompts(rows: pl.DataFrame) -> list[Prompt]:
    return [
        Prompt("", f"{sample}", Scale(low, high, tuple(values)))
        for sample, low, high, values in rows.select("sample_id", "low", "high", "values").rows()
    ]


class _ByNumber(Predictor):
    """Puts all probability on the answer that the prompt's number picks; remembers its batches."""

    name = "by number"

    def __init__(self, lost: int = 0) -> None:
        self.batches: list[int] = []
        self._lost = lost

    def stream(self, prompts: Sequence[Prompt]) -> Iterator[tuple[int, Result]]:
        self.batches.append(len(prompts))
        yield from enumerate(self._one(prompt) for prompt in prompts[self._lost :])

    def _one(self, prompt: Prompt) -> AnswerDistribution:
        values = np.array(prompt.scale.values)
        picked = np.arange(len(values)) == int(prompt.user) % len(values)
        return AnswerDistribution(values, picked.astype(np.float64), 0.75)


def _evaluate(
    predictor: Predictor, rows: pl.DataFrame, out: Path, batch: int = 512, console: Console | None = None
) -> Evaluation:
    return evaluate(predictor, rows, _prompts, out, title="A run", details={}, batch=batch, console=console)


def test_files_hold_what_is_returned(survey: pl.DataFrame, tmp_path: Path) -> None:
    predictor = _ByNumber()
    evaluation = _evaluate(predictor, survey, tmp_path / "evaluation", batch=500)
    assert predictor.batches == [500, 220]
    names = ["metrics.json", "predictions.parquet", "report.html"]
    assert sorted(path.name for path in (tmp_path / "evaluation").iterdir()) == names
    assert json.loads((tmp_path / "evaluation" / "metrics.json").read_text()) == evaluation.metrics
    stored = pl.read_parquet(tmp_path / "evaluation" / "predictions.parquet")
    assert_frame_equal(stored, evaluation.predictions)
    expected = (survey["sample_id"] % 5 + 1).cast(pl.Float64).to_list()
    assert stored["mean"].to_list() == expected
    assert evaluation.metrics["answer_mass"]["value"] == pytest.approx(0.75)
    assert evaluation.metrics["predictor"] == "by number"


def test_evaluating_a_baseline_gives_the_baselines_figures(survey: pl.DataFrame, tmp_path: Path) -> None:
    metrics = _evaluate(load_predictor("midpoint"), survey, tmp_path).metrics
    for name, figure in metrics["baselines"]["midpoint"].items():
        assert metrics[name] == figure


def test_stored_predictions_give_the_same_evaluation(survey: pl.DataFrame, tmp_path: Path) -> None:
    first = _evaluate(_ByNumber(), survey, tmp_path / "first")
    again = evaluate_predictions(
        read_answers(survey),
        pl.read_parquet(tmp_path / "first" / "predictions.parquet").reverse(),
        tmp_path / "again",
        name="by number",
        title="A run",
        details={},
    )
    assert again.metrics == first.metrics


def test_no_rows_is_an_error_and_leaves_no_file(survey: pl.DataFrame, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no rows to evaluate"):
        _evaluate(_ByNumber(), survey.clear(), tmp_path / "evaluation")
    assert not (tmp_path / "evaluation").exists()


def test_bad_rows_are_found_before_anything_is_predicted(cell: Cell, tmp_path: Path) -> None:
    predictor = _ByNumber()
    rows = cell([1, 2]).with_columns(high=pl.Series([7, 9]))
    with pytest.raises(DataError, match="different scales"):
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
    evaluation = evaluate_predictions(
        read_answers(survey),
        baseline_frame("oracle", survey),
        tmp_path,
        name="oracle",
        title="The best that is possible",
        details={},
    )
    assert evaluation.metrics["wasserstein.truth"]["value"] == pytest.approx(0, abs=1e-12)
