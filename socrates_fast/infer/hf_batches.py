"""Which prompts of a Hugging Face model are computed together: rows of one tensor that begin alike."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Ids = NDArray[np.int32]

HELD = 8
"""Keys and values that a pass may hold, those that rows share counted for each, in the most tokens of a pass."""


@dataclass(frozen=True)
class Rows:
    """Neighbours in the sorted prompts, computed together.

    Attributes:
        start: number of the first.
        stop: number after the last.
        shared: leading tokens that all have and that are computed once; fewer than any has.
    """

    start: int
    stop: int
    shared: int


def common_length(some: Ids, others: Ids) -> int:
    """How many leading tokens two sequences share."""
    length = min(len(some), len(others))
    different = some[:length] != others[:length]
    return int(different.argmax()) if different.any() else length


def batches(prompts: Sequence[Ids], most: int, overhead: int) -> Iterator[Rows]:
    """Cut sorted prompts into batches, so that little is computed and few passes are made.

    All rows of a batch are as long as its longest (shorter ones are filled up) and share its common beginning once.
    A prompt that begins like those before, or is about as long, joins them; another is cheaper by itself.

    Args:
        prompts: token ids, sorted.
        most: tokens in a pass; a longer prompt goes alone.
        overhead: what a pass of its own costs, in tokens.
    """
    start, shared, longest = 0, 0, 0
    for number, ids in enumerate(prompts):
        alike = common_length(prompts[number - 1], ids) if number else 0
        count = number - start
        if count:
            fewer, longer = min(shared, alike), max(longest, len(ids))
            together = fewer + (count + 1) * (longer - fewer)
            apart = shared + count * (longest - shared) + len(ids) - alike + overhead
            fits = (count + 1) * max(longer - fewer, -(-longer // HELD)) <= most
            if fits and together <= apart:
                shared, longest = fewer, longer
                continue
            yield _rows(prompts, start, number, shared)
        start, shared, longest = number, len(ids), len(ids)
    if len(prompts):
        yield _rows(prompts, start, len(prompts), shared)


def _rows(prompts: Sequence[Ids], start: int, stop: int, shared: int) -> Rows:
    if stop - start == 1:  # alone, it shares with the batch before, whose beginning is still there
        shared = common_length(prompts[start - 1], prompts[start]) if start else 0
    return Rows(start, stop, min(shared, *(len(ids) - 1 for ids in prompts[start:stop])))
