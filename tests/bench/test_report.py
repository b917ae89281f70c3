"""Reports: which runs, tables, plots, the guides' tables."""

import json
from pathlib import Path
from typing import Any

import pytest

from socrates_bench.record import Bench, Ceiling, Figure, Measurement, Model, append, read
from socrates_bench.report.choose import RESULTS, load, newest
from socrates_bench.report.front import FRONT, front
from socrates_bench.report.guide import pages, summary, with_tables
from socrates_bench.report.plots import PLOTS, draw, memory_over_size, rows_over_prefix, speed_over_quality
from socrates_bench.report.tables import markdown, table
from socrates_bench.report.words import amount, number
from socrates_fast.errors import DataError
from tests.conftest import ROOT, Command


def a_line(
    run: Bench, name: str = "speed", unit: str = "rows/s", value: float = 2.0, **facts: Any
) -> Measurement:
    return run.measured(name, Figure.of([value, 3 * value], unit), **facts)


@pytest.fixture(scope="module")
def run() -> Bench:
    return Bench.begin("trial")


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (0.5, "s", "0.5 s"), (12345.6, "tokens/s", "12,346 tokens/s"), (3.0, "x", "3 x"), (2.04e-7, "nats", "2e-07 nats"),
        (2**30, "bytes", "1 GiB"), (1023 * 2**20, "bytes", "1,023 MiB"), (5, "bytes", "5 bytes"), (-20000.5, "x", "-20,000 x"),
    ],
)  # fmt: skip
def test_amounts(value: float, unit: str, text: str) -> None:
    assert amount(value, unit) == text


def test_the_table_has_columns_for_what_differs(run: Bench) -> None:
    best = Ceiling(value=16.0, unit="rows/s", how="a sum")
    found = table([
        a_line(run, settings={"rows": 20, "order": "a", "deep": {"of": 1.5}, "none": None}, ceiling=best,
               model=Model(shape="tiny", quantisation="q8_0"), quality={"kl": 0.25}, details={"asked": "at least 9"}),
        a_line(run, settings={"rows": 20, "order": "b", "deep": {"of": 1.5}}, peak_memory=2**21,
               model=Model(shape="tiny", quantisation="q8_0")),
    ])  # fmt: skip
    lines = found.splitlines()
    assert lines[0].startswith("**bench trial, tiny** (") and lines[2] == "type q8_0, rows 20, deep.of 1.5"
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines if line.startswith("|")]
    assert rows[0] == [
        "what",
        "order",
        "median",
        "n",
        "least to most",
        "share of the best",
        "asked",
        "peak memory",
        "kl",
    ]
    assert rows[2] == [
        "speed",
        "a",
        "4 rows/s",
        "2",
        "2 to 6 rows/s",
        "0.25 of 16 rows/s",
        "at least 9",
        "",
        "0.25",
    ]
    assert rows[3] == ["speed", "b", "4 rows/s", "2", "2 to 6 rows/s", "", "", "2 MiB", ""]
    assert lines[-1] == "The best: a sum."


def test_cells_cannot_break_a_table() -> None:
    assert markdown([["a", "b", "c"], ["x|y", "", "1"]]) == "| a    | c |\n| ---- | - |\n| x\\|y | 1 |\n"


def test_the_newest_run_of_each_shape(run: Bench) -> None:
    later = Bench(run.name, run.run + "z", run.date, run.where)
    tiny, big = Model(shape="tiny"), Model(shape="0.5b")
    old, other, new = a_line(run, model=tiny), a_line(run, model=big), a_line(later, model=tiny)
    assert newest([old, other, new]) == [other, new] == newest([new, other, old])[::-1]


def test_points_of_plots(run: Bench) -> None:
    model = Model(shape="tiny", quantisation="q8_0", bytes=2**30)
    speed = a_line(run, unit="tokens/s", model=model, quality={"kl": 0.5})
    rows = a_line(run, model=model, settings={"order": "persona_first"}, details={"shared_prefix": 0.75})
    memory = [a_line(run, unit="s", model=model, peak_memory=peak) for peak in (2**31, 2**30)]
    every = [speed, rows, *memory]
    assert [point[1:] for point in speed_over_quality(every)] == [(0.5, 4.0, 2.0, 6.0, "q8_0")]
    assert [point[1:] for point in rows_over_prefix(every)] == [(75.0, 4.0, 2.0, 6.0, "persona first")]
    assert [point[1:] for point in memory_over_size(every)] == [(1.0, 2.0, 2.0, 2.0, "tiny q8_0")]


def test_plots_without_data_are_not_drawn(run: Bench, tmp_path: Path) -> None:
    made, missing = draw([a_line(run, model=Model(quantisation="q8_0"), quality={"kl": 0.5})], tmp_path)
    assert [path.name for path in made] == ["speed-over-quality.png", "speed-over-quality.svg"]
    assert made[0].read_bytes().startswith(b"\x89PNG") and b"<svg" in made[1].read_bytes()
    assert len(missing) == len(PLOTS) - 1 and all("was not drawn: no line has" in text for text in missing)
    assert draw([a_line(run)], tmp_path / "none")[0] == [] and not (tmp_path / "none").exists()


def test_the_command_reports_the_checkouts_records(command: Command, tmp_path: Path) -> None:
    outcome = command("bench", "report", "--out", "plots")
    assert outcome.code == 0, outcome.err
    assert "**bench score, tiny**" in outcome.out and "**bench train, 0.5b**" in outcome.out
    assert (tmp_path / "plots" / "memory-over-model-size.svg").stat().st_size > 1000
    assert (tmp_path / "plots" / "rows-over-shared-prefix.png").stat().st_size > 1000


def test_the_command_reads_files(command: Command, run: Bench, tmp_path: Path) -> None:
    path = tmp_path / "mine.jsonl"
    append(path, [a_line(run), a_line(run, name="other")])
    later = Bench(run.name, run.run + "z", run.date, run.where)
    append(path, [a_line(later)])
    outcome = command("bench", "report", path, "--json")
    assert outcome.code == 0 and outcome.out.splitlines() == path.read_text().splitlines()[-1:]
    outcome = command("bench", "report", path, "--json", "--all")
    assert outcome.code == 0 and outcome.out == path.read_text()
    path.write_text(path.read_text() + "{}\n")
    outcome = command("bench", "report", path)
    assert outcome.code == 2 and "mine.jsonl, line 4: " in outcome.err and outcome.out == ""
    (tmp_path / "empty").mkdir()
    assert "no record in" in command("bench", "report", tmp_path / "empty").err


def test_the_guides_tables_are_current() -> None:
    measurements = load([RESULTS])
    marked = 0
    for page in pages(ROOT):
        text = page.read_text(encoding="utf-8")
        assert text == with_tables(text, measurements), f"{page.name}: run make docs"
        marked += text.count("<!-- bench report: ")
    assert marked >= 8


def test_a_marker_without_a_record() -> None:
    page = "before\n<!-- bench report: sorting -->\nold\n<!-- end -->\nafter\n"
    with pytest.raises(DataError, match="sorting -->: there is no record"):
        with_tables(page, read(RESULTS / "score.jsonl"))


def test_the_summary_has_the_records_figures() -> None:
    found = newest(read(RESULTS / "score.jsonl"))
    (rate,) = [
        one for one in found if one.name == "times Llama" and one.settings["order"] == "stimulus_first"
    ]
    text = summary(found)
    assert number(rate.figure.median) in text and json.loads(rate.model_dump_json())["name"] in text


def test_a_quick_run_does_not_hide_the_real_one_in_the_readmes_table() -> None:
    real = load([RESULTS])
    table = front(real)
    small = [
        one.model_copy(update={"run": f"9{one.run}", "settings": {**one.settings, "rows": 5000}})
        for one in real
        if one.bench in ("data", "evaluate")
    ]
    on_gpu = [
        one.model_copy(
            update={"run": f"9{one.run}", "where": one.where.model_copy(update={"gpus": ("H200",)})}
        )
        for one in real
        if one.bench in ("train", "decode")
    ]
    assert small and on_gpu
    assert front([*real, *small, *on_gpu]) == table
    assert len(table.splitlines()) == len(FRONT) + 2
