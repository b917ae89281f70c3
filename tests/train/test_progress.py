"""What is told while a model trains: time left, cost, one line of it. Every clock here is made up."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from socrates_fast import console as console_module
from socrates_fast.console import Console
from socrates_fast.errors import RecipeError
from socrates_fast.plan.gpus import checked_price
from socrates_fast.train.progress import RECENT, Pace, Told, dollars, words
from tests.conftest import Command
from tests.test_cli import refused

seconds = st.floats(0.001, 1000)


class Clock:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def paced(durations: list[float], every: int | None = None) -> Pace:
    """A pace that saw one step end at 0, and others after these seconds each."""
    pace, now = Pace(every), 0.0
    pace.step(now)
    for duration in durations:
        now += duration
        pace.step(now)
    return pace


@given(seconds, st.integers(1, 200), st.integers(0, 100_000))
def test_at_constant_speed_the_time_left_is_exact(each: float, done: int, more: int) -> None:
    left = paced([each] * done).left(done + 1, done + 1 + more)
    assert left == pytest.approx(more * each, rel=1e-6)


@given(st.lists(st.floats(-10, 1000), min_size=1, max_size=80), st.integers(0, 500), st.integers(0, 500))
def test_the_time_left_is_never_negative(durations: list[float], step: int, steps: int) -> None:
    """Whatever the clock does, and even past the last step."""
    left = paced(durations).left(step, steps)
    assert left is not None and left >= 0
    assert step < steps or left == 0


@given(seconds, st.integers(5, 60), st.data())
def test_pauses_do_not_move_the_time_left(each: float, done: int, data: st.DataObject) -> None:
    """A checkpoint falls into the step after it: fewer than half of the recent steps may be any length."""
    paused = data.draw(st.sets(st.integers(0, done - 1), max_size=(min(done, RECENT) - 1) // 2))
    durations = [each + 3600 * (number in paused) for number in range(done)]
    assert paced(durations).left(done, done + 100) == pytest.approx(100 * each, rel=1e-6)


def test_it_follows_a_change_of_speed() -> None:
    assert paced([1.0] * 100 + [3.0] * RECENT).left(150, 250) == pytest.approx(300)


def test_validations_are_timed_apart_and_those_to_come_are_added() -> None:
    pace = paced([2.0] * 9, every=10)
    pace.step(20.0)  # the tenth
    pace.validation(27.0)
    pace.step(29.0)
    assert pace.left(11, 40) == pytest.approx(29 * 2 + 3 * 7)
    assert pace.left(35, 40) == pytest.approx(5 * 2 + 7)
    assert pace.left(40, 40) == 0


def test_before_two_steps_nobody_knows() -> None:
    pace = Pace()
    assert pace.left(0, 10) is None
    pace.step(0.0)
    assert pace.left(1, 10) is None


def told(clock: Clock, price: float | None, before: float = 0.0) -> Told:
    return Told(Pace(), price, before, clock)


def test_one_line_says_it_all() -> None:
    clock = Clock()
    line = told(clock, 3600.0)  # a dollar a second
    clock.now += 10
    assert line(1, 30, {"loss": 2.0, "tokens_per_second": 900.0}) == "loss 2.000, 900 tokens/s, $10.00"
    clock.now += 2
    found = line(2, 30, {"loss": 1.5, "tokens_per_second": 12_000.0})
    assert found == "loss 1.500, 6,450 tokens/s, about 56 s left, $12.00 of about $68.00"
    clock.now += 5
    found = line(2, 30, {"eval_loss": 1.75})
    assert found.startswith("loss 1.500, validation loss 1.750, ")
    clock.now += 2
    assert "validation loss 1.750, " in line(3, 30, {"loss": 1.4})
    assert line.cost() == {"usd": 19.0, "usd_per_hour": 3600.0}
    assert line.end() == "trained for 19 s, 6,450 tokens/s, $19.00 at $3,600.00 an hour"


def test_without_a_price_no_cost_is_made_up() -> None:
    clock = Clock()
    line = told(clock, None)
    clock.now += 7200
    assert "$" not in line(1, 9, {"loss": 1.0}) + line(2, 9, {"loss": 1.0}) + line.end()
    assert line.usd is None and line.cost() == {}


def test_a_free_machine_costs_nothing() -> None:
    clock = Clock()
    line = told(clock, 0.0)
    clock.now += 7200
    line(1, 9, {"loss": 1.0})
    clock.now += 2
    assert line(2, 9, {"loss": 1.0}).endswith("$0.00 of about $0.00")


@given(st.floats(0, 1e5), seconds, st.floats(0.01, 100))
def test_a_resumed_training_has_cost_something_before(before: float, spent: float, price: float) -> None:
    clock = Clock()
    resumed, anew = told(clock, price, before), told(clock, price, before)
    resumed(7, 9, {"loss": 1.0})
    anew(1, 9, {"loss": 1.0})  # the log's training was another one
    clock.now += spent
    assert resumed.usd == pytest.approx((before + spent) * price / 3600, rel=1e-6)
    assert anew.usd == pytest.approx(spent * price / 3600, rel=1e-6)


@pytest.mark.parametrize(
    ("time", "text"),
    [(0, "0 s"), (89.4, "89 s"), (90, "2 min"), (740, "12 min"), (5300, "88 min"), (5370, "1 h 30 min"), (5430, "1 h 30 min"),
     (7500, "2 h 05 min"), (360_000, "100 h 00 min")],
)  # fmt: skip
def test_times_in_words(time: float, text: str) -> None:
    assert words(time) == text


@pytest.mark.parametrize(
    ("amount", "text"),
    [(0, "$0.00"), (0.004, "under $0.01"), (1.2, "$1.20"), (1234.5, "$1,234.50")],
)
def test_amounts(amount: float, text: str) -> None:
    assert dollars(amount) == text


def test_without_a_terminal_a_plain_line_is_told_now_and_then(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def shown(seconds: float, **options: Any) -> tuple[str, str]:
        monkeypatch.setattr(console_module, "LINE_SECONDS", seconds)
        with Console().steps("training", **options) as advance:
            advance(1, 20, "loss 2.000")
            advance(2, 20, "")
        found = capsys.readouterr()
        return found.out, found.err

    out, err = shown(0.0, own_time=True)
    assert out == ""
    assert err.splitlines() == ["training: 1/20, loss 2.000", "training: 2/20, loss 2.000"]
    assert shown(3600.0) == ("", "")
    monkeypatch.setattr(console_module, "LINE_SECONDS", 0.0)
    with Console(quiet=True).steps("training") as advance:
        advance(1, 20, "loss 2.000")
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("price", [-1.0, float("nan"), float("inf")])
def test_what_is_no_price_is_refused(price: float) -> None:
    with pytest.raises(RecipeError, match="a price is 0 or more"):
        checked_price(price)


def test_a_wrong_price_is_told_before_anything_starts(
    command: Command, micro_recipe: Path, tmp_path: Path
) -> None:
    refused(command("train", micro_recipe, "--usd-per-hour", "-1", "--out", "out"), "a price is 0 or more")
    assert not (tmp_path / "out").exists()
