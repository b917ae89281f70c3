"""The plots of a report: in the colours of their page, alone on white, and small."""

import re
import xml.etree.ElementTree as ET

import numpy as np
import polars as pl
import pytest

from socrates_fast.evaluate.answers import Answers
from socrates_fast.evaluate.ragged import Floats
from socrates_fast.evaluate.report.bars import binned, distribution_plot, figure_bars
from socrates_fast.evaluate.report.calibration import places_plot, reliability_plot
from socrates_fast.evaluate.report.drawing import Plot
from socrates_fast.evaluate.report.gallery import draw
from socrates_fast.evaluate.report.scatters import MAX_DOTS, MAX_PAIRS, effects_plot, evenly, means_plot
from socrates_fast.evaluate.report.words import count, decimals, interval, number
from socrates_fast.evaluate.summary import Summary
from tests.evaluate.test_report_sample import made_up

__all__ = ["made_up"]

FLAT = np.full(5, 0.2)


def _plot(name: str = "cell") -> Plot:
    return Plot(name, "Answers", distribution_plot(np.arange(1.0, 6), FLAT, FLAT))


def test_plots_take_the_colours_of_the_page() -> None:
    svg = _plot().inline
    assert {"var(--human)", "var(--predicted)"} <= set(re.findall(r"var\(--\w+\)", svg))
    assert not re.search(r"#(?:[0-9a-f]{6})\b", re.sub(r'"#[\w-]+"|url\(#[\w-]+\)', "", svg))
    assert "xmlns" not in svg
    assert "<style" not in svg
    assert svg == _plot().inline


def test_a_plot_alone_is_a_whole_file_on_white() -> None:
    plot = _plot()
    root = ET.fromstring(plot.svg)
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    assert root[0].text == "Answers"
    assert root[1].attrib["style"] == "fill: #ffffff"
    assert "var(--" not in plot.svg
    assert plot.svg == _plot().svg


def test_png_has_150_dots_an_inch_on_white() -> None:
    png = _plot().png
    assert png.startswith(b"\x89PNG")
    width, height = (int.from_bytes(png[at : at + 4], "big") for at in (16, 20))
    assert (width, height) == (510, 315)
    assert png == _plot().png


def test_ids_differ_between_plots() -> None:
    first, second = (set(re.findall(r' id="([^"]*)"', _plot(name).inline)) for name in ("one", "other"))
    assert first
    assert not first & second


def test_long_scales_are_binned() -> None:
    values = np.arange(0.0, 101)
    labels, human, predicted = binned(values, np.full(101, 1 / 101), np.full(101, 1 / 101))
    assert labels == [f"{start}+" for start in range(0, 100, 10)]
    assert human[:9] == pytest.approx(10 / 101)
    assert human[9] == pytest.approx(11 / 101)  # the last takes in 100
    assert predicted.sum() == pytest.approx(1)


@pytest.mark.parametrize(
    ("values", "first", "bins"),
    [
        (np.arange(1.0, 8), "1", 7),
        (np.arange(0.0, 13), "0+", 6),
        (np.arange(1.0, 101), "1+", 10),
        (np.append(np.arange(1.0, 13), 98.0), "1+", 10),
        (np.arange(-50.0, 51), "-50+", 10),
    ],
)
def test_bins_have_round_widths(values: Floats, first: str, bins: int) -> None:
    labels, human, _ = binned(values, np.full(len(values), 1.0), np.full(len(values), 1.0))
    assert labels[0] == first
    assert len(labels) == bins
    assert human.sum() == len(values)


def test_bars_show_values_even_where_a_figure_is_undefined() -> None:
    model: dict[str, float | None] = {"value": -0.1, "low": -0.3, "high": 0.2}
    figures: dict[str, dict[str, float | None]] = {
        "predictor": model,
        "uniform": {"value": None},
        "pooled": {"value": 0.4},
    }
    svg = Plot("bars", "Bars", figure_bars(figures, 0.3)).inline
    for text in (">predictor<", ">pooled<", ">-0.100<", ">0.400<"):
        assert text in svg
    assert ">uniform<" not in svg


def test_many_dots_are_thinned_and_said() -> None:
    assert list(evenly(3, 10)) == [0, 1, 2]
    some = evenly(6000, MAX_DOTS)
    assert len(some) == MAX_DOTS == len(set(some))
    assert (some[0], some[-1]) == (0, 5999)
    assert np.ptp(np.diff(some)) <= 1


def test_dots_are_written_short() -> None:
    rng = np.random.default_rng(1)
    x, y = rng.random((2, MAX_DOTS))
    svg = Plot("means", "Means", means_plot(x, y, rng.uniform(1, 300, MAX_DOTS))).inline
    assert svg.count("<use") >= MAX_DOTS
    assert len(svg) < 120_000
    assert not re.search(r'="[\d.]*\.\d{3}', svg)


def test_a_gallery_of_thousands_of_cells_says_how_many_are_drawn(made_up: tuple[Answers, Summary]) -> None:
    answers, summary = made_up
    cells = pl.concat([summary.cells, *[summary.cells.with_columns(headline=False)] * 49])
    effects = pl.concat([summary.effects] * 50)
    many = Summary(**{**summary.__dict__, "cells": cells, "effects": effects})
    gallery = draw(answers, many)
    assert (
        f"{MAX_PAIRS} of {effects.height:,} pairs are drawn, at even steps." in gallery["effects"][0].caption
    )
    assert all("1,500 of 3,600 cells are drawn" in plot.caption for plot in gallery["all_cells"])


def test_the_best_middle_and_worst_cells_are_of_the_headline(made_up: tuple[Answers, Summary]) -> None:
    cells = draw(*made_up)["cells"]
    ranks = "best, second best, middle, next to middle, second worst, worst"
    assert ", ".join(plot.heading for plot in cells) == ranks
    people = [int(re.search(r"(\d+) people", plot.caption)[1]) for plot in cells]  # type: ignore[index]
    assert min(people) >= made_up[1].metrics["headline"]["min_people"]
    distances = [re.search(r"distance ([\d.]+)", plot.caption)[1] for plot in cells]  # type: ignore[index]
    assert distances == sorted(distances)


def test_effects_without_a_slope_or_spread_are_drawn() -> None:
    zero = np.zeros(3)
    for slope in (None, 0.5):
        assert "<svg" in Plot("effects", "Effects", effects_plot(zero, zero, zero + 0.1, slope)).inline


def test_calibration_of_few_answers_is_drawn() -> None:
    assert "<svg" in Plot("places", "Places", places_plot(np.eye(10)[3])).inline
    bins = np.eye(10)[2]
    assert "<svg" in Plot("reliability", "Reliability", reliability_plot(bins * 0.25, bins, bins)).inline


def test_numbers_as_they_are_written() -> None:
    assert decimals(-0.0001) == "0.000"
    assert decimals(-0.1) == "-0.100"
    assert decimals(None) == "–"
    assert decimals(-3.5e13) == "-3.50e+13"
    assert number(None) == ""
    assert number({"value": None}) == "–"
    assert interval({"value": 1.0}) == ""
    assert interval({"value": 1.0, "low": 0.5, "high": 2.0}) == "0.500 to 2.000"
    assert count(1234) == "1,234"
    assert count("some") == "some"
