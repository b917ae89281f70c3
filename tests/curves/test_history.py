"""A training's log read back: whole, resumed, begun anew, cut short."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from socrates_fast.curves.history import FIELDS, History
from tests.curves.logs import steps, written


def test_a_log_is_read_step_by_step(tmp_path: Path) -> None:
    others = [{"event": "stage", "stage": "train", "seconds": 1.0}, {"event": "trained", "steps": 6}]
    history = History.read(written(tmp_path, [others[0], *steps(1, 6, every=3), *others]))
    assert len(history) == history.last == 6
    at, loss = history.of("loss")
    assert at.tolist() == [1, 2, 3, 4, 5, 6]
    assert loss.tolist() == pytest.approx([2 + 1 / step for step in range(1, 7)])
    assert history.of("mfu")[1].size == 0  # a CPU's log has none
    assert [part.tolist() for part in history.validated()] == [[3, 6], [2.5, 2.5]]
    assert history.seconds == 3.0


def test_no_log_and_a_log_without_training_have_no_step(tmp_path: Path) -> None:
    assert len(History.read(tmp_path / "log.jsonl")) == 0
    history = History.read(written(tmp_path, [{"event": "stage", "stage": "data", "seconds": 0.1}]))
    assert (len(history), history.last, history.seconds) == (0, 0, 0.0)


def test_a_resumed_training_is_drawn_once_and_the_last_count(tmp_path: Path) -> None:
    lines = [*steps(1, 7, loss=2.0, every=2), *steps(5, 8, loss=3.0, every=4)]
    history = History.read(written(tmp_path, lines))
    at, loss = history.of("loss")
    assert at.tolist() == list(range(1, 9))
    assert loss.tolist() == pytest.approx([(2 if step < 5 else 3) + 1 / step for step in range(1, 9)])
    assert history.validation == {2: 2.5, 4: 2.5, 8: 3.5}  # that of step 6 was lost with its step
    assert history.seconds == 3.5 + 2.0  # lost steps took time as well


def test_a_training_that_begins_anew_forgets_the_one_before(tmp_path: Path) -> None:
    history = History.read(written(tmp_path, [*steps(1, 9, loss=5.0, every=3), *steps(1, 4, loss=1.0)]))
    assert history.of("loss")[0].tolist() == [1, 2, 3, 4]
    assert (history.validation, history.seconds) == ({}, 2.0)


def test_half_a_line_of_a_killed_process_is_passed_over(tmp_path: Path) -> None:
    path = written(tmp_path, steps(1, 3))
    cut = json.dumps(next(steps(4, 4)))[:40]
    path.write_text(path.read_text(encoding="utf-8") + cut + "\n\n[1]\n", encoding="utf-8")
    assert History.read(path).last == 3


def test_a_loss_that_is_no_number_leaves_a_gap(tmp_path: Path) -> None:
    """The log leaves such a value out; the step is there all the same."""
    broken = {name: value for name, value in next(steps(4, 4)).items() if name != "loss"}
    history = History.read(written(tmp_path, [*steps(1, 3), broken]))
    assert history.last == 4
    assert history.of("loss")[0].tolist() == [1, 2, 3]


@given(st.lists(st.tuples(st.integers(0, 12), st.integers(1, 12)), min_size=1, max_size=5))
def test_whatever_was_interrupted_each_step_stands_once(parts: list[tuple[int, int]]) -> None:
    """Against a dictionary that is cut at every resume. A process can only resume from a step that there was."""
    history, expected, reached = History(), dict[int, float](), 0
    for number, (resumed, many) in enumerate(parts):
        start = min(resumed, reached) + 1
        expected = {step: loss for step, loss in expected.items() if step < start}
        for line in steps(start, start + many - 1, loss=float(number)):
            history.add(line)
            expected[line["step"]] = line["loss"]
        reached = start + many - 1
    at, loss = history.of("loss")
    assert dict(zip(at.astype(int).tolist(), loss.tolist(), strict=True)) == expected
    assert np.all(np.diff(at) == 1)
    assert all(len(history.of(name)[0]) == len(expected) for name in FIELDS if name != "mfu")
