"""The order of rows: all of them, of like length in a step, the same however many processes share a step."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from socrates_fast.train.order import RowOrder

lengths = st.lists(st.integers(1, 400), min_size=1, max_size=300)


@given(lengths, st.integers(1, 40), st.integers(0, 2**32), st.integers(0, 5), st.booleans())
def test_every_row_once_and_the_same_again(
    found: list[int], rows: int, seed: int, epoch: int, by_length: bool
) -> None:
    sampler = RowOrder(len(found), rows, seed, found if by_length else None)
    sampler.set_epoch(epoch)
    order = list(sampler)
    assert sorted(order) == list(range(len(found))) and len(sampler) == len(found)
    assert list(sampler) == order
    again = RowOrder(len(found), rows, seed, found if by_length else None)
    again.set_epoch(epoch)
    assert list(again) == order


@given(lengths, st.integers(1, 40))
def test_the_longest_row_of_the_whole_steps_comes_in_the_first(found: list[int], rows: int) -> None:
    order = list(RowOrder(len(found), rows, 0, found))
    whole = order[: len(order) // rows * rows]
    if whole:
        assert max(found[row] for row in whole) == max(found[row] for row in order[:rows])


def test_rows_of_a_step_are_of_like_length_and_epochs_differ() -> None:
    draw = np.random.default_rng(0)
    found = draw.integers(50, 500, size=4000).tolist()
    sampler = RowOrder(4000, 16, 1, found)
    first = list(sampler)

    def padding(order: list[int]) -> float:
        steps = np.asarray(found)[np.asarray(order).reshape(-1, 16)]
        return 1 - float(steps.sum() / (steps.max(axis=1) * 16).sum())

    assert padding(first) < 0.03
    assert padding(draw.permutation(4000).tolist()) > 0.3
    sampler.set_epoch(1)
    second = list(sampler)
    assert second != first
    shared = [
        len(set(a) & set(b))
        for a, b in zip(np.reshape(first, (-1, 16)), np.reshape(second, (-1, 16)), strict=True)
    ]
    assert float(np.mean(shared)) < 3  # steps are drawn anew, not merely put in another order


def test_steps_do_not_come_by_length() -> None:
    """Sorted rows would teach the long ones first."""
    found = list(range(1, 801))
    steps = np.asarray(found)[np.reshape(list(RowOrder(800, 8, 3, found)), (-1, 8))].mean(axis=1)
    assert abs(float(np.corrcoef(np.arange(len(steps)), steps)[0, 1])) < 0.3
