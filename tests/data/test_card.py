"""The data card: every figure by hand on a small folder, texts that stay text, and plots that show what they should."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from socrates_fast import recipes
from socrates_fast.data.card import FEW, KINDS, Facts, card, card_text, draw
from socrates_fast.data.facts import COUNTS
from socrates_fast.data.pairs import write_pairs
from socrates_fast.data.plots import COLOURS
from socrates_fast.errors import DataError
from tests.data.prepared_rows import person, prepared, write

RECIPE = recipes.load("tiny", ["prompt.fields=[age,ideology]", "data.path=/a/folder/rows.csv"])


def counts(*rows: tuple[int, str, int]) -> pl.DataFrame:
    names = ("task_num", "reason", "rows")
    plain = {"study_id": "s", "condition_num": 0, "example": "answer 98, line 3"}
    return pl.DataFrame([plain | dict(zip(names, row, strict=True)) for row in rows], schema=COUNTS)


FACTS = Facts(
    "rows.csv", {"rows.csv": "0123abcd"}, 500, counts(*((n, "off", n + 1) for n in range(13)), (0, "no answer", 40)),
    counts((3, "open", 2)), counts((4, "not taken", 7)), {0: "tax | <b>*new*</b>", 1: "none"},
    {"by": "task", "whole": "tasks", "people": {"all": 9, "shared": 4, "test_rows": 3}, "test_rows": 5}, None, ["leaks"],
)  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """60 people of study s, of whom 20 test; study t has a task with two scales and a person who answers it twice."""
    seven = [{"participant": n, "response": 1 + n % 7, "demographic": person(age=n % 5)} for n in range(60)]
    other: list[dict[str, Any]] = [
        {
            "participant": 1,
            "condition_num": 0,
            "task_num": 2,
            "stimuli": "a",
            "low": 0,
            "high": 10,
            "response": 0,
        },
        {
            "participant": 1,
            "condition_num": 0,
            "task_num": 2,
            "stimuli": "b",
            "low": 0,
            "high": 10,
            "response": 10,
        },
        {"participant": 2, "condition_num": 1, "task_num": 2, "stimuli": "a", "low": 0, "high": 4},
        {"participant": 2, "condition_num": 1, "task_num": 3, "stimuli": "c", "low": 0, "high": 100},
        {
            "participant": 3,
            "condition_num": 1,
            "task_num": 3,
            "stimuli": "c",
            "low": 1,
            "high": 2,
            "response": 1,
        },
        {"participant": 3, "task_num": 4, "low": 1, "high": 4, "values": [1, 2, 4], "response": 4},
        {"participant": 3, "task_num": 5, "low": 0, "high": 10**9, "open": True, "response": 777},
        {"participant": 3, "task_num": 6, "low": 1, "high": 9, "values": [1, 9], "response": 9},
        {"participant": 3, "task_num": 7, "low": -5, "high": 5, "response": -5},
    ]
    rest = prepared([{"study_id": "t", "demographic": person(ideology="x"), **row} for row in other])
    rows = prepared(seven)
    return write(tmp_path, train=pl.concat([rows.head(40), rest]), test=rows.tail(20))


def test_figures(folder: Path) -> None:
    found = card(folder, RECIPE, FACTS)
    assert found["splits"] == {
        "train": {"rows": 49, "studies": 2, "cells": 8, "people": 43, "stimuli": 4},
        "validation": {"rows": 0, "studies": 0, "cells": 0, "people": 0, "stimuli": 0},
        "test": {"rows": 20, "studies": 1, "cells": 1, "people": 20, "stimuli": 1},
    }
    kinds = found["scales"]["kinds"]
    assert list(kinds) == list(KINDS)
    assert kinds["7-level range"] == {
        "rows": {"train": 40, "validation": 0, "test": 20}, "cells": 1, "lowest": 1, "highest": 7,
    }  # fmt: skip
    assert {kind: sum(facts["rows"].values()) for kind, facts in kinds.items()} == {
        "2 options": 2, "5-level range": 1, "7-level range": 60, "0 to 10": 2, "0 to 100": 1, "other range": 1,
        "listed options": 1, "open": 1,
    }  # fmt: skip
    assert (kinds["0 to 10"]["lowest"], kinds["0 to 10"]["highest"], kinds["open"]["highest"]) == (0, 10, 777)
    assert found["scales"]["cells_with_several"] == [
        {"study_id": "t", "condition_num": 1, "task_num": 3, "scales": 2},
    ]
    assert found["scales"]["tasks_that_differ"] == [
        {"study_id": "t", "task_num": 2, "conditions": 2, "scales": 2},
    ]
    assert found["repeated"] == {"items": 1, "rows": 2, "studies": 1}
    sides = found["cell_sizes"]["sides"]
    assert set(sides) == {"train", "test"} and found["cell_sizes"]["few"] == FEW
    assert sides["test"]["people"] == dict.fromkeys(("min", "25%", "median", "75%", "max"), 20.0)
    assert (
        sides["train"]["rows"]["max"],
        sides["train"]["rows"]["median"],
        sides["train"]["few_people"],
    ) == (40, 1, 8)
    assert found["persona"]["age"] == {"missing": pytest.approx(9 / 69), "distinct": 5, "shown": True}
    assert found["persona"]["ideology"] == {"missing": pytest.approx(60 / 69), "distinct": 1, "shown": True}
    assert found["persona"]["gender"] == {"missing": 1.0, "distinct": 0, "shown": False}


def test_it_is_json_and_says_what_the_recipe_does_but_not_where(folder: Path) -> None:
    write_pairs(folder / "train.parquet", folder / "pairs.parquet", 7)
    found = card(folder, RECIPE, FACTS)
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert found["data"]["path"] == "rows.csv" and "/a/folder" not in json.dumps(found)
    assert (
        found["prompt"]["fields"] == ["age", "ideology"]
        and found["versions"]["packages"]["polars"] == pl.__version__
    )
    assert found["dropped_rows"] == 91 + 40 and len(found["dropped"]) == 14
    assert found["pairs"] == {"pairs": 40, "same_stimulus": 40}


@settings(max_examples=25, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from("ab"), st.integers(0, 1), st.integers(0, 1), st.integers(0, 4), st.sampled_from("xyz"),
            st.sampled_from(["train", "test"]),
        ),
        min_size=1, max_size=40,
    )
)  # fmt: skip
def test_counts_are_those_of_a_plain_count(
    tmp_path_factory: pytest.TempPathFactory, made: list[tuple[Any, ...]]
) -> None:
    names = ("study_id", "condition_num", "task_num", "participant", "stimuli")
    rows = [dict(zip(names, row, strict=False)) for row in made]
    sides = {
        side: [row for row, one in zip(rows, made, strict=True) if one[-1] == side]
        for side in ("train", "test")
    }
    folder = write(tmp_path_factory.mktemp("data"), **{side: prepared(part) for side, part in sides.items()})
    found = card(folder, RECIPE, FACTS)
    for side, part in sides.items():
        assert found["splits"][side] == {
            "rows": len(part),
            "studies": len({row["study_id"] for row in part}),
            "cells": len({tuple(row[name] for name in names[:3]) for row in part}),
            "people": len({(row["study_id"], row["participant"]) for row in part}),
            "stimuli": len({row["stimuli"] for row in part}),
        }
    items: dict[Any, list[str]] = {}
    for row in rows:
        items.setdefault((row["study_id"], row["participant"], row["task_num"]), []).append(row["stimuli"])
    repeated = {key: texts for key, texts in items.items() if len(set(texts)) > 1}
    assert found["repeated"] == {
        "items": len(repeated), "rows": sum(map(len, repeated.values())), "studies": len({key[0] for key in repeated}),
    }  # fmt: skip


LENGTHS = {
    "unit": "tokens", "rows": 69, "measured": 69, "all_measured": True, "min": 90, "median": 100.0, "mean": 101.2,
    "90%": 110.0, "99%": 118.0, "max": 119, "max_length": 110, "beyond": 6, "beyond_share": 0.1,
    "histogram": {"edges": [90, 100, 110, 120], "counts": [10, 50, 9]},
}  # fmt: skip


def test_the_text_says_it_in_words(folder: Path) -> None:
    text = card_text(card(folder, RECIPE, FACTS, LENGTHS))
    assert "| train | 49 | 2 | 8 | 43 | 4 |" in text
    assert "| 7-level range | 40 | 0 | 20 | 87.0% | 1 | 1 to 7 |" in text
    assert "## Rows left out: 131" in text and "- 91 x off\n- 40 x no answer" in text
    assert text.count("x off (first: answer 98, line 3)") == 9 and "and 4 more cells and reasons" in text
    assert "## Doubtful rows kept, as the recipe says: 2" in text and "## Sound rows not used: 7" in text
    assert "- test: 1 of 1 cells have fewer than 50 people" in text
    assert "(110): 6; training will refuse them." in text and "Every row was measured." in text
    assert r"- condition 0: tax \| \<b\>\*new\*\</b\>" in text
    assert (
        "- leaks" in text
        and "| people | 9 | 4 | 3 |" in text
        and "order of the prompt: persona_first" in text
    )


def test_near_duplicates_are_named(folder: Path) -> None:
    cell = {"study_id": "s", "condition_num": 1, "task_num": 2}
    pair = cell | {f"test_{name}": value for name, value in cell.items()}
    pair |= {"side": "train", "jaccard": 0.91, "text": "one text", "test_text": "a # text"}
    near = {
        "threshold": 0.8,
        "texts": 10,
        "looked_at": 9,
        "count": 3,
        "count_within": 0,
        "pairs": [pair],
        "within": [],
    }
    text = card_text(card(folder, RECIPE, Facts("x", {}, 1, near_duplicates=near)))
    assert "- study s condition 1 task 2 (train) and study s condition 1 task 2 (test): 0.91" in text
    assert "one text" in text and r"a \# text" in text and "and 2 more across studies" in text


@pytest.mark.parametrize(("by", "held"), [("participant", "people"), ("random", "rows"), ("study", None)])
def test_why_near_duplicates_were_not_looked_for(folder: Path, by: str, held: str | None) -> None:
    overlap = {"by": by, "stimuli": {"all": 1000, "shared": 786, "test_rows": 1459}, "test_rows": 1500}
    text = card_text(card(folder, RECIPE, Facts("x", {}, 1, overlap=overlap)))
    says = f"holds out {held}, not texts, and 786 of 1,000 stimuli stand on several sides."
    assert (says in text) == ("not looked for" in text) == (held is not None)


def pixels(path: Path) -> np.ndarray[Any, Any]:
    from matplotlib.image import imread

    return np.round(np.asarray(imread(path))[..., :3] * 255).astype(int)


def of_colour(image: np.ndarray[Any, Any], colour: str) -> int:
    wanted = [int(colour[at : at + 2], 16) for at in (1, 3, 5)]
    return int((np.abs(image - wanted).max(axis=2) <= 2).sum())


def test_plots_show_sides_and_the_limit(folder: Path, tmp_path: Path) -> None:
    content = card(folder, RECIPE, FACTS, LENGTHS)
    files = draw(content, tmp_path)
    assert [file.name for file in files] == ["scales.png", "lengths.png"]
    scales, lengths = map(pixels, files)
    # Areas are as the rows: 49 train, 20 test (and the legend's squares).
    assert of_colour(scales, COLOURS["train"]) / of_colour(scales, COLOURS["test"]) == pytest.approx(
        49 / 20, rel=0.2
    )
    assert scales[0, 0].tolist() == [255, 255, 255]
    limit = of_colour(lengths, COLOURS["test"])
    assert limit > 100
    before = [file.read_bytes() for file in files]
    assert [file.read_bytes() for file in draw(content, tmp_path)] == before
    draw({**content, "lengths": LENGTHS | {"unit": "characters", "beyond": None}}, tmp_path)
    assert of_colour(pixels(files[1]), COLOURS["test"]) == 0
    draw({**content, "lengths": None}, tmp_path)
    assert of_colour(pixels(files[1]), COLOURS["train"]) == 0


def test_facts_come_back_from_their_file(tmp_path: Path) -> None:
    path = tmp_path / "facts.json"
    path.write_text(json.dumps(FACTS.as_json()), encoding="utf-8")
    found = Facts.read(path)
    assert found.as_json() == FACTS.as_json() and found.dropped.equals(FACTS.dropped)
    assert found.conditions == FACTS.conditions
    assert dict(found.unused.schema) == COUNTS


@pytest.mark.parametrize(
    "content", ["", "{}", "[]", '{"dropped": 3}', '{"dropped": [], "kept_anyway": [], "unused": []}']
)
def test_what_is_no_fact_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "facts.json").write_text(content, encoding="utf-8")
    with pytest.raises(DataError, match="prepare it again"):
        Facts.read(tmp_path / "facts.json")
    with pytest.raises(DataError, match="prepare it again"):
        Facts.read(tmp_path / "none.json")
