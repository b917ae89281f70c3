"""The tables of the README and the guides, written from the committed records; and the schema of a line.

``python -m socrates_bench.report.guide`` writes them; a test compares. A page says what it wants between markers: the name
of a bench, ``summary``, or ``front``::

    <!-- bench report: score -->
    <!-- end -->
"""

import re
from collections.abc import Sequence
from pathlib import Path

from socrates_bench.record import Measurement, schema
from socrates_bench.report.choose import load, newest
from socrates_bench.report.front import front
from socrates_bench.report.tables import markdown, tables
from socrates_bench.report.words import amount, ceiling, spread
from socrates_fast.errors import DataError

ROOT = Path(__file__).parents[3]
SCHEMA = Path("bench") / "record.schema.json"
SUMMARY = (
    "rows per second", "times Llama", "seconds of the export", "times as fast as the steps apart", "tokens per second",
    "seconds of preparing", "pp512", "tg128", "pp512, times as fast", "tg128, times as fast",
)  # fmt: skip
"""Names of the measurements of the summary."""
_MARKED = re.compile(r"(<!-- bench report: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)


def pages(root: Path) -> list[Path]:
    """Every page that may have marked tables."""
    return [root / "README.md", root / "bench" / "README.md", *sorted((root / "docs").glob("*.md"))]


def with_tables(page: str, measurements: Sequence[Measurement]) -> str:
    """A page with each of its marked tables written anew.

    Raises:
        DataError: a marker names a bench that has no record.
    """
    return _MARKED.sub(lambda found: f"{found[1]}{_table(found[2], measurements)}{found[3]}", page)


def _table(name: str, measurements: Sequence[Measurement]) -> str:
    if name == "front":
        return front(measurements)
    last = newest(measurements)
    if name == "summary":
        return summary(last)
    chosen = [one for one in last if one.bench == name]
    if not chosen:
        raise DataError(f"<!-- bench report: {name} -->: there is no record of that bench in bench/results")
    return f"\n{tables(chosen)}\n"


def summary(measurements: Sequence[Measurement]) -> str:
    """The few figures that say most, of each bench's newest runs."""
    rows = [["bench", "what", "model", "with", "median", "n", "least to most", "share of the best"]]
    for one in measurements:
        if one.name in SUMMARY:
            model = " ".join(filter(None, (one.model.shape, one.model.quantisation))) if one.model else ""
            chosen = (
                str(one.settings[key])
                for key in ("order", "backend", "share", "by", "over")
                if key in one.settings
            )
            rows.append([one.bench, one.name, model, ", ".join(chosen), amount(one.figure.median, one.figure.unit),
                         str(one.figure.n), spread(one.figure), ceiling(one)])  # fmt: skip
    return markdown(rows)


def main(root: Path) -> None:
    """Write all of it into the checkout ``root``."""
    (root / SCHEMA).write_text(schema(), encoding="utf-8")
    measurements = load([root / "bench" / "results"])
    for page in pages(root):
        text = page.read_text(encoding="utf-8")
        if (written := with_tables(text, measurements)) != text:
            page.write_text(written, encoding="utf-8")


if __name__ == "__main__":
    main(ROOT)
