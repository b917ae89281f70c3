"""Treatment effects: do conditions move predicted answers as they move people's?

A condition's effect is its mean answer minus the mean of its task's conditions, in standard deviations of the task's
human answers within conditions. For two conditions that is half of their difference; for more, sums of products of
effects are those of all pairs of conditions, each counted 1 / conditions times: no control arm is needed, and a task
counts by its number of independent contrasts. Only conditions that were asked on the same scale are compared.
"""

from dataclasses import dataclass

import numpy as np
import polars as pl

from socrates_fast.evaluate.cells import Cells
from socrates_fast.evaluate.ragged import Bools, Floats, Ints, weighted_count
from socrates_fast.evaluate.spread import NO_SPREAD, moments
from socrates_fast.evaluate.uncertainty import Estimate, divide, ratio

CLEAR = 1.96
"""Standard errors from which on a human difference clearly has a sign."""
ROUNDING = 1e-9
"""Effects below this many standard deviations are of the order in which numbers were added."""
PERMUTATIONS, SEED = 1000, 20_250_905


@dataclass(frozen=True)
class Tasks:
    """The tasks with two or more conditions.

    Attributes:
        cell: the cells that take part, sorted by task; shape (e,).
        task: which task each belongs to; shape (e,).
        conditions: number of conditions of each task; shape (t,).
        study: the study of each task; shape (t,).
        unit: standard deviation of human answers within conditions of each task, in the answer's unit; shape (t,).
        human: effects of those cells, in units; shape (e,).
        error: standard errors of their mean answers, in units; shape (e,).
    """

    cell: Ints
    task: Ints
    conditions: Ints
    study: Ints
    unit: Floats
    human: Floats
    error: Floats

    def effects(self, mean: Floats) -> Floats:
        """Effects of mean answers, (c,), in units; shape (e,). What is only rounding is 0, so that no slope is made of it."""
        found = _centred(mean[self.cell] / self.unit[self.task], self.task, self.conditions)
        return np.where(np.abs(found) < ROUNDING, 0.0, found)


def read_tasks(cells: Cells, eligible: Bools) -> Tasks:
    """The tasks of those cells that are ``eligible``, (c,), and whose people do not all answer alike."""
    human = cells.human
    people, mean, variance = moments(
        human.cell, human.answer, human.count.astype(np.float64), len(cells.people)
    )
    usable = np.flatnonzero(eligible & (cells.people >= 2))
    task = _task_of(cells)[usable]
    usable, task = _with_others(usable, task)
    number = len(np.unique(task))
    inside = weighted_count(task, people[usable] * variance[usable], number)
    freedom = weighted_count(task, people[usable] - 1.0, number)
    unit = np.sqrt(divide(inside, freedom))
    usable, task = _with_others(usable[unit[task] > NO_SPREAD], task[unit[task] > NO_SPREAD])
    unit, conditions = unit[unit > NO_SPREAD], np.bincount(task)
    study = np.zeros(len(conditions), np.int64)
    study[task] = cells.study[usable]
    sample = variance[usable] / (people[usable] - 1)  # = s^2 / n
    effects = _centred(mean[usable] / unit[task], task, conditions)
    return Tasks(usable, task, conditions, study, unit, effects, np.sqrt(sample) / unit[task])


def _task_of(cells: Cells) -> Ints:
    """A number for each cell that conditions of one task on the same scale share; shape (c,)."""
    keys = cells.keys.select("study_id", "task_num").with_columns(
        scale=pl.Series(cells.scale), low=pl.Series(cells.low), span=pl.Series(cells.span)
    )
    return keys.select(pl.struct(pl.all()).rank("dense").cast(pl.Int64) - 1).to_series().to_numpy()


def _with_others(cell: Ints, task: Ints) -> tuple[Ints, Ints]:
    """The cells whose task has at least one other cell, sorted by task, and their tasks numbered anew."""
    several = np.bincount(task, minlength=1)[task] >= 2 if len(task) else np.zeros(0, bool)
    cell, task = cell[several], task[several]
    order = np.argsort(task, kind="stable")
    _, numbered = np.unique(task[order], return_inverse=True)
    return cell[order], numbered.astype(np.int64)


def _centred(value: Floats, task: Ints, conditions: Ints) -> Floats:
    return value - (weighted_count(task, value, len(conditions)) / conditions)[task]


def effect_estimates(tasks: Tasks, mean: Floats) -> dict[str, Estimate]:
    """The figures of predicted effects; their units are tasks.

    ``effects.correlation``  of predicted and human effects, through the origin: sum pq / sqrt(sum pp * sum qq)
    ``effects.slope``        human effect for one unit of predicted effect: below 1, effects are predicted too large
    ``effects.sign``         share of pairs of conditions whose difference has the right sign; a predicted tie is half
    ``effects.sign_clear``   the same among pairs whose human difference is at least 1.96 standard errors
    ``effects.sensitivity``  spread of predicted effects over that of human ones, less what sampling people adds; 0 is
                             a model that does not see the condition

    Args:
        tasks: the human side.
        mean: predicted mean answer of every cell; shape (c,).
    """
    predicted = tasks.effects(mean)
    number = len(tasks.conditions)
    both, own, human = (
        weighted_count(tasks.task, one * other, number)
        for one, other in ((predicted, tasks.human), (predicted, predicted), (tasks.human, tasks.human))
    )
    sums = np.stack([both, own, human, noise(tasks)], axis=1)
    agree = _agreement(tasks, predicted)
    return {
        "effects.correlation": Estimate(sums, effect_correlation),
        "effects.slope": Estimate(sums[:, :2], ratio),
        "effects.sensitivity": Estimate(sums, sensitivity),
        "effects.sign": Estimate(agree[:, :2], ratio),
        "effects.sign_clear": Estimate(agree[:, 2:], ratio),
    }


def ceiling_estimates(tasks: Tasks) -> dict[str, Estimate]:
    """What a perfect prediction of the true effects would reach with as many people; units are tasks.

    Its correlation with the human effects is the square root of their reliability, 1 - noise / (sum of squares).
    """
    human = weighted_count(tasks.task, tasks.human**2, len(tasks.conditions))
    sums = np.stack([human, noise(tasks)], axis=1)
    return {"effects.correlation": Estimate(sums, root_of_reliability)}


def noise(tasks: Tasks) -> Floats:
    """What sampling people adds to the sum of squared human effects of each task: sum of (1 - 1/k) se^2; shape (t,)."""
    each = (1.0 - 1.0 / tasks.conditions[tasks.task]) * tasks.error**2
    return weighted_count(tasks.task, each, len(tasks.conditions))


def effect_correlation(sums: Floats) -> Floats:
    """Correlation through the origin from columns pq, pp, qq; nan where one side has no effects."""
    scale = np.sqrt(np.maximum(sums[..., 1], 0.0) * np.maximum(sums[..., 2], 0.0))
    return np.clip(divide(sums[..., 0], np.where(scale > NO_SPREAD, scale, 0.0)), -1.0, 1.0)


def sensitivity(sums: Floats) -> Floats:
    """Spread of predicted over that of human effects without noise, from columns pq, pp, qq, noise."""
    real = sums[..., 2] - sums[..., 3]
    return np.sqrt(divide(np.maximum(sums[..., 1], 0.0), np.maximum(real, 0.0)))


def root_of_reliability(sums: Floats) -> Floats:
    """Square root of 1 - noise / (sum of squares), from columns qq, noise."""
    return np.sqrt(np.maximum(1.0 - divide(sums[..., 1], sums[..., 0]), 0.0))


def permutation_p(
    tasks: Tasks, mean: Floats, permutations: int = PERMUTATIONS, seed: int = SEED
) -> float | None:
    """Chance that predictions which do not know the conditions correlate with human effects as highly; None if undefined.

    Conditions are permuted within studies, alike in all tasks of a study, as one manipulation acts on all of them.
    One-sided: (1 + permutations at least as high) / (1 + permutations).
    """
    predicted = tasks.effects(mean)
    if not predicted.any() or not tasks.human.any():
        return None
    arm = _arms(tasks)
    rng = np.random.default_rng(seed)
    reached = predicted @ tasks.human
    high: int = 0
    for _ in range(permutations):
        # Tasks stay in their order, for what is added to their numbers is below 1.
        shuffled = np.argsort(tasks.task + rng.random(int(arm.max()) + 1)[arm])
        high += bool(predicted[shuffled] @ tasks.human >= reached - NO_SPREAD)
    return (1 + high) / (1 + permutations)


def _arms(tasks: Tasks) -> Ints:
    """The place of each cell among the conditions of its task, apart by study; shape (e,)."""
    start = np.cumsum(tasks.conditions) - tasks.conditions
    place = np.arange(len(tasks.task)) - start[tasks.task]
    return tasks.study[tasks.task] * int(tasks.conditions.max()) + place


def pairs(tasks: Tasks) -> tuple[Ints, Ints]:
    """All pairs of conditions of a task, as places in ``tasks.cell``; each (pairs,)."""
    start = np.cumsum(tasks.conditions) - tasks.conditions
    found = [np.zeros((2, 0), np.int64)]
    for size in np.unique(tasks.conditions):
        first, second = np.triu_indices(int(size), 1)
        at = start[tasks.conditions == size, None]
        found.append(np.stack([(at + first).ravel(), (at + second).ravel()]))
    one, other = np.concatenate(found, axis=1)
    return one, other


def _agreement(tasks: Tasks, predicted: Floats) -> Floats:
    """Per task, weighted pairs of the right sign and all pairs, then the same of clear pairs; shape (t, 4)."""
    one, other = pairs(tasks)
    human, model = tasks.human[one] - tasks.human[other], predicted[one] - predicted[other]
    model = np.where(np.abs(model) < ROUNDING, 0.0, model)
    weight = 2.0 / tasks.conditions[tasks.task[one]] * (np.abs(human) > NO_SPREAD)
    right = (1.0 + np.sign(human) * np.sign(model)) / 2.0
    clear = np.abs(human) >= CLEAR * np.hypot(tasks.error[one], tasks.error[other])
    columns = [weight * right, weight, weight * right * clear, weight * clear]
    return np.stack(
        [weighted_count(tasks.task[one], column, len(tasks.conditions)) for column in columns], axis=1
    )


def effects_frame(cells: Cells, tasks: Tasks, mean: Floats) -> pl.DataFrame:
    """One line for each pair of conditions of a task: both differences, and what people's is worth.

    Columns: study_id, task_num, ``condition`` and ``other`` (the difference is the first minus the second), ``people``
    and ``other_people``, ``human`` and ``predicted`` difference of mean answers in standard deviations of the task's
    human answers within conditions, ``error`` (standard error of ``human``), ``unit`` (that deviation, in the
    answer's unit).
    """
    one, other = pairs(tasks)
    order = np.lexsort((other, one))
    one, other = one[order], other[order]
    predicted = tasks.effects(mean)
    condition = cells.keys["condition_num"].to_numpy()
    first, second = tasks.cell[one], tasks.cell[other]
    return cells.keys[first].select("study_id", "task_num").with_columns(
        condition=pl.Series(condition[first]), other=pl.Series(condition[second]),
        people=pl.Series(cells.people[first]), other_people=pl.Series(cells.people[second]),
        human=pl.Series(tasks.human[one] - tasks.human[other]),
        predicted=pl.Series(predicted[one] - predicted[other]),
        error=pl.Series(np.hypot(tasks.error[one], tasks.error[other])),
        unit=pl.Series(tasks.unit[tasks.task[one]]),
    )  # fmt: skip
