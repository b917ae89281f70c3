"""training.html while a model trains: kept up to date step by step, written at every checkpoint and at the end."""

from typing import Any

from socrates_fast.curves.history import History
from socrates_fast.curves.page import write_page
from socrates_fast.runs import LOG, Run


class Picture:
    """The picture of one training; a resumed one goes on from what the log holds.

    Args:
        run: whose log and folder.
    """

    def __init__(self, run: Run) -> None:
        self._run = run
        self._history = History.read(run.folder / LOG)  # once: later it would be long

    def log(self, **values: Any) -> None:
        """Write a step's line to the log, and take it in."""
        self._run.log("train", **values)
        self._history.add({"event": "train", **values})

    def draw(self, steps: int, running: bool) -> None:
        """Write the page; ``steps`` are those of the whole training."""
        write_page(self._run.folder, self._history, steps, running)
