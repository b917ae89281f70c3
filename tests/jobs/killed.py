"""Runs a job that is killed (SIGKILL) at its file-system steps, one after the other, and gone on with.

    python -m tests.jobs.killed MODEL DATA FOLDER [STEP ...]

FOLDER/whole is an undisturbed run. FOLDER/N was killed at step N, every third of them again at the fourth step of the
second start, and then left to finish. A step is a rename or a removal, the only things that change what a later start
finds. Without STEPs, all are tried. Prints the number of steps, then those that were tried. A process of its own,
because it forks.
"""

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from socrates_fast.console import Console
from socrates_fast.jobs import store
from socrates_fast.jobs.job import JobOptions, run_job

STEPS = ("os.rename", "os.remove", "os.rmdir")


class Countdown:
    """Counts the steps of this process, and kills it at one of them."""

    def __init__(self, kill_at: int | None) -> None:
        self.steps, self._kill_at = 0, kill_at

    def __call__(self, event: str, _: Any) -> None:
        if event in STEPS:
            self.steps += 1
            if self.steps == self._kill_at:
                os.kill(os.getpid(), signal.SIGKILL)


def run(model: str, data: Path, out: Path) -> None:
    """The job: two windows, each with a few parts."""
    options = JobOptions(window=15, settings={"deterministic": True}, machine={"threads": 1})
    run_job(model, data, out, options, Console(quiet=True))


def start(model: str, data: Path, out: Path, kill_at: int | None) -> tuple[int, int]:
    """Run the job in a child; its wait status, and its number of steps if it lived."""
    readable, writable = os.pipe()
    child = os.fork()
    if child == 0:
        countdown = Countdown(kill_at)
        sys.addaudithook(countdown)
        run(model, data, out)
        os.write(writable, str(countdown.steps).encode())
        os._exit(0)
    os.close(writable)
    with os.fdopen(readable) as pipe:
        told = pipe.read()
    return os.waitpid(child, 0)[1], int(told or 0)


def tried(model: str, data: Path, folder: Path, steps: list[int]) -> Iterator[int]:
    """The number of steps of an undisturbed run; then each step at which a job was killed."""
    run(model, data, folder / "whole")  # here, so that no child has to import what it takes
    status, count = start(model, data, folder / "counted", None)
    assert status == 0
    yield count
    for step in steps or range(1, count + 1):
        status, _ = start(model, data, folder / str(step), step)
        assert os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
        if step % 3 == 0:  # or it ends before: little was left
            start(model, data, folder / str(step), 4)
        status, _ = start(model, data, folder / str(step), None)
        assert status == 0
        yield step


if __name__ == "__main__":
    store.FLUSH_ANSWERS = 60  # a part after a few rows
    print(*tried(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]), [int(step) for step in sys.argv[4:]]))
