"""The order of training rows: the same for one process and for many, and the same after a resume."""

from collections.abc import Iterator, Sequence
from typing import Any

STEPS_SORTED = 50
"""Rows of so many steps are sorted by length together: little padding, and still a draw."""


class RowOrder:
    """A sampler whose order depends on seed and epoch alone.

    With lengths, rows are shuffled, sorted within windows of ``STEPS_SORTED`` steps and cut into steps, which are shuffled
    in turn. The step with the longest row comes first: memory that will not do shows at once.

    Args:
        count: rows.
        rows: of one optimiser step, over all processes and forward passes.
        seed: of the order.
        lengths: tokens of each row; None for rows of any length in a step.
    """

    def __init__(self, count: int, rows: int, seed: int, lengths: Sequence[int] | None = None) -> None:
        self._count, self._rows, self._seed, self._lengths = count, rows, seed, lengths
        self._epoch = 0

    def __len__(self) -> int:
        return self._count

    def set_epoch(self, epoch: int) -> None:
        """Choose the order of an epoch, counted from 0."""
        self._epoch = epoch

    def __iter__(self) -> Iterator[int]:
        import numpy as np

        draw = np.random.default_rng([self._seed, self._epoch])
        shuffled = draw.permutation(self._count)
        if self._lengths is None:
            yield from shuffled.tolist()
            return
        lengths = np.asarray(self._lengths)
        window = np.arange(self._count) // (STEPS_SORTED * self._rows)
        order = shuffled[np.lexsort((-lengths[shuffled], window))]
        whole = self._count // self._rows
        steps = order[: whole * self._rows].reshape(whole, self._rows)
        steps = steps[draw.permutation(whole)]
        if whole:
            first = int(lengths[steps].max(axis=1).argmax())
            steps[[0, first]] = steps[[first, 0]]
        yield from np.concatenate([steps.ravel(), order[whole * self._rows :]]).tolist()


def order_rows(trainer: Any, by_length: bool) -> None:
    """Let the trainer take its rows in a ``RowOrder``, steps of rows of like length if ``by_length``."""
    from transformers import TrainerCallback

    args, rows = trainer.args, trainer.train_dataset
    lengths = [len(ids) for ids in rows["input_ids"]] if by_length else None
    together = args.per_device_train_batch_size * args.gradient_accumulation_steps * args.world_size
    order = RowOrder(len(rows), together, args.seed, lengths)

    class Epochs(TrainerCallback):  # type: ignore[misc]  # transformers is untyped here
        # Accelerate does not hand the epoch down to a sampler under a process's share of a resumed epoch.
        def on_epoch_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            order.set_epoch(int(state.epoch + 1e-6))

    trainer._get_train_sampler = lambda *_: order
    trainer.add_callback(Epochs())
