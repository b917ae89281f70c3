"""Figures as functions of sums over cells: their cluster bootstrap is one matrix product.

Answers of one study share stimuli, people and scales, so rows are not independent; studies are. The interval of a
figure comes from drawing whole studies with replacement and, within each that is drawn, as many of its cells (or tasks)
with replacement: the two-stage cluster bootstrap (Davison & Hinkley, Bootstrap Methods, 1997, section 3.8), percentile
method. Every figure sees the same draws, and so does every evaluation of the same rows: differences are paired.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any, TypeVar

import numpy as np

from socrates_fast.evaluate.ragged import Bools, Floats, Ints, weighted_count

Key = TypeVar("Key")

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
        sums: what each unit (a cell, or a task) adds; shape (units, p).
        finish: from summed (..., p) to the figure (...); nan where it is undefined.
        drawable: False for sums of absolute deviations: resampling pushes them up, so that percentiles of its draws
            would lie beside the figure.
    """

    sums: Floats
    finish: Callable[[Floats], Floats]
    drawable: bool = True

    @property
    def value(self) -> float:
        """The figure over all units; nan if undefined."""
        return float(self.finish(self.sums.sum(axis=0)))

    def of(self, units: Bools) -> "Estimate":
        """The figure over some units."""
        return Estimate(self.sums[units], self.finish, self.drawable)

    def by_study(self, study: Ints, studies: int) -> Floats:
        """The figure of each study alone; shape (studies,)."""
        columns = [weighted_count(study, column, studies) for column in self.sums.T]
        return self.finish(np.stack(columns, axis=1))


@dataclass(frozen=True)
class Sampled:
    """A figure and its bootstrap draws.

    Attributes:
        value: over all units; nan if undefined.
        drawn: over each draw's units, shape (draws,); None if there are too few studies.
    """

    value: float
    drawn: Floats | None

    def figure(self) -> dict[str, Any]:
        """``{"value": x}``, null if undefined, and ``"low"``, ``"high"`` where there are draws."""
        if not np.isfinite(self.value):
            return {"value": None}
        if self.drawn is None or not np.isfinite(self.drawn).any():
            return {"value": self.value}
        tail = (100 - LEVEL) / 2
        low, high = np.nanpercentile(self.drawn, [tail, 100 - tail])
        return {"value": self.value, "low": float(low), "high": float(high)}


def combine(rule: Callable[..., Any], parts: Sequence[Sampled]) -> Sampled:
    """A function of several figures, draw by draw: their difference, say, or a skill score."""
    with np.errstate(divide="ignore", invalid="ignore"):
        value = float(rule(*(np.float64(part.value) for part in parts)))
        drawn = [part.drawn for part in parts]
        if any(one is None for one in drawn):
            return Sampled(value, None)
        return Sampled(value, rule(*drawn))


class Draws:
    """The bootstrap's draws: how often each study is drawn, the same for every figure.

    Args:
        studies: how many there are.
        present: those that have any unit at all; the others are never drawn.
        draws: number of draws.
        seed: of the draws.
    """

    def __init__(self, studies: int, present: Bools, draws: int = DRAWS, seed: int = SEED) -> None:
        self._present, self._draws, self._seed = present, draws, seed
        self._studies = studies

    @property
    def enough(self) -> bool:
        """Whether there are studies enough for an interval."""
        return int(self._present.sum()) >= MIN_STUDIES

    @cached_property
    def of_studies(self) -> Ints:
        """How often each study is drawn; shape (draws, studies)."""
        rng = np.random.default_rng(self._seed)
        drawn = np.zeros((self._draws, self._studies), np.int64)
        number = int(self._present.sum())
        drawn[:, self._present] = rng.multinomial(number, np.full(number, 1 / number), size=self._draws)
        return drawn

    def weights(self, study: Ints) -> Floats:
        """How often each unit is drawn; shape (draws, units).

        Args:
            study: the study that each unit belongs to; shape (units,).
        """
        rng = np.random.default_rng([self._seed, 1])
        weights = np.zeros((self._draws, len(study)))
        for number in np.unique(study):
            units = np.flatnonzero(study == number)
            each = np.full(len(units), 1 / len(units))
            weights[:, units] = rng.multinomial(self.of_studies[:, number] * len(units), each)
        return weights

    def over(self, study: Ints) -> "Sampler":
        """The draws of some units; ``study`` (units,) says which study each belongs to."""
        return Sampler(study, self.weights(study) if self.enough else None)


@dataclass(frozen=True)
class Sampler:
    """Draws of the units (cells, or tasks) whose sums make figures.

    Attributes:
        study: the study that each unit belongs to; shape (units,).
        weights: how often each unit is drawn; shape (draws, units), or None if there are too few studies.
    """

    study: Ints
    weights: Floats | None

    def sample(self, estimates: Mapping[Key, Estimate]) -> dict[Key, Sampled]:
        """Figures with their draws; too few studies that add anything to a figure give it none."""
        drawn = {name: one for name, one in estimates.items() if self._enough(one)}
        found = {name: Sampled(one.value, None) for name, one in estimates.items()}
        if self.weights is None or not drawn:
            return found
        # One product for all of them: it is the weights that take time to read.
        sums = self.weights @ np.concatenate([one.sums for one in drawn.values()], axis=1)
        ends = np.cumsum([one.sums.shape[1] for one in drawn.values()])
        for (name, one), part in zip(drawn.items(), np.split(sums, ends[:-1], axis=1), strict=True):
            found[name] = Sampled(one.value, one.finish(part))
        return found

    def one(self, estimate: Estimate) -> Sampled:
        """A figure with its draws."""
        return self.sample({"": estimate})[""]

    def _enough(self, estimate: Estimate) -> bool:
        return len(np.unique(self.study[estimate.sums.any(axis=1)])) >= MIN_STUDIES


def ratio_of_sums(total: Floats, weight: Floats) -> Estimate:
    """Sum of ``total`` over sum of ``weight``; both have shape (units,)."""
    return Estimate(np.stack([total, weight], axis=1), ratio)


def mean_of_studies(study: Ints, figure: Floats, studies: int, part: Bools | None = None) -> Estimate:
    """Mean over a study's cells, then over studies; ``study`` and ``figure`` have shape (cells,).

    Cells whose figure is nan are left out, and so are studies without any other cell.

    Args:
        study: of each cell.
        figure: of each cell.
        studies: number of studies.
        part: the cells of the headline, (cells,): they share their study's weight among themselves, as the others do.
    """
    scored = np.isfinite(figure)
    group = study if part is None else study + studies * part
    count = np.bincount(group[scored], minlength=2 * studies)
    each = scored / np.maximum(count, 1)[group]
    return Estimate(np.stack([np.where(scored, figure, 0.0) * each, each], axis=1), ratio)


def ratio(sums: Floats) -> Floats:
    """First column over second."""
    return divide(sums[..., 0], sums[..., 1])


def root_of_ratio(sums: Floats) -> Floats:
    """Square root of first column over second."""
    return np.sqrt(ratio(sums))


def pearson(sums: Floats) -> Floats:
    """Correlation from columns n, x, y, xx, yy, xy; nan if one side is constant."""
    n, x, y, xx, yy, xy = np.moveaxis(sums, -1, 0)
    over_n = partial(divide, by=n)
    variance_x = over_n(xx) - over_n(x) ** 2
    variance_y = over_n(yy) - over_n(y) ** 2
    defined = (variance_x > _NO_VARIANCE) & (variance_y > _NO_VARIANCE)
    covariance = over_n(xy) - over_n(x) * over_n(y)
    scale = np.sqrt(np.where(defined, variance_x * variance_y, 0.0))
    return np.clip(divide(covariance, scale), -1.0, 1.0)


def divide(what: Floats, by: Floats) -> Floats:
    """``what / by``, nan where ``by`` is 0."""
    empty = by == 0
    return np.where(empty, np.nan, what / np.where(empty, 1.0, by))
