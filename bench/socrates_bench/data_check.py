"""Whether a prepared folder's card says what the maker of the rows knows, and its files what the card says."""

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import polars as pl

from socrates_bench.data_draw import REASONS
from socrates_fast.data import columns as why
from socrates_fast.data.schema import CELL
from socrates_fast.errors import SocratesError

WORDS = dict(
    zip((why.OFF_SCALE, why.MISSING_CODE, why.OPEN_SCALE, why.SAME_ID, why.SAME_ANSWER), REASONS, strict=True)
)
"""The card's reasons to ours."""
SIDES = ("train", "validation", "test")
_NAMED = 5
"""Differences that an error names."""

Counts = Counter[tuple[Any, ...]]


def checked(folder: Path, truth: Mapping[str, Any], share: float, whole_people: bool) -> dict[str, Any]:
    """What a prepared folder says of itself, found to be so.

    Args:
        folder: prepared with the default fates.
        truth: see ``data_rows.made``.
        share: of the training people that it was prepared with.
        whole_people: a person's rows are all on one side.

    Returns:
        ``read``, ``left_out`` by reason, ``unused``, and ``written`` by side.

    Raises:
        SocratesError: a count differs, by cell and reason; or rows are neither written nor counted.
    """
    card = json.loads((folder / "card.json").read_text(encoding="utf-8"))
    found = _counts((*(row[key] for key in CELL), WORDS.get(row["reason"], row["reason"]), row["rows"])
                    for row in card["dropped"])  # fmt: skip
    _same(folder, found, _counts(truth["left_out_by_cell"]))
    unused = sum(row["rows"] for row in card["unused"])
    rows = {side: _rows(folder / f"{side}.parquet") for side in SIDES}
    people = sum(card["splits"][side]["people"] for side in SIDES)
    whole = share == 1 and whole_people
    pairs = {
        "rows read": (card["rows_read"], truth["rows"]),
        "rows left out": (card["dropped_rows"], sum(truth["left_out"].values())),
        "doubtful rows kept": (len(card["kept_anyway"]), 0),
        "rows written or unused": (sum(rows.values()) + unused, truth["sound"]["rows"]),
        "unused rows": (unused, 0 if share == 1 else unused),
        "rows written, by the card": ({side: card["splits"][side]["rows"] for side in SIDES}, rows),
        "people": (people, truth["sound"]["people"] if whole else people),
    }
    wrong = [f"{name}: {said}, not {is_so}" for name, (said, is_so) in pairs.items() if said != is_so]
    if wrong:
        raise SocratesError(f"{folder / 'card.json'} is wrong:\n" + "\n".join(wrong))
    reasons = {reason: sum(n for key, n in found.items() if key[-1] == reason) for reason in REASONS}
    return {"read": card["rows_read"], "left_out": reasons, "unused": unused, "written": rows}


def _counts(rows: Iterable[Iterable[Any]]) -> Counts:
    counts: Counts = Counter()
    for *key, count in rows:
        counts[tuple(key)] += count
    return counts


def _same(folder: Path, found: Counts, true: Counts) -> None:
    different = sorted(key for key in found.keys() | true.keys() if found[key] != true[key])
    if different:
        lines = [f"{' / '.join(map(str, key))}: {found[key]}, not {true[key]}" for key in different[:_NAMED]]
        raise SocratesError(
            f"{folder / 'card.json'}: what was left out of {len(different)} cells is not what ought to be "
            f"({found.total()} rows, not {true.total()}):\n" + "\n".join(lines)
        )


def _rows(path: Path) -> int:
    return int(pl.scan_parquet(path).select(pl.len()).collect().item())
