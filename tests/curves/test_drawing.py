"""The curves: axes, thinning, what is drawn where, and that it is SVG that anybody can read."""

import re
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from socrates_fast.curves.drawing import (
    COLOURS,
    HEIGHT,
    MAX_POINTS,
    WIDTH,
    Curve,
    Line,
    smoothed,
    thinned,
    ticks,
)
from socrates_fast.curves.gallery import curves
from socrates_fast.curves.history import History
from socrates_fast.evaluate.report import drawing as report
from tests.curves.logs import steps

finite = st.floats(-1e6, 1e6, allow_nan=False)


@given(finite, st.floats(1e-6, 1e6), st.booleans())
def test_ticks_are_round_few_and_inside(low: float, width: float, whole: bool) -> None:
    high = low + max(width, 1.0 if whole else abs(low) * 1e-6)
    found = ticks(low, high, whole)
    span = high - low
    assert len(found) <= 6
    assert all(low - 1e-6 * span <= tick <= high + 1e-6 * span for tick in found)
    if whole:
        assert all(tick == round(tick) for tick in found)
    if len(found) > 1:
        assert np.diff(found) == pytest.approx(found[1] - found[0])


@given(st.lists(finite, min_size=1, max_size=3000))
def test_thinning_keeps_the_mean_and_the_order(some: list[float]) -> None:
    values = np.array(some)
    at, thin, each = thinned(np.arange(len(values), dtype=np.float64), values)
    assert len(at) == len(thin) <= MAX_POINTS
    assert np.all(np.diff(at) > 0)
    counts = np.full(len(thin), each)
    counts[-1] = len(values) - each * (len(thin) - 1)
    assert (thin * counts).sum() / len(values) == pytest.approx(values.mean(), abs=1e-6)
    if len(values) <= MAX_POINTS:
        assert thin.tolist() == some


@given(st.lists(finite, min_size=1, max_size=60), st.integers(1, 80))
def test_the_running_mean_is_that_of_the_last_steps(some: list[float], width: int) -> None:
    expected = [np.mean(some[max(0, at + 1 - width) : at + 1]) for at in range(len(some))]
    assert smoothed(np.array(some), width).tolist() == pytest.approx(expected, abs=1e-6)


@given(
    st.lists(st.tuples(finite, st.floats(-1e9, 1e9)), min_size=1, max_size=40, unique_by=lambda pair: pair[0])
)
def test_every_point_lies_on_the_paper(pairs: list[tuple[float, float]]) -> None:
    at, values = np.array(sorted(pairs)).T
    curve = Curve("c", "d", (Line(at, values, dots=True),), "{:g}".format, "h", "c")
    root = ElementTree.fromstring(curve.svg)
    dots = [(float(dot.get("cx", "")), float(dot.get("cy", ""))) for dot in root.findall(".//{*}circle")]
    assert len(dots) == len(pairs)
    assert all(0 <= x <= WIDTH and 0 <= y <= HEIGHT for x, y in dots)


def test_larger_values_lie_higher_and_later_steps_to_the_right() -> None:
    curve = Curve("c", "d", (Line(np.array([1.0, 2, 3]), np.array([5.0, 7, 6])),), "{:g}".format, "h", "c")
    path = re.search(r'<path d="M([\d. L]+)" stroke="var\(--human\)"', curve.inline)
    assert path is not None
    places = [tuple(map(float, point.split())) for point in path[1].split("L")]
    assert [x for x, _ in places] == sorted(x for x, _ in places)
    (_, first), (_, second), (_, third) = places
    assert second < third < first


def test_a_page_and_a_file_hold_the_same_curve() -> None:
    curve = Curve("c", "a & b", (Line(np.array([1.0]), np.array([0.0])),), "{:g}".format, "h", "c")
    assert "xmlns" not in curve.inline and "var(--human)" in curve.inline
    assert "var(" not in curve.svg and COLOURS["human"] in curve.svg
    assert ElementTree.fromstring(curve.svg).findtext("{*}title") == "a & b"


def test_colours_are_the_reports() -> None:
    names = {name: colour for colour, name in report._VARIABLES.items()}
    assert {name: names[name] for name in COLOURS} == COLOURS


def test_a_training_has_a_curve_of_all_that_its_log_holds() -> None:
    history = History()
    for line in steps(1, 40, every=10):
        history.add(line)
    found = {curve.name: curve for curve in curves(history)}
    assert list(found) == ["training_loss", "training_speed", "training_rate", "training_padding",
                           "training_memory", "training_gradient"]  # fmt: skip
    loss = found["training_loss"].caption
    assert "mean of the last 10 steps, at the end 2.028" in loss
    assert "validation rows, at the end 2.500, lowest 2.500 at step 10." in loss
    speed = found["training_speed"].caption
    assert "median 2,000, 8.0 examples a second. In all 40,000 tokens, 400 of them supervised." in speed
    assert "10.0% on average" in found["training_padding"].caption
    assert "1.00 GiB" in found["training_memory"].caption


def test_a_long_training_makes_no_larger_picture() -> None:
    history = History()
    for line in steps(1, 5000, every=50):
        history.add(line)
    sizes = [len(curve.inline) for curve in curves(history)]
    assert max(sizes) < 25_000
    assert "pale: means of 13 steps" in curves(history)[0].caption


def test_nothing_is_drawn_of_no_training() -> None:
    assert curves(History()) == []
