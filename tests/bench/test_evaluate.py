"""The evaluation bench: made-up files, what is true of them, checks that can fail, the record."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from socrates_bench.data_people import people
from socrates_bench.data_plan import plan
from socrates_bench.evaluate import Plan, plan_of
from socrates_bench.evaluate_check import checked, checks
from socrates_bench.evaluate_people import WIDEST, Scale, answers_of, leaning, scale_of
from socrates_bench.evaluate_rows import KNOWN, LEAST_ROWS, PREDICTIONS, TEST, TRAIN, TRUTH, made
from socrates_bench.evaluate_truth import distance, effects, expected_losses, of_cell
from socrates_fast.data.schema import CELL, PREPARED
from socrates_fast.errors import SocratesError
from socrates_fast.evaluate.answers import Answers, read_answers
from socrates_fast.evaluate.checks import KEYS
from socrates_fast.evaluate.predictions import Stored
from socrates_fast.evaluate.summary import Beside, summarise
from socrates_fast.runs import write_json
from tests.bench.lines import details, lines_of, named
from tests.conftest import Command

FEW, LEAST_PEOPLE = LEAST_ROWS, 12


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("bench") / "rows"
    made(place, FEW)
    return place


@pytest.fixture(scope="module")
def truth(folder: Path) -> pl.DataFrame:
    return pl.read_parquet(folder / TRUTH)


@pytest.fixture(scope="module")
def answers(folder: Path) -> Answers:
    return read_answers(pl.read_parquet(folder / TEST), ("age",))


@pytest.fixture(scope="module")
def metrics(folder: Path, answers: Answers) -> dict[str, Any]:
    return _evaluated(folder, answers, pl.read_parquet(folder / PREDICTIONS))


def _evaluated(folder: Path, answers: Answers, predictions: pl.DataFrame) -> dict[str, Any]:
    beside = Beside(base=Stored(folder / KNOWN), min_people=LEAST_PEOPLE)
    return summarise(answers, Stored(predictions), "model", beside).metrics


def test_files(folder: Path, truth: pl.DataFrame) -> None:
    rows, training = pl.read_parquet(folder / TEST), pl.read_parquet(folder / TRAIN)
    assert dict(rows.schema) == dict(training.schema) == PREPARED and rows.height == FEW
    people_of_cells = rows.group_by(CELL).agg(people=pl.len().cast(pl.Int64)).sort(CELL)
    assert people_of_cells.equals(truth.sort(CELL).select(*CELL, "people"))
    assert training.height == pytest.approx(FEW / 10, rel=0.2)
    assert training.join(rows, on=("study_id", "participant"), how="semi").is_empty()
    assert training.join(rows, on=CELL, how="anti").is_empty()
    for name in (PREDICTIONS, KNOWN):
        predicted = pl.read_parquet(folder / name)
        assert predicted.select(KEYS).sort(KEYS).equals(rows.select(KEYS).sort(KEYS))
        assert predicted["probabilities"].list.sum().to_numpy() == pytest.approx(np.ones(FEW))
    assert pl.read_parquet(folder / PREDICTIONS, columns=list(KEYS)).equals(rows.select(KEYS))
    assert not pl.read_parquet(folder / KNOWN, columns=list(KEYS)).equals(rows.select(KEYS))


def test_files_are_used_again_and_others_are_not_lost(folder: Path, tmp_path: Path) -> None:
    before = (folder / TEST).stat().st_mtime_ns
    assert made(folder, FEW)["cells"] == made(folder, FEW)["cells"]
    assert (folder / TEST).stat().st_mtime_ns == before
    (tmp_path / "letter.txt").write_text("dear")
    with pytest.raises(SocratesError, match="holds other files"):
        made(tmp_path, FEW)


def test_scales() -> None:
    kinds: dict[str, set[int]] = {}
    for study in plan(300_000, 1):
        for question in study.questions:
            scale = scale_of(question)
            kinds.setdefault(question.kind, set()).add(len(scale.values))
            assert scale.low < scale.high and scale.values[[0, -1]].tolist() == [scale.low, scale.high]
            assert scale.gaps == (len(scale.values) < scale.high - scale.low + 1)
    assert kinds["5 levels"] == {5} and kinds["0 to 100"] == {101} and kinds["2 options"] == {2}
    assert max(map(max, kinds.values())) == WIDEST


def test_answers_follow_their_distribution() -> None:
    scale, random = Scale(1, 4, np.array([1.0, 2.0, 4.0])), np.random.default_rng(0)
    given = answers_of(scale, np.tile([0.2, 0.5, 0.3], (20_000, 1)), random)
    assert np.unique(given, return_counts=True)[1] / 20_000 == pytest.approx([0.2, 0.5, 0.3], abs=0.02)
    lean = leaning(people(2_000, frozenset({"ideology"}), random), random)
    assert np.std(lean) > 0.06 and abs(lean.mean()) < 0.01


def test_truth_of_a_cell() -> None:
    scale, known = Scale(0, 2, np.array([0.0, 1.0, 2.0])), np.array([[0.5, 0.5, 0.0], [0.0, 0.5, 0.5]])
    cell = of_cell(scale, known, np.full((2, 3), 1 / 3))
    assert cell["people"] == 2 and cell["known"] == [0.25, 0.5, 0.25]
    assert cell["model.log_score"] == pytest.approx(2 * np.log(3)) and cell[
        "model.log_score.variance"
    ] == pytest.approx(0)
    assert cell["known.mae"] == pytest.approx(2 * 0.5 / 2) and cell["known.brier"] == pytest.approx(2 * 0.5)
    keys = {"study_id": "a", "task_num": 0, "values": [0.0, 1.0, 2.0], "low": 0, "high": 2}
    truth = pl.DataFrame(
        [{**keys, **cell}, {**keys, **cell, "known": [0.5, 0.5, 0.0], "model": [0.4, 0.4, 0.2]}]
    )
    assert distance(truth) == pytest.approx((1 / 12 + 1 / 12 + 0.1 + 0.2) / 2 / 2)
    found = effects(truth)
    unit = np.sqrt((0.5 + 0.25) / 2)
    assert found["effects.slope"] == pytest.approx(
        (2.5, np.hypot(*np.sqrt([0.5 / 2, 0.25 / 2])) / 0.2), rel=1e-6
    )
    assert found["effects.correlation"][0] == pytest.approx(1.0) and unit > 0
    assert effects(truth[:1]) == {}
    assert expected_losses(truth, "model")["log_score"] == pytest.approx((np.log(3), 0.0))


def test_a_sound_evaluation_passes(metrics: dict[str, Any], truth: pl.DataFrame) -> None:
    found = checks(metrics, truth, LEAST_PEOPLE)
    assert not {name: one for name, one in found.items() if not one.good}
    assert {
        "effects.correlation",
        "effects.slope",
        "known: wasserstein.stated",
        "model: log_score",
    } <= found.keys()


def _turned(predictions: pl.DataFrame) -> pl.DataFrame:
    return predictions.with_columns(pl.col("probabilities").list.reverse())


def _flat(predictions: pl.DataFrame) -> pl.DataFrame:
    count = pl.col("probabilities").list.len()
    return predictions.with_columns(probabilities=(1 / count).repeat_by(count))


@pytest.mark.parametrize(
    ("damage", "named"), [(_turned, "model: log_score.*model: mae"), (_flat, "effects.correlation")]
)
def test_damaged_predictions_are_found_out(
    folder: Path,
    answers: Answers,
    tmp_path: Path,
    damage: Callable[[pl.DataFrame], pl.DataFrame],
    named: str,
) -> None:
    damaged = damage(pl.read_parquet(folder / PREDICTIONS))
    write_json(tmp_path / "metrics.json", _evaluated(folder, answers, damaged))
    with pytest.raises(SocratesError, match=f"(?s)did not find what was put in.*{named}: "):
        checked(folder, tmp_path, LEAST_PEOPLE)


@pytest.mark.parametrize(
    ("name", "value"),
    [("calibration.places", 0.2), ("wasserstein.stated", 0.001), ("log_score", 1.0), ("mae", None)],
)
def test_wrong_figures_are_found_out(
    metrics: dict[str, Any], truth: pl.DataFrame, name: str, value: float | None
) -> None:
    other = json.loads(json.dumps(metrics))
    other["baselines"]["base"][name]["value"] = value
    assert [key for key, one in checks(other, truth, LEAST_PEOPLE).items() if not one.good] == [
        f"known: {name}"
    ]


@pytest.mark.long
def test_the_record(command: Command, folder: Path) -> None:
    found = lines_of(command("bench", "evaluate", "--rows", FEW, "--keep", folder, "--json"), "evaluate")
    parts = {one.settings["part"]: one for one in found if one.name == "seconds"}
    total, apart = parts["total"], named(found, "distance from what was put in, of what chance allows")
    assert (total.settings["rows"], total.settings["studies"], total.settings["draws"]) == (FEW, 8, 1000)
    assert {"rows", "training", "arrays", "figures", "sums", "report", "other", "total"} == parts.keys()
    assert sum(one.figure.median for one in parts.values()) == pytest.approx(
        2 * total.figure.median, rel=0.02
    )
    assert total.peak_memory and parts["figures"].peak_memory
    assert total.peak_memory >= parts["figures"].peak_memory > 2**20
    assert len(details(apart)["checks"]) > 15 and 0 < apart.figure.median <= 1


def test_too_few_rows() -> None:
    with pytest.raises(SocratesError, match="at least 4000"):
        plan_of(LEAST_ROWS - 1, None)
    assert plan_of(LEAST_ROWS, None) == Plan(LEAST_ROWS)
