"""Runs one step as a process of its own and measures it: seconds, peak memory, bytes written."""

import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

POLL_S = 0.02


@dataclass(frozen=True)
class Measured:
    """What a process took.

    Attributes:
        seconds: from start to end.
        peak_rss: bytes, the largest resident set of the process.
        written: bytes that it wrote to files.
    """

    seconds: float
    peak_rss: int
    written: int


def measured(command: Sequence[str], job: str | None = None) -> Measured:
    """Run ``command`` and measure it; ``job`` is a first line for its stdin, which then stays open.

    Raises:
        RuntimeError: it failed; with the end of what it said.
    """
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    with tempfile.TemporaryFile("w+", errors="replace") as log:
        started = time.monotonic()
        process = subprocess.Popen(
            list(command),
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=subprocess.STDOUT,
            text=True,
            env=environment,
        )
        assert process.stdin is not None  # it is a pipe
        if job is not None:
            process.stdin.write(job + "\n")
            process.stdin.flush()
        peak = _watched(process.pid)
        seconds = time.monotonic() - started
        written = _number(process.pid, "io", r"wchar: (\d+)")  # still there until the process is waited for
        process.stdin.close()
        process.wait()
        if process.returncode != 0:
            log.seek(0)
            raise RuntimeError(
                f"{' '.join(command[:4])} ... exited with {process.returncode}:\n{log.read()[-2000:]}"
            )
    return Measured(seconds, peak, written)


def _watched(process: int) -> int:
    """Wait for a process to end; the peak of its resident memory in bytes.

    The kernel's own figure at the end (ru_maxrss) is never below the size of the process that started it.
    """
    peak = 0
    while os.waitid(os.P_PID, process, os.WEXITED | os.WNOWAIT | os.WNOHANG) is None:
        peak = max(peak, 1024 * _number(process, "status", r"VmHWM:\s+(\d+) kB"))
        time.sleep(POLL_S)
    return peak


def _number(process: int, file: str, pattern: str) -> int:
    found = re.search(pattern, Path(f"/proc/{process}/{file}").read_text(encoding="utf-8"))
    return int(found[1]) if found else 0
