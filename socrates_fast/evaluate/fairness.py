"""Errors by demographic group: how much worse the predictions are for some people than for others.

This is a difference of errors between groups. It is not the "demographic parity difference" of the SOCRATES paper,
whose definition no source gives.
"""

from typing import Any

import numpy as np

from socrates_fast.evaluate.answers import Answers
from socrates_fast.evaluate.metrics import row_wasserstein
from socrates_fast.evaluate.predictions import Block
from socrates_fast.evaluate.ragged import Bools, Floats, Ints, weighted_count
from socrates_fast.evaluate.tally import mixture_of
from socrates_fast.evaluate.uncertainty import (
    Estimate,
    Sampled,
    Sampler,
    combine,
    mean_of_studies,
    ratio_of_sums,
)
from socrates_fast.evaluate.wasserstein import expected_wasserstein

LEAST_ROWS = 100
"""Rows below which a group's error is shown but not compared with others'."""
LEAST_PEOPLE = 20
"""People of a group that a cell needs for a distance between their answers and the predictions for them."""


class GroupTally:
    """Sums of one predictor's errors by group and cell.

    Args:
        answers: the rows, with their groups.
    """

    def __init__(self, answers: Answers) -> None:
        self._answers = answers
        cells = answers.cells
        self._place = np.zeros(len(cells.people), np.int64)
        """Of each cell among those on its scale."""
        self._first: dict[str, int] = {}
        """Of each field, where its levels begin among those of all fields."""
        self._levels = 0
        for name, grouping in answers.groups.items():
            self._first[name] = self._levels
            self._levels += len(grouping.levels)
        self._predicted: list[Floats] = []
        """By scale, summed predictions for each level in each of its cells; (cells * levels, k)."""
        for number, values in enumerate(cells.scales):
            own = np.flatnonzero(cells.scale == number)
            self._place[own] = np.arange(len(own))
            self._predicted.append(np.zeros((len(own) * self._levels, len(values))))
        self._errors: Floats = np.zeros(answers.height)

    def add(self, block: Block) -> None:
        """Take in rows."""
        cell, fields = self._answers.cell[block.rows], self._answers.groups.items()
        place = self._place[cell] * self._levels
        level = np.stack([grouping.code[block.rows] for _, grouping in fields], axis=1)
        group = place[:, None] + np.array([self._first[name] for name, _ in fields]) + level
        known = level >= 0
        which, sums = mixture_of(group[known], block.probabilities, np.cumsum(known.sum(axis=1)))
        self._predicted[self._answers.cells.scale[cell[0]]][which] += sums

    def judge(self, errors: Floats) -> None:
        """Take in the errors of the expected answers of all rows, as shares of the range; shape (n,)."""
        self._errors = errors

    def figures(self, sampler: Sampler, chosen: Bools, studies: int) -> dict[str, Any]:
        """Per field: the figures of each level, and the largest gap between two levels of ``LEAST_ROWS`` rows.

        Args:
            sampler: draws of the chosen cells.
            chosen: the cells that count; shape (c,).
            studies: number of studies.
        """
        return {name: self._field(name, sampler, chosen, studies) for name in self._answers.groups}

    def _field(self, name: str, sampler: Sampler, chosen: Bools, studies: int) -> dict[str, Any]:
        cells, levels = self._answers.cells, self._answers.groups[name].levels
        errors, rows = self._sums(name)
        distance, floors = self._distances(name)
        estimates: dict[tuple[int, str], Estimate] = {}
        for number in range(len(levels)):
            estimates[number, "mae"] = ratio_of_sums(errors[number], rows[number])
            for key, each in (("wasserstein", distance), ("wasserstein.floor", floors)):
                figure = np.where(chosen, each[number], np.nan)
                estimates[number, key] = mean_of_studies(cells.study, figure, studies)
        everything = sampler.sample({key: one.of(chosen) for key, one in estimates.items()})
        found, compared = {}, {}
        for number, level in enumerate(levels):
            sampled = {key: one for (place, key), one in everything.items() if place == number}
            count = int(rows[number][chosen].sum())
            found[level] = {
                "rows": count, "cells": int(np.isfinite(distance[number])[chosen].sum()),
                **{key: one.figure() for key, one in sampled.items()},
            }  # fmt: skip
            if count >= LEAST_ROWS:
                compared[level] = sampled
        return {"levels": found, **{f"gap.{key}": _gap(compared, key) for key in ("mae", "wasserstein")}}

    def _distances(self, name: str) -> tuple[Floats, Floats]:
        """Distance and floor of each level in each cell, as shares of the stated range; nan for few people; (levels, c)."""
        cells, levels = self._answers.cells, len(self._answers.groups[name].levels)
        distance, floors = (np.full((levels, len(cells.people)), np.nan) for _ in range(2))
        counts = self._counts(name)
        for number, values in enumerate(cells.scales):
            own = np.flatnonzero(cells.scale == number)
            given = self._given(number, counts, len(own))
            people = given.sum(axis=1)
            enough = np.flatnonzero(people >= LEAST_PEOPLE)
            if not len(enough):
                continue
            cell, level = own[enough // levels], enough % levels
            predicted = self._predicted[number][enough // levels * self._levels + self._first[name] + level]
            shares = predicted / predicted.sum(axis=1, keepdims=True) - given[enough] / people[enough, None]
            distance[level, cell] = row_wasserstein(values, shares) / cells.span[cell]
            floors[level, cell] = _floors(values, given[enough]) / cells.span[cell]
        return distance, floors

    def _sums(self, name: str) -> tuple[Floats, Floats]:
        """Summed errors and number of the rows of each level in each cell; each (levels, c)."""
        cells, grouping = len(self._answers.cells.people), self._answers.groups[name]
        known = np.flatnonzero(grouping.code >= 0)
        index = grouping.code[known].astype(np.int64) * cells + self._answers.cell[known]
        shape = (len(grouping.levels), cells)
        errors = weighted_count(index, self._errors[known], shape[0] * cells)
        return errors.reshape(shape), np.bincount(index, minlength=shape[0] * cells).astype(float).reshape(
            shape
        )

    def _counts(self, name: str) -> Ints:
        """How many people of each level gave each of the cells' distinct answers; (h, levels)."""
        grouping, answers = self._answers.groups[name], len(self._answers.cells.human.cell)
        known, levels = np.flatnonzero(grouping.code >= 0), len(grouping.levels)
        index = self._answers.given[known] * levels + grouping.code[known]
        return np.bincount(index, minlength=answers * levels).reshape(answers, levels)

    def _given(self, scale: int, counts: Ints, cells: int) -> Ints:
        """The same for the allowed answers of the cells on one scale; (cells * levels, k)."""
        of = self._answers.cells
        allowed, place = of.on_scale
        some = np.flatnonzero(allowed & (of.scale[of.human.cell] == scale))
        cell = of.human.cell[some]
        given = np.zeros((cells, counts.shape[1], len(of.scales[scale])), np.int64)
        given[self._place[cell], :, place[some] - of.shape.starts[cell]] = counts[some]
        return given.reshape(-1, given.shape[-1])


def _floors(values: Floats, given: Ints) -> Floats:
    """Expected distance of resamples, in the answer's unit; ``given`` are counts of answers, (g, k)."""
    group, answer = np.nonzero(given)
    return expected_wasserstein(group, values[answer], given[group, answer], len(given))


def _gap(levels: dict[str, dict[str, Sampled]], key: str) -> dict[str, Any]:
    """The largest difference between two levels, with which they are; null if fewer than two can be compared."""
    known = {level: one[key] for level, one in levels.items() if np.isfinite(one[key].value)}
    if len(known) < 2:
        return {"value": None}
    worst, best = (choose(known, key=lambda level: known[level].value) for choose in (max, min))
    gap = combine(lambda one, other: one - other, [known[worst], known[best]])
    return {**gap.figure(), "worst": worst, "best": best}
