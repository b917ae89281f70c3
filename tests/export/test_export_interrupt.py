"""Stopped at any moment, an export leaves nothing under a final name, no process, and the next one works."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from gguf import GGUFReader

from socrates_export.child import run_task
from socrates_export.source.base import open_base
from socrates_export.write.arrays import write_arrays
from socrates_fast.errors import ExportError, SocratesError

Factory = Callable[..., Path]

EXPORT = """
import sys
from pathlib import Path
from socrates_export.command import export
from socrates_export.making import Making
from socrates_fast.recipe import Parity
print("started", flush=True)
export(Path(sys.argv[1]), None, Path(sys.argv[2]), ["f16", "iq4_xs"], "m", Parity(), [], verify=False,
       making=Making(threads=1))
print("finished", flush=True)
"""


@pytest.fixture(scope="module")
def slow_base(make_base: Factory) -> Path:
    """A base whose IQ4_XS takes seconds."""
    return make_base(hidden_size=512, intermediate_size=2048, num_hidden_layers=3)


def start(base: Path, out: Path) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(
        [sys.executable, "-c", EXPORT, str(base), str(out)],
        env={**os.environ, "PYTHONPATH": ":".join(sys.path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_stopped_export_leaves_nothing_and_the_next_one_works(
    slow_base: Path, tmp_path: Path, how: signal.Signals
) -> None:
    (tmp_path / "m-f16.gguf").write_text("an older export")
    process = start(slow_base, tmp_path)
    wait_for(lambda: writing(tmp_path) or process.poll() is not None)
    if how == signal.SIGINT:
        os.killpg(process.pid, how)  # as a terminal does: to parent and child
    else:
        process.send_signal(how)
    stdout, stderr = process.communicate(timeout=60)
    assert stdout == b"started\n", stderr
    assert process.returncode == -how
    wait_for(lambda: not group_members(process.pid))
    left = sorted(path.name for path in tmp_path.iterdir())
    assert left == ["m-f16.gguf"] and (tmp_path / "m-f16.gguf").read_text() == "an older export"
    if how != signal.SIGKILL:
        return
    done = start(slow_base, tmp_path)
    assert b"finished" in done.communicate(timeout=120)[0]
    assert len(GGUFReader(tmp_path / "m-f16.gguf").tensors) > 10
    names = {path.name for path in tmp_path.iterdir()}
    assert {"m-f16.gguf", "m-iq4_xs.gguf", "parity.json", "SHA256SUMS"} <= names
    assert not [name for name in names if name.startswith(".")]


def test_a_killed_worker_is_an_error_that_says_what_it_did(slow_base: Path, tmp_path: Path) -> None:
    process = start(slow_base, tmp_path)
    wait_for(lambda: writing(tmp_path) or process.poll() is not None)
    workers = [pid for pid in group_members(process.pid) if pid != process.pid]
    for pid in workers:
        os.kill(pid, signal.SIGKILL)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 1 and workers
    assert b"the worker that was writing m-f16.gguf, m-iq4_xs.gguf was killed by signal 9" in stderr
    assert not list(tmp_path.iterdir())


def test_an_abort_of_llama_cpp_is_an_error_here(base: Path, tmp_path: Path) -> None:
    # Two tokens of one text: llama.cpp aborts the process that loads them.
    path = tmp_path / "twins.gguf"
    metadata = {
        "general.architecture": "qwen2",
        **open_base(base).architecture.metadata(open_base(base).config),
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": "qwen2",
        "tokenizer.ggml.tokens": ["a", "a"],
        "tokenizer.ggml.token_type": [1, 1],
        "tokenizer.ggml.merges": ["a a"],
    }
    write_arrays(path, metadata, {"w": np.ones((1, 1), np.float32)})
    arguments = {"model": str(path), "cases": [], "out": str(tmp_path / "out.json")}
    with pytest.raises(
        ExportError, match=rf"(?s)was trying was killed by signal {signal.SIGABRT:d}:.*GGML_ASSERT"
    ):
        run_task("tokenize", arguments, "trying")


def test_a_refusal_in_the_worker_arrives_as_what_it_is(tmp_path: Path) -> None:
    arguments: dict[str, object] = {
        "base": str(tmp_path), "adapter": None, "merge_base": "original", "name": "x", "extra": {},
        "files": {}, "imatrix": None, "threads": 0,
    }  # fmt: skip
    with pytest.raises(SocratesError, match="a base folder without safetensors") as caught:
        run_task("write", arguments, "writing")
    assert type(caught.value).__name__ == "ModelError"


def writing(out: Path) -> bool:
    """Whether a GGUF is being written."""
    return any(path.suffix == ".partial" for path in out.glob(".m.partial/.*"))


def wait_for(condition: Callable[[], object], seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)


def group_members(group: int) -> list[int]:
    """Processes of a process group that are still running (zombies are not)."""
    members = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, found = stat.read_text().rpartition(")")[2].split()[:3]
        except OSError:
            continue  # it ended while we were looking
        if int(found) == group and state != "Z":
            members.append(int(stat.parent.name))
    return members
