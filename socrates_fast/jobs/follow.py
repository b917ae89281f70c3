"""Tells a progress bar how many tokens a predictor has computed."""

from typing import Any

from socrates_fast.console import Rows
from socrates_fast.infer.messages import Progress


class Follower:
    """Carries a predictor's reports to the bar that is shown by then.

    Args:
        model: as for ``load_predictor``.
    """

    def __init__(self, model: str) -> None:
        self._rows: Rows | None = None
        self._since_start = model.startswith(("http://", "https://"))
        self.settings: dict[str, Any] = {"progress": self._report}
        """What to give to ``load_predictor``."""

    def to(self, rows: Rows) -> None:
        """Tell ``rows`` from now on."""
        self._rows = rows

    def _report(self, progress: Progress) -> None:
        if self._rows is not None:
            # An endpoint counts since it was opened, the others since the present request.
            self._rows.tokens(progress.tokens_computed, progress.tokens_asked, self._since_start)
