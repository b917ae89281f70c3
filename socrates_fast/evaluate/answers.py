"""A prepared frame as arrays: people's answers by row and by cell.

Everything that would make the figures wrong without anyone noticing is refused here: rows without a scale, a scale
that differs inside a cell (``leave_out_mixed`` takes such cells out first), rows that occur twice.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise

import numpy as np
import polars as pl

from socrates_fast.data.schema import CELL, INTEGER_FIELDS, PREPARED
from socrates_fast.errors import DataError
from socrates_fast.evaluate.groups import Grouping, read_groups
from socrates_fast.evaluate.numbers import any_twice, differs, key_of, numbered
from socrates_fast.evaluate.ragged import Bools, Floats, Ints, Ragged, weighted_count

KEYS = (*CELL, "participant", "sample_id")
"""What identifies a row, in prepared frames and in predictions."""

SUM_TOLERANCE = 1e-4
"""Probabilities whose sum is further than this from 1 are refused; nearer ones are normalised."""

_SCALE = ("low", "high", "values")
_UNUSED = ("truth", "demographic", "stimuli", "open")


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


@dataclass(frozen=True)
class Answers:
    """Human answers, their scales and, if known, their true distributions.

    Attributes:
        keys: the columns of ``KEYS``; one line a row.
        studies: names of the studies, sorted.
        cell: index into ``cells``; shape (n,).
        response: the human answer; shape (n,).
        given: which of the cells' distinct answers (``cells.human``) that is; shape (n,).
        truth: true probabilities of the allowed answers, of all rows end to end; None unless every row has them.
        rows_with_truth: number of rows that have them.
        cells: the same answers by cell.
        groups: who the rows' people are, by demographic field.
    """

    keys: pl.DataFrame
    studies: tuple[str, ...]
    cell: Ints
    response: Floats
    given: Ints
    truth: Floats | None
    rows_with_truth: int
    cells: Cells
    groups: dict[str, Grouping]

    @property
    def height(self) -> int:
        """Number of rows, n."""
        return len(self.cell)

    @cached_property
    def sha256(self) -> str:
        """What identifies rows, answers and scales, whatever the rows' order."""
        order = np.lexsort((self.keys["sample_id"].to_numpy(), self.cell))
        digest = hashlib.sha256(self.cells.keys.write_csv().encode())
        for column in (
            self.cell,
            self.response,
            self.keys["sample_id"].to_numpy(),
            self.keys["participant"].to_numpy(),
        ):
            digest.update(np.ascontiguousarray(column[order]).tobytes())
        for part in (self.cells.low, self.cells.span, self.cells.values):
            digest.update(part.tobytes())
        return digest.hexdigest()

    @cached_property
    def shape(self) -> Ragged:
        """How many allowed answers each row has."""
        return Ragged(self.cells.shape.lengths[self.cell])


def needed(groups: Sequence[str] = ()) -> list[pl.Expr]:
    """What ``read_answers`` needs of prepared rows: selected in a scan, millions of them take a third of the memory."""
    people = [
        field if name in INTEGER_FIELDS else field.cast(pl.Categorical)
        for name in groups
        for field in (pl.col("demographic").struct.field(name),)
    ]
    columns = pl.col(*KEYS, "response", *_SCALE, "open", "truth")
    return [columns, pl.struct(people).alias("demographic")] if people else [columns]


def read_answers(rows: pl.DataFrame, groups: Sequence[str] = ()) -> Answers:
    """Arrays of a prepared frame (columns of ``data.schema.PREPARED``; those of ``_UNUSED`` may be absent).

    Args:
        rows: ``values`` is null where every integer from ``low`` to ``high`` is allowed.
        groups: fields of ``demographic`` whose levels are told apart.

    Raises:
        DataError: no rows; a missing column; a row without scale or answer; ``values`` not ascending; two different
            scales in one cell.
    """
    check_rows(rows)
    cell, first, mixed = _by_cell(rows)
    cells = rows.select(*CELL, *_SCALE)[first]
    if mixed.any():
        raise DataError(
            f"rows: {cell_name(cells.select(CELL).row(int(np.argmax(mixed))))} has different scales; the answers of a cell "
            "must share one scale, so give each scale its own task_num"
        )
    response = floats(rows["response"])
    given, people = numbered(key_of(rows.select(pl.Series("cell", cell), "response"), ("cell", "response")))
    human = HumanAnswers(cell[people], response[people], np.bincount(given))
    read = _read_cells(cells, human)
    with_truth = rows["truth"].count() if "truth" in rows.columns else 0
    truth = None
    if with_truth == rows.height:
        truth = read_probabilities(rows, "truth", Ragged(read.shape.lengths[cell]))
    return Answers(
        keys=rows.select(KEYS), studies=tuple(cells["study_id"].unique().sort()), cell=cell, response=response, given=given,
        truth=truth, rows_with_truth=with_truth, cells=read, groups=read_groups(rows, groups),
    )  # fmt: skip


def leave_out_mixed(rows: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The rows of cells with one scale; and the other cells, with their number of ``rows``.

    People who were asked on different scales have no common distribution: such a cell is two questions.
    """
    cell, first, mixed = _by_cell(rows)
    people = np.bincount(cell, minlength=len(first))[mixed]
    left_out = rows.select(CELL)[first[mixed]].with_columns(rows=pl.Series(people))
    return (rows.filter(~mixed[cell]) if mixed.any() else rows), left_out


def _by_cell(rows: pl.DataFrame) -> tuple[Ints, Ints, Bools]:
    """The cell of each row, (n,), numbered in their order; of each cell the first row and if it has several scales, (c,)."""
    cell, first = numbered(key_of(rows, CELL))
    mixed = np.zeros(len(first), bool)
    for name in _SCALE:
        mixed |= differs(rows[name], cell, first)
    return cell, first, mixed


def _read_cells(cells: pl.DataFrame, human: HumanAnswers) -> Cells:
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
    for *key, low, high, values in cells.select(*CELL, *_SCALE).iter_rows():
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


def read_probabilities(frame: pl.DataFrame, column: str, shape: Ragged) -> Floats:
    """A column of probabilities as one array, normalised.

    Raises:
        DataError: another number of them than ``shape`` says, or no probabilities.
    """
    lengths = frame[column].list.len().fill_null(0).to_numpy()
    refuse(frame, lengths != shape.lengths, f"another number of {column} than of allowed answers")
    probabilities = floats(frame[column].list.explode())
    bad = ~(np.isfinite(probabilities) & (probabilities >= 0))
    if bad.any():
        refuse(
            frame,
            np.bincount(shape.owner[bad], minlength=frame.height) > 0,
            f"{column} that are negative or not a number",
        )
    total = shape.total(probabilities)
    refuse(frame, np.abs(total - 1) > SUM_TOLERANCE, f"{column} that do not sum to 1")
    return probabilities / np.repeat(total, shape.lengths)


def check_rows(rows: pl.DataFrame) -> None:
    """Refuse rows that cannot be evaluated.

    Raises:
        DataError: with the first of them.
    """
    require_columns(rows, [name for name in PREPARED if name not in _UNUSED], "rows")
    if rows.height == 0:
        raise DataError("there are no rows to evaluate; look at the split and at the filters of the recipe")
    refuse(rows, rows["response"].is_null().to_numpy(), "no answer (response is null)")
    unscaled = (rows["low"].is_null() | rows["high"].is_null()).to_numpy()
    if "open" in rows.columns:
        unscaled = unscaled | rows["open"].fill_null(False).to_numpy()
    empty = (rows["values"].list.len() == 0).fill_null(False).to_numpy()
    refuse(rows, unscaled | empty, "no list of allowed answers (an open question, or values is empty)")
    refuse(
        rows,
        (rows["high"] <= rows["low"]).to_numpy(),
        "a stated range without width (low must be below high)",
    )
    if any_twice(key_of(rows, ("study_id", "sample_id"))):
        raise DataError("rows: (study_id, sample_id) must name one row, and some occur more than once")


def require_columns(frame: pl.DataFrame, names: Sequence[str], what: str) -> None:
    """Refuse a frame that lacks columns.

    Raises:
        DataError: with those that are missing.
    """
    missing = [name for name in names if name not in frame.columns]
    if missing:
        raise DataError(f"{what}: missing column(s) {', '.join(missing)}; found {', '.join(frame.columns)}")


def refuse(frame: pl.DataFrame, bad: Bools, fault: str) -> None:
    """Refuse rows if any is bad.

    Raises:
        DataError: with their number and the first one's name.
    """
    if bad.any():
        raise DataError(
            f"{int(bad.sum())} row(s) have {fault}; the first is {row_name(frame, int(np.argmax(bad)))}"
        )


def row_name(frame: pl.DataFrame, row: int) -> str:
    """What people call a row."""
    return f"study {frame['study_id'][row]}, sample {frame['sample_id'][row]}"


def cell_name(key: Sequence[object]) -> str:
    """What people call a cell; ``key`` holds the columns of ``CELL``."""
    return f"study {key[0]}, condition {key[1]}, task {key[2]}"


def floats(column: pl.Series) -> Floats:
    """A column of numbers as float64."""
    return column.cast(pl.Float64).to_numpy()
