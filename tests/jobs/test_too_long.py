"""Whole-file jobs with prompts longer than the context: refused, recorded, or cut and marked."""

import json
from pathlib import Path

import pytest

from socrates_fast.data.prepared import make_prompt
from socrates_fast.data.scales import parse_scale
from socrates_fast.errors import ScoringError
from socrates_fast.infer.gguf_model import GgufPredictor
from socrates_fast.recipe import PromptOptions
from tests.jobs.conftest import LONG, Job, make_rows, results, write_jsonl

CONTEXT = {"context": 320}


def with_a_long_row(tmp_path: Path) -> tuple[Path, str]:
    rows = make_rows(9)
    rows[5]["stimuli"] = stimulus = f"{LONG}so it is. {rows[5]['stimuli']}"
    return write_jsonl(tmp_path / "rows.jsonl", rows), stimulus


def test_a_prompt_that_is_too_long_is_refused_before_the_others_are_asked(
    job: Job, gguf_file: Path, tmp_path: Path
) -> None:
    data, _ = with_a_long_row(tmp_path)
    with pytest.raises(ScoringError) as caught:
        job(gguf_file, data, tmp_path / "out", settings=CONTEXT, window=2)
    message = str(caught.value)
    assert f"{data}:6 (study s1, sample 5): it has " in message
    assert "at most 320 fit" in message and "--truncate cuts" in message
    assert not list((tmp_path / "out").rglob("*.parquet"))


def test_or_recorded(job: Job, gguf_file: Path, tmp_path: Path) -> None:
    data, _ = with_a_long_row(tmp_path)
    document = job(gguf_file, data, tmp_path / "out", settings=CONTEXT, on_fault="record")
    found = results(tmp_path / "out")
    assert "at most 320 fit" in found[5]["fault"] and found[5]["truncated"] == 0
    assert [row["fault"] is None for row in found] == [number != 5 for number in range(9)]
    assert sum(document["faults"].values()) == 1


def test_or_cut_at_the_beginning_of_its_stimulus_and_marked(
    job: Job, gguf_file: Path, tmp_path: Path
) -> None:
    data, stimulus = with_a_long_row(tmp_path)
    deterministic = {**CONTEXT, "deterministic": True}
    document = job(gguf_file, data, tmp_path / "out", settings=deterministic, truncate=True)
    found = results(tmp_path / "out")
    cut = found[5]["truncated"]
    assert 0 < cut < len(stimulus) and document["truncated"] == 1
    assert all(row["truncated"] == 0 for row in found if row["row"] != 5)
    rest = stimulus[cut:]
    assert rest.startswith(("the ", "park ", "and ", "river ", "road ")) and stimulus.endswith(rest)
    scale = parse_scale(rest)
    assert scale is not None
    options = PromptOptions()
    prompt, fuller = (
        make_prompt(json.loads(data.read_text().splitlines()[5])["demographic"], text, scale, options)
        for text in (rest, stimulus[cut - 120 :])
    )
    with GgufPredictor(gguf_file, context=320, deterministic=True, threads=1) as predictor:
        assert predictor.predict([prompt])[0].probabilities.tolist() == found[5]["probabilities"]
        with pytest.raises(ScoringError, match="at most 320 fit"):  # hardly more would have fitted
            predictor.predict([fuller])


def test_a_hugging_face_model_is_cut_for_as_well(job: Job, folder: Path, tmp_path: Path) -> None:
    rows = make_rows(2)
    rows[1]["stimuli"] = f"{LONG * 8}so it is. {rows[1]['stimuli']}"
    document = job(folder, write_jsonl(tmp_path / "rows.jsonl", rows), tmp_path / "out", truncate=True)
    found = results(tmp_path / "out")
    assert document["truncated"] == 1 and found[0]["truncated"] == 0 < found[1]["truncated"]
    assert sum(found[1]["probabilities"]) == pytest.approx(1)
    assert document["last_start"]["tokens_computed"] > 1500  # little more was cut than had to be


def test_what_cannot_be_cut_is_a_fault(job: Job, gguf_file: Path, tmp_path: Path) -> None:
    row = make_rows(1)[0]
    row["stimuli"] = f"Only return an integer from 1 to 7, where 7 means {LONG}, nothing else."
    data = write_jsonl(tmp_path / "rows.jsonl", [row])
    with pytest.raises(ScoringError, match=r"rows\.jsonl:1 .*at most 320 fit"):
        job(gguf_file, data, tmp_path / "out", settings=CONTEXT, truncate=True)
