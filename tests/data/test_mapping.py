"""The authors' mapping files: what they say is done, and what does not fit is an error or is counted and named."""

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from socrates_fast.data.choice import PERSON, share
from socrates_fast.data.mapping import Mapping, mapping_report, read_mapping
from socrates_fast.data.splits import SIDES, assert_whole, sides, sides_warning, split_rows
from socrates_fast.data.splits import overlap as overlap_of
from socrates_fast.errors import DataError
from socrates_fast.recipe import Split
from tests.data.test_splits import grid

SPLIT = Split(by="mapping", mapping="file.json", validation=0.2)


def read(folder: Path, content: Any, name: str = "mapping.json") -> Mapping:
    path = folder / name
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return read_mapping(path)


def by_column(keys: pl.DataFrame, column: str, held_out: int) -> dict[str, dict[str, list[int]]]:
    """A mapping in the authors' shape that holds out one group of every study."""
    found: dict[str, dict[str, list[int]]] = {}
    for study, sample, group in keys.select("study_id", "sample_id", column).rows():
        lists = found.setdefault(study, {"train": [], "eval": []})
        lists["eval" if group == held_out else "train"].append(sample)
    return found


def test_unseen_studies(tmp_path: Path) -> None:
    keys = grid(6)
    mapping = read(tmp_path, {"seen": ["s000", "s001", "s002", "s003"], "unseen": ["s004"]})
    side = sides(keys, SPLIT, mapping)
    assert_whole(keys, side, SPLIT, mapping)
    placed = keys.with_columns(side=side)
    assert set(placed.filter(pl.col("side") == "test")["study_id"]) == {"s004"}
    assert set(placed.filter(pl.col("side").is_null())["study_id"]) == {"s005"}
    trained = placed.filter(pl.col("side").is_in(["train", "validation"]))
    assert set(trained["study_id"]) == {"s000", "s001", "s002", "s003"}
    validating = trained.group_by("study_id", "participant").agg(pl.col("side").n_unique())
    assert set(validating["side"]) == {1}, "people stay whole"
    rows = split_rows(keys, SPLIT, mapping)
    assert {name: part.height for name, part in rows.items()} == {
        name: (side == name).sum() for name in SIDES
    }
    # As in the split by participant: by the person's own hash.
    places = [share(SPLIT.seed, f"{study}\x1f{person}") for study, person in trained.select(PERSON).rows()]
    assert trained["side"].to_list() == ["validation" if place < 0.2 else "train" for place in places]


@pytest.mark.parametrize(("kind", "column"), [("conditions", "condition_num"), ("tasks", "task_num")])
def test_unseen_conditions_and_tasks(tmp_path: Path, kind: str, column: str) -> None:
    keys = grid(5)
    mapping = read(tmp_path, by_column(keys, column, 1))
    side = sides(keys, SPLIT, mapping)
    assert_whole(keys, side, SPLIT, mapping)
    assert keys.filter(side == "test")[column].unique().to_list() == [1]
    assert 1 not in keys.filter(side != "test")[column]
    report = mapping_report(keys, mapping)
    assert report[f"split_{kind}"] == {"count": 0, "examples": [], "of": 5 * keys[column].n_unique()}
    assert report["rows_without_side"] == 0
    assert report["notes"] == [
        f"the mapping holds out {kind}: {5 * keys[column].n_unique()} of them in the data"
    ]
    shuffled = keys.sample(fraction=1, shuffle=True, seed=1).with_columns(
        pl.col("study_id").cast(pl.Categorical)
    )
    again = shuffled.with_columns(pl.col("study_id").cast(pl.String), side=sides(shuffled, SPLIT, mapping))
    assert again.sort("study_id", "sample_id")["side"].equals(side)


def test_what_does_not_fit_is_counted_and_named(tmp_path: Path) -> None:
    keys = grid(4)
    content = by_column(keys, "condition_num", 1)
    del content["s003"]
    first = content["s000"]["train"].pop(0)
    cut = content["s001"]["eval"].pop(0)
    content["s001"]["train"] += [cut, 7001, 7002]
    content["s002"]["train"].append(content["s002"]["train"][0])
    content["zzzzz"] = {"train": [1], "eval": []}
    mapping = read(tmp_path, content)
    report = mapping_report(keys, mapping)
    assert report["studies_not_listed"] == {"count": 1, "examples": ["s003"], "rows": 60}
    assert report["rows_not_listed"] == {"count": 1, "examples": [f"s000 {first}"]}
    assert report["rows_without_side"] == 61 == sides(keys, SPLIT, mapping).null_count()
    assert report["studies_without_row"] == {"count": 1, "examples": ["zzzzz"]}
    assert report["ids_without_row"] == {"count": 3, "examples": ["s001 7001", "s001 7002", "zzzzz 1"]}
    assert report["split_conditions"] == {"count": 1, "examples": ["s001 1"], "of": 12}
    assert report["repeated"] == 1
    said = "\n".join(report["notes"])
    for part in ("1 studies (60 rows) are not in the mapping", "s000 0", "3 sample ids", "zzzzz",
                 "1 of 12 conditions stand on both sides", "1 entries of the mapping repeat"):  # fmt: skip
        assert part in said
    json.dumps(report)


def test_a_mapping_that_cuts_people_is_said_to(tmp_path: Path) -> None:
    """Rows of one person on both sides, where the studies are held out nowhere."""
    keys = grid(3)
    mapping = read(tmp_path, by_column(keys, "task_num", 0))
    found = overlap_of(keys, sides(keys, SPLIT, mapping), SPLIT)
    assert found["whole"] is None and found["people"]["shared"] > 0 and found["tasks"]["test_rows"] == 0
    assert sides_warning(SPLIT, found) == []


@settings(max_examples=25, deadline=None)
@given(
    lists=st.dictionaries(
        st.text(min_size=1),
        st.tuples(st.sets(st.integers(-9, 99)), st.sets(st.integers(100, 200))),
        min_size=1,
    )
)
def test_every_entry_is_read(lists: dict[str, tuple[set[int], set[int]]], tmp_path_factory: Any) -> None:
    folder = tmp_path_factory.mktemp("mapping")
    mapping = read(folder, {study: {"train": list(a), "eval": list(b)} for study, (a, b) in lists.items()})
    entries = {(study, one, side) for study, (a, b) in lists.items()
               for ids, side in ((a, "train"), (b, "test")) for one in ids}  # fmt: skip
    assert set(mapping.table.rows()) == entries and mapping.table.height == len(entries)


SHAPE = r'expected \{"seen": \[studies\]'
BAD = [
    ("[1, 2]", rf"{SHAPE}.*found a list"),
    ("{}", rf"{SHAPE}.*found an object of 0"),
    ("3", SHAPE),
    ('{"seen": ["a"]}', rf"{SHAPE}.*1 entries are not so: 'seen': a list"),
    ('{"seen": ["a"], "unseen": 3}', SHAPE),
    ('{"a": {"train": [1], "test": [2]}}', r"'a': an object of 2 \('train': list, 'test': list\)"),
    ('{"a": {"train": [1], "eval": [2]}, "b": {"train": 1, "eval": []}}', "1 entries are not so: 'b'"),
    ('{"a": {"train": [1, 2], "eval": [2, 3]}}', "study a sample 2 stands on both sides"),
    ('{"seen": ["a", "b"], "unseen": ["b"]}', "study b stands on both sides"),
    (
        '{"a": {"train": ["x", 1.5, true, null], "eval": []}}',
        '4 faults: "x" is not a sample id .*in study a; 1.5',
    ),
    ('{"a": {"train": [9223372036854775808], "eval": []}}', "9223372036854775808 is not a sample id"),
    ('{"seen": ["a", 3, ""], "unseen": []}', '2 faults: 3 is not the name of a study; ""'),
    ('{"a": {"train": [], "eval": []}, "a": {"train": [], "eval": []}}', "a stands twice in the same object"),
    ('{"a": {"train": [1,\n], "eval": []}}', "line 2, column 1: not JSON"),
    ('{"a": ', "not JSON"),
]


@pytest.mark.parametrize(("content", "message"), BAD, ids=range(len(BAD)))
def test_a_faulty_file_is_refused_by_name(tmp_path: Path, content: str, message: str) -> None:
    with pytest.raises(DataError, match=message) as caught:
        read(tmp_path, content)
    assert str(tmp_path / "mapping.json") in str(caught.value)


def test_unreadable_files(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be read: No such file"):
        read_mapping(tmp_path / "none.json")
    with pytest.raises(DataError, match="cannot be read"):
        read_mapping(tmp_path)
    (tmp_path / "latin.json").write_bytes('{"é": 1}'.encode("latin-1"))
    with pytest.raises(DataError, match="not UTF-8"):
        read_mapping(tmp_path / "latin.json")


def test_a_mapping_of_other_data_is_an_error(tmp_path: Path) -> None:
    keys = grid(3)
    mapping = read(tmp_path, {"seen": ["x", "y"], "unseen": ["z"]})
    with pytest.raises(
        DataError, match=r"train side is empty: mapping.json names 3 studies, 0 train.*of this data"
    ):
        sides(keys, SPLIT, mapping)
    assert "is it the mapping of another dataset?" in mapping_report(keys, mapping)["notes"][-1]
    mapping = read(tmp_path, {"seen": ["s000"], "unseen": ["z"]})
    with pytest.raises(DataError, match="the test side is empty"):
        sides(keys, SPLIT, mapping)


def test_a_study_that_the_mapping_holds_out_is_whole(tmp_path: Path) -> None:
    keys = grid(2)
    mapping = read(tmp_path, {"seen": ["s000"], "unseen": ["s001"]})
    side = sides(keys, SPLIT, mapping).cast(pl.String)
    moved = pl.select(
        pl.when(pl.int_range(keys.height) == 119).then(pl.lit("train")).otherwise(side)
    ).to_series()
    with pytest.raises(AssertionError, match="1 studies stand on more than one side"):
        assert_whole(keys, moved, SPLIT, mapping)
