"""The cluster bootstrap: reproducible, paired, as wide as it should be."""

import numpy as np
import pytest

from socrates_fast.evaluate.ragged import Floats, Ints
from socrates_fast.evaluate.uncertainty import (
    Draws,
    Estimate,
    combine,
    mean_of_studies,
    pearson,
    ratio,
    ratio_of_sums,
)


def _draws(study: Ints, draws: int = 1000, seed: int = 1) -> Draws:
    studies = int(study.max()) + 1
    return Draws(studies, np.bincount(study, minlength=studies) > 0, draws, seed)


def _cells(rng: np.random.Generator, studies: int, cells: int) -> tuple[Ints, Floats]:
    """A figure of cells: a study's own level plus the cell's."""
    study = np.repeat(np.arange(studies), cells)
    return study, rng.normal(size=studies)[study] + rng.normal(size=len(study))


def test_draws_are_whole_studies_with_as_many_cells() -> None:
    study = np.repeat([0, 2, 3, 4, 5], [1, 2, 3, 4, 5])
    draws = Draws(7, np.array([True, False, True, True, True, True, False]), 200, 3)
    weights = draws.weights(study)
    assert weights.shape == (200, 15)
    assert (draws.of_studies.sum(axis=1) == 5).all()
    assert (draws.of_studies[:, [1, 6]] == 0).all()
    for number in (0, 2, 3, 4, 5):
        cells = study == number
        assert (weights[:, cells].sum(axis=1) == draws.of_studies[:, number] * cells.sum()).all()
    assert (
        Draws(7, np.array([True, False, True, True, True, True, False]), 200, 3).weights(study) == weights
    ).all()


def test_interval_of_a_mean_is_the_normal_one() -> None:
    """40 studies of 10 cells: the variance of study means, and within them that of their cells."""
    rng = np.random.default_rng(5)
    study, figure = _cells(rng, 40, 10)
    found = _draws(study).over(study).one(mean_of_studies(study, figure, 40)).figure()
    means = figure.reshape(40, 10).mean(axis=1)
    inside = figure.reshape(40, 10).var(axis=1).mean() / 10
    half = 1.96 * np.sqrt((means.var() + inside) / 40)
    assert found["low"] == pytest.approx(means.mean() - half, abs=0.2 * half)
    assert found["high"] == pytest.approx(means.mean() + half, abs=0.2 * half)


def test_few_studies_have_no_interval() -> None:
    study = np.repeat(np.arange(4), 50)
    assert set(_draws(study).over(study).one(ratio_of_sums(np.ones(200), np.ones(200))).figure()) == {"value"}
    many = np.repeat(np.arange(5), 50)
    one_adds = Estimate(np.stack([many == 0, many == 0], axis=1).astype(float), ratio)
    assert set(_draws(many).over(many).one(one_adds).figure()) == {"value"}
    assert set(_draws(many).over(many).one(ratio_of_sums(np.ones(250), np.ones(250))).figure()) > {
        "low",
        "high",
    }


def test_cells_without_a_figure_do_not_count() -> None:
    figure = np.array([0.1, 0.3, np.nan, np.nan, 0.4])
    study = np.array([0, 0, 0, 1, 2])
    estimate = mean_of_studies(study, figure, 3)
    assert estimate.value == pytest.approx((0.2 + 0.4) / 2)
    assert np.isnan(estimate.by_study(study, 3)).tolist() == [False, True, False]
    undefined = mean_of_studies(np.array([0]), np.array([np.nan]), 1)
    assert _draws(np.array([0])).over(np.array([0])).one(undefined).figure() == {"value": None}


def test_a_paired_difference_is_narrower_than_that_of_strangers() -> None:
    rng = np.random.default_rng(2)
    study, figure = _cells(rng, 30, 8)
    first, second = (
        mean_of_studies(study, figure + shift, 30) for shift in (0.0, 0.1 + 0.05 * rng.normal(size=240))
    )
    sampler = _draws(study).over(study)
    one, other = sampler.one(first), sampler.one(second)
    stranger = _draws(study, seed=9).over(study).one(second)
    paired, apart = (combine(lambda a, b: b - a, [one, that]).figure() for that in (other, stranger))
    assert paired["high"] - paired["low"] < 0.1 * (apart["high"] - apart["low"])
    assert paired["low"] > 0  # 0.1 can be told though each figure's own interval is 0.7 wide


def test_correlation_is_undefined_for_a_constant() -> None:
    x = np.arange(5.0)
    columns = [np.ones(5), x, np.full(5, 0.3), x * x, np.full(5, 0.09), 0.3 * x]
    assert np.isnan(Estimate(np.stack(columns, axis=1), pearson).value)


@pytest.mark.slow
@pytest.mark.parametrize("studies", [40, 200])
def test_intervals_cover_at_their_nominal_rate(studies: int) -> None:
    """Of 400 made-up data sets, the share whose interval holds the true mean is 95 %, within what chance does."""
    covered = 0
    for seed in range(400):
        rng = np.random.default_rng(seed)
        cells = rng.integers(2, 12, studies)
        study = np.repeat(np.arange(studies), cells)
        figure = 0.5 + 0.2 * rng.normal(size=studies)[study] + 0.2 * rng.normal(size=len(study))
        found = _draws(study, 500, seed).over(study).one(mean_of_studies(study, figure, studies)).figure()
        covered += found["low"] <= 0.5 <= found["high"]
    assert 0.93 <= covered / 400 <= 0.99
