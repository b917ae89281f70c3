"""What NF4 leaves of a weight: bitsandbytes' 4-bit quantisation and back, as QLoRA's base is in training.

    blocks of 64 values, row after row:   value / largest  ->  the nearest of 16 levels
    the blocks' largest values, less their mean, in blocks of 256:  value / largest  ->  the nearest of 256 levels

(Dettmers et al. 2023, arXiv:2305.14314, with double quantisation, which is what Unsloth trains with.) The arithmetic is
that of bitsandbytes' CUDA kernels, in numpy and by slabs, so that neither a GPU nor torch is needed; its CPU kernel
finds the nearest of the 256 levels by a coarser table and is a level off in about one block of a thousand. A tensor
is read once before, to find its scales, of which each costs a byte of memory for 64 weights.
"""

import threading
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from socrates_export.source.edits import Rows
from socrates_export.source.safetensors import StoredTensor
from socrates_fast.errors import ModelError

BLOCK = 64
"""Values that share a scale."""

OUTER_BLOCK = 256
"""Scales that share a scale."""

PASS_BLOCKS = 2**14
"""Blocks that are read at once to find the scales: 4 MiB of float32."""

_SMALLEST = np.float32(1e-38)  # in place of the largest of a block of zeros

LEVELS = np.array(
    [
        -1.0, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453, -0.28444138169288635,
        -0.18477343022823334, -0.09105003625154495, 0.0, 0.07958029955625534, 0.16093020141124725,
        0.24611230194568634, 0.33791524171829224, 0.44070982933044434, 0.5626170039176941, 0.7229568362236023, 1.0,
    ],
    np.float32,
)  # fmt: skip
"""NF4: quantiles of a normal distribution, with an exact zero."""

PRECISIONS = ("float32", "bfloat16", "float16")
"""Types that training may compute in."""

_TYPES = {"BF16": "bfloat16", "F16": "float16"}


def _dynamic_levels() -> Rows:
    """The 256 levels for scales: a sign, an exponent of ten, and as fine a fraction as the bits left allow.

    (Dettmers 2016, arXiv:1511.04561.) Edges are rounded once, as torch.linspace does, to have the same last bits.
    """
    levels = [np.float32(0), np.float32(1)]
    low = np.float32(0.1)
    for exponent in range(7):
        count = 2**exponent
        step = np.float64((np.float32(1) - low) / np.float32(count))
        index = np.arange(count + 1)
        edges = np.where(index < (count + 1) // 2, np.float64(low) + step * index, 1 - step * (count - index))
        edges = edges.astype(np.float32)
        middles = (edges[:-1] + edges[1:]) / np.float32(2) * np.float32(10.0 ** (exponent - 6))
        levels += [*middles, *-middles]
    return np.sort(np.array(levels, np.float32))


SCALE_LEVELS = _dynamic_levels()
_SCALE_EDGES = (SCALE_LEVELS[:-1] + SCALE_LEVELS[1:]) / np.float32(2)
_EDGES = (LEVELS[:-1] + LEVELS[1:]) / np.float32(2)


@dataclass(frozen=True)
class Scales:
    """The scales of a tensor's blocks, as bitsandbytes stores them: one byte each.

    Attributes:
        codes: index into ``SCALE_LEVELS``, one per block.
        outer: largest distance from the mean, one per ``OUTER_BLOCK`` blocks.
        mean: of the scales before.
    """

    codes: NDArray[np.uint8]
    outer: Rows
    mean: np.float32

    @classmethod
    def of(cls, largest: Rows) -> "Scales":
        """The scales of blocks whose largest magnitudes are ``largest``."""
        mean = np.float32(largest.mean(dtype=np.float64))
        count = len(largest)
        distances = np.zeros(-(-count // OUTER_BLOCK) * OUTER_BLOCK, np.float32)
        distances[:count] = largest - mean
        blocks = distances.reshape(-1, OUTER_BLOCK)
        outer = _largest(blocks)
        codes = np.searchsorted(_SCALE_EDGES, _normalised(blocks, outer))
        return cls(codes.astype(np.uint8).reshape(-1)[:count], outer, mean)

    def between(self, start: int, stop: int) -> Rows:
        """The scales of blocks ``start`` to ``stop`` (not included)."""
        outer = self.outer[np.arange(start, stop) // OUTER_BLOCK]
        return SCALE_LEVELS[self.codes[start:stop]] * outer + self.mean


@dataclass(frozen=True)
class RoundTripped:
    """A tensor after NF4 and back.

    Attributes:
        stored: the tensor before.
        precision: the type that training computed in: weights were rounded to it before, and again after.
    """

    stored: StoredTensor
    precision: str = "float32"
    _lock: threading.Lock = field(default_factory=threading.Lock, compare=False, repr=False)

    def __post_init__(self) -> None:
        if self.precision not in PRECISIONS:
            raise ModelError(
                f"weights cannot be rounded to {self.precision!r}; choose from {', '.join(PRECISIONS)}"
            )

    @property
    def shape(self) -> tuple[int, ...]:
        """Rows first."""
        return self.stored.shape

    def rows(self, start: int, stop: int) -> Rows:
        """Rows ``start`` to ``stop`` (not included).

        Raises:
            ModelError: the file ends before the rows do.
        """
        first, last = start * self.stored.width, stop * self.stored.width
        begin, end = first // BLOCK, -(-last // BLOCK)
        blocks = self._blocks(begin, end)
        normalised = _normalised(blocks, _largest(blocks))
        with self._lock:  # else every thread would make the pass over the tensor
            scales = self._scales
        found = LEVELS.take(_nearest(normalised))
        found *= scales.between(begin, end)[:, None]
        flat = _rounded(found, self.precision).reshape(-1)[first - begin * BLOCK : last - begin * BLOCK]
        return flat.reshape(stop - start, *self.shape[1:])

    @cached_property
    def _scales(self) -> Scales:
        count = -(-self.shape[0] * self.stored.width // BLOCK)
        largest = [
            _largest(self._blocks(start, min(start + PASS_BLOCKS, count)))
            for start in range(0, count, PASS_BLOCKS)
        ]
        return Scales.of(np.concatenate(largest))

    def _blocks(self, start: int, stop: int) -> Rows:
        """Blocks ``start`` to ``stop`` (not included), one a row; the tensor's last is filled up with zeros."""
        last = min(stop * BLOCK, self.shape[0] * self.stored.width)
        values = self.stored.elements(start * BLOCK, last)
        if _TYPES.get(self.stored.dtype) != self.precision:
            values = _rounded(values, self.precision)
        if len(values) < (stop - start) * BLOCK:
            values = np.append(values, np.zeros((stop - start) * BLOCK - len(values), np.float32))
        return values.reshape(-1, BLOCK)


def _largest(blocks: Rows) -> Rows:
    """The largest magnitude in each row."""
    largest: Rows = np.maximum(blocks.max(axis=1), -blocks.min(axis=1))
    return largest


def _normalised(blocks: Rows, largest: Rows) -> Rows:
    """Each row by its largest magnitude; by its inverse, as bitsandbytes does."""
    inverse: Rows = np.reciprocal(np.maximum(largest, _SMALLEST))
    return blocks * inverse[:, None]


def _nearest(normalised: Rows) -> NDArray[np.uint8]:
    """Index of the nearest of ``LEVELS``: fifteen comparisons are ten times faster than a search."""
    found = np.zeros(normalised.shape, np.uint8)
    above = np.empty(normalised.shape, np.bool_)
    for edge in _EDGES:
        np.greater(normalised, edge, out=above)
        found += above.view(np.uint8)
    return found


def _rounded(values: Rows, precision: str) -> Rows:
    """float32 values rounded to nearest even in ``precision``; ``values`` may be changed."""
    if precision == "float16":
        return values.astype(np.float16).astype(np.float32)
    if precision == "bfloat16":
        bits = values.view(np.uint32)
        bits += 0x7FFF + ((bits >> 16) & 1)
        bits &= 0xFFFF0000
    return values
