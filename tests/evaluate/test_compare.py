"""compare(): paired differences, verdicts that say no more than the intervals, and what is refused."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from socrates_fast.errors import DataError
from socrates_fast.evaluate.compare import HEADLINE, Comparison, Line, compare, difference
from socrates_fast.evaluate.figures import FIGURES, Best
from socrates_fast.evaluate.sums import SUMS, read_sums
from socrates_fast.evaluate.uncertainty import Draws, Estimate, combine, ratio, ratio_of_sums
from tests.evaluate.comparing import evaluated, predicted, survey

ROWS = survey()


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """``base`` knows little, ``tuned`` more; ``again`` is ``tuned``, rows in another order; ``shaken`` is it with noise."""
    out = tmp_path_factory.mktemp("evaluations")
    tuned = predicted(ROWS, 0.8)
    return {
        "base": evaluated(ROWS, predicted(ROWS, 0.3), out / "base", "base"),
        "tuned": evaluated(ROWS, tuned, out / "tuned", "tuned"),
        "again": evaluated(ROWS.reverse(), tuned, out / "again", "tuned"),
        "shaken": evaluated(ROWS, predicted(ROWS, 0.8, noise=0.02, seed=1), out / "shaken", "shaken"),
    }


def line(comparison: Comparison, name: str) -> Line:
    return next(one for one in comparison.lines if one.name == name)


def test_identical_predictions_are_the_same_whatever_the_order_of_the_rows(folders: dict[str, Path]) -> None:
    found = compare([folders["tuned"], folders["again"]])
    assert {one.name for one in found.lines} == set(FIGURES)
    for one in found.lines:
        other = one.differences[0]
        if other.difference["value"] is None:
            continue
        assert other.difference["value"] == 0, one.name
        assert other.verdict == "same", one.name
        assert other.difference.get("low", 0) == other.difference.get("high", 0) == 0


def test_what_is_clearly_better_is_called_better(folders: dict[str, Path]) -> None:
    found = compare([folders["base"], folders["tuned"]])
    for name in ("wasserstein.stated", "wasserstein.truth", "log_score", "brier", "effects.sensitivity"):
        other = line(found, name).differences[0]
        assert other.verdict == "better", name
        assert other.better_by["low"] > 0, name
    stated = line(found, "wasserstein.stated").differences[0]
    assert stated.difference["high"] < 0
    assert stated.improvement is not None
    assert 0 < stated.improvement["low"] < stated.improvement["value"] < stated.improvement["high"] < 100


def test_effects_that_are_predicted_the_wrong_way_round(folders: dict[str, Path], tmp_path: Path) -> None:
    """Each condition gets the prediction of the other one of its task."""
    truth = np.stack([row.to_numpy() for row in ROWS["truth"]]).reshape(8, 2, 2, 60, 5)[:, :, ::-1]
    swapped = ROWS.with_columns(truth=pl.Series(truth.reshape(-1, 5).tolist()))
    wrong = evaluated(ROWS, predicted(swapped, 0.8), tmp_path / "wrong")
    found = compare([wrong, folders["tuned"]])
    for name in HEADLINE:
        assert line(found, name).differences[0].verdict == "better", name
    effects = line(found, "effects.correlation")
    assert effects.values["A"]["value"] == pytest.approx(-effects.values["B"]["value"])
    assert effects.differences[0].improvement is None


def test_values_and_their_intervals_are_those_of_the_evaluations(folders: dict[str, Path]) -> None:
    found = compare([folders["base"], folders["tuned"]])
    for key, name in (("A", "base"), ("B", "tuned")):
        metrics = json.loads((folders[name] / "metrics.json").read_text(encoding="utf-8"))
        for one in found.lines:
            assert set(one.values[key]) == set(metrics[one.name])
            for end, value in one.values[key].items():
                assert value == pytest.approx(metrics[one.name][end], abs=1e-12), (one.name, end)
    assert found.rows == ROWS.height
    assert line(found, "wasserstein.stated").floor == metrics["wasserstein.floor"]["value"]


def test_paired_intervals_are_narrower_than_those_of_independent_draws(folders: dict[str, Path]) -> None:
    """Studies differ far more than the two models do within any of them."""
    paired = (
        line(compare([folders["tuned"], folders["shaken"]]), "wasserstein.stated").differences[0].difference
    )
    sampled = []
    for name, seed in (("tuned", 1), ("shaken", 2)):
        studies, sums = read_sums(folders[name] / SUMS)
        cells = sums["cell"]
        draws = Draws(len(studies), np.ones(len(studies), bool), seed=seed)
        sampled.append(draws.over(cells.study).one(cells.estimates["wasserstein.stated"]))
    independent = combine(lambda one, other: other - one, sampled).figure()
    assert independent["value"] == pytest.approx(paired["value"])
    assert (paired["high"] - paired["low"]) * 5 < independent["high"] - independent["low"]


def test_of_noise_it_cannot_tell(folders: dict[str, Path]) -> None:
    found = compare([folders["tuned"], folders["shaken"]])
    for name in HEADLINE:
        other = line(found, name).differences[0]
        assert other.difference["low"] < 0 < other.difference["high"]
        assert (other.verdict, other.why) == ("cannot tell", "the interval includes 0")


def test_of_two_models_that_do_not_differ_one_figure_in_twenty_seems_to() -> None:
    """50 pairs of models that are equally wrong, each in its own way; the cells are 30 studies of four."""
    rng = np.random.default_rng(5)
    study = np.repeat(np.arange(30), 4)
    sampler = Draws(30, np.ones(30, bool), draws=200).over(study)
    told = 0
    for _ in range(50):
        pair = [ratio_of_sums(rng.normal(0.2, 0.05, 120), np.ones(120)) for _ in range(2)]
        told += difference("B", "low", sampler, (pair[0], pair[1])).verdict != "cannot tell"
    assert told <= 8


def test_with_few_studies_it_cannot_tell_and_says_why(tmp_path: Path) -> None:
    rows = survey(studies=4)
    pair = [evaluated(rows, predicted(rows, share), tmp_path / f"{share}") for share in (0.0, 1.0)]
    other = line(compare(pair), "wasserstein.stated").differences[0]
    assert other.verdict == "cannot tell"
    assert other.why == "it is over 4 studies, and an interval needs 5 at least"
    assert set(other.difference) == {"value"}
    assert other.improvement is not None
    assert other.improvement["value"] > 0


def test_a_figure_that_one_of_them_has_no_value_of(folders: dict[str, Path], tmp_path: Path) -> None:
    """Guessing has no effects, so there is no correlation of them."""
    guess = evaluated(ROWS, predicted(ROWS, 0.0), tmp_path / "guess")
    other = line(compare([guess, folders["tuned"]]), "effects.correlation").differences[0]
    assert other.difference == {"value": None}
    assert (other.verdict, other.why) == ("cannot tell", "it has no value for one of them")


# --- by hand ------------------------------------------------------------------------------------------------


def studies_of(value: float, studies: int = 6) -> Estimate:
    """A figure with this value in every one of several studies of one cell."""
    return ratio_of_sums(np.full(studies, value), np.ones(studies))


def of(best: Best, reference: float, other: float, studies: int = 6) -> Any:
    sampler = Draws(studies, np.ones(studies, bool)).over(np.arange(studies))
    return difference("B", best, sampler, (studies_of(reference, studies), studies_of(other, studies)))


def test_the_papers_improvement() -> None:
    """0.151 after 0.205: "26 % more aligned" (arXiv:2509.05830)."""
    found = of("low", 0.205, 0.151)
    assert found.improvement["value"] == pytest.approx(26.3, abs=0.05)
    assert found.difference["value"] == pytest.approx(-0.054)
    assert found.better_by["value"] == pytest.approx(0.054)
    assert found.verdict == "better"
    assert of("low", 0.151, 0.205).improvement["value"] == pytest.approx(-35.8, abs=0.05)
    assert of("low", 0.151, 0.205).verdict == "worse"


@pytest.mark.parametrize(
    ("best", "reference", "other", "verdict", "better_by"),
    [
        ("high", 0.4, 0.5, "better", 0.1),
        ("high", 0.5, 0.4, "worse", -0.1),
        ("one", 0.7, 0.9, "better", 0.2),
        ("one", 0.9, 1.2, "worse", -0.1),
        ("one", 1.3, 0.8, "better", 0.1),
        ("high", 0.4, 0.4, "same", 0.0),
    ],
)
def test_the_side_that_is_better(
    best: Best, reference: float, other: float, verdict: str, better_by: float
) -> None:
    found = of(best, reference, other)
    assert found.verdict == verdict
    assert found.difference["value"] == pytest.approx(other - reference)
    assert found.better_by["value"] == pytest.approx(better_by)
    assert found.improvement is None


def test_of_nothing_there_is_no_percentage() -> None:
    found = of("low", 0.0, 0.1)
    assert found.improvement == {"value": None}
    assert found.verdict == "worse"


def test_a_reference_that_is_zero_in_some_draws_has_no_interval_in_percent() -> None:
    """One study of six has all that is bad, and one draw in three goes without it."""
    bad = np.array([0.5, 0, 0, 0, 0, 0])
    pair = (ratio_of_sums(bad, np.ones(6)), ratio_of_sums(bad / 2, np.ones(6)))
    found = difference("B", "low", Draws(6, np.ones(6, bool)).over(np.arange(6)), pair)
    assert found.improvement == {"value": pytest.approx(50)}


def test_the_same_value_by_chance_is_not_the_same() -> None:
    pair = (ratio_of_sums(np.arange(6.0), np.ones(6)), ratio_of_sums(np.arange(6.0)[::-1].copy(), np.ones(6)))
    found = difference("B", "low", Draws(6, np.ones(6, bool)).over(np.arange(6)), pair)
    assert found.difference["value"] == 0
    assert (found.verdict, found.why) == ("cannot tell", "the interval includes 0")


def test_rounding_makes_no_difference() -> None:
    value = np.linspace(0.1, 0.3, 6)
    pair = (ratio_of_sums(value, np.ones(6)), ratio_of_sums(value * (1 + 1e-14), np.ones(6)))
    assert difference("B", "low", Draws(6, np.ones(6, bool)).over(np.arange(6)), pair).verdict == "same"


OPPOSITE = {"better": "worse", "worse": "better", "cannot tell": "cannot tell", "same": "same"}
Values = st.lists(st.floats(0.01, 2.0), min_size=12, max_size=12)


@settings(max_examples=60, deadline=None)
@given(first=Values, second=Values, best=st.sampled_from(["low", "high", "one"]), studies=st.integers(3, 12))
def test_swapped_evaluations_have_negated_differences(
    first: list[float], second: list[float], best: Best, studies: int
) -> None:
    study = np.sort(np.arange(12) % studies)
    sampler = Draws(studies, np.ones(studies, bool), draws=50).over(study)
    pair = [Estimate(np.stack([np.array(value), np.ones(12)], axis=1), ratio) for value in (first, second)]
    there = difference("B", best, sampler, (pair[0], pair[1]))
    back = difference("B", best, sampler, (pair[1], pair[0]))
    assert back.verdict == OPPOSITE[there.verdict]
    for one, other in ((there.difference, back.difference), (there.better_by, back.better_by)):
        assert one["value"] == -other["value"]
        assert ("low" in one) == ("low" in other) == (studies >= 5)
        if "low" in one:
            assert (one["low"], one["high"]) == pytest.approx((-other["high"], -other["low"]), abs=1e-12)


def test_swapped_folders_have_negated_differences(folders: dict[str, Path]) -> None:
    there, back = (
        compare([folders[name] for name in names]) for names in (("base", "tuned"), ("tuned", "base"))
    )
    for one, other in zip(there.lines, back.lines, strict=True):
        assert other.differences[0].verdict == OPPOSITE[one.differences[0].verdict]
        if one.differences[0].difference["value"] is not None:
            assert one.differences[0].difference["value"] == -other.differences[0].difference["value"]


# --- names --------------------------------------------------------------------------------------------------


def test_predictors_of_one_name_are_told_apart_by_their_folders(
    folders: dict[str, Path], tmp_path: Path
) -> None:
    places = [tmp_path / "one" / "evaluation", tmp_path / "other" / "evaluation"]
    for place in places:
        shutil.copytree(folders["tuned"], place)
    found = compare([folders["base"], *places])
    assert [entry.key for entry in found.entries] == ["A", "B", "C"]
    assert [entry.label for entry in found.entries] == ["base", "tuned (one)", "tuned (other)"]
    nested = tmp_path / "one" / "evaluation" / "base"
    shutil.copytree(folders["tuned"], nested)
    labels = [entry.label for entry in compare([places[0], nested]).entries]
    assert labels == ["tuned (evaluation)", "tuned (evaluation/base)"]


def test_names_stand_on_one_line_without_control_characters(folders: dict[str, Path], tmp_path: Path) -> None:
    place = changed(folders["tuned"], tmp_path / "e", lambda metrics: metrics | {"predictor": "a\n\x1b[31mb"})
    assert compare([folders["base"], place]).entries[1].label == "a [31mb"


# --- refusals -----------------------------------------------------------------------------------------------


def changed(folder: Path, copy: Path, change: Callable[[dict[str, Any]], Any]) -> Path:
    """A copy of an evaluation with other metrics."""
    shutil.copytree(folder, copy)
    metrics = json.loads((copy / "metrics.json").read_text(encoding="utf-8"))
    (copy / "metrics.json").write_text(json.dumps(change(metrics)), encoding="utf-8")
    return copy


def refused(pair: list[Path], *words: str) -> None:
    with pytest.raises(DataError) as caught:
        compare(pair)
    missing = [word for word in (*words, *map(str, pair)) if word not in str(caught.value)]
    assert not missing, f"{missing} not in: {caught.value}"


def test_other_rows_are_refused(folders: dict[str, Path], tmp_path: Path) -> None:
    rows = ROWS[1:]
    other = evaluated(rows, predicted(rows, 0.5), tmp_path / "other")
    refused([folders["base"], other], "different rows", "1,920 rows", "1,919 rows", "--limit")


def test_other_answers_of_the_same_people_are_refused(folders: dict[str, Path], tmp_path: Path) -> None:
    rows = ROWS.with_columns(response=6 - pl.col("response"))
    other = evaluated(rows, predicted(rows, 0.5), tmp_path / "other")
    refused([folders["base"], other], "different rows")


def test_rows_that_could_not_be_scored_are_named(folders: dict[str, Path], tmp_path: Path) -> None:
    lost = {"rows_sha256": "0" * 64, "rows": {"value": 1900}, "unscorable": {"value": 0.01, "rows": 20}}
    other = changed(folders["base"], tmp_path / "other", lambda metrics: metrics | lost)
    refused([folders["base"], other], "1,900 rows without 20 that could not be scored")


def test_another_headline_is_refused(folders: dict[str, Path], tmp_path: Path) -> None:
    other = evaluated(ROWS, predicted(ROWS, 0.5), tmp_path / "other", min_people=60)
    refused(
        [folders["base"], other],
        "different headlines",
        "min_people is 50 in one and 60 in the other",
        "--min-people",
    )


def test_the_same_folder_twice_is_refused(folders: dict[str, Path]) -> None:
    base = folders["base"]
    refused([base, base.parent / "tuned" / ".." / "base"], "the same folder")


@pytest.mark.parametrize("number", [0, 1])
def test_fewer_than_two_are_refused(folders: dict[str, Path], number: int) -> None:
    refused([folders["base"]][:number], "two evaluations at least")


def test_more_than_letters_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="27 evaluations are too many"):
        compare([tmp_path / f"{number}" for number in range(27)])


@pytest.mark.parametrize("content", [None, "{", "[]", "{}", '{"predictor": "of another version"}', b"\xff"])
def test_folders_without_an_evaluation_are_refused(
    folders: dict[str, Path], tmp_path: Path, content: str | bytes | None
) -> None:
    if content is not None:
        (tmp_path / "metrics.json").write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(DataError, match=r"metrics\.json: .*evaluat"):
        compare([folders["base"], tmp_path])


def test_sums_that_are_missing_or_of_another_version_are_refused(
    folders: dict[str, Path], tmp_path: Path
) -> None:
    place = shutil.copytree(folders["tuned"], tmp_path / "e")
    frame = pl.read_parquet(place / SUMS)
    (place / SUMS).unlink()
    with pytest.raises(DataError, match="no sums of an evaluation there"):
        compare([folders["base"], place])
    frame.rename({"rule": "finish"}).write_parquet(place / SUMS)
    with pytest.raises(DataError, match="not the sums of this version"):
        compare([folders["base"], place])
    frame.filter(pl.col("unit") > 0).write_parquet(place / SUMS)
    with pytest.raises(DataError, match="evaluate"):
        compare([folders["base"], place])


def test_sums_of_another_evaluation_are_refused(folders: dict[str, Path], tmp_path: Path) -> None:
    place = shutil.copytree(folders["tuned"], tmp_path / "e")
    shutil.copy(folders["base"] / SUMS, place / SUMS)
    with pytest.raises(DataError, match=r"sums\.parquet and metrics\.json are of different evaluations"):
        compare([folders["base"], place])


def test_figures_that_only_some_have_are_left_out_by_name(folders: dict[str, Path], tmp_path: Path) -> None:
    place = shutil.copytree(folders["tuned"], tmp_path / "e")
    pl.read_parquet(place / SUMS).filter(pl.col("figure") != "brier").write_parquet(place / SUMS)
    found = compare([folders["base"], place])
    assert found.left_out == ("brier",)
    assert "brier" not in {one.name for one in found.lines}
