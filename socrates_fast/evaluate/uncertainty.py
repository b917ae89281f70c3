"""Figures as functions of sums over studies: their cluster bootstrap is one matrix product.

Answers of one study share stimuli, people and scales, so rows are not independent; studies are. The
interval of a figure comes from drawing whole studies with replacement (cluster bootstrap,
percentile method).
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from socrates_fast.evaluate.ragged import Floats, Ints, weighted_count

MIN_STUDIES = 5
"""With fewer studies, percentiles over resampled studies say nothing, and there is no interval."""
DRAWS = 1000
SEED = 20_250_905
LEVEL = 95
"""Coverage of the intervals, in percent."""

_NO_VARIANCE = 1e-18
"""Variances of shares in [0, 1] below this are rounding of a constant."""


@dataclass(frozen=True)
class Estimate:
    """One figure.

    Attributes:
        sums: what each study adds; shape (studies, p).
        finish: from summed (..., p) to the figure (...); nan where it is undefined.
    """

    sums: Floats
    finish: Callable[[Floats], Floats]

    @property
    def value(self) -> float:
        """The figure over all studies; nan if undefined."""
        return float(self.finish(self.sums.sum(axis=0)))

    @property
    def by_study(self) -> Floats:
        """The figure of each study alone; shape (studies,)."""
        return self.finish(self.sums)

    def figure(self) -> dict[str, Any]:
        """``{"value": x}``, null if undefined, and ``"low"``, ``"high"`` with enough studies."""
        figure: dict[str, Any] = {"value": self.value if np.isfinite(self.value) else None}
        contributing = int(self.sums.any(axis=1).sum())
        if contributing >= MIN_STUDIES and figure["value"] is not None:
            drawn = self.finish(_draws_of_studies(len(self.sums)) @ self.sums)
            tail = (100 - LEVEL) / 2
            low, high = np.nanpercentile(drawn, [tail, 100 - tail])
            figure |= {"low": float(low), "high": float(high)}
        return figure


def _draws_of_studies(studies: int) -> Floats:
    """How often each study is drawn, the same for every figure; shape (DRAWS, studies)."""
    rng = np.random.default_rng(SEED)
    return rng.multinomial(studies, np.full(studies, 1 / studies), size=DRAWS).astype(np.float64)


def _sums(study: Ints, columns: list[Floats], studies: int) -> Floats:
    return np.stack([weighted_count(study, column, studies) for column in columns], axis=1)


def mean_of_rows(study: Ints, figure: Floats, studies: int) -> Estimate:
    """Mean of a figure over rows; ``study`` and ``figure`` have shape (n,)."""
    return Estimate(_sums(study, [figure, np.ones_like(figure)], studies), _ratio)


def root_mean_square_of_rows(study: Ints, error: Floats, studies: int) -> Estimate:
    """Square root of the mean squared error over rows; ``study`` and ``error`` have shape (n,)."""
    sums = _sums(study, [error**2, np.ones_like(error)], studies)
    return Estimate(sums, _root_of_ratio)


def mean_of_studies(study: Ints, figure: Floats, studies: int) -> Estimate:
    """Mean over a study's cells, then over studies; ``study`` and ``figure`` have shape (cells,).

    Cells whose figure is nan are left out, and so are studies without any other cell.
    """
    scored = np.isfinite(figure)
    count = np.bincount(study[scored], minlength=studies)
    total = weighted_count(study[scored], figure[scored], studies)
    has_cells = (count > 0).astype(np.float64)
    return Estimate(np.stack([total / np.maximum(count, 1), has_cells], axis=1), _ratio)


def correlation_of_rows(study: Ints, x: Floats, y: Floats, studies: int) -> Estimate:
    """Pearson correlation of ``x`` and ``y``, undefined if one is constant; all have shape (n,)."""
    x, y = x - x.mean(), y - y.mean()  # sums of squares of centred values do not cancel
    columns = [np.ones_like(x), x, y, x * x, y * y, x * y]
    return Estimate(_sums(study, columns, studies), _pearson)


def _ratio(sums: Floats) -> Floats:
    return _divide(sums[..., 0], sums[..., 1])


def _root_of_ratio(sums: Floats) -> Floats:
    return np.sqrt(_ratio(sums))


def _pearson(sums: Floats) -> Floats:
    n, x, y, xx, yy, xy = np.moveaxis(sums, -1, 0)
    over_n = partial(_divide, by=n)
    variance_x = over_n(xx) - over_n(x) ** 2
    variance_y = over_n(yy) - over_n(y) ** 2
    defined = (variance_x > _NO_VARIANCE) & (variance_y > _NO_VARIANCE)
    covariance = over_n(xy) - over_n(x) * over_n(y)
    scale = np.sqrt(np.where(defined, variance_x * variance_y, 0.0))
    return np.clip(_divide(covariance, scale), -1.0, 1.0)


def _divide(what: Floats, by: Floats) -> Floats:
    """``what / by``, nan where ``by`` is 0."""
    empty = by == 0
    return np.where(empty, np.nan, what / np.where(empty, 1.0, by))
