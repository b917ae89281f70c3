"""``bench report``: records read again, as tables for people or lines for machines, and as plots."""

import sys
from collections.abc import Sequence
from pathlib import Path

from socrates_bench.record import lines
from socrates_bench.report.choose import load, newest
from socrates_bench.report.tables import tables


def report(files: Sequence[Path], out: Path | None, everything: bool, as_json: bool) -> None:
    """Print measurements and draw them.

    Args:
        files: records, or folders of them; none for the checkout's own.
        out: folder of the plots; None draws nothing.
        everything: all runs, not only the newest of each bench and shape.
        as_json: print the chosen lines as they are, instead of tables.
    """
    found = load(files)
    chosen = found if everything else newest(found)
    print(lines(chosen) if as_json else tables(chosen), end="")
    if out is None:
        return
    from socrates_bench.report.plots import draw

    made, missing = draw(chosen, out)
    for text in [*(f"drawn: {path}" for path in made), *missing]:
        print(text, file=sys.stderr)
