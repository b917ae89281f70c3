"""The record: what a figure may be, lines that survive files, the schema, and the committed records."""

import json
import statistics
import subprocess
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from socrates_bench.machine import BUSY, busy, command, where
from socrates_bench.record import (
    Bench,
    Ceiling,
    Figure,
    Measurement,
    Model,
    append,
    better,
    lines,
    read,
    schema,
    write,
)
from socrates_bench.report.guide import SCHEMA
from socrates_fast.errors import DataError
from tests.conftest import ROOT

NUMBERS = st.floats(-1e300, 1e300, allow_nan=False)
RECORDS = sorted((ROOT / "bench" / "results").glob("*.jsonl"))


def a_line(**facts: Any) -> Measurement:
    figure = facts.pop("figure", Figure.of([1.0, 3.0, 2.0], "s"))
    return Bench.begin("trial").measured("seconds", figure, **facts)


@given(st.lists(NUMBERS, min_size=1, max_size=30), st.integers(0, 5))
def test_a_figure_is_of_its_values(values: list[float], warm_up: int) -> None:
    figure = Figure.of(values, "s", warm_up)
    assert (figure.n, figure.min, figure.max) == (len(values), min(values), max(values))
    assert figure.median == statistics.median(values) and figure.all == tuple(values)
    assert Figure.model_validate_json(figure.model_dump_json()) == figure


@pytest.mark.parametrize(
    ("facts", "message"),
    [
        ({"median": 5.0}, "median 5.0 is not between min 1.0 and max 3.0"),
        ({"n": 1}, "n is 1, but min and max differ"),
        ({"all": (1.0, 3.0)}, "not those of all"),
        ({"all": (1.0, 2.5, 3.0)}, "not those of all"),
        ({"n": 0}, "greater than or equal to 1"),
        ({"min": float("nan")}, "finite"),
        ({"max": float("inf")}, "finite"),
        ({"min": None}, "valid number"),
        ({"unit": ""}, "at least 1 character"),
        ({"mean": 2.0}, "not permitted"),
    ],
)
def test_a_figure_that_cannot_be(facts: dict[str, Any], message: str) -> None:
    good = {"unit": "s", "n": 3, "median": 2.0, "min": 1.0, "max": 3.0}
    assert Figure.model_validate(good).all is None
    with pytest.raises(ValidationError, match=message):
        Figure.model_validate(good | facts)
    with pytest.raises(DataError, match="no value was measured"):
        Figure.of([], "s")


@pytest.mark.parametrize(
    ("unit", "direction"),
    [("s", "lower"), ("ms/row", "lower"), ("us/row", "lower"), ("bytes", "lower"), ("rows/s", "higher"),
     ("tokens/s", "higher"), ("x", None), ("nats", None), ("steps", None)],
)  # fmt: skip
def test_what_is_better_is_told_by_the_unit(unit: str, direction: str | None) -> None:
    assert better(unit) == direction


def test_the_share_of_the_ceiling_is_computed() -> None:
    one = a_line(ceiling=Ceiling(value=4.0, unit="s", how="a clock"))
    assert one.share == 0.5 and json.loads(one.model_dump_json())["share"] == 0.5
    typed = json.loads(one.model_dump_json()) | {"share": 9.0}
    assert Measurement.model_validate(typed).share == 0.5
    assert a_line().share is None
    with pytest.raises(ValidationError, match="the ceiling is in bytes, the figure in s"):
        a_line(ceiling=Ceiling(value=4.0, unit="bytes", how="a clock"))


def test_lines_survive_a_file(tmp_path: Path) -> None:
    path = tmp_path / "new" / "records.jsonl"
    first = a_line(settings={"text": "a\u2028b\n|", "list": [1, None]}, model=Model(shape="tiny", bytes=3))
    second = a_line(quality={"kl": 1e-9}, details={"nothing": None}, peak_memory=7)
    append(path, [first])
    append(path, [second, first])
    assert read(path) == [first, second, first]
    write(path, [second])
    assert read(path) == [second]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "line 2: the line: Invalid JSON"),
        ('{"bench": "x"}', "line 2: run: Field required"),
        ("format", r"line 2: format: Input should be 1"),
        ("extra", "line 2: colour: Extra inputs are not permitted"),
    ],
)
def test_a_bad_line_is_named(tmp_path: Path, line: str, message: str) -> None:
    good = json.loads(lines([a_line()]))
    changed = {"format": good | {"format": 2}, "extra": good | {"colour": "red"}}
    path = tmp_path / "records.jsonl"
    write(path, [a_line()])
    with path.open("a", encoding="utf-8") as file:
        file.write((json.dumps(changed[line]) if line in changed else line) + "\n")
    with pytest.raises(DataError, match=f"records.jsonl, {message}"):
        read(path)
    with pytest.raises(DataError, match="cannot read"):
        read(tmp_path / "none.jsonl")


def test_a_full_disk_keeps_what_was_there(small_disk: Path) -> None:
    path, line = small_disk / "records.jsonl", a_line()
    append(path, [line])
    with pytest.raises(DataError, match=r"cannot write .*records.jsonl"):
        append(path, [line] * 40)
    assert read(path) == [line]


def test_nothing_is_added_to_a_line_cut_short(tmp_path: Path) -> None:
    path = tmp_path / "records.jsonl"
    write(path, [a_line()])
    path.write_text(path.read_text()[:-20])
    before = path.read_bytes()
    with pytest.raises(DataError, match="records.jsonl: its last line was cut short"):
        append(path, [a_line()])
    assert path.read_bytes() == before


def test_where_is_this_machine() -> None:
    here = where(threads=3)
    said = subprocess.run(
        ["git", "-C", str(ROOT), "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False
    )
    assert here.commit == (said.stdout.strip() if said.returncode == 0 else None)
    assert here.threads == 3 and here.cpu and here.cpus and here.memory_bytes and here.memory_bytes > 2**28
    names = [name.lower().replace("_", "-") for name in here.versions]
    assert len(set(names)) == len(names) and {"socrates-fast", "pydantic", "matplotlib", "gguf"} <= set(names)


def test_busy() -> None:
    here = where()
    limit = BUSY * (here.cpus or 1)
    assert busy(here.model_copy(update={"load_average": limit})) is None
    assert busy(here.model_copy(update={"load_average": None})) is None
    said = busy(here.model_copy(update={"load_average": limit + 0.1}))
    assert said and f"load average {limit + 0.1:.1f} on {here.cpus} processors" in said


def test_the_schema_is_current() -> None:
    assert (ROOT / SCHEMA).read_text(encoding="utf-8") == schema(), "run: make docs"


def required(part: dict[str, Any], content: dict[str, Any], known: dict[str, Any]) -> None:
    """Every field that the schema requires is there, and none that it does not know, in all objects of the line."""
    assert set(part["required"]) <= content.keys() <= part["properties"].keys()
    for name, rule in part["properties"].items():
        for choice in rule.get("anyOf", [rule]):
            if isinstance(content[name], dict) and "$ref" in choice:
                required(known[choice["$ref"].rpartition("/")[2]], content[name], known)


@pytest.mark.parametrize("path", RECORDS, ids=lambda path: path.name)
def test_committed_records_are_valid(path: Path) -> None:
    rules = json.loads((ROOT / SCHEMA).read_text(encoding="utf-8"))
    assert {"format", "bench", "run", "date", "name", "figure", "ceiling", "share", "where"} <= set(
        rules["required"]
    )
    found = read(path)
    for one, text in zip(found, path.read_text(encoding="utf-8").splitlines(), strict=True):
        content = json.loads(text)
        required(rules, content, rules["$defs"])
        assert content["share"] == one.share and one.bench == path.stem
    assert found


def test_there_are_records() -> None:
    assert len(RECORDS) >= 8


def test_a_line_says_what_was_typed_but_not_where_files_lie(monkeypatch: pytest.MonkeyPatch) -> None:
    assert command() is None  # pytest is no command of ours
    typed = [
        "/bin/socrates-fast",
        "bench",
        "decode",
        "/home/me/m.gguf",
        "--out=~/b/c.jsonl",
        "--shape",
        "0.5b",
        "a b",
    ]
    monkeypatch.setattr("sys.argv", typed)
    assert where().command == "socrates-fast bench decode m.gguf --out=c.jsonl --shape 0.5b 'a b'"
