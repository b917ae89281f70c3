"""Processes that measure: each holds one thing (a predictor, a peer) and answers one JSON line with one JSON line.

Apart, so that a library's memory and threads are its own; alive together, so that what is compared can take turns.
"""

import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from socrates_fast.errors import SocratesError

Answer = Callable[..., dict[str, Any]]
"""Answers one question: its keyword arguments are the question's."""


class Child:
    """A process that runs ``python -m module`` and was given ``job``; a context manager that ends it.

    Args:
        module: what it runs; its main calls ``serve``.
        environment: variables besides ours.
        job: its first question, a JSON object.

    Raises:
        SocratesError: it died; with its last lines.
    """

    def __init__(self, module: str, environment: Mapping[str, str] | None = None, **job: Any) -> None:
        self._module = module
        self._log = tempfile.TemporaryFile("w+", errors="replace")  # noqa: SIM115 - closed with the child
        variables = {
            "OMP_WAIT_POLICY": "PASSIVE",  # as our scoring worker has it
            **os.environ,
            "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
            "GGML_NO_BACKTRACE": "1",
            **(environment or {}),
        }
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", module], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=self._log, text=True, env=variables,
        )  # fmt: skip
        try:
            self.ready = self.ask(**job)
            """What it said once it was ready."""
        except BaseException:
            self.close()
            raise

    def ask(self, **question: Any) -> dict[str, Any]:
        """Ask, and wait for the answer."""
        assert self._process.stdin is not None and self._process.stdout is not None  # they are pipes
        try:
            self._process.stdin.write(json.dumps(question) + "\n")
            self._process.stdin.flush()
            line = self._process.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            code = self._process.wait()
            self._log.seek(0)
            raise SocratesError(f"{self._module} ended with code {code}:\n{self._log.read()[-2000:]}")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let the process end, and wait for it."""
        assert self._process.stdin is not None and self._process.stdout is not None
        with suppress(BrokenPipeError):  # it died with a question unread
            self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()
        self._log.close()


def serve(start: Callable[..., tuple[dict[str, Any], Answer]]) -> None:
    """The child's side: ``start(**job)`` gives the first answer, and what answers the questions after it."""
    replies = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever a library prints
    answer: Answer | None = None
    for line in sys.stdin:
        question = json.loads(line)
        if answer is None:
            said, answer = start(**question)
        else:
            said = answer(**question)
        replies.write(json.dumps(said) + "\n")
        replies.flush()


def memory(process: int) -> dict[str, int]:
    """Bytes of a process's resident memory: at most so far, and now, its own and that of mapped files."""
    status = Path(f"/proc/{process}/status").read_text(encoding="ascii")
    fields = {"peak": "VmHWM", "own": "RssAnon", "files": "RssFile"}
    found = {name: re.search(rf"{field}:\s+(\d+) kB", status) for name, field in fields.items()}
    return {name: 1024 * int(match[1]) if match else 0 for name, match in found.items()}


@contextmanager
def kept_folder(kept: Path | None) -> Iterator[Path]:
    """A folder for what a bench makes: one that is kept, or a temporary one."""
    if kept is not None:
        yield kept.resolve()
        return
    with tempfile.TemporaryDirectory() as place:
        yield Path(place) / "rows"
