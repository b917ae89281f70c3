"""Lists of different lengths laid end to end, so that numpy works on all of them at once."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True)
class Ragged:
    """The shape of ``n`` non-empty lists that lie end to end in arrays of ``m`` entries.

    Attributes:
        lengths: entries of each list, at least 1; shape (n,).
    """

    lengths: Ints

    @cached_property
    def starts(self) -> Ints:
        """Index of each list's first entry; shape (n,)."""
        return np.cumsum(self.lengths) - self.lengths

    @cached_property
    def owner(self) -> Ints:
        """Which list each entry belongs to; shape (m,)."""
        return np.repeat(np.arange(len(self.lengths), dtype=np.int64), self.lengths)

    @cached_property
    def offsets(self) -> Ints:
        """Position of each entry within its list, from 0; shape (m,)."""
        return np.arange(len(self.owner), dtype=np.int64) - self.starts[self.owner]

    def total(self, entries: Floats) -> Floats:
        """Sum of each list; (m,) to (n,)."""
        return np.add.reduceat(entries, self.starts)

    def by_length(self) -> Iterator[tuple[Ints, Ints]]:
        """For each length k, which lists have it, (u,), and where their entries stand, (u, k)."""
        for length in np.unique(self.lengths):
            lists = np.flatnonzero(self.lengths == length)
            yield lists, self.starts[lists, None] + np.arange(length)


def weighted_count(group: Ints, weight: Floats, groups: int) -> Floats:
    """Sum of the weights of each group, (m,) to (groups,)."""
    return np.bincount(group, weights=weight, minlength=groups).astype(np.float64)
