"""The parent's side of the worker process: start it, ask it, and make an error of its death."""

import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Generator
from pathlib import Path
from typing import IO, BinaryIO, cast

import socrates_fast
from socrates_fast import errors
from socrates_fast.errors import ScoringError
from socrates_fast.infer.messages import (
    Failed,
    ModelInfo,
    Progress,
    Sample,
    Score,
    Scored,
    Settings,
    read_message,
    write_message,
)

_STDERR_LINES = 12
_CLOSE_SECONDS = 5.0


class WorkerDied(ScoringError):
    """The worker process is gone; the message says what it was doing."""


class WorkerClient:
    """A worker process with one GGUF loaded.

    Raises:
        ModelError: llama.cpp refuses the file.
        WorkerDied: the process died while loading.
    """

    def __init__(self, settings: Settings) -> None:
        self._file = settings.path
        self._doing = f"loading {self._file}"
        self._stderr: deque[str] = deque(maxlen=_STDERR_LINES)
        self._process = _start()
        self._drain = threading.Thread(target=self._keep_stderr, daemon=True)
        self._drain.start()
        self.info = self._load(settings)

    @property
    def alive(self) -> bool:
        """Whether the process runs."""
        return self._process.poll() is None

    @property
    def pid(self) -> int:
        """The process's id."""
        return self._process.pid

    def ask(self, request: Score | Sample) -> Generator[Progress | Scored, None, None]:
        """Have a request done: reports of it, and ``Scored`` at the end.

        Whatever ends the iteration early (Ctrl-C too) ends the process.

        Raises:
            ScoringError: the request is strict and a prompt cannot be scored.
            WorkerDied: the process died.
        """
        self._doing = f"scoring {len(request.prompts)} prompts with {self._file}"
        try:
            self._send(request)
            while isinstance(reply := self._receive(), Progress):
                self._note(reply)
                yield reply
        except BaseException:
            self.kill()
            raise
        yield cast(Scored, _checked(reply))

    def _load(self, settings: Settings) -> ModelInfo:
        try:
            self._send(settings)
            return cast(ModelInfo, _checked(self._receive()))
        except BaseException:
            self.kill()
            raise

    def _send(self, message: object) -> None:
        try:
            write_message(cast(BinaryIO, self._process.stdin), message)
        except BrokenPipeError:
            raise self._death() from None

    def _receive(self) -> object:
        reply = read_message(cast(BinaryIO, self._process.stdout))
        if reply is None:
            raise self._death()
        return reply

    def _note(self, progress: Progress) -> None:
        """Remember what is being decoded, for the message if the process dies of it."""
        if progress.current:
            self._doing = f"scoring {_listed(progress.current, progress.prompts)} with {self._file}"

    def _keep_stderr(self) -> None:
        for line in cast(BinaryIO, self._process.stderr):
            self._stderr.append(line.decode("utf-8", "replace").strip()[:300])

    def _death(self) -> "WorkerDied":
        """The error to raise when the process has closed its pipes."""
        try:
            status = self._process.wait(_CLOSE_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            status = self._process.wait()
        self._drain.join(_CLOSE_SECONDS)
        lines = " | ".join(line for line in self._stderr if line) or "none"
        return WorkerDied(
            f"the llama.cpp worker died ({_cause(status)}) while {self._doing}. Its last lines: {lines}"
        )

    def kill(self) -> None:
        """End the process now."""
        self._process.kill()
        self._release()

    def close(self) -> None:
        """Let the process end, and wait for it; safe to call again."""
        _close(self._process.stdin)
        try:
            self._process.wait(_CLOSE_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
        self._release()

    def _release(self) -> None:
        self._process.wait()
        self._drain.join(_CLOSE_SECONDS)
        for stream in (self._process.stdin, self._process.stdout, self._process.stderr):
            _close(stream)


def _checked(reply: object) -> object:
    """The reply, unless it is an error, which is raised."""
    if isinstance(reply, Failed):
        raise _rebuilt(reply)
    return reply


def _close(stream: IO[bytes] | None) -> None:
    if stream is not None:
        with contextlib.suppress(BrokenPipeError):  # the unsent rest of a request: its reader is gone
            stream.close()


def _start() -> "subprocess.Popen[bytes]":
    root = str(Path(socrates_fast.__file__).parents[1])
    known = os.environ.get("PYTHONPATH")
    environment = {
        # Threads that spin while they wait lose most of a machine's speed as soon as it is shared.
        "OMP_WAIT_POLICY": "passive",
        **os.environ,
        "PYTHONPATH": os.pathsep.join([root, known]) if known else root,
        "GGML_NO_BACKTRACE": "1",  # else an abort first waits for a debugger
    }
    return subprocess.Popen(
        # -P: a file beside the user's data must not shadow a module
        [sys.executable, "-P", "-m", "socrates_fast.infer.worker"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment,
    )


def _rebuilt(failed: Failed) -> Exception:
    if not failed.kind:
        return RuntimeError(f"a bug in the scoring worker:\n{failed.message}")
    kind: type[errors.SocratesError] = getattr(errors, failed.kind)
    return kind(failed.message)


def _cause(status: int) -> str:
    if status >= 0:
        return f"exit code {status}"
    hint = ""
    if status == -signal.SIGILL:
        hint = ": llama.cpp was built for another kind of processor"
    if status == -signal.SIGKILL:
        hint = ": killed, perhaps because memory ran out"
    return f"signal {-status}{hint}"


def _listed(numbers: tuple[int, ...], total: int) -> str:
    """Like "prompts 3, 17, 20 and 61 more of 500", counted from 1."""
    shown = ", ".join(str(number + 1) for number in numbers[:3])
    more = f" and {len(numbers) - 3} more" if len(numbers) > 3 else ""
    return f"prompt{'s' if len(numbers) > 1 else ''} {shown}{more} of {total}"
