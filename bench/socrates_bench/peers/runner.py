"""The child's side of whoever takes part in ``bench decode``: one protocol, so that all are timed alike."""

import os
import time
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from socrates_bench.children import Answer, memory, serve

MAX_TOKENS = 4
"""Of an answer of the real workload: enough for 100 and the end of the answer."""


class Runner(Protocol):
    """Holds a model."""

    facts: dict[str, Any]
    """What it says of itself once it is loaded."""

    def begin(self, n_prompt: int, n_gen: int) -> None:
        """Get ready for a test of that many tokens, and warm up."""

    def once(self) -> int:
        """Nanoseconds of one repetition of the test."""

    def first(self, ids: Sequence[int]) -> int:
        """The first token after a prompt, nothing reused."""

    def answer(self, ids: Sequence[int]) -> int:
        """Answer a row, at most ``MAX_TOKENS`` tokens; how many were generated."""


def serve_runner(make: Callable[..., Runner]) -> None:
    """Serve one: its settings first, then questions that say what to ``do``."""

    def start(**settings: Any) -> tuple[dict[str, Any], Answer]:
        started = time.perf_counter()
        runner = make(**settings)
        return {**runner.facts, "load_seconds": time.perf_counter() - started}, Questions(runner).answer

    serve(start)


class Questions:
    """Puts the parent's questions to a runner."""

    def __init__(self, runner: Runner) -> None:
        self._runner = runner

    def answer(self, do: str, **arguments: Any) -> dict[str, Any]:
        """Answer one question."""
        done: dict[str, Any] = getattr(self, do)(**arguments)
        return done

    def begin(self, n_prompt: int, n_gen: int) -> dict[str, Any]:
        """Get ready for a test."""
        self._runner.begin(n_prompt, n_gen)
        return {}

    def once(self) -> dict[str, Any]:
        """Run the test once."""
        return {"ns": self._runner.once()}

    def first(self, ids: Sequence[int]) -> dict[str, Any]:
        """Seconds to the first token of a prompt."""
        started = time.perf_counter()
        token = self._runner.first(ids)
        return {"seconds": time.perf_counter() - started, "token": token}

    def rows(self, rows: Sequence[Sequence[int]]) -> dict[str, Any]:
        """Answer rows one by one."""
        started = time.perf_counter()
        generated = [self._runner.answer(ids) for ids in rows]
        return {"rows": len(rows), "seconds": time.perf_counter() - started, "generated": sum(generated)}

    def memory(self) -> dict[str, Any]:
        """Resident memory of this process."""
        return memory(os.getpid())
