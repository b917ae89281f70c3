"""Baselines: closed forms, what they know, and the known mistakes that they uncover."""

from collections.abc import Callable

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from socrates_fast.data.scales import Scale
from socrates_fast.evaluate.answers import Answers, read_answers
from socrates_fast.evaluate.baselines import (
    Demographics,
    around,
    baseline_frame,
    item_mean,
    midpoint,
    oracle,
    pooled,
    split_half,
    uniform,
)
from socrates_fast.evaluate.predictions import InMemory
from socrates_fast.evaluate.ragged import Floats
from socrates_fast.evaluate.scored import score, score_cells, score_floor
from socrates_fast.evaluate.summary import Beside, summarise
from socrates_fast.infer import load_predictor
from socrates_fast.prompt import Prompt

Cell = Callable[..., pl.DataFrame]


@pytest.mark.parametrize(
    ("scale", "expected"),
    [
        ({"low": 1, "high": 5}, [0, 0, 1, 0, 0]),
        ({"low": 1, "high": 4}, [0, 0.5, 0.5, 0]),
        ({"low": 1, "high": 2}, [0.5, 0.5]),
        ({"low": 1, "high": 4, "values": [1, 2, 4]}, [0, 1, 0]),
        ({"low": 0, "high": 9, "values": [6, 7]}, [1, 0]),
    ],
)
def test_midpoint(cell: Cell, scale: dict[str, object], expected: list[float]) -> None:
    assert midpoint(read_answers(cell([1, 2], **scale)).cells).tolist() == expected


def test_frames_have_the_columns_of_predictions(cell: Cell) -> None:
    frame = baseline_frame("uniform", read_answers(pl.concat([cell([1, 4], 1, 4), cell([3], 0, 2, task=1)])))
    assert dict(frame.schema) == {
        "study_id": pl.String,
        "condition_num": pl.Int64,
        "task_num": pl.Int64,
        "participant": pl.Int64,
        "sample_id": pl.Int64,
        "values": pl.List(pl.Int64),
        "probabilities": pl.List(pl.Float64),
        "answer_mass": pl.Float64,
        "mean": pl.Float64,
        "median": pl.Int64,
    }
    assert frame["mean"].to_list() == [2.5, 2.5, 1.0]
    assert frame["median"].to_list() == [2, 2, 1]


@pytest.mark.parametrize("name", ["uniform", "midpoint"])
def test_predictors_of_the_same_name_predict_the_same(cell: Cell, name: str) -> None:
    rows = pl.concat([cell([1], 1, 7), cell([1], 1, 4, task=1), cell([4], 1, 4, values=[1, 2, 4], task=2)])
    prompts = [
        Prompt("", "?", Scale(low, high, tuple(values)))
        for low, high, values in rows.select("low", "high", "values").rows()
    ]
    predicted = load_predictor(name).predict(prompts)
    frame = baseline_frame(name, read_answers(rows))
    assert [item.probabilities.tolist() for item in predicted] == frame["probabilities"].to_list()
    assert [item.median for item in predicted] == frame["median"].to_list()


@given(st.integers(2, 12), st.integers(1, 30), st.integers(0, 10_000))
def test_uniform_guessing_in_closed_form(answers: int, people: int, seed: int) -> None:
    """Errors of uniform guessing on a scale of k answers, for whatever people answered."""
    rng = np.random.default_rng(seed)
    given_answers = rng.integers(1, answers + 1, people)
    rows = _one_cell(given_answers.tolist(), answers)
    cells = read_answers(rows).cells
    found = score_cells(cells, uniform(cells)).estimates(1)
    k = np.arange(1, answers + 1)
    expected = np.mean([np.abs(k - answer).mean() for answer in given_answers]) / (answers - 1)
    assert found["accuracy"].value == pytest.approx(1 - expected)
    assert found["exact_match"].value == pytest.approx(1 / answers)
    assert found["log_score"].value == pytest.approx(np.log(answers))
    assert found["brier"].value == pytest.approx(1 - 1 / answers)
    spread = (answers**2 - 1) / (6 * answers) / (answers - 1)  # half of E|X - X'|
    assert found["ranked_probability"].value == pytest.approx(expected - spread)


@given(st.lists(st.integers(1, 6), min_size=2, max_size=40))
def test_the_perfect_sampler_gets_what_two_of_its_people_get_of_one_another(responses: list[int]) -> None:
    """Accuracy: 1 - mean difference of two different people; exact match: how often they agree; error: their variance."""
    cells = read_answers(_one_cell(responses, 6)).cells
    floors = score_floor(cells, 1)
    people = np.array(responses)
    others = ~np.eye(len(people), dtype=bool)
    gaps = np.abs(people[:, None] - people)[others]
    assert floors["accuracy"].value == pytest.approx(1 - gaps.mean() / 5)
    assert floors["exact_match"].value == pytest.approx((gaps == 0).mean())
    assert floors["brier"].value == pytest.approx((gaps > 0).mean())
    assert floors["ranked_probability"].value == pytest.approx(gaps.mean() / 10)
    assert floors["rmse"].value == pytest.approx(people.std(ddof=1) / 5)


@pytest.mark.parametrize("people", [5, 20, 80])
def test_the_floor_is_what_the_true_distribution_gets_in_cells_of_that_size(people: int) -> None:
    truth = np.array([0.1, 0.25, 0.3, 0.2, 0.15])
    rng = np.random.default_rng(people)
    cells = read_answers(
        pl.concat(
            [
                _one_cell((rng.choice(5, size=people, p=truth) + 1).tolist(), 5, task=task)
                for task in range(400)
            ]
        )
    ).cells
    reached = score_cells(cells, np.tile(truth, len(cells.people))).estimates(1)
    floors = score_floor(cells, 1)
    for name in ("accuracy", "ranked_probability", "brier", "exact_match", "mae", "rmse"):
        assert floors[name].value == pytest.approx(reached[name].value, rel=0.03), name
    # entropy's correction falls short in tiny cells, where whole answers are missing
    short = {5: 0.2, 20: 0.02, 80: 0.01}[people]
    assert floors["log_score"].value == pytest.approx(reached["log_score"].value, rel=short)


def test_a_constant_midpoint_has_higher_accuracy_than_a_perfect_sampler(cell: Cell) -> None:
    """The known mistake of ranking by accuracy: the truth loses to a constant; a proper score is not fooled."""
    truth = np.array([1, 2, 3, 4, 3, 2, 1]) / 16
    people = [value + 1 for value, share in enumerate(truth) for _ in range(round(160 * share))]
    answers = read_answers(cell(people, truth=truth.tolist()))
    known = oracle(answers)
    assert known is not None
    metrics = summarise(answers, known, "oracle").metrics
    baselines = metrics["baselines"]
    assert baselines["midpoint"]["accuracy"]["value"] > baselines["oracle"]["accuracy"]["value"]
    assert baselines["midpoint"]["accuracy"]["value"] > metrics["floor"]["accuracy"]["value"]
    for figure in ("wasserstein.stated", "wasserstein.truth", "ranked_probability", "log_score", "brier"):
        assert baselines["midpoint"][figure]["value"] > baselines["oracle"][figure]["value"], figure
    assert any("accuracy rewards collapsing" in note for note in metrics["notes"])


def test_a_distance_that_a_condition_blind_model_wins(experiment: Callable[..., pl.DataFrame]) -> None:
    """The known mistake of ranking by distance alone: pooled answers beat a model that sees effects, dimly."""
    answers = read_answers(experiment(seed=3, effect=0.4))
    rng = np.random.default_rng(0)
    known = oracle(answers)
    assert isinstance(known, InMemory)
    blurred = known.probabilities ** rng.choice([0.2, 3.0])
    starts = answers.shape.starts
    blurred = blurred / np.repeat(np.add.reduceat(blurred, starts), answers.shape.lengths)
    metrics = summarise(answers, InMemory(blurred, np.ones(answers.height)), "dim").metrics
    blind = metrics["baselines"]["pooled"]
    assert blind["wasserstein.stated"]["value"] < metrics["wasserstein.stated"]["value"]
    assert blind["effects.sensitivity"]["value"] == pytest.approx(0, abs=1e-9)
    assert blind["effects.correlation"] == {"value": None}
    assert metrics["effects.correlation"]["value"] > 0.8
    pretender = summarise(
        answers, InMemory(_by_row(answers, pooled(answers.cells)), np.ones(answers.height)), "blind"
    )
    assert any("hardly sees the condition" in banner for banner in pretender.metrics["banners"])


def _by_row(answers: Answers, distribution: Floats) -> Floats:
    starts = answers.cells.shape.starts[answers.cell]
    found: Floats = distribution[np.repeat(starts, answers.shape.lengths) + answers.shape.offsets]
    return found


def test_pooled_takes_all_conditions_of_a_task_on_one_scale(cell: Cell) -> None:
    rows = pl.concat(
        [
            cell([1, 1, 2], 1, 3),
            cell([3], 1, 3, condition=1),
            cell([2], 1, 3, task=1),
            cell([0], 0, 3, condition=2),
        ]
    )
    cells = read_answers(rows).cells
    shares = pooled(cells)
    starts = cells.shape.starts
    expected = {(0, 0): [0.5, 0.25, 0.25], (1, 0): [0.5, 0.25, 0.25], (0, 1): [0, 1, 0], (2, 0): [1, 0, 0, 0]}
    for number, (_, condition, task) in enumerate(cells.keys.rows()):
        end = starts[number] + cells.shape.lengths[number]
        assert shares[starts[number] : end].tolist() == expected[condition, task]


def test_item_mean_is_the_cells_then_the_tasks_training_answers(cell: Cell) -> None:
    test = pl.concat(
        [cell([1], 1, 3), cell([2], 1, 3, condition=1), cell([2], 1, 3, task=1), cell([2], 1, 4, task=2)]
    )
    train = pl.concat([cell([1, 3], 1, 3), cell([3, 3], 1, 3, condition=2), cell([2], 1, 3, task=2)])
    cells = read_answers(test).cells
    shares, covered = item_mean(cells, read_answers(train).cells)
    assert covered.tolist() == [
        True,
        False,
        False,
        True,
    ]  # by key: condition 0 task 0, 1, 2; condition 1 task 0
    assert shares.tolist() == pytest.approx([0.5, 0, 0.5, *[1 / 3] * 3, *[0.25] * 4, 0.25, 0, 0.75])


def test_item_mean_needs_training_answers_to_half_of_the_rows(cell: Cell) -> None:
    test = pl.concat([cell([1, 2, 2], 1, 3), cell([2], 1, 3, task=1)])
    answers = read_answers(test)

    def metrics(train: pl.DataFrame) -> dict[str, object]:
        beside = Beside(training=read_answers(train))
        predicted = InMemory(_by_row(answers, uniform(answers.cells)), np.ones(answers.height))
        found: dict[str, object] = summarise(answers, predicted, "m", beside).metrics
        return found

    most, few = metrics(cell([1, 3], 1, 3)), metrics(cell([1, 3], 1, 3, task=1))
    assert "item_mean" in most["baselines"] and "item_mean" not in few["baselines"]  # type: ignore[operator]
    assert any("answered 75 % of these rows' questions; for the others" in note for note in most["notes"])  # type: ignore[attr-defined]
    assert any("answered 25 % of these rows' questions, too few" in note for note in few["notes"])  # type: ignore[attr-defined]


def test_split_half_divides_every_cells_people(cell: Cell) -> None:
    rows = pl.concat([cell([1, 2, 2, 7, 7]), cell([4], task=1), cell([3, 3], task=2)])
    cells = read_answers(rows).cells
    half, other = split_half(cells)
    assert half.people.tolist() == [2, 0, 1]
    given = np.add.reduceat(half.human.count, np.searchsorted(half.human.cell, [0, 1, 2]))
    assert given.tolist() == [2, 0, 1]
    np.testing.assert_allclose(cells.shape.total(other), 1.0)
    assert (half.human.count <= cells.human.count).all()
    assert split_half(cells)[1].tolist() == other.tolist()  # seeded


def test_halves_are_about_twice_as_far_apart_as_the_floor(experiment: Callable[..., pl.DataFrame]) -> None:
    """Each half is a sample of half the size: its distance to the other is 2 c / sqrt(n), the floor's c / sqrt(n)."""
    cells = read_answers(experiment(studies=20)).cells
    halves = score_cells(*split_half(cells)).estimates(20)["wasserstein.stated"].value
    assert halves / score_floor(cells, 20)["wasserstein.stated"].value == pytest.approx(2.0, rel=0.12)


def test_demographics_recover_what_they_are_and_nothing_of_the_question(
    experiment: Callable[..., pl.DataFrame],
) -> None:
    train, test = (
        read_answers(experiment(seed=seed, studies=12, people=200), ("age", "gender")) for seed in (1, 2)
    )
    fitted = Demographics.fit(train)
    gap = fitted.effects["gender"]["Male"] - fitted.effects["gender"]["Female"]
    assert gap == pytest.approx(0.12, abs=0.03)  # of a centre that moves by 0.15 on a bounded scale
    found = score(test, fitted).estimates(12)
    assert found["correlation_within"].value > 0.2
    blind = score(test, Demographics({}, fitted.intercept)).estimates(12)
    assert np.isnan(blind["correlation_within"].value)


def test_a_fit_equals_least_squares(experiment: Callable[..., pl.DataFrame]) -> None:
    train = read_answers(experiment(seed=1, studies=2, people=50), ("age", "gender"))
    columns = [np.eye(len(grouping.levels) + 1)[grouping.code + 1] for grouping in train.groups.values()]
    x = np.concatenate(columns, axis=1)
    y = (train.response - train.cells.low[train.cell]) / train.cells.span[train.cell]
    expected = np.linalg.lstsq(
        np.concatenate([x, np.eye(x.shape[1])]),
        np.concatenate([y - y.mean(), np.zeros(x.shape[1])]),
        rcond=None,
    )[0]
    fitted = Demographics.fit(train)
    found = [effect for levels in fitted.effects.values() for effect in levels.values()]
    np.testing.assert_allclose(found, expected, atol=1e-9)


@given(st.lists(st.integers(-5, 20), min_size=1, max_size=6, unique=True), st.floats(-6, 21))
def test_a_point_between_answers_keeps_its_mean(values: list[int], mean: float) -> None:
    allowed = np.sort(np.array(values, dtype=np.float64))
    (shares,) = around(allowed, np.array([mean]))
    assert shares.sum() == pytest.approx(1)
    assert (shares > 0).sum() <= 2
    assert shares @ allowed == pytest.approx(np.clip(mean, allowed[0], allowed[-1]))


def test_oracle_needs_the_truth_of_every_row(cell: Cell) -> None:
    rows = pl.concat([cell([1], 1, 2, truth=[0.5, 0.5]), cell([1], 1, 2, task=1)])
    assert oracle(read_answers(rows)) is None


def _one_cell(responses: list[int], answers: int, task: int = 0) -> pl.DataFrame:
    """As the fixture ``cell``, which hypothesis cannot ask for."""
    people = len(responses)
    return pl.DataFrame(
        {
            "study_id": ["a"] * people, "condition_num": [0] * people, "task_num": [task] * people,
            "participant": range(people), "sample_id": range(1000 * task, 1000 * task + people),
            "response": responses, "low": [1] * people, "high": [answers] * people,
            "values": [list(range(1, answers + 1))] * people,
        }
    )  # fmt: skip
