"""What people answered, by cell."""

from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise

import numpy as np
import polars as pl

from socrates_fast.data.schema import CELL
from socrates_fast.errors import DataError
from socrates_fast.evaluate.checks import SCALE, cell_name, floats
from socrates_fast.evaluate.ragged import Bools, Floats, Ints, Ragged, weighted_count


@dataclass(frozen=True)
class HumanAnswers:
    """The distinct answers of each cell, sorted by cell and answer; all arrays have shape (h,)."""

    cell: Ints
    answer: Floats
    count: Ints


@dataclass(frozen=True)
class Cells:
    """The cells, sorted by their key.

    Attributes:
        keys: the columns of ``CELL``; one line a cell.
        study: index into ``Answers.studies``; shape (c,).
        people: number of human answers; shape (c,).
        low: stated smallest answer; shape (c,).
        span: stated range, high - low, above 0; shape (c,).
        scale: index into ``scales``; shape (c,).
        scales: the different lists of allowed answers, each ascending.
        human: what people answered.
    """

    keys: pl.DataFrame
    study: Ints
    people: Ints
    low: Floats
    span: Floats
    scale: Ints
    scales: tuple[Floats, ...]
    human: HumanAnswers

    @cached_property
    def shape(self) -> Ragged:
        """How many allowed answers each cell has."""
        return Ragged(np.array([len(scale) for scale in self.scales], np.int64)[self.scale])

    @cached_property
    def values(self) -> Floats:
        """The allowed answers of all cells end to end, ascending within a cell; shape (s,)."""
        return np.concatenate([self.scales[scale] for scale in self.scale])

    @cached_property
    def observed(self) -> tuple[Floats, Floats]:
        """Smallest and largest answer that people gave in each cell; each (c,)."""
        first = np.searchsorted(self.human.cell, np.arange(len(self.people)))
        last = np.searchsorted(self.human.cell, np.arange(len(self.people)), side="right") - 1
        return self.human.answer[first], self.human.answer[last]

    @cached_property
    def on_scale(self) -> tuple[Bools, Ints]:
        """Of each distinct answer whether it is an allowed one, and which of ``values`` that is; each (h,)."""
        human, found, place = (
            self.human,
            np.zeros(len(self.human.cell), bool),
            np.zeros(len(self.human.cell), np.int64),
        )
        kinds = self.scale[human.cell]
        for number, values in enumerate(self.scales):
            chosen = np.flatnonzero(kinds == number)
            index = np.searchsorted(values, human.answer[chosen]).clip(max=len(values) - 1)
            found[chosen] = values[index] == human.answer[chosen]
            place[chosen] = self.shape.starts[human.cell[chosen]] + index
        return found, place

    @cached_property
    def counts(self) -> Floats:
        """How many people gave each allowed answer; shape (s,)."""
        allowed, place = self.on_scale
        return weighted_count(place[allowed], self.human.count[allowed].astype(np.float64), len(self.values))

    def of_people(self, count: Ints) -> "Cells":
        """The same cells as answered by some of the people: how often each of ``human``'s answers was given; (h,)."""
        people = weighted_count(self.human.cell, count.astype(np.float64), len(self.people)).astype(np.int64)
        return replace(self, people=people, human=replace(self.human, count=count))


def read_cells(cells: pl.DataFrame, human: HumanAnswers) -> Cells:
    """The cells of a frame with one line a cell (``CELL``, ``low``, ``high``, ``values``).

    Raises:
        DataError: ``values`` not ascending.
    """
    scale, scales = _read_scales(cells)
    studies = cells["study_id"].unique().sort()
    return Cells(
        keys=cells.select(CELL),
        study=np.searchsorted(studies.to_numpy(), cells["study_id"].to_numpy()),
        people=weighted_count(human.cell, human.count.astype(np.float64), cells.height).astype(np.int64),
        low=floats(cells["low"]),
        span=floats(cells["high"] - cells["low"]),
        scale=scale,
        scales=scales,
        human=human,
    )


def _read_scales(cells: pl.DataFrame) -> tuple[Ints, tuple[Floats, ...]]:
    """Which of the different scales each cell has, and their answers."""
    known: dict[tuple[int, ...], int] = {}
    stated: dict[tuple[int, ...], int] = {}
    scale = []
    for *key, low, high, values in cells.select(*CELL, *SCALE).iter_rows():
        said = (low, high, *(values or ()))
        if said not in stated:
            allowed = tuple(range(low, high + 1) if values is None else values)
            if any(later <= earlier for earlier, later in pairwise(allowed)):
                raise DataError(
                    f"rows: the allowed answers (values) of {cell_name(key)} are not in ascending order"
                )
            stated[said] = known.setdefault(allowed, len(known))
        scale.append(stated[said])
    return np.array(scale, np.int64), tuple(np.array(allowed, np.float64) for allowed in known)
