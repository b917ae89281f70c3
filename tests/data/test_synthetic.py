"""The made-up survey: SocSci210's columns, stated truth, and answers that follow it."""

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm

from socrates_fast.data.scales import parse_scale, range_scale
from socrates_fast.data.schema import SOCSCI210
from socrates_fast.data.synthetic import OTHER_SUBJECTS, SPREAD, SUBJECTS, answer_probabilities, generate
from socrates_fast.recipe import Synthetic


@pytest.fixture(scope="module")
def survey() -> tuple[pl.DataFrame, pl.DataFrame]:
    made = generate(Synthetic(studies=5, people=60, tasks=5))
    return made.rows, made.truth


def test_exactly_the_datasets_columns(survey: tuple[pl.DataFrame, pl.DataFrame]) -> None:
    rows, _ = survey
    assert dict(rows.schema) == SOCSCI210
    assert rows.select("study_id", "sample_id").is_unique().all()


def test_it_has_what_real_data_has(survey: tuple[pl.DataFrame, pl.DataFrame]) -> None:
    rows, _ = survey
    kinds = {(s.low, s.high) for s in map(parse_scale, rows["stimuli"]) if s}
    assert kinds == {(1, 7), (1, 5), (0, 10), (1, 2), (0, 100)}
    arms = rows.group_by("study_id").agg(pl.col("condition_num").n_unique())["condition_num"]
    assert set(arms) <= {2, 3}
    assert rows.group_by("study_id", "participant").len()["len"].min() == 5
    missing = rows["demographic"].struct.unnest().null_count().row(0)
    assert sum(missing) > 0 and missing[0] == 0


def test_answers_follow_the_stated_probabilities(survey: tuple[pl.DataFrame, pl.DataFrame]) -> None:
    """The randomised probability integral transform of the answers is uniform (chi-square, 10 bins)."""
    rows, truth = survey
    rng = np.random.default_rng(0)
    joined = rows.join(truth, on=["study_id", "sample_id"])
    position = []
    for response, values, p in joined.select("response", "values", "truth").iter_rows():
        index = values.index(response)
        position.append(sum(p[:index]) + rng.random() * p[index])
    counts, _ = np.histogram(position, bins=10, range=(0, 1))
    expected = len(position) / 10
    assert ((counts - expected) ** 2 / expected).sum() < 27.9  # 99.9% quantile, 9 degrees of freedom


def test_conditions_shift_answers(survey: tuple[pl.DataFrame, pl.DataFrame]) -> None:
    rows, truth = survey
    means = [float(np.dot(v, p) / (v[-1] - v[0])) for v, p in truth.select("values", "truth").iter_rows()]
    cells = (
        rows.with_columns(mean=pl.Series(means))
        .group_by("study_id", "task_num", "condition_num")
        .agg(pl.col("mean").mean())
    )
    gaps = cells.group_by("study_id", "task_num").agg(gap=pl.col("mean").max() - pl.col("mean").min())
    assert float(gaps["gap"].to_numpy().mean()) > 0.05


@settings(max_examples=50)
@given(position=st.floats(0.01, 0.99), scale=st.sampled_from([(1, 7), (0, 10), (1, 2), (0, 100)]))
def test_probabilities_are_those_of_the_formula(position: float, scale: tuple[int, int]) -> None:
    values = range_scale(*scale)
    p = answer_probabilities(position, values)
    assert p.sum() == pytest.approx(1)
    assert (p >= 0).all()
    if scale == (1, 2):
        assert p[0] == pytest.approx(norm.cdf(0.5, loc=position, scale=SPREAD))


def test_same_seed_same_survey_other_seed_other() -> None:
    options = Synthetic(studies=2, people=5)
    assert generate(options).rows.equals(generate(options).rows)
    assert not generate(options).rows.equals(generate(options.model_copy(update={"seed": 12})).rows)


def test_the_base_models_subjects_are_no_recipes_subjects() -> None:
    assert not set(SUBJECTS) & set(OTHER_SUBJECTS)
