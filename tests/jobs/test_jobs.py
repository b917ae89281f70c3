"""Whole-file jobs: what comes out, what is refused and when, and what a second start does."""

import fcntl
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow.parquet as pq
import pytest

from socrates_fast import recipes
from socrates_fast.console import Console
from socrates_fast.data.prepare import prepare
from socrates_fast.data.prepared import make_prompt, prompts_of, read_prepared
from socrates_fast.data.scales import range_scale
from socrates_fast.errors import DataError, ScoringError, SocratesError
from socrates_fast.evaluate.answers import read_answers
from socrates_fast.evaluate.predictions import Stored
from socrates_fast.infer import load_predictor
from socrates_fast.infer.gguf_model import GgufPredictor
from socrates_fast.jobs.job import JobOptions, run_job
from socrates_fast.jobs.rows import kind_of
from socrates_fast.recipe import PromptOptions
from tests.conftest import Command, command_environment
from tests.jobs.conftest import LONG, Job, make_rows, results, write_jsonl, write_parquet


def content(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


# --- what comes out -----------------------------------------------------------------------------------------


def test_every_row_once_in_order_with_its_keys(job: Job, tmp_path: Path) -> None:
    rows = make_rows(100)
    document = job("uniform", write_jsonl(tmp_path / "rows.jsonl", rows), tmp_path / "out", window=17)
    found = results(tmp_path / "out")
    assert [row["row"] for row in found] == list(range(100))
    for name in ("study_id", "sample_id", "participant", "condition_num", "task_num"):
        assert [row[name] for row in found] == [row[name] for row in rows]
    assert found[1]["values"] == [1, 2] and found[1]["probabilities"] == [0.5, 0.5]
    assert found[2]["mean"] == 5 and found[2]["median"] == 5 and found[2]["fault"] is None
    assert document["rows"] == 100 and document["faults"] == {} and document["last_start"]["rows"] == 100
    assert json.loads((tmp_path / "out/job.json").read_text()) == document
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        ".lock",
        "job.json",
        "predictions.parquet",
    ]


def test_formats_and_folders_give_the_same(job: Job, tmp_path: Path) -> None:
    rows = make_rows(30)
    write_jsonl(tmp_path / "a.jsonl", rows)
    write_parquet(tmp_path / "b.parquet", rows)
    flat = [{**row, **row["demographic"], "demographic": None} for row in rows]
    write_jsonl(tmp_path / "c.jsonl", flat)
    text = [{**row, "demographic": json.dumps(row["demographic"])} for row in rows]
    write_parquet(tmp_path / "d.parquet", text)
    (tmp_path / "both").mkdir()
    write_jsonl(tmp_path / "both/1.jsonl", rows[:11])
    write_parquet(tmp_path / "both/2.parquet", rows[11:])
    found = []
    for name in ("a.jsonl", "b.parquet", "c.jsonl", "d.parquet", "both"):
        job("midpoint", tmp_path / name, tmp_path / f"out-{name}")
        found.append(results(tmp_path / f"out-{name}"))
    assert all(each == found[0] for each in found)


def test_a_prepared_folder_gives_what_evaluate_reads(job: Job, tmp_path: Path) -> None:
    prepare(recipes.load("tiny", ["data.synthetic.people=20"]), tmp_path / "data")
    job("uniform", tmp_path / "data", tmp_path / "out")
    answers = read_answers(read_prepared(tmp_path / "data").rows)
    rows = 0
    for block in Stored(tmp_path / "out/predictions.parquet").blocks(answers):
        np.testing.assert_allclose(block.probabilities, 1 / len(block.values))
        rows += len(block.rows)
    assert rows == answers.height


def test_a_gguf_is_shown_what_evaluate_would_show_it(job: Job, gguf_file: Path, tmp_path: Path) -> None:
    prepare(recipes.load("tiny", ["data.synthetic.people=12"]), tmp_path / "data")
    machine = {"threads": 1}
    document = job(gguf_file, tmp_path / "data", tmp_path / "out", window=40,
                   settings={"deterministic": True}, machine=machine)  # fmt: skip
    prompts = prompts_of(read_prepared(tmp_path / "data").rows, PromptOptions())
    with GgufPredictor(gguf_file, deterministic=True, threads=1) as predictor:
        expected = predictor.predict(prompts)
    for row, one in zip(results(tmp_path / "out"), expected, strict=True):
        assert row["values"] == one.values.tolist()
        assert row["probabilities"] == one.probabilities.tolist()
        assert (row["answer_mass"], row["mean"], row["unexplored"]) == (
            one.answer_mass,
            one.mean,
            one.unexplored,
        )
    work = document["last_start"]
    assert 0 < work["tokens_computed"] < work["tokens_asked"]
    assert document["job"]["settings"] == {"deterministic": True, "truncate": False, "threads": 1}


def test_open_scales_are_asked(job: Job, gguf_file: Path, tmp_path: Path) -> None:
    stimulus = "How long? Only return an integer representing the hours, nothing else."
    data = write_jsonl(tmp_path / "rows.jsonl", [{"stimuli": stimulus, "age": 30}])
    job(gguf_file, data, tmp_path / "out")
    (row,) = results(tmp_path / "out")
    assert len(row["values"]) > 1 and sum(row["probabilities"]) == pytest.approx(1)
    assert row["fault"] is None and 0 <= row["unexplored"] < 1


def test_texts_as_keys_stay_texts(job: Job, tmp_path: Path) -> None:
    rows = [{**row, "participant": f"p{row['participant']}"} for row in make_rows(6)]
    del rows[2]["sample_id"]
    job("uniform", write_jsonl(tmp_path / "rows.jsonl", rows), tmp_path / "out")
    found = results(tmp_path / "out")
    assert [row["participant"] for row in found] == ["p0", "p0", "p0", "p1", "p1", "p1"]
    assert [row["sample_id"] for row in found] == [0, 1, None, 3, 4, 5]


# --- a second start -----------------------------------------------------------------------------------------


def test_a_complete_job_is_left_alone(tmp_path: Path, command: Command) -> None:
    write_jsonl(tmp_path / "rows.jsonl", make_rows(20))
    arguments = ("predict", "uniform", "--data", "rows.jsonl", "--out", "out")
    first = command(*arguments)
    assert first.code == 0, first.err
    assert re.search(r"20/20 rows, [\d.,]+ rows/s", first.err)
    before = content(tmp_path)
    again = command(*arguments, "--json")
    assert again.code == 0 and "nothing to do" in again.err
    assert json.loads(again.out)["rows"] == 20
    assert content(tmp_path) == before


@pytest.mark.parametrize("damage", ["gone", "changed"])
def test_a_lost_result_is_made_again(job: Job, tmp_path: Path, damage: str) -> None:
    data = write_jsonl(tmp_path / "rows.jsonl", make_rows(20))
    document = job("uniform", data, tmp_path / "out")
    path = tmp_path / "out/predictions.parquet"
    if damage == "gone":
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[:-1] + b"?")
    assert job("uniform", data, tmp_path / "out")["predictions"] == document["predictions"]


def test_another_job_in_the_folder_is_refused_with_what_differs(job: Job, tmp_path: Path) -> None:
    data = write_jsonl(tmp_path / "rows.jsonl", make_rows(20))
    job("uniform", data, tmp_path / "out")
    before = content(tmp_path / "out")
    with pytest.raises(SocratesError, match="model: name: uniform there, midpoint now"):
        job("midpoint", data, tmp_path / "out")
    with pytest.raises(SocratesError, match="truncate: False there, True now"):
        job("uniform", data, tmp_path / "out", truncate=True)
    write_jsonl(data, make_rows(21))
    with pytest.raises(SocratesError, match=r"input: rows\.jsonl: [0-9a-f]{12}\.\.\. there"):
        job("uniform", data, tmp_path / "out")
    assert content(tmp_path / "out") == before


def test_a_folder_of_something_else_is_refused(job: Job, tmp_path: Path) -> None:
    data = write_jsonl(tmp_path / "rows.jsonl", make_rows(3))
    (tmp_path / "out").mkdir()
    (tmp_path / "out/thesis.docx").write_text("mine")
    with pytest.raises(SocratesError, match=r"holds other files \(thesis\.docx\)"):
        job("uniform", data, tmp_path / "out")
    (tmp_path / "out/thesis.docx").rename(tmp_path / "out/job.json")
    with pytest.raises(SocratesError, match=r"job\.json: damaged"):
        job("uniform", data, tmp_path / "out")


def test_a_folder_in_use_is_refused(job: Job, tmp_path: Path) -> None:
    data = write_jsonl(tmp_path / "rows.jsonl", make_rows(3))
    (tmp_path / "out").mkdir()
    with (tmp_path / "out/.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(SocratesError, match="another socrates-fast works in this folder"):
            job("uniform", data, tmp_path / "out")
    job("uniform", data, tmp_path / "out")


# --- rows that cannot be asked ------------------------------------------------------------------------------

FAULTY: dict[str, tuple[dict[str, Any], str]] = {
    "no scale": ({"stimuli": "How much?"}, "the scale cannot be read from the stimulus"),
    "no stimulus": ({"stimuli": "  "}, "the stimulus is empty"),
    "null stimulus": ({"stimuli": None}, "the stimulus is empty"),
    "empty scale": ({"values": []}, "allows less than two answers (values lists 0)"),
    "one answer": ({"values": [3]}, "allows less than two answers (values lists 1)"),
    "not ascending": ({"values": [3, 1, 2]}, "not in ascending order"),
    "twice": ({"values": [1, 1, 2]}, "not in ascending order"),
    "not integers": ({"values": [1, 2.5]}, "not a list of integers"),
    "truths": ({"values": [False, True]}, "not a list of integers"),
    "beyond 64 bits": ({"values": [1, 2**70]}, "too large"),
    "billions listed": ({"values": list(range(100_002))}, "at most 100001"),
    "upside down": ({"low": 7, "high": 1}, "its scale is empty: low is not below high (low 7, high 1)"),
    "half a range": ({"low": 1}, "needs two integers"),
    "range of texts": ({"low": "1", "high": "7"}, "needs two integers"),
    "persona no object": ({"demographic": [1, 2]}, "not an object of persona fields"),
    "persona no JSON": ({"demographic": "{age"}, "demographic is not JSON"),
    "nested persona": ({"demographic": {"age": {"years": 3}}}, "persona field age is neither"),
}


@pytest.mark.parametrize("which", FAULTY)
def test_a_row_that_cannot_be_asked_is_named_and_nothing_is_left(
    job: Job, tmp_path: Path, which: str
) -> None:
    changes, words = FAULTY[which]
    rows = make_rows(9)
    rows[4] |= changes
    data = write_jsonl(tmp_path / "rows.jsonl", rows)
    with pytest.raises(DataError, match=r"1 of 9 rows cannot be asked") as caught:
        job("uniform", data, tmp_path / "out")
    assert f"{data}:5 (study s0, sample 4): " in str(caught.value)
    assert words in str(caught.value) and "--on-fault record" in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_faults_are_recorded_where_that_is_asked_for(tmp_path: Path) -> None:
    rows = make_rows(len(FAULTY) + 5)
    for row, (changes, _) in zip(rows, FAULTY.values(), strict=False):
        row.update(changes)
    console = Console()
    with console.rich.capture() as told:
        document = run_job("uniform", write_jsonl(tmp_path / "rows.jsonl", rows), tmp_path / "out",
                           JobOptions(on_fault="record", window=7), console)  # fmt: skip
    found = results(tmp_path / "out")
    for row, (_, words) in zip(found, FAULTY.values(), strict=False):
        assert words in row["fault"]
        assert row["values"] is row["probabilities"] is row["mean"] is row["answer_mass"] is None
    assert all(row["fault"] is None and row["values"] for row in found[len(FAULTY) :])
    assert sum(document["faults"].values()) == len(FAULTY)
    assert document["faults"]["the scale cannot be read from the stimulus"] == 1
    assert "1 rows without an answer: its scale is empty: low is not below high\n" in told.get()
    assert document["faults"]["its scale allows less than two answers"] == 2


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        ("its scale is open (-5 to 10), and so on", "its scale is open, and so on"),
        ("its scale is not a list of integers (values)", "its scale is not a list of integers (values)"),
        ("it has 412 tokens, and at most 320 fit (context 320)", "it has ... tokens, and at most ... fit"),
    ],
)
def test_a_kind_of_fault_holds_no_number_and_no_placeholder(fault: str, kind: str) -> None:
    assert kind_of(fault) == kind


@pytest.mark.parametrize("form", ["jsonl", "parquet"])
def test_columns_that_are_not_used_are_named_once(tmp_path: Path, form: str) -> None:
    rows = [{**row, **row.pop("demographic"), "response": 1, "wave": 2} for row in make_rows(9)]
    for row in rows:
        row["gendre"] = row.pop("gender")
    write = write_jsonl if form == "jsonl" else write_parquet
    data, console = write(tmp_path / f"rows.{form}", rows), Console()
    with console.rich.capture() as told:
        run_job("uniform", data, tmp_path / "out", JobOptions(window=4), console)
    note = "note: columns that are not used: gendre (did you mean gender?), wave\n"
    assert told.get().count("not used") == 1 and note in told.get()


def test_recorded_faults_do_not_become_refused_ones_in_silence(job: Job, tmp_path: Path) -> None:
    rows = make_rows(9)
    rows[4]["values"] = None
    data = write_jsonl(tmp_path / "rows.jsonl", [*rows[:8], {"stimuli": "Hours?", "low": 0, "high": 10**7}])
    job("uniform", data, tmp_path / "out", on_fault="record")  # open: a baseline cannot answer it
    assert results(tmp_path / "out")[8]["fault"].startswith("its scale is open (0 to 10000000)")
    (tmp_path / "out/predictions.parquet").unlink()
    with pytest.raises(ScoringError, match=r"rows\.jsonl:9: its scale is open .*\(--on-fault record keeps"):
        job("uniform", data, tmp_path / "out")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b'{"stimuli": "x"\n', ":2: not JSON"),
        (b"[1, 2]\n", ":2: not a JSON object"),
        (b'{"stimulus": "x"}\n', ":2: has no 'stimuli' (has: stimulus)"),
        (b"\xff\xfe\n", ":2: not JSON"),
        (b"[" * 100_000 + b"\n", ":2: not JSON"),
    ],
)
def test_a_line_that_is_no_row(job: Job, tmp_path: Path, text: bytes, words: str) -> None:
    data = write_jsonl(tmp_path / "rows.jsonl", make_rows(1))
    data.write_bytes(data.read_bytes() + text)
    with pytest.raises(DataError, match=re.escape(words)):
        job("uniform", data, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_inputs_that_are_none(job: Job, tmp_path: Path) -> None:
    (tmp_path / "empty.jsonl").write_text("\n \n")
    (tmp_path / "x.parquet").write_bytes(b"PAR1 no")
    (tmp_path / "rows.csv").write_text("a,b\n")
    (tmp_path / "folder").mkdir()
    write_parquet(tmp_path / "other.parquet", [{"text": "x"}])
    for name, words in {
        "empty.jsonl": "holds no row",
        "x.parquet": "not readable as parquet",
        "rows.csv": "unknown format '.csv'",
        "folder": r"holds no \.parquet or \.jsonl file",
        "nowhere.parquet": "no such file or folder",
        "other.parquet": r"has no column 'stimuli' \(has: text\)",
    }.items():
        with pytest.raises(DataError, match=words):
            job("uniform", tmp_path / name, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_model_that_cannot_be_used_leaves_nothing(job: Job, tmp_path: Path) -> None:
    data = write_jsonl(tmp_path / "rows.jsonl", make_rows(3))
    with pytest.raises(SocratesError, match="neither a file"):
        job("nothing", data, tmp_path / "deep/out")
    assert not (tmp_path / "deep/out").exists()


# --- size and speed -----------------------------------------------------------------------------------------

MEASURE = """
import re, sys
from pathlib import Path
from socrates_fast.console import Console
from socrates_fast.jobs.job import JobOptions, run_job
run_job("uniform", Path(sys.argv[1]), Path(sys.argv[2]), JobOptions(window=512), Console(quiet=True))
peak = re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]  # getrusage would count the parent
print(int(peak) // 1024, "polars" in sys.modules)
"""


@pytest.mark.long
@pytest.mark.skipif(
    not Path("/proc/self/status").exists(), reason="/proc shows a process's memory on Linux only"
)
def test_memory_does_not_grow_with_the_rows(tmp_path: Path, cache: Path) -> None:
    mebibytes = []
    for count in (2_000, 16_000):
        rows = [{**row, "stimuli": f"{LONG[:1500]}{row['stimuli']}"} for row in make_rows(200)] * (
            count // 200
        )
        pq.write_table(pl.DataFrame(rows).to_arrow(), tmp_path / f"{count}.parquet")
        done = subprocess.run(
            [sys.executable, "-c", MEASURE, tmp_path / f"{count}.parquet", tmp_path / f"out-{count}"],
            env=command_environment(cache), capture_output=True, text=True, check=True,
        )  # fmt: skip
        peak, polars = done.stdout.split()
        mebibytes.append(int(peak))
        assert polars == "False"
        assert pq.read_metadata(tmp_path / f"out-{count}/predictions.parquet").num_rows == count
    assert mebibytes[1] - mebibytes[0] < 20, mebibytes


def test_long_scales_make_small_windows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from socrates_fast.jobs import job as module

    monkeypatch.setattr(module, "WINDOW_ANSWERS", 2500)
    rows = [{"stimuli": "x", "low": 0, "high": 1000} for _ in range(7)]
    run_job(
        "uniform", write_jsonl(tmp_path / "rows.jsonl", rows), tmp_path / "out", JobOptions(), Console(True)
    )
    groups = pq.read_metadata(tmp_path / "out/predictions.parquet")
    assert [groups.row_group(at).num_rows for at in range(groups.num_row_groups)] == [2, 2, 2, 1]
    uniform = load_predictor("uniform").predict([make_prompt({}, "x", range_scale(0, 1000), PromptOptions())])
    assert results(tmp_path / "out")[3]["probabilities"] == uniform[0].probabilities.tolist()
    assert os.listdir(tmp_path / "out") and not (tmp_path / "out/parts").exists()
