"""Starting the command in one process or in two that train together, and reading what they left."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from tests.conftest import command_environment

PLAIN = ("train.backend=transformers", "train.precision=float32", "model.load_in_4bit=false")
"""Settings under which one process and two compute the same but for rounding."""


def launch(cache: Path, folder: Path, *arguments: str | Path, processes: int = 1) -> subprocess.Popen[str]:
    """``socrates-fast ARGUMENTS`` in ``folder``, under torchrun if ``processes`` is more than 1."""
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
    with (folder / f"{processes}.txt").open("w", encoding="utf-8") as output:
        return subprocess.Popen(
            [sys.executable, *(torchrun if processes > 1 else []), "-m", "socrates_fast", *map(str, arguments)],
            env={**command_environment(cache), "OMP_NUM_THREADS": "1"}, cwd=folder, text=True,
            stdout=output, stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip


def said(folder: Path, processes: int) -> str:
    """What the last launch with so many processes printed."""
    return (folder / f"{processes}.txt").read_text(encoding="utf-8")


def train(
    cache: Path, recipe: Path, out: Path, *settings: str, processes: int = 1, seconds: float = 250
) -> tuple[int, str]:
    """Train to the end; the exit code and what was printed."""
    process = launch(
        cache, recipe.parent, "train", recipe, "--out", out, *sets(settings), processes=processes
    )
    try:
        code = process.wait(timeout=seconds)
    finally:
        end(process)
    return code, said(recipe.parent, processes)


def sets(settings: tuple[str, ...]) -> list[str]:
    """``--set`` before each."""
    return [part for setting in settings for part in ("--set", setting)]


def end(process: subprocess.Popen[str]) -> None:
    """Kill a launch that is still there, with its children."""
    for child in children(process.pid):
        os.kill(child, signal.SIGKILL)
    if process.poll() is None:
        process.kill()
    process.wait()


def children(pid: int) -> list[int]:
    """Processes whose parent is ``pid``."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and int((entry / "stat").read_text().rsplit(")", 1)[1].split()[1]) == pid:
                found.append(int(entry.name))
        except (FileNotFoundError, ProcessLookupError):
            continue
    return found


def steps(run: Path) -> dict[int, dict[str, float]]:
    """The log's lines with a loss, by step; of a step that was done twice, the last."""
    path = run / "log.jsonl"
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    events = [json.loads(line) for line in lines]
    return {e["step"]: e for e in events if e["event"] == "train" and "loss" in e}


def wait_for(process: subprocess.Popen[str], done: Callable[[], bool], pause: float = 0.02) -> None:
    """Wait until ``done()``; fail if the process ends first."""
    end_at = time.monotonic() + 200
    while not done():
        assert process.poll() is None, "it ended before"
        assert time.monotonic() < end_at, "it took too long"
        time.sleep(pause)
