"""The data bench: made-up rows whose faults are known to their maker, the check of a card against them, the record."""

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from socrates_bench.data import measure, plan_of
from socrates_bench.data_check import WORDS, checked
from socrates_bench.data_plan import (
    CELLS,
    CONDITIONS,
    LEAST_ROWS,
    MOST_ARMS,
    ONE_ARM,
    PEOPLE,
    REPEATS,
    ROWS,
    STUDIES,
    TASKS,
    WITHIN,
    plan,
    spread,
)
from socrates_bench.data_rows import SHARDS, folder_of_shards, made
from socrates_bench.data_texts import KINDS, LONGEST, PROFILES, SHORTEST, Story, make_question
from socrates_fast.data.prepare import prepare
from socrates_fast.data.prepared import to_prepared
from socrates_fast.data.scales import parse_scale
from socrates_fast.data.schema import CELL, SOCSCI210
from socrates_fast.data.sources import open_files
from socrates_fast.errors import SocratesError
from socrates_fast.prompt import persona_text, user_text
from socrates_fast.recipe import Data, Recipe
from tests.bench.lines import details, lines_of, named
from tests.conftest import Command

FEW = 3_000
AGAIN = "seconds of preparing again, nothing done"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("bench") / "rows"
    made(place, FEW)
    return place


@pytest.fixture(scope="module")
def truth(folder: Path) -> dict[str, Any]:
    return made(folder, FEW)


@pytest.fixture(scope="module")
def rows(folder: Path) -> pl.DataFrame:
    return pl.read_parquet(folder_of_shards(folder))


def test_the_rows_are_in_socsci210s_columns_and_shards(folder: Path, rows: pl.DataFrame) -> None:
    assert dict(rows.schema) == SOCSCI210 and rows.height == FEW
    names = sorted(path.name for path in folder_of_shards(folder).iterdir())
    assert names == [f"train-{number:05}-of-{SHARDS:05}.parquet" for number in range(17)]
    told = rows.select("demographic", "stimuli", "prompt").iter_rows()
    assert all(prompt == user_text(persona_text(who), text, "persona_first") for who, text, prompt in told)
    assert rows.null_count().drop("demographic").row(0) == (0,) * 9


def test_the_truth_is_what_a_reader_of_the_rows_finds(folder: Path, truth: dict[str, Any]) -> None:
    read = open_files(folder_of_shards(folder)).read()
    prepared = to_prepared(read)
    counted = prepared.dropped.with_columns(pl.col("reason").replace_strict(WORDS))
    found = sorted(map(list, counted.select(*CELL, "reason", "rows").iter_rows()))
    assert found == sorted(truth["left_out_by_cell"])
    assert 0 not in truth["left_out"].values()
    assert prepared.rows.height == truth["sound"]["rows"] == FEW - sum(truth["left_out"].values())
    assert read.select("study_id", "participant").n_unique() == truth["people"]
    assert read.select(CELL).n_unique() == truth["cells"]
    assert read["stimuli"].n_unique() == truth["distinct_stimuli"]
    lengths = read["stimuli"].str.len_chars()
    assert (lengths.min(), lengths.max()) == (truth["characters"]["least"], truth["characters"]["most"])


def test_designs(rows: pl.DataFrame) -> None:
    one = rows.unique(["study_id", "sample_id"])
    person = one.group_by("study_id", "participant")
    arms = (
        person.agg(pl.col("condition_num").n_unique()).group_by("study_id").agg(pl.col("condition_num").max())
    )
    tasks = one.group_by("study_id", "participant", "task_num").agg(pl.col("stimuli").n_unique())
    again = dict(tasks.group_by("study_id").agg(pl.col("stimuli").max()).iter_rows())
    most = dict(arms.iter_rows())
    for study in plan(FEW, 1):
        several = len(np.unique(study.cells[:, 0])) > 1 and study.design in ("within", "profiles")
        assert (most[study.name] > 1) == several, study.design
        assert (again[study.name] > 1) == (study.design != "between"), study.design


def test_the_same_seed_gives_the_same_bytes(folder: Path, tmp_path: Path) -> None:
    assert made(tmp_path / "again", FEW)["left_out_by_cell"] == made(folder, FEW)["left_out_by_cell"]
    for path in folder_of_shards(folder).iterdir():
        assert path.read_bytes() == (folder_of_shards(tmp_path / "again") / path.name).read_bytes()
    made(tmp_path / "again", FEW, seed=2)
    for path in folder_of_shards(folder).iterdir():
        assert path.read_bytes() != (folder_of_shards(tmp_path / "again") / path.name).read_bytes()


def test_made_rows_are_used_again_and_other_files_are_not_lost(folder: Path, tmp_path: Path) -> None:
    before = (folder / "truth.json").stat().st_mtime_ns
    made(folder, FEW)
    assert (folder / "truth.json").stat().st_mtime_ns == before
    (tmp_path / "letter.txt").write_text("dear")
    with pytest.raises(SocratesError, match="holds other files"):
        made(tmp_path, FEW)
    assert (tmp_path / "letter.txt").read_text() == "dear"


def test_the_whole_has_socsci210s_counts() -> None:
    studies = plan(ROWS, 1)
    arms = [len(np.unique(study.cells[:, 0])) for study in studies]
    assert len(studies) == STUDIES and sum(study.rows for study in studies) == ROWS
    assert sum(arms) == CONDITIONS and arms.count(1) == ONE_ARM and max(arms) == MOST_ARMS
    assert sum(len(np.unique(study.cells[:, 1])) for study in studies) == TASKS
    assert sum(len(study.cells) for study in studies) == CELLS
    assert sum(study.rows / study.answers for study in studies) == pytest.approx(PEOPLE, rel=0.01)
    designs = Counter(study.design for study in studies)
    assert designs["within"] + designs["profiles"] == WITHIN
    assert STUDIES - designs["between"] == REPEATS
    sizes = sorted(study.rows for study in studies)
    assert sizes[0] == pytest.approx(1_087, rel=0.05) and sizes[-1] == pytest.approx(90_977, rel=0.05)
    shares = dict.fromkeys(KINDS, 0.0)
    for study in studies:
        for question in study.questions:
            shares[question.kind] += study.rows / len(study.questions) / ROWS * 100
    for kind, share in KINDS.items():
        assert shares[kind] == pytest.approx(share, abs=0.8), kind


@given(
    st.integers(1, 300).flatmap(lambda n: st.tuples(st.just(n), st.integers(n, 50 * n))), st.floats(0.1, 1.5)
)
def test_sizes_have_their_sum(sizes: tuple[int, int], sigma: float) -> None:
    count, total = sizes
    found = spread(total, count, sigma, 1, total)
    assert found.sum() == total and len(found) == count
    assert found.min() >= 1 and (np.diff(found) >= 0).all()


@given(st.sampled_from(list(KINDS)), st.integers(0, 10**6))
def test_an_instruction_states_its_scale(kind: str, seed: int) -> None:
    question = make_question(kind, Random(seed))
    scale = parse_scale(f"In 2019 from 3 to 9 people came. {question.instruction}")
    assert scale is not None and (scale.low, scale.high) == (question.low, question.high)
    allowed = [value for value in range(scale.low, min(scale.high, 10**5) + 1) if value != question.skip]
    assert scale.values == (None if kind == "open" else tuple(allowed))
    off = question.off_scale()
    if kind != "open":
        assert not set(off) & set(allowed)
        assert set(off[:2]) <= set(Data.model_fields["missing_codes"].default)


@settings(max_examples=20)
@given(st.integers(0, 10**6), st.integers(SHORTEST, LONGEST), st.booleans())
def test_stimuli_are_as_long_as_they_shall_be(seed: int, length: int, profiles: bool) -> None:
    random = Random(seed)
    story = Story(random, length, 3, profiles)
    instruction = make_question("5 levels", random).instruction
    texts = [
        story.stimulus(arm, variant, story.question(), instruction)
        for arm in range(3)
        for variant in range(3)
    ]
    assert all(SHORTEST <= len(text) <= LONGEST for text in texts)
    if profiles:
        assert len({story.stimulus(0, number * 7919 % PROFILES, "", "") for number in range(300)}) == 300


def _prepared(folder: Path, out: Path, **data: Any) -> Path:
    options = {"source": "files", "path": folder_of_shards(folder), **data}
    prepare(Recipe.model_validate({"name": "bench", "data": options}), out)
    return out


def _one_more(truth: dict[str, Any]) -> None:
    truth["left_out_by_cell"][0][-1] += 1


def _other_reason(truth: dict[str, Any]) -> None:
    row = next(row for row in truth["left_out_by_cell"] if row[3] == "off_scale")
    row[3] = "missing_code"


def _more_rows(truth: dict[str, Any]) -> None:
    truth["sound"]["rows"] += 1


@pytest.fixture(scope="module")
def prepared(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _prepared(folder, tmp_path_factory.mktemp("prepared") / "all")


def test_a_card_that_agrees(prepared: Path, truth: dict[str, Any]) -> None:
    found = checked(prepared, truth, 1.0, whole_people=True)
    assert found["left_out"] == truth["left_out"] and found["read"] == FEW and found["unused"] == 0
    assert sum(found["written"].values()) == truth["sound"]["rows"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_one_more, "what was left out of 1 cells is not what ought to be"),
        (_other_reason, r"missing_code: \d+, not \d+"),
        (_more_rows, "rows written or unused: "),
    ],
)
def test_a_card_that_does_not(
    prepared: Path, truth: dict[str, Any], change: Callable[[dict[str, Any]], None], message: str
) -> None:
    other = json.loads(json.dumps(truth))
    change(other)
    with pytest.raises(SocratesError, match=message):
        checked(prepared, other, 1.0, whole_people=True)


@pytest.mark.long
def test_the_record(command: Command, folder: Path) -> None:
    found = lines_of(command("bench", "data", "--rows", FEW, "--keep", folder, "--shares", "0.1", "--prepared",
                             "prepared", "--json"), "data")  # fmt: skip
    source = details(named(found, "seconds of making the rows"))["source"]
    prepared, again = named(found, "seconds of preparing", share=0.1), named(found, AGAIN, share=0.1)
    scale, run = named(found, "time of a row's scale"), details(named(found, "seconds of preparing"))
    assert source["left_out"] == run["rows"]["left_out"] and run["rows"]["unused"] > 1_000
    assert run["rows_per_second"] == FEW / prepared.figure.median and run["cpu_seconds"] > 0
    assert prepared.peak_memory == run["memory"]["peak"] >= run["memory"]["own"] > 2**20
    assert run["bytes_written"] >= run["bytes"] > 10_000 and again.figure.median < prepared.figure.median
    read = details(scale)
    assert read["rows_with_a_scale"] == read["rows"] == FEW and read["texts"] == source["distinct_stimuli"]
    assert scale.figure.median == 1e6 * read["seconds"] / FEW and scale.figure.unit == "us/row"
    assert prepared.settings["cores"] in (1, 2) and "at most" not in run.get("asked", "")


def test_what_is_there_already_is_not_lost(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "share-0.1").mkdir()
    with pytest.raises(SocratesError, match="share-0.1 is already there"):
        next(measure(plan_of(FEW, "0.1", "participant", folder, tmp_path)))


@pytest.mark.parametrize(
    ("rows", "shares", "split", "message"),
    [
        (FEW, "1,2", "participant", "give shares above 0"),
        (FEW, "all", "participant", "give shares above 0"),
        (FEW, "1", "mapping", "choose from participant, random"),
        (LEAST_ROWS - 1, "1", "participant", "at least 1000"),
    ],
)
def test_what_cannot_be_measured(rows: int, shares: str, split: str, message: str) -> None:
    with pytest.raises(SocratesError, match=message):
        plan_of(rows, shares, split, None, None)
