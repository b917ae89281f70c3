"""Runs llama.cpp, and the reference model, in a child process.

llama.cpp aborts its process on much that is merely wrong, and the reference must not see what a training library
has patched into Transformers.

    parent                                          child: python -m socrates_export.child
    one line of JSON: task, arguments, partial -->  stdin, which then stays open
    "done total", as it advances               <--  stdout
    an error for a person: its class and text  <--  stdout, as JSON
    the tail is shown if the child fails       <--  stderr: warnings and errors

A task leaves its result in a file that its arguments name. The child watches stdin: when the parent is gone,
however it ended, the child deletes what it was writing (``partial``) and ends too.
"""

import importlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

from socrates_fast import errors
from socrates_fast.errors import ExportError, SocratesError

TASKS = {
    "tokenize": "socrates_export.llama_tasks",
    "logits": "socrates_export.llama_tasks",
    "write": "socrates_export.write.task",
    "imatrix": "socrates_export.write.imatrix_task",
    "lora": "socrates_export.write.lora_gguf",
    "reference": "socrates_export.proof.reference",
}
"""The function that does each task has its name, in this module."""

_REFUSED = "refused "
_ADVANCED = re.compile(r"(\d+) (\d+)\n")

LOG_LINES = 8
"""How many of the child's last lines an error shows."""


def run_task(
    task: str,
    arguments: Mapping[str, Any],
    doing: str,
    partial: Path | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Run one of ``TASKS`` in a child process and wait for it.

    Args:
        task: its name.
        arguments: its arguments, as JSON values.
        doing: what it does, for the error ("writing a-q8_0.gguf").
        partial: the file or folder it writes, deleted by the child if this process dies.
        progress: called with (done, total) as the task advances.

    Raises:
        SocratesError: what the task itself refused, as it was raised there.
        ExportError: the child died; the message has its last lines.
    """
    job = {"task": task, "arguments": dict(arguments), "partial": str(partial) if partial else None}
    with tempfile.TemporaryFile("w+", errors="replace") as log:
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "socrates_export.child"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            env=_environment(),
        )
        try:
            code, refused = _attend(process, json.dumps(job), progress)
        finally:
            # Reached with a live child on Ctrl-C; the caller then removes the partial file.
            process.kill()
            process.wait()
            _close(process.stdin)
        if refused is not None:
            error: type[SocratesError] = getattr(errors, refused["error"])
            raise error("\n".join([refused["message"], *_tail(log)]))
        if code != 0:
            lines = _tail(log) or ["  (it logged nothing)"]
            how = f"was killed by signal {-code}" if code < 0 else "failed"
            raise ExportError(f"the worker that was {doing} {how}:\n" + "\n".join(lines))


def _environment() -> dict[str, str]:
    """Ours, with the import path of this process and without the debugger that ggml starts on abort."""
    path = os.pathsep.join(entry or str(Path.cwd()) for entry in sys.path)
    return {**os.environ, "PYTHONPATH": path, "GGML_NO_BACKTRACE": "1"}


def _attend(
    process: subprocess.Popen[str], job: str, progress: Callable[[int, int], None] | None
) -> tuple[int, dict[str, str] | None]:
    """Give the child its job; its exit code, and the error that it reported, if it did."""
    refused = None
    assert process.stdin is not None and process.stdout is not None  # they are pipes
    with process.stdout as lines:
        with suppress(BrokenPipeError):  # the child died at once: its exit code tells
            process.stdin.write(job + "\n")
            process.stdin.flush()
        for line in lines:
            if progress is not None and (match := _ADVANCED.fullmatch(line)):
                progress(int(match[1]), int(match[2]))
            elif line.startswith(_REFUSED):
                refused = json.loads(line.removeprefix(_REFUSED))
    # Our end of stdin stays open until here: the child takes its closing for our death.
    return process.wait(), refused


def _close(stdin: IO[str] | None) -> None:
    if stdin is not None:
        with suppress(BrokenPipeError):  # what a dead child did not read is lost
            stdin.close()


def _tail(log: IO[str]) -> list[str]:
    log.seek(0)
    lines = [line.rstrip() for line in log if line.strip()]
    return [f"  {line}" for line in lines[-LOG_LINES:]]


def _end_with_parent(partial: str | None) -> None:
    """Wait until the parent closes our stdin, which its death does too; then leave nothing behind."""
    while os.read(0, 1):
        pass
    if partial is not None:
        if Path(partial).is_dir():
            shutil.rmtree(partial, ignore_errors=True)
        Path(partial).unlink(missing_ok=True)
    os._exit(1)


def main() -> None:
    """The child: read a job, do it, exit with 0."""
    # Threads here multiply small matrices each on its own; BLAS's own threads would only wait for one another.
    os.environ["OPENBLAS_NUM_THREADS"] = "1"  # read when numpy is imported, which is later
    # Ctrl-C reaches the whole process group; the parent decides what happens.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    job = json.loads(sys.stdin.readline())
    threading.Thread(target=_end_with_parent, args=(job["partial"],), daemon=True).start()
    task = getattr(importlib.import_module(TASKS[job["task"]]), job["task"])
    try:
        task(**job["arguments"])
    except SocratesError as error:
        facts = {"error": type(error).__name__, "message": str(error)}
        print(_REFUSED + json.dumps(facts), flush=True)
        sys.exit(1)


if __name__ == "__main__":
    main()
