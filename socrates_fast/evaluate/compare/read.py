"""Evaluations that can be compared: of the same rows, with the same headline, each from a folder of its own."""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from string import ascii_uppercase
from typing import Any

import numpy as np

from socrates_fast.errors import DataError
from socrates_fast.evaluate.figures import FIGURES
from socrates_fast.evaluate.run import METRICS
from socrates_fast.evaluate.sums import SUMS, Sums, read_sums
from socrates_fast.evaluate.uncertainty import Estimate

KEYS = ascii_uppercase
"""Letters that stand for evaluations in tables and plots; there are no more than that."""

_NEEDED = ("predictor", "rows_sha256", "rows", "headline", "banners")
_ROUNDING = 1e-6


@dataclass(frozen=True)
class Read:
    """One evaluation, as read.

    Attributes:
        folder: as it was named.
        metrics: the content of metrics.json.
        studies: the studies of its figures, sorted.
        sums: its figures by the kind of their units (cell, task).
    """

    folder: Path
    metrics: dict[str, Any]
    studies: tuple[str, ...]
    sums: dict[str, Sums]

    @property
    def predictor(self) -> str:
        """The predictor's name, on one line and without control characters."""
        return one_line(str(self.metrics["predictor"]))

    def estimate(self, name: str) -> tuple[str, Estimate] | None:
        """The kind of a figure's units, and the figure; None if this evaluation has no such figure."""
        found = [(kind, sums.estimates[name]) for kind, sums in self.sums.items() if name in sums.estimates]
        return found[0] if found else None


def read_evaluations(folders: Sequence[Path]) -> list[Read]:
    """Read what ``evaluate`` wrote to ``folders``, in their order.

    Raises:
        DataError: fewer than two folders, or more than there are letters; one of them twice; one without an evaluation
            of this version; two that are of other rows or have another headline. Both folders are named.
    """
    if len(folders) < 2:
        named = "".join(f" ({folder})" for folder in folders)
        raise DataError(
            f"comparing needs two evaluations at least, not {len(folders)}{named}; name their folders"
        )
    if len(folders) > len(KEYS):
        raise DataError(f"{len(folders)} evaluations are too many; name {len(KEYS)} at most")
    _refuse_twice(folders)
    read = [_read(folder) for folder in folders]
    for other in read[1:]:
        _refuse_other_rows(read[0], other)
    return read


def labels(read: Sequence[Read]) -> list[str]:
    """What each evaluation is called: its predictor's name, and where others share it, its folder as well."""
    names = [one.predictor for one in read]
    found = list(names)
    for name, count in Counter(names).items():
        same = [number for number, other in enumerate(names) if other == name]
        if count > 1:
            parts = _distinct([read[number].folder.resolve().parts for number in same])
            for number, part in zip(same, parts, strict=True):
                found[number] = f"{name} ({one_line(part)})"
    return found


def one_line(text: str) -> str:
    """Text without line breaks and control characters, which a terminal would obey."""
    return " ".join("".join(sign if sign.isprintable() else " " for sign in text).split())


def _distinct(paths: Sequence[tuple[str, ...]]) -> list[str]:
    """Paths without the folders at their beginning and end that all of them share."""
    while min(map(len, paths)) > 1 and len({path[0] for path in paths}) == 1:
        paths = [path[1:] for path in paths]
    while min(map(len, paths)) > 1 and len({path[-1] for path in paths}) == 1:
        paths = [path[:-1] for path in paths]
    return ["/".join(path) for path in paths]


def _refuse_twice(folders: Sequence[Path]) -> None:
    seen: dict[Path, Path] = {}
    for folder in folders:
        place = folder.resolve()
        if place in seen:
            raise DataError(f"{seen[place]} and {folder} are the same folder; name each evaluation once")
        seen[place] = folder


def _read(folder: Path) -> Read:
    path = folder / METRICS
    try:
        metrics = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(
            f"{path}: no evaluation there ({error}); name a folder that evaluate wrote"
        ) from error
    if not isinstance(metrics, dict) or set(_NEEDED) - set(metrics):
        raise DataError(f"{path}: not an evaluation of this version; evaluate again")
    studies, sums = read_sums(folder / SUMS)
    read = Read(folder, metrics, studies, sums)
    _refuse_torn(read)
    return read


def _refuse_torn(read: Read) -> None:
    """Refuse sums that are not those of the metrics beside them, as after an evaluation that was stopped while writing."""
    if "cell" not in read.sums:
        raise DataError(f"{read.folder / SUMS}: holds no cells; evaluate again")
    for name in FIGURES:
        found = read.estimate(name)
        if found is None:
            continue
        value, written = found[1].value, (read.metrics.get(name) or {}).get("value")
        written = np.nan if written is None else float(written)
        if not np.isclose(value, written, rtol=_ROUNDING, atol=_ROUNDING, equal_nan=True):
            raise DataError(
                f"{read.folder}: {SUMS} and {METRICS} are of different evaluations ({name} is {value:.6g} in one and "
                f"{written:.6g} in the other); evaluate again"
            )


def _refuse_other_rows(one: Read, other: Read) -> None:
    both = f"{one.folder} and {other.folder}"
    if one.metrics["rows_sha256"] != other.metrics["rows_sha256"]:
        raise DataError(
            f"{both} are of different rows: {_rows(one)}, and {_rows(other)}. Only differences on the same rows are the "
            "models'; evaluate both on the same data with the same --limit"
        )
    heads = one.metrics["headline"], other.metrics["headline"]
    for key in [*heads[0], *heads[1]]:
        first, second = (head.get(key) for head in heads)
        if first != second:
            remedy = "the same --min-people" if key == "min_people" else "the same version"
            raise DataError(
                f"{both} have different headlines: {key} is {first} in one and {second} in the other; evaluate both "
                f"with {remedy}"
            )
    same = one.studies == other.studies and one.sums.keys() == other.sums.keys()
    if not same or any(not np.array_equal(one.sums[kind].study, other.sums[kind].study) for kind in one.sums):
        raise DataError(f"{both} have sums of different cells; evaluate both with the same version")


def _rows(read: Read) -> str:
    """How many rows an evaluation has, and which."""
    lost = (read.metrics.get("unscorable") or {}).get("rows")
    without = f" without {lost:,} that could not be scored" if lost else ""
    return f"{read.metrics['rows']['value']:,} rows{without} (rows_sha256 {str(read.metrics['rows_sha256'])[:12]})"
