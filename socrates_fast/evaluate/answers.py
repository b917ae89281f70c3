"""A prepared frame as arrays: people's answers by row and by cell.

Everything that would make the figures wrong without anyone noticing is refused here: rows without a scale, a scale
that differs inside a cell (``leave_out_mixed`` takes such cells out first), rows that occur twice.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import polars as pl

from socrates_fast.data.schema import CELL, INTEGER_FIELDS
from socrates_fast.errors import DataError
from socrates_fast.evaluate.cells import Cells, HumanAnswers, read_cells
from socrates_fast.evaluate.checks import KEYS, SCALE, cell_name, check_rows, floats, read_probabilities
from socrates_fast.evaluate.groups import Grouping, read_groups
from socrates_fast.evaluate.numbers import differs, key_of, numbered
from socrates_fast.evaluate.ragged import Bools, Floats, Ints, Ragged


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
    columns = pl.col(*KEYS, "response", *SCALE, "open", "truth")
    return [columns, pl.struct(people).alias("demographic")] if people else [columns]


def read_answers(rows: pl.DataFrame, groups: Sequence[str] = ()) -> Answers:
    """Arrays of a prepared frame (columns of ``data.schema.PREPARED``; those of ``checks.UNUSED`` may be absent).

    Args:
        rows: ``values`` is null where every integer from ``low`` to ``high`` is allowed.
        groups: fields of ``demographic`` whose levels are told apart.

    Raises:
        DataError: no rows; a missing column; a row without scale or answer; ``values`` not ascending; two different
            scales in one cell.
    """
    check_rows(rows)
    cell, first, mixed = _by_cell(rows)
    cells = rows.select(*CELL, *SCALE)[first]
    if mixed.any():
        raise DataError(
            f"rows: {cell_name(cells.select(CELL).row(int(np.argmax(mixed))))} has different scales; the answers of a cell "
            "must share one scale, so give each scale its own task_num"
        )
    response = floats(rows["response"])
    given, people = numbered(key_of(rows.select(pl.Series("cell", cell), "response"), ("cell", "response")))
    human = HumanAnswers(cell[people], response[people], np.bincount(given))
    read = read_cells(cells, human)
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
    for name in SCALE:
        mixed |= differs(rows[name], cell, first)
    return cell, first, mixed
