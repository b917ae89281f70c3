"""Small prepared frames whose right figures can be worked out by hand."""

from collections.abc import Callable, Sequence

import polars as pl
import pytest

from socrates_fast.data.schema import PREPARED

Cell = Callable[..., pl.DataFrame]

COLUMNS = (
    "study_id", "condition_num", "task_num", "participant", "sample_id", "response", "low", "high",
    "values", "truth",
)  # fmt: skip


@pytest.fixture
def cell() -> Cell:
    """Builds the rows of one cell: ``cell(responses, low, high, ...)``."""
    return _cell


def _cell(
    responses: Sequence[int],
    low: int = 1,
    high: int = 7,
    *,
    values: Sequence[int] | None = None,
    truth: Sequence[float] | None = None,
    study: str = "aaaaa",
    condition: int = 0,
    task: int = 0,
) -> pl.DataFrame:
    allowed = list(range(low, high + 1) if values is None else values)
    first = 1000 * (100 * condition + task)
    return pl.DataFrame(
        [
            (
                study, condition, task, number, first + number, response, low, high, allowed,
                None if truth is None else list(truth),
            )
            for number, response in enumerate(responses)
        ],
        schema={name: PREPARED[name] for name in COLUMNS},
        orient="row",
    )  # fmt: skip


@pytest.fixture
def survey(cell: Cell) -> pl.DataFrame:
    """Six studies of two conditions with true distributions; people answer off the middle."""
    truth = [0.05, 0.1, 0.15, 0.3, 0.4]
    counts = [3, 6, 9, 18, 24]
    shifted = counts[1:] + counts[:1]
    frames = [
        cell(
            [value + 1 for value, count in enumerate(given) for _ in range(count)],
            1,
            5,
            truth=truth,
            study=f"study{number}",
            condition=condition,
        )
        for number in range(6)
        for condition, given in enumerate((counts, shifted))
    ]
    return pl.concat(frames)
