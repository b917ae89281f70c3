"""What ``data check`` says of files in SocSci210's columns: the same in every format, and what prepare then does."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from socrates_fast.data import columns as why
from socrates_fast.data.check import Checked, check
from socrates_fast.data.prepare import prepare_rows
from socrates_fast.data.schema import PAIRS, PREPARED, SOCSCI210
from socrates_fast.data.unused import unused_columns
from socrates_fast.jobs.store import schema_of
from socrates_fast.prompt import persona_text, user_text
from socrates_fast.recipe import PERSONA_FIELDS, Data
from tests.data.rows import HOURS, SEVEN, frame, many, row

FORMATS = ["parquet", "jsonl", "csv"]


def whole(people: int = 30, **given: Any) -> pl.DataFrame:
    """Sound rows with the prompts that the renderer makes and no reasoning."""
    rows = frame(*many(people, **given)).drop("reasoning")
    prompts = [
        user_text(persona_text(one["demographic"]), one["stimuli"], "persona_first")
        for one in rows.to_dicts()
    ]
    return rows.with_columns(prompt=pl.Series(prompts))


def write(rows: pl.DataFrame, path: Path) -> Path:
    if path.suffix == ".parquet":
        rows.write_parquet(path)
    elif path.suffix == ".jsonl":
        rows.write_ndjson(path)
    else:
        rows.with_columns(pl.col("demographic").struct.json_encode()).write_csv(path)
    return path


def said(found: Checked) -> str:
    return "\n".join(map(str, [*found.faults, *found.left_out, *found.notes]))


@pytest.mark.parametrize("form", FORMATS)
def test_sound_rows_have_no_fault(tmp_path: Path, form: str) -> None:
    found = check(write(whole(), tmp_path / f"rows.{form}"))
    assert said(found) == ""
    assert found.summary == {"rows": 60, "usable": 60, "studies": 1, "cells": 4, "people": 30, "scales": 1}
    assert found.exit_code == 0


def test_persona_columns_of_their_own(tmp_path: Path) -> None:
    rows = whole().unnest("demographic")
    rows.write_csv(tmp_path / "rows.csv")
    assert said(check(tmp_path / "rows.csv")) == ""
    rows.with_columns(age=pl.lit("thirty")).write_csv(tmp_path / "rows.csv")
    assert "column demographic: age is 'thirty'; it must be a whole number (60 times" in said(
        check(tmp_path / "rows.csv")
    )


@pytest.mark.parametrize("form", FORMATS)
def test_columns_that_are_not_used_are_noted(tmp_path: Path, form: str) -> None:
    rows = whole().unnest("demographic").rename({"gender": "gendre"}).with_columns(wave=pl.lit("2"))
    path = tmp_path / f"rows.{form}"
    writers = {"parquet": "write_parquet", "jsonl": "write_ndjson", "csv": "write_csv"}
    getattr(rows, writers[form])(path)
    found = check(path)
    (note,) = map(str, found.notes)
    assert note.endswith("columns that are not used: gendre (did you mean gender?), wave")
    assert found.exit_code == 0


def test_known_columns_are_not_noted() -> None:
    assert unused_columns([*SOCSCI210, *PREPARED, *PAIRS, *schema_of({}).names, *PERSONA_FIELDS]) == ""
    assert unused_columns(["Gender", ""]) == "columns that are not used: Gender (did you mean gender?), ''"
    assert unused_columns(["age", "ages"]) == "columns that are not used: ages"
    assert unused_columns([f"q{n}" for n in range(23)]).endswith(", and 3 more")


DOUBTFUL = [
    row(sample_id=3, participant=3, response=2),
    row(sample_id=101, participant=-1),
    row(sample_id=None),
    row(sample_id=103, study_id=None),
    row(sample_id=104, response=98),
    row(sample_id=105, response=9),
    row(sample_id=106, response=None),
    row(sample_id=107, stimuli="Say a number, A."),
    row(sample_id=108, stimuli="Say a number, A."),
    row(sample_id=109, stimuli=f"Why? {HOURS}", response=40),
    row(sample_id=110, participant=77, response=2),
    row(sample_id=111, participant=77, response=2),
    many(1)[0],
]
EXPECTED = {
    "faults": [
        (41, r"column sample_id: study s, sample_id 3 is also another row on (row|line) 4; give every row"),
        (42, r"column participant: '?-1'? is negative"),
        (43, r"column sample_id: is empty"),
        (44, r"column study_id: is empty"),
    ],
    "left_out": [
        (45, r"study s condition 0 task 0: the answer is a missing-value code \(answer 98\)"),
        (46, r"study s condition 0 task 0: the answer is off its scale \(answer 9\)"),
        (47, r"study s condition 0 task 0: no answer"),
        (48, r"the scale cannot be read from 'Say a number, A.'; declare it in data.scales \(2 times\)"),
        (50, r"the scale is open or too wide to enumerate \(answer 40\)"),
        (52, r"an earlier row has the same person, cell, stimulus and answer"),
        (53, r"study s, sample_id 0 is also the same row on (row|line) 1; is it a copy"),
    ],
}


@pytest.mark.parametrize("form", FORMATS)
def test_every_doubtful_row_is_named(tmp_path: Path, form: str) -> None:
    rows = frame(*many(20), *DOUBTFUL)
    found = check(write(rows, tmp_path / f"rows.{form}"))
    shift = 1 if form == "csv" else 0  # its header is line 1
    for kind, faults in (("faults", found.faults), ("left_out", found.left_out)):
        assert sorted(fault.line for fault in faults if fault.line) == [
            line + shift for line, _ in EXPECTED[kind]
        ]
        for line, pattern in EXPECTED[kind]:
            text = next(str(fault) for fault in faults if fault.line == line + shift)
            shifted = re.sub(r"\(row\|line\) (\d+)", lambda m: f"(row|line) {int(m[1]) + shift}", pattern)
            assert re.search(shifted, text), text
    assert sum(found.reasons.values()) == found.summary["rows"] - 3 - found.summary["usable"]


ANSWERS = st.one_of(st.integers(-2, 9), st.sampled_from([98, 99, None]))
ROWS = st.lists(
    st.tuples(st.integers(0, 6), st.integers(0, 4), ANSWERS, st.sampled_from([SEVEN, HOURS, "Say."])),
    min_size=8,
    max_size=30,
)


@settings(deadline=None, max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(ROWS, st.sampled_from(FORMATS))
def test_what_it_says_is_what_prepare_does(tmp_path: Path, drawn: list[tuple[Any, ...]], form: str) -> None:
    """Rows that are counted as usable, and why the others are not, are those of the preparation."""
    sound = many(30, study="t")
    rows = frame(*sound, *(row(sample_id=i, participant=p, response=a, stimuli=s) for i, p, a, s in drawn))
    path = write(rows, tmp_path / f"rows.{form}")
    found = check(path)
    sides, prepared = prepare_rows(
        Data.model_validate({"path": path, "split": {"validation": 0, "test": 0.5}})
    )
    assert found.summary["usable"] == sum(side.height for side in sides.values())
    counts = prepared.dropped.group_by("reason").agg(pl.col("rows").sum())
    assert found.reasons == dict(counts.rows())


def damaged(folder: Path, change: Callable[[list[bytes]], None], form: str) -> Checked:
    path = write(whole().with_columns(prompt=pl.lit("p")), folder / f"rows.{form}")
    lines = path.read_bytes().split(b"\n")
    change(lines)
    path.write_bytes(b"\n".join(lines))
    return check(path)


JSONL: dict[str, tuple[int, Callable[[bytes], bytes], str]] = {
    "cut line": (4, lambda line: line[:-9], r":5: this line is damaged: not JSON \(.*, character \d+\)"),
    "text as id": (4, lambda line: line.replace(b'"participant":2', b'"participant":"two"'), r':5: column participant: is "two"; it must be'),
    "decimal id": (4, lambda line: line.replace(b'"participant":2', b'"participant":2.0'), r":5: column participant: is 2.0; it must be"),
    "huge id": (4, lambda line: line.replace(b'"participant":2', b'"participant":99999999999999999999'), r":5: column participant: is 99999"),
    "a list": (4, lambda line: b"[1, 2]", r":5: this line is no JSON object"),
    "NUL": (4, lambda line: b"\0\0\0", r":5: NUL bytes in this line"),
    "bad byte": (4, lambda line: line.replace(b"arm", b"\xe9"), r":5: byte 0xE9 \(number \d+ of the line\) is not UTF-8"),
    "age in words": (4, lambda line: line.replace(b'"age":30', b'"age":"old"'), r":5: column demographic: age is 'old'; it must be a whole number"),
    "no persona": (4, lambda line: re.sub(rb'"demographic":\{.*?\}', b'"demographic":7', line), r":5: column demographic: 7 is no persona"),
    "unknown field": (4, lambda line: line.replace(b'"age":30', b'"agge":30'), r":5: column demographic: agge is no field of a persona \(nearest: age\)"),
    "code as text": (4, lambda line: line.replace(b'"income":null', b'"income":5'), r":5: column demographic: income is 5, not text"),
    "no stimulus": (4, lambda line: re.sub(rb'"stimuli":".*?"', b'"stimuli":5', line), r":5: column stimuli: is 5; it must be a text"),
    "cut file": (59, lambda line: line[:-9], r":60: the file ends in the middle of this line"),
}  # fmt: skip


@pytest.mark.parametrize("name", JSONL)
def test_damaged_jsonl(tmp_path: Path, name: str) -> None:
    place, change, pattern = JSONL[name]

    def apply(lines: list[bytes]) -> None:
        lines[place] = change(lines[place])
        if name == "cut file":
            lines.pop()

    found = damaged(tmp_path, apply, "jsonl")
    assert re.search(r"rows\.jsonl" + pattern, said(found)), said(found)
    assert found.summary["rows"] >= 59


CSV: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "cut line": (lambda line: line[:3], r":5: \d cells where the header has 9; the line is cut after column"),
    "extra cell": (lambda line: line + b",x", r":5: 10 cells where the header has 9; a cell with ',' in it needs quotes"),
    "open quote": (lambda line: b'"' + line, r":5: column sample_id: a quote is opened here and not closed"),
    "text as id": (lambda line: b"x" + line, r":5: column sample_id: 'x\d' is not a whole number"),
    "bad byte": (lambda line: line.replace(b"arm", b"\xe9"), r":5: byte 0xE9 is not UTF-8; .*convert it from cp1252 to UTF-8"),
    "no JSON": (lambda line: line.replace(b'""age""', b"age"), r":5: column demographic: .* is not JSON"),
}  # fmt: skip


@pytest.mark.parametrize("name", CSV)
def test_damaged_csv(tmp_path: Path, name: str) -> None:
    change, pattern = CSV[name]

    def apply(lines: list[bytes]) -> None:
        lines[4] = change(lines[4])

    found = damaged(tmp_path, apply, "csv")
    assert re.search(r"rows\.csv" + pattern, said(found)), said(found)
    assert found.exit_code == 2
    assert found.summary["rows"] >= 59


JUNK = st.sampled_from(
    [b"", b'"', b",", b"\n", b"\0", b"\xe9", b"{", b"null", b"[1]", b"9" * 25, b"-1", b"1e400", b"\xff" * 9]
)


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.sampled_from(FORMATS),
    st.lists(st.tuples(st.floats(0, 1), st.integers(0, 30), JUNK), min_size=1, max_size=4),
)
def test_no_damage_is_a_crash(tmp_path: Path, form: str, damage: list[tuple[float, int, bytes]]) -> None:
    """Whatever is done to a file's bytes, what comes is a report."""
    path = write(whole(6), tmp_path / f"rows.{form}")
    content = path.read_bytes()
    for place, length, junk in damage:
        start = int(place * len(content))
        content = content[:start] + junk + content[start + length :]
    path.write_bytes(content)
    found = check(path)
    assert found.faults or found.summary["usable"]
    assert json.dumps(found.as_dict())


def test_csv_with_semicolons(tmp_path: Path) -> None:
    whole().drop("demographic", "prompt").with_columns(age=pl.lit(30)).write_csv(
        tmp_path / "a.csv", separator=";"
    )
    assert "a.csv:1: cells are separated by ';'; save the file with commas" in said(check(tmp_path / "a.csv"))


@pytest.mark.parametrize("keep", [0.0, 0.5, 0.99])
def test_a_parquet_file_that_is_cut_off(tmp_path: Path, keep: float) -> None:
    path = write(whole(), tmp_path / "rows.parquet")
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * keep)])
    found = check(path)
    assert re.search(r"cut off, or not a parquet file|the file is empty", said(found))
    assert found.exit_code == 2


def test_a_parquet_file_that_is_damaged_inside(tmp_path: Path) -> None:
    path = write(whole(200), tmp_path / "rows.parquet")
    content = bytearray(path.read_bytes())
    content[200:260] = bytes(60)
    path.write_bytes(content)
    assert re.search(r"rows\.parquet: row 1: from about here on the file is damaged", said(check(path)))


def test_columns_of_the_wrong_kind(tmp_path: Path) -> None:
    rows = whole().with_columns(pl.col("participant").cast(pl.String), pl.col("task_num").cast(pl.Float64))
    rows = rows.rename({"stimuli": "stimulus"}).drop("response")
    found = check(write(rows, tmp_path / "rows.parquet"))
    assert [fault.message for fault in found.faults] == [
        "missing column stimuli (nearest: stimulus)",
        "missing column response",
        "holds text; it must hold integer",
        "holds decimal number; it must hold integer",
    ]
    persona = whole().with_columns(
        demographic=pl.struct(age=pl.lit("30"), income=pl.lit(5), hobby=pl.lit("x"))
    )
    text = said(check(write(persona, tmp_path / "rows.parquet")))
    assert "column demographic: age holds text; it must hold integer" in text
    assert "column demographic: income holds integer, not text; are these codes without labels?" in text
    assert "column demographic: hobby is no field of a persona" in text
    for text, place in (('{"age": 30}', None), ("age 30", 1)):
        rows = whole().with_columns(demographic=pl.lit(text), prompt=pl.lit(""))
        assert [fault.line for fault in check(write(rows, tmp_path / "rows.parquet")).faults] == [
            place
        ] * bool(place)
    found = check(write(whole().drop("demographic"), tmp_path / "rows.parquet"))
    assert "no persona: neither a column demographic nor columns such as age" in said(found)


def test_a_folder(tmp_path: Path) -> None:
    for name, rows in {
        "a": whole(),
        "b": whole(),
        "c": whole(study="t").with_columns(low=pl.lit(1), high=pl.lit(7)),
        "d": whole(study="u").with_columns(pl.col("response").cast(pl.String)),
    }.items():
        write(rows, tmp_path / f"{name}.parquet")
    write(whole(study="v"), tmp_path / "e.jsonl")
    (tmp_path / "notes.txt").write_text("x")
    found = check(tmp_path)
    assert found.faults == []
    assert re.search(r"b\.parquet: row 1: column sample_id: study s, sample_id 0 is also the same row on row 1 of a\.parquet;"
                     r" is it a copy\? \(60 times; also rows 2, 3, 4, 5, and 55 others\)", said(found))  # fmt: skip
    assert "c.parquet: other columns than a.parquet: also has high, low" in said(found)
    assert (
        "d.parquet: other columns than a.parquet: column response holds text here and integer there"
        in said(found)
    )
    assert "not read: notes.txt" in said(found)
    assert "holds .jsonl, .parquet files and all are read" in said(found)
    assert found.summary["usable"] == 240


def test_notes_that_all_files_share_are_one(tmp_path: Path) -> None:
    for name in "abc":
        write(frame(*many(5, study=name)), tmp_path / f"{name}.parquet")
    notes = [str(note) for note in check(tmp_path).notes]
    assert len(notes) == 2
    assert all(note.endswith("(so in 3 files)") for note in notes)
    assert "column reasoning: was written knowing the answer" in notes[0]
    assert (
        "of 10 rows that were compared 10 have a prompt that is not what is made of demographic and stimuli"
        in notes[1]
    )


def test_declared_scales_count(tmp_path: Path) -> None:
    path = write(
        whole().with_columns(stimuli=pl.lit("How much?"), prompt=pl.lit("")), tmp_path / "rows.parquet"
    )
    assert check(path).exit_code == 2
    assert "no usable row is left" in said(check(path))
    scales = [{"study": "s", "scale": "1-7"}]
    assert check(path, Data.model_validate({"path": path, "scales": scales})).summary["usable"] == 60
    scales = [{"study": "other", "scale": "1-7"}, {"study": "s", "scale": "1-7"}]
    assert "other" in said(check(path, Data.model_validate({"path": path, "scales": scales})))


def test_a_survey_export_without_a_recipe(tmp_path: Path) -> None:
    path = tmp_path / "export.csv"
    path.write_text("ResponseId,Q1,Q2\nR_1,2,3\n", encoding="utf-8")
    assert "give it with --recipe" in said(check(path))
    (tmp_path / "a.sav").write_bytes(b"$FL2@(#)")
    assert "give it with --recipe" in said(check(tmp_path / "a.sav"))
    assert "unknown format '.doc'" in said(check(write_text(tmp_path / "a.doc")))
    (tmp_path / "empty").mkdir()
    assert "holds no .parquet, .jsonl, .csv file" in said(check(tmp_path / "empty"))


def write_text(path: Path) -> Path:
    path.write_text("x", encoding="utf-8")
    return path


def test_every_reason_has_its_words(tmp_path: Path) -> None:
    """The check knows every reason that the preparation knows, so that none is counted and not named."""
    path = write(frame(*many(20), *DOUBTFUL), tmp_path / "rows.parquet")
    found = check(path)
    named = sum(fault.count for fault in found.left_out) + 1  # the repeated id is a fault
    assert named == sum(found.reasons.values())
    assert {why.SAME_ID, why.OFF_SCALE} < set(found.reasons)
    assert json.loads(json.dumps(found.as_dict()))["reasons"] == found.reasons
