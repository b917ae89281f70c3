"""Lengths: those of the sequences that training gets, for a sample that stays, and the longest row found apart."""

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from socrates_fast import recipes
from socrates_fast.data import lengths as module
from socrates_fast.data.lengths import lengths, rows_at
from socrates_fast.data.prepared import prompts_of
from socrates_fast.data.synthetic import generate
from socrates_fast.prompt import ChatRenderer
from socrates_fast.recipe import Recipe, Synthetic
from socrates_fast.tokenizer import FolderTokenizer
from socrates_fast.train.tiny import write_tokenizer
from tests.data.prepared_rows import person, prepared, write


@pytest.fixture(scope="module")
def renderer(tmp_path_factory: pytest.TempPathFactory) -> ChatRenderer:
    folder = tmp_path_factory.mktemp("tokenizer")
    write_tokenizer(folder, generate(Synthetic(studies=1, people=10)).rows["prompt"].to_list(), 500)
    return FolderTokenizer(folder).renderer()


def recipe(*overrides: str) -> Recipe:
    return recipes.load("tiny", ["prompt.fields=[age,location]", *overrides])


ROWS = prepared(
    [
        {
            "participant": n, "response": 1 + n % 100, "stimuli": f"Number {n // 3}. " + "Why? " * (n % 7),
            "demographic": person(age=n % 90, location="Ohio" if n % 2 else None),
        }
        for n in range(60)
    ]
)  # fmt: skip


def test_every_row_as_training_has_it(renderer: ChatRenderer, tmp_path: Path) -> None:
    write(tmp_path, train=ROWS.head(40), test=ROWS.tail(20))
    shown = recipe("model.max_length=90")
    prompts = zip(prompts_of(ROWS, shown.prompt), ROWS["response"], strict=True)
    wanted = np.array([len(renderer.example(prompt, answer).input_ids) for prompt, answer in prompts])
    found = lengths(tmp_path, shown, renderer)
    assert (found["unit"], found["rows"], found["measured"], found["all_measured"]) == (
        "tokens",
        60,
        60,
        True,
    )
    assert (found["min"], found["max"], found["median"]) == (wanted.min(), wanted.max(), np.median(wanted))
    assert found["mean"] == pytest.approx(wanted.mean(), abs=0.05)
    assert found["99%"] == pytest.approx(np.quantile(wanted, 0.99))
    assert 0 < found["beyond"] == (wanted > 90).sum() < 60 and found["beyond_share"] == (wanted > 90).mean()
    edges, counts = found["histogram"]["edges"], found["histogram"]["counts"]
    assert counts == np.histogram(wanted, edges)[0].tolist() and sum(counts) == 60


def test_characters_where_there_is_no_tokenizer(tmp_path: Path) -> None:
    write(tmp_path, train=ROWS)
    shown = recipe()
    found = lengths(tmp_path, shown, None)
    wanted = [len(prompt.system) + len(prompt.user) for prompt in prompts_of(ROWS, shown.prompt)]
    answers = [len(str(answer)) for answer in ROWS["response"]]
    assert found["max"] == max(map(sum, zip(wanted, answers, strict=True)))
    assert (found["unit"], found["beyond"], found["beyond_share"]) == ("characters", None, None)


def test_the_longest_row_is_found_though_the_sample_has_it_not(
    renderer: ChatRenderer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SAMPLE", 10)
    monkeypatch.setattr(module, "LONGEST", 3)
    long = [
        {
            "participant": 100 + n,
            "stimuli": "é" * 90,
            "demographic": person(age=5, location=place, income=None if place else "x" * 500),
        }
        for n, place in enumerate(("Ohio", "A place with a long name", None))
    ]
    many = pl.concat([ROWS, prepared([{**row, "sample_id": 100 + n} for n, row in enumerate(long)])])
    write(tmp_path, train=ROWS, validation=many.tail(3))
    found = lengths(tmp_path, recipe(), renderer)
    prompts = prompts_of(many, recipe().prompt)
    wanted = [
        len(renderer.example(prompt, row).input_ids)
        for prompt, row in zip(prompts, many["response"], strict=True)
    ]
    assert found["max"] == max(wanted) == wanted[61]
    assert 10 <= found["measured"] <= 13 and not found["all_measured"]
    assert sum(found["histogram"]["counts"]) == 10


def test_the_sample_does_not_depend_on_the_order(
    renderer: ChatRenderer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SAMPLE", 12)
    results: list[dict[str, Any]] = []
    for rows in (ROWS, ROWS.reverse()):
        write(tmp_path, train=rows)
        results.append(lengths(tmp_path, recipe(), renderer))
    assert results[0] == results[1]


def test_rows_by_number_across_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BATCH", 7)
    numbers = np.array([0, 6, 7, 33, 59])
    assert rows_at(ROWS.lazy(), numbers).equals(ROWS[numbers])
