"""The prepared folder: whole or not at all, nothing lost on the way, and nothing done twice."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from socrates_fast import recipes
from socrates_fast.data import columns as why
from socrates_fast.data import prepare as prepare_module
from socrates_fast.data.prepare import FILES, PAIRS, prepare, prepare_rows
from socrates_fast.data.prepared import prompts_of, read_prepared, scorable
from socrates_fast.data.schema import PREPARED
from socrates_fast.data.splits import SIDES
from socrates_fast.errors import DataError
from socrates_fast.recipe import PromptOptions, Recipe
from tests.data.rows import HOURS, frame, many, row

Make = Callable[..., Recipe]
DOUBTFUL = [
    row(sample_id=900, response=12),
    row(sample_id=901, response=None, participant=3),
    row(sample_id=902, stimuli=HOURS, response=40),
    row(
        sample_id=903,
        stimuli="1 or 2? Only return 1 for Yes or 4 for No, nothing else.",
        response=4,
        task_num=7,
    ),
]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """A recipe over 60 people's rows and the doubtful ones."""
    path = tmp_path / "rows.parquet"
    frame(*many(60), *DOUBTFUL).write_parquet(path)

    def build(**options: Any) -> Recipe:
        settings = {"path": str(path), "split.validation": 0.2, "split.test": 0.3} | options
        chosen = [f"data.{name}={json.dumps(value)}" for name, value in settings.items()]
        return recipes.load("tiny", ["data.source=files", *chosen])

    return build


def rows_of(folder: Path) -> dict[str, pl.DataFrame]:
    return {side: pl.read_parquet(folder / f"{side}.parquet") for side in SIDES}


def test_every_row_is_on_one_side_or_counted(make: Make, tmp_path: Path) -> None:
    files = prepare(make(), tmp_path / "data")
    assert {file.name for file in files} == set(FILES) - {PAIRS}
    sides = rows_of(tmp_path / "data")
    assert all(dict(rows.schema) == PREPARED for rows in sides.values())
    facts = json.loads((tmp_path / "data/facts.json").read_text(encoding="utf-8"))
    dropped = sum(one["rows"] for one in facts["dropped"])
    assert dropped == 3 and sum(map(len, sides.values())) + dropped == 60 * 2 + len(DOUBTFUL)
    people = [set(rows["participant"]) for rows in sides.values()]
    assert sum(map(len, people)) == len(set.union(*people)) == 60


def test_sides_keep_the_order_and_batches_change_nothing(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare(make(), tmp_path / "one")
    monkeypatch.setattr("socrates_fast.data.sources.BATCH", 11)
    prepare(make(), tmp_path / "two")
    in_memory, _ = prepare_rows(make().data)
    for side, rows in rows_of(tmp_path / "one").items():
        assert rows["sample_id"].is_sorted()
        assert rows.equals(rows_of(tmp_path / "two")[side]) and rows.equals(in_memory[side])


def test_only_scales_with_gaps_are_written_out(make: Make, tmp_path: Path) -> None:
    prepare(make(open="keep"), tmp_path / "data")
    rows = pl.concat(rows_of(tmp_path / "data").values())
    assert rows.filter(pl.col("values").is_not_null())["values"].to_list() == [[1, 4]]
    assert rows.filter("open")["response"].to_list() == [40]
    assert "open" not in scorable(rows).filter("open")["stimuli"].to_list()
    assert scorable(rows).height == rows.height - 1
    assert [prompt.scale.kind for prompt in prompts_of(rows, PromptOptions())].count("open") == 1


def test_kept_rows_train_and_are_not_scored(make: Make, tmp_path: Path) -> None:
    prepare(make(off_scale="keep", open="keep"), tmp_path / "data")
    for side, rows in rows_of(tmp_path / "data").items():
        prepared = read_prepared(tmp_path / "data", side)
        doubtful = rows.filter((pl.col("response") > pl.col("high")) | pl.col("open"))
        assert prepared.dropped["rows"].sum() == doubtful.height
        assert prepared.rows.height == rows.height - doubtful.height


def test_the_second_time_nothing_is_done(make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "data"
    prepare(make(), out)
    before = {path: path.stat().st_mtime_ns for path in out.iterdir()}
    monkeypatch.setattr(prepare_module, "_write_stage", None)  # would fail if it were called
    monkeypatch.setattr(prepare_module, "card", None)
    said: list[str] = []
    prepare(make(), out, said.append)
    assert said == [f"{out}: unchanged; these rows were prepared from the same data and options"]
    assert {path: path.stat().st_mtime_ns for path in out.iterdir()} == before


@pytest.mark.parametrize("damage", ["another option", "another content", "a row file changed", "a file gone"])
def test_what_has_changed_is_done_again(make: Make, tmp_path: Path, damage: str) -> None:
    out = tmp_path / "data"
    prepare(make(), out)
    wanted = rows_of(out)
    recipe = make(**{"split.seed": 8} if damage == "another option" else {})
    if damage == "another content":
        frame(*many(50)).write_parquet(tmp_path / "rows.parquet")
    elif damage == "a row file changed":
        (out / "test.parquet").write_bytes(b"x")
    elif damage == "a file gone":
        (out / "train.parquet").unlink()
    prepare(recipe, out)
    same = all(rows.equals(wanted[side]) for side, rows in rows_of(out).items())
    assert same == damage.startswith("a ")


def test_another_prompt_changes_the_card_alone(make: Make, tmp_path: Path) -> None:
    out = tmp_path / "data"
    recipe = make()
    prepare(recipe, out)
    before = (out / "train.parquet").stat().st_mtime_ns
    prompt = recipe.prompt.model_copy(update={"order": "stimulus_first"})
    prepare(recipe.model_copy(update={"prompt": prompt}), out)
    assert (out / "train.parquet").stat().st_mtime_ns == before
    assert "stimulus_first" in (out / "card.json").read_text(encoding="utf-8")


def test_a_failure_on_the_way_leaves_nothing(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise DataError("on purpose")

    monkeypatch.setattr(prepare_module, "write_pairs", fail)
    with pytest.raises(DataError, match="on purpose"):
        prepare(make(pairs=True), tmp_path / "data")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["rows.parquet"]


def test_other_files_are_not_overwritten(make: Make, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data/mine.txt").write_text("x", encoding="utf-8")
    with pytest.raises(DataError, match=r"holds other files \(mine\.txt\)"):
        prepare(make(), tmp_path / "data")


def test_reasoning_and_pairs_only_if_asked(make: Make, tmp_path: Path) -> None:
    prepare(make(reasoning=True, pairs=True), tmp_path / "data")
    train = pl.read_parquet(tmp_path / "data/train.parquet")
    assert train["reasoning"].unique().to_list() == ["because"]
    pairs = pl.read_parquet(tmp_path / "data" / PAIRS)
    assert 0 < pairs.height <= train.height and (pairs["rejected"] != pairs["response"]).all()
    prepare(make(), tmp_path / "data")
    assert not (tmp_path / "data" / PAIRS).exists()
    assert "reasoning" not in pl.read_parquet(tmp_path / "data/train.parquet").columns


def test_shares_and_caps_leave_training_rows_out_and_count_them(make: Make, tmp_path: Path) -> None:
    prepare(make(max_rows_per_cell=3), tmp_path / "data")
    sides = rows_of(tmp_path / "data")
    cells = sides["train"].group_by("study_id", "condition_num", "task_num").len()
    assert cells["len"].max() == 3
    facts = json.loads((tmp_path / "data/facts.json").read_text(encoding="utf-8"))
    assert {one["reason"] for one in facts["unused"]} == {why.NOT_CHOSEN}
    whole, _ = prepare_rows(make().data)
    assert sum(one["rows"] for one in facts["unused"]) == whole["train"].height - sides["train"].height
    assert sides["test"].equals(whole["test"])


def test_a_mapping_file_says_the_sides(make: Make, tmp_path: Path) -> None:
    frame(*many(20), *many(20, study="t"), *many(20, study="u")).write_parquet(tmp_path / "rows.parquet")
    (tmp_path / "map.json").write_text(json.dumps({"seen": ["s"], "unseen": ["t"]}), encoding="utf-8")
    split = {"split.by": "mapping", "split.mapping": str(tmp_path / "map.json")}
    prepare(make(**split), tmp_path / "data")
    sides = rows_of(tmp_path / "data")
    assert set(sides["train"]["study_id"]) == {"s"} and set(sides["test"]["study_id"]) == {"t"}
    facts = json.loads((tmp_path / "data/facts.json").read_text(encoding="utf-8"))
    assert {(one["study_id"], one["reason"]) for one in facts["unused"]} == {("u", why.UNMAPPED)}
    assert facts["near_duplicates"] is not None  # every text of t stands in s as well
