"""Tells how far a long step is, seldom enough for a log."""

import time
from collections.abc import Callable

Progress = Callable[[str], None]
"""Is told, in words, what is being done."""

Report = Callable[[int, int], None]
"""Is told how far a task is: (done, in all), in any unit."""

INTERVAL_S = 5.0
"""Least time between two messages about one step."""

EARLY = 0.1
"""Share of a step before which the time left is not told: loading a model would pass for the pace."""


class Step:
    """One step of known length.

    Args:
        progress: is told at the start and then at most every ``INTERVAL_S``; None for silence.
        what: the step, in words.
    """

    def __init__(self, progress: Progress | None, what: str) -> None:
        self._progress = progress
        self._what = what
        self._started = self._told = time.monotonic()
        self._tell(what)

    def _tell(self, message: str) -> None:
        if self._progress is not None:
            self._progress(message)

    def at(self, done: float, total: float) -> None:
        """Note that ``done`` of ``total``, in any unit, is done."""
        now = time.monotonic()
        if now - self._told >= INTERVAL_S:
            self._told = now
            share = done / max(total, 1)
            left = (now - self._started) / max(share, EARLY) * (1 - share)
            self._tell(f"{self._what}: {share:.0%}" + (f", {left:,.0f} s left" if share >= EARLY else ""))
