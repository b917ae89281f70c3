"""What an adapter does to the rows of one tensor, a slab at a time.

Edits are applied in order, each to what the one before left. They change the slab they are given, and may be used by
several threads at once.
"""

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from math import prod
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from socrates_export.source.safetensors import SLAB_BYTES, StoredTensor

Rows = NDArray[np.float32]


class RowSource(Protocol):
    """Where the rows of a tensor come from."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Rows first."""
        ...

    def rows(self, start: int, stop: int) -> Rows:
        """Rows ``start`` to ``stop`` (not included), float32, a copy of the caller's own."""
        ...


class Edit(Protocol):
    """Something that is done to a tensor's rows."""

    def apply(self, rows: Rows, start: int) -> None:
        """Change ``rows``, of which the first is the tensor's row ``start``."""
        ...


@dataclass(frozen=True)
class EditedTensor:
    """A tensor after its edits.

    Attributes:
        source: the rows before.
        edits: what is done to them, in order.
    """

    source: RowSource
    edits: tuple[Edit, ...] = ()

    @property
    def shape(self) -> tuple[int, ...]:
        """Rows first."""
        return self.source.shape

    def rows(self, start: int, stop: int) -> Rows:
        """Rows ``start`` to ``stop`` (not included).

        Raises:
            ModelError: a file ends before the rows do.
        """
        rows = self.source.rows(start, stop)
        for edit in self.edits:
            edit.apply(rows, start)
        return rows

    def slabs(self) -> Iterator[Rows]:
        """All rows, slab after slab."""
        count = max(1, SLAB_BYTES // (4 * max(1, prod(self.shape[1:]))))
        for start in range(0, self.shape[0], count):
            yield self.rows(start, min(start + count, self.shape[0]))


@dataclass(frozen=True)
class LoraPair:
    """scale * B @ A is added. Read from the adapter when it is first needed, and kept.

    Attributes:
        stored_a: shape (r, in); of an embedding its B, shape (width, r).
        stored_b: shape (out, r); of an embedding its A, shape (r, tokens).
        scale: the factor before B @ A.
        embedding: whether the two are those of an embedding, whose delta PEFT transposes.
    """

    stored_a: StoredTensor
    stored_b: StoredTensor
    scale: float
    embedding: bool = False

    @property
    def shape(self) -> tuple[int, int]:
        """Shape of the base tensor that it fits: (out, in)."""
        a, b = self.stored_a.shape, self.stored_b.shape
        return (b[1], a[0]) if self.embedding else (b[0], a[1])

    @cached_property
    def a(self) -> Rows:
        """float32, shape (r, in)."""
        whole = self.stored_a.whole()
        return np.ascontiguousarray(whole.T) if self.embedding else whole

    @cached_property
    def b(self) -> Rows:
        """float32, shape (out, r), multiplied by the scale."""
        whole = self.stored_b.whole()
        return np.ascontiguousarray(whole.T if self.embedding else whole) * np.float32(self.scale)

    def delta(self, start: int, stop: int) -> Rows:
        """Rows ``start`` to ``stop`` of scale * B @ A, float32, shape (stop - start, in)."""
        return self.b[start:stop] @ self.a

    def apply(self, rows: Rows, start: int) -> None:
        """Add the delta."""
        rows += self.delta(start, start + len(rows))


@dataclass(frozen=True)
class Shift:
    """A vector is added: the bias of lora_B, times its scale."""

    vector: StoredTensor
    scale: float

    @cached_property
    def _values(self) -> Rows:
        return self.vector.whole() * np.float32(self.scale)

    def apply(self, rows: Rows, start: int) -> None:
        """Add it."""
        rows += self._values[start : start + len(rows)]


@dataclass(frozen=True)
class TokenRows:
    """Some rows are replaced: tokens of an embedding that were trained alone.

    Attributes:
        tokens: which rows.
        values: shape (tokens, width).
    """

    tokens: tuple[int, ...]
    values: StoredTensor

    @cached_property
    def _values(self) -> Rows:
        return self.values.whole()

    def apply(self, rows: Rows, start: int) -> None:
        """Replace those that are in the slab."""
        for index, token in enumerate(self.tokens):
            if start <= token < start + len(rows):
                rows[token - start] = self._values[index]


@dataclass(frozen=True)
class RowMagnitudes:
    """DoRA of a linear layer: every row gets the length that was trained (Liu et al. 2024, arXiv:2402.09353).

    Attributes:
        magnitudes: shape (rows,).
    """

    magnitudes: StoredTensor

    @cached_property
    def _values(self) -> Rows:
        return self.magnitudes.whole()

    def apply(self, rows: Rows, start: int) -> None:
        """Scale each row."""
        rows *= _ratio(self._values[start : start + len(rows)], np.linalg.norm(rows, axis=1))[:, None]


@dataclass(frozen=True)
class ColumnMagnitudes:
    """DoRA of an embedding: PEFT gives every *column* the length that was trained, over all tokens.

    The columns' lengths before need one pass over the whole embedding, which is made when they are first asked for.

    Attributes:
        magnitudes: shape (columns,).
        before: the embedding without this edit.
    """

    magnitudes: StoredTensor
    before: EditedTensor
    _lock: threading.Lock = field(default_factory=threading.Lock, compare=False, repr=False)

    @cached_property
    def _factors(self) -> Rows:
        squares = np.zeros(self.before.shape[1])
        for rows in self.before.slabs():
            squares += np.square(rows, dtype=np.float64).sum(axis=0)
        return _ratio(self.magnitudes.whole(), np.sqrt(squares).astype(np.float32))

    def apply(self, rows: Rows, start: int) -> None:
        """Scale each column."""
        with self._lock:  # else every thread would make the pass
            factors = self._factors
        rows *= factors


def _ratio(magnitudes: Rows, lengths: Rows) -> Rows:
    """NaN where the length is zero, as PEFT has it; the export refuses NaN by the tensor's name."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return magnitudes / lengths
