"""Training by two processes on CPUs, over gloo: the same as by one, and nobody waits for ever."""

import json
import os
import signal
import socket
import subprocess
import sys
import textwrap
from pathlib import Path
from types import SimpleNamespace

import pytest
from safetensors.numpy import load_file

from socrates_fast import recipes
from socrates_fast.errors import SocratesError, TrainingError
from socrates_fast.train.config import one_device
from socrates_fast.train.distributed import ALONE, World, join
from socrates_fast.train.sharding import check_world, in_words_of
from socrates_fast.train.validation import filled_up
from tests.conftest import command_environment
from tests.train.launching import PLAIN, children, end, launch, said, sets, steps, train, wait_for


def test_alone_everything_is_this_process() -> None:
    assert ALONE.first
    assert ALONE.once(lambda: 3) == ALONE.on_each_node(lambda: 3) == 3
    assert ALONE.total({"a": 2}) == ALONE.largest({"a": 2}) == {"a": 2}
    with pytest.raises(TrainingError, match="mine"), ALONE.together():
        raise TrainingError("mine")
    ALONE.leave()


def test_half_a_launcher_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "0")
    for name in ("LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(SocratesError, match="LOCAL_RANK, MASTER_ADDR, MASTER_PORT not set.*torchrun"):
        join()
    monkeypatch.setenv("WORLD_SIZE", "1")
    assert join() is ALONE


def test_a_folder_that_another_machine_wrote_must_be_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("socrates_fast.train.distributed.SEEN_SECONDS", 0.0)
    with pytest.raises(SocratesError, match="all of them share"):
        World(rank=1, size=2).seen(tmp_path / "train.parquet")
    assert World(rank=1, size=2).seen(tmp_path) == tmp_path


def test_only_the_first_writes_to_the_log(tmp_path: Path) -> None:
    World(rank=1, size=2).run(tmp_path).log("train", step=1)
    assert not (tmp_path / "log.jsonl").exists()
    World(rank=0, size=2).run(tmp_path).log("train", step=1)
    assert (tmp_path / "log.jsonl").is_file()


@pytest.mark.parametrize(
    ("settings", "world", "message"),
    [
        (["train.sharding=fsdp2"], ALONE, "needs several GPUs"),
        (["train.sharding=fsdp2", "train.backend=transformers"], World(size=2), "train.backend=unsloth"),
        (["train.sharding=fsdp2", "train.objective=soft"], World(size=2), "train.objective=answer"),
    ],
)
def test_what_cannot_be_sharded_is_refused(settings: list[str], world: World, message: str) -> None:
    with pytest.raises(TrainingError, match=message):
        check_world(recipes.load("tiny", settings), world)


def test_a_process_without_a_gpu_of_its_own_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    with pytest.raises(TrainingError, match="there are 2; start 2 processes"):
        check_world(recipes.load("tiny"), World(rank=2, size=3, local_rank=2))
    assert "2 GPUs and one process uses the first" in in_words_of(recipes.load("tiny"), ALONE)
    assert "one process" not in in_words_of(recipes.load("tiny"), World(size=2))


def test_one_process_uses_one_gpu() -> None:
    assert one_device(SimpleNamespace(n_gpu=4))._n_gpu == 1
    assert one_device(SimpleNamespace(n_gpu=0))._n_gpu == 0  # a CPU


@pytest.mark.parametrize("count", [1, 6, 8, 9])
def test_rows_that_fill_validation_up_are_silent(count: int) -> None:
    from datasets import Dataset

    rows = [{"input_ids": [1, 2, i], "completion_mask": [0, 0, 1], "target_ids": [[i]]} for i in range(count)]
    filled = filled_up(Dataset.from_list(rows), 8).to_list()
    assert filled[:count] == rows
    assert len(filled) % 8 == 0 and len(filled) < count + 8
    for row in filled[count:]:
        assert row["completion_mask"] == [0, 0, 0]
        assert row["target_ids"] == []


PROGRAM = """
import sys
from socrates_fast.errors import SocratesError, StoppedElsewhere
from socrates_fast.train.distributed import join

world = join()

def tried(action):
    try:
        return action()
    except StoppedElsewhere as error:
        return f"stopped elsewhere{bool(str(error))}"
    except SocratesError as error:
        return str(error)

def fail():
    raise SocratesError("wrong")

def together():
    with world.together():
        if world.rank == 1:
            fail()

said = [
    world.once(lambda: f"by {world.rank}"),
    world.total({"a": world.rank + 1, "b": 1}),
    world.largest({"a": world.rank, "b": -world.rank}),
    world.on_each_node(lambda: world.rank),
    tried(lambda: world.once(fail)),
    tried(together),
]
print(*said, sep="|")
sys.stdout.flush()
if sys.argv[1:] == ["die"] and world.rank == 0:
    import os
    os._exit(9)
print(tried(lambda: world.once(lambda: "alive")))
world.leave()
print(join().size)
"""


def _two(cache: Path, *arguments: str) -> list[tuple[int, list[str]]]:
    """Run ``PROGRAM`` in two processes, without a launcher; exit codes and printed lines."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    started = [
        subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(PROGRAM), *arguments], text=True, stdout=subprocess.PIPE,
            env={**command_environment(cache), "RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": "2",
                 "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)},
        )
        for rank in range(2)
    ]  # fmt: skip
    outputs = [process.communicate(timeout=100)[0].splitlines() for process in started]
    return [(process.returncode, lines) for process, lines in zip(started, outputs, strict=True)]


def test_messages_between_two_processes(cache: Path) -> None:
    first, second = _two(cache)
    assert first[0] == second[0] == 0
    shared = "by 0|{'a': 3.0, 'b': 2.0}|{'a': 1.0, 'b': 0.0}"
    assert first[1] == [f"{shared}|0|wrong|stopped elsewhereFalse", "alive", "1"]
    assert second[1] == [f"{shared}|1|stopped elsewhereFalse|wrong", "alive", "1"]


def test_a_process_that_is_gone_ends_the_other(cache: Path) -> None:
    first, second = _two(cache, "die")
    assert first[0] == 9
    assert second[1][1] == "stopped elsewhereTrue"


@pytest.mark.long
@pytest.mark.parametrize(
    "more",
    [
        (),
        ("train.backend=unsloth",),
        pytest.param(("train.group_by_length=false", "train.accumulation=2"), marks=pytest.mark.slow),
        pytest.param(("train.packing=true", "train.gradient_checkpointing=true"), marks=pytest.mark.slow),
        ("train.objective=soft",),
    ],
    ids=["plain", "unsloth", "random-accumulated", "packed-checkpointed", "soft"],
)
def test_two_processes_compute_what_one_does_with_twice_the_batch(
    cache: Path, micro_recipe: Path, tmp_path: Path, more: tuple[str, ...]
) -> None:
    settings = (*PLAIN, "train.warmup=0", "train.max_steps=4", "train.eval_steps=2", *more)
    code, text = train(cache, micro_recipe, tmp_path / "one", *settings, "train.batch_size=6")
    assert code == 0, text
    code, text = train(cache, micro_recipe, tmp_path / "two", *settings, "train.batch_size=3", processes=2)
    assert code == 0, text
    assert "2 processes x batch_size 3" in text and text.count("train: done") == 1
    one, two = steps(tmp_path / "one"), steps(tmp_path / "two")
    assert sorted(one) == sorted(two) == [1, 2, 3, 4]
    for step in one:
        for name in ("tokens", "supervised", "learning_rate"):
            assert one[step][name] == two[step][name], (step, name)
        assert one[step]["loss"] == pytest.approx(two[step]["loss"], abs=2e-5)
        assert one[step]["grad_norm"] == pytest.approx(two[step]["grad_norm"], rel=1e-3)
    validation = [_validation(tmp_path / name) for name in ("one", "two")]
    assert len(validation[0]) == 2
    assert validation[0] == pytest.approx(validation[1], abs=2e-5)
    mine, theirs = (
        load_file(tmp_path / name / "adapter/adapter_model.safetensors") for name in ("one", "two")
    )
    assert mine.keys() == theirs.keys()
    assert max(abs(mine[name] - theirs[name]).max() for name in mine) < 1e-3  # weights move by 0.05
    lines = (tmp_path / "two" / "log.jsonl").read_text(encoding="utf-8").splitlines()
    assert len(lines) == len((tmp_path / "one" / "log.jsonl").read_text(encoding="utf-8").splitlines())


def _validation(run: Path) -> list[float]:
    lines = (run / "log.jsonl").read_text(encoding="utf-8").splitlines()
    return [event["eval_loss"] for event in map(json.loads, lines) if "eval_loss" in event]


@pytest.mark.long
@pytest.mark.parametrize("by_length", ["true", pytest.param("false", marks=pytest.mark.slow)])
def test_ctrl_c_and_kill_of_one_of_two_then_the_same_adapter(
    cache: Path, micro_recipe: Path, tmp_path: Path, by_length: str
) -> None:
    """Seven steps are an epoch: the second resume is within the second one, whose order must be found again."""
    settings = (*PLAIN, "train.max_steps=14", "train.epochs=4", f"train.group_by_length={by_length}")
    code, text = train(cache, micro_recipe, tmp_path / "whole", *settings, processes=2)
    assert code == 0, text
    out = tmp_path / "out"
    arguments: list[str | Path] = ["train", micro_recipe, "--out", out, *sets(settings)]

    process = launch(cache, tmp_path, *arguments, processes=2)
    wait_for(process, lambda: 3 in steps(out))
    os.kill(process.pid, signal.SIGINT)  # the launcher hands it on
    assert process.wait(timeout=60) != 0
    assert said(tmp_path, 2).count("interrupted; the same command resumes") == 1
    assert list(out.glob("checkpoints/checkpoint-*"))

    code, text = train(cache, micro_recipe, out, *settings)  # one process cannot go on
    assert code == 2
    assert "made by 2 processes, this is 1" in text

    process = launch(cache, tmp_path, *arguments, processes=2)
    wait_for(process, lambda: 9 in steps(out))
    workers = children(process.pid)
    assert len(workers) == 2
    os.kill(workers[1], signal.SIGKILL)
    assert process.wait(timeout=60) != 0
    assert not [worker for worker in workers if Path(f"/proc/{worker}").exists()]
    end(process)

    code, text = train(cache, micro_recipe, out, *settings, processes=2)
    assert code == 0, text
    assert "resuming from checkpoint-" in text
    name = "adapter/adapter_model.safetensors"
    assert (out / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    whole, mine = steps(tmp_path / "whole"), steps(out)
    assert {step: line["loss"] for step, line in mine.items()} == {
        s: line["loss"] for s, line in whole.items()
    }


@pytest.mark.long
def test_a_fault_is_told_once_and_ends_all(cache: Path, micro_recipe: Path, tmp_path: Path) -> None:
    code, text = train(cache, micro_recipe, tmp_path / "a", *PLAIN, "model.max_length=40", processes=2)
    assert code != 0
    assert text.count("error: ") == text.count("model.max_length is 40") == 1
    code, text = train(cache, micro_recipe, tmp_path / "b", *PLAIN, "train.nothing=1", processes=2)
    assert code != 0
    assert text.count("error: ") == 1 and "train.nothing" in text


@pytest.mark.long
def test_run_exports_and_evaluates_in_the_first_process(
    cache: Path, micro_recipe: Path, tmp_path: Path
) -> None:
    process = launch(
        cache, tmp_path, "run", micro_recipe, "--out", tmp_path / "out", *sets(PLAIN), processes=2
    )
    assert process.wait(timeout=250) == 0, said(tmp_path, 2)
    text = said(tmp_path, 2)
    for stage in ("data", "train", "export", "evaluate"):
        assert text.count(f"{stage}: done in") == 1, text
    assert (tmp_path / "out/evaluation/report.html").is_file()
