"""Paired differences of evaluations of the same rows; the first one is the reference.

Every evaluation's figures are drawn over the same studies and cells (see ``uncertainty``), so what makes a study hard for
all of them cancels in their difference, and its interval is narrower than those of the figures let one expect.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from socrates_fast.evaluate.compare.read import KEYS, Read, labels, read_evaluations
from socrates_fast.evaluate.figures import FIGURES, Best, Figure
from socrates_fast.evaluate.uncertainty import (
    DRAWS,
    LEVEL,
    MIN_STUDIES,
    SEED,
    Draws,
    Estimate,
    Sampled,
    Sampler,
    combine,
)

HEADLINE = ("wasserstein.stated", "effects.correlation")
"""The figures that count: with all the others, some intervals exclude 0 by chance."""

ROUNDING = 1e-9
"""Differences below this are of the order in which numbers were added."""

Verdict = Literal["better", "worse", "cannot tell", "same"]
Value = Mapping[str, Any]
"""``{"value": x}``, null if undefined, and ``"low"``, ``"high"`` where there is an interval."""

_BETTER_BY: dict[Best, Callable[[Any, Any], Any]] = {
    "low": lambda reference, other: reference - other,
    "high": lambda reference, other: other - reference,
    "one": lambda reference, other: np.abs(reference - 1) - np.abs(other - 1),
}
"""How much better the other is than the reference."""


@dataclass(frozen=True)
class Entry:
    """One of the evaluations.

    Attributes:
        key: the letter that stands for it.
        label: what it is called; no two are called the same.
        predictor: its predictor's name.
        folder: as it was named.
        banners: what undermines its figures.
    """

    key: str
    label: str
    predictor: str
    folder: Path
    banners: tuple[str, ...]


@dataclass(frozen=True)
class Difference:
    """A figure of one evaluation against the reference's.

    Attributes:
        key: of the evaluation.
        difference: its figure minus the reference's.
        better_by: how much better it is: the difference with the sign that makes better positive; where 1 is best, by how
            much it is nearer to 1.
        improvement: (reference - figure) / reference in percent, as papers state it; None unless lower is better.
        verdict: in words.
        why: the reason of a "cannot tell", else empty.
    """

    key: str
    difference: Value
    better_by: Value
    improvement: Value | None
    verdict: Verdict
    why: str


@dataclass(frozen=True)
class Line:
    """One figure of all evaluations.

    Attributes:
        name: in metrics.json.
        figure: how it is read.
        values: by the evaluation's key, with their own intervals.
        floor: what a perfect prediction would get; None if that is not known.
        differences: those of all evaluations but the reference, in their order.
    """

    name: str
    figure: Figure
    values: Mapping[str, Value]
    floor: float | None
    differences: tuple[Difference, ...]

    @property
    def best(self) -> float:
        """The best value there is."""
        return 0.0 if self.figure.best == "low" else 1.0


@dataclass(frozen=True)
class Comparison:
    """What ``compare`` found.

    Attributes:
        entries: the evaluations; the first is the reference.
        lines: the figures that all of them have, in the order of ``figures.FIGURES``.
        left_out: figures that only some of them have.
        rows_sha256: of the rows that all of them are of.
        rows: how many these are.
        headline: which of them the figures are over, as in metrics.json.
        intervals: draws, seed, level in percent, and over what is drawn.
    """

    entries: tuple[Entry, ...]
    lines: tuple[Line, ...]
    left_out: tuple[str, ...]
    rows_sha256: str
    rows: int
    headline: Mapping[str, Any]
    intervals: Mapping[str, Any]

    @property
    def sections(self) -> list[tuple[str, list[Line]]]:
        """The lines as tables show them: the headline, then each part with its title."""
        found: dict[str, list[Line]] = {"Headline": []}
        for line in self.lines:
            title = "Headline" if line.name in HEADLINE else line.figure.about
            found.setdefault(title, []).append(line)
        return [(title, lines) for title, lines in found.items() if lines]


def compare(folders: Sequence[Path]) -> Comparison:
    """Compare the evaluations in ``folders`` with the first of them.

    Raises:
        DataError: they cannot be compared, see ``read_evaluations``.
    """
    read = read_evaluations(folders)
    first = read[0]
    samplers = _samplers(first)
    known = [name for name in FIGURES if any(one.estimate(name) for one in read)]
    shared = [name for name in known if all(one.estimate(name) for one in read)]
    names = labels(read)
    entries = tuple(
        Entry(KEYS[number], names[number], one.predictor, one.folder, tuple(one.metrics["banners"]))
        for number, one in enumerate(read)
    )
    return Comparison(
        entries, tuple(_line(name, read, samplers) for name in shared),
        tuple(name for name in known if name not in shared),
        first.metrics["rows_sha256"], first.metrics["rows"]["value"], first.metrics["headline"],
        {
            "draws": DRAWS, "seed": SEED, "level": LEVEL, "paired": True, "studies": len(first.studies),
            "over": "studies, and cells within them (tasks, for treatment effects)",
        },
    )  # fmt: skip


def _samplers(read: Read) -> dict[str, Sampler]:
    """The draws of each kind of units; those of metrics.json, so figures have the same intervals as there."""
    present = np.bincount(read.sums["cell"].study, minlength=len(read.studies)) > 0
    draws = Draws(len(read.studies), present)
    return {kind: draws.over(sums.study) for kind, sums in read.sums.items()}


def _line(name: str, read: Sequence[Read], samplers: Mapping[str, Sampler]) -> Line:
    estimates: list[Estimate] = []
    for one in read:
        found = one.estimate(name)
        assert found is not None  # ``shared`` names what all have
        kind, estimate = found
        estimates.append(estimate)
    sampler = samplers[kind]
    sampled = [sampler.one(estimate) for estimate in estimates]
    floor = (read[0].metrics.get("floor") or {}).get(name) or {}
    return Line(
        name, FIGURES[name], {key: one.figure() for key, one in zip(KEYS, sampled, strict=False)}, floor.get("value"),
        tuple(
            difference(KEYS[number], FIGURES[name].best, sampler, (estimates[0], estimates[number]))
            for number in range(1, len(read))
        ),
    )  # fmt: skip


def difference(key: str, best: Best, sampler: Sampler, pair: tuple[Estimate, Estimate]) -> Difference:
    """The difference of two figures over the same units.

    Args:
        key: of the evaluation that is not the reference.
        best: where the figure is best.
        sampler: draws of the units.
        pair: the reference's figure, and the other's.
    """
    both = [sampler.one(estimate) for estimate in pair]
    raw = combine(lambda reference, other: other - reference, both)
    better_by = combine(_BETTER_BY[best], both).figure()
    same = np.array_equal(pair[0].sums, pair[1].sums) or _vanishes(raw)
    studies = min(len(np.unique(sampler.study[estimate.sums.any(axis=1)])) for estimate in pair)
    verdict, why = _verdict(better_by, same, studies)
    improvement = _improvement(both) if best == "low" else None
    return Difference(key, raw.figure(), better_by, improvement, verdict, why)


def _vanishes(found: Sampled) -> bool:
    """Whether a difference is 0 but for rounding, in all draws too."""
    if found.drawn is None:
        return False
    drawn = found.drawn[np.isfinite(found.drawn)]
    return bool(drawn.size and np.abs([found.value, *drawn]).max() < ROUNDING)


def _improvement(both: Sequence[Sampled]) -> Value:
    """(reference - other) / reference in percent; no interval if the reference is 0 in any draw."""
    found = combine(lambda reference, other: 100 * (reference - other) / reference, both)
    if found.drawn is not None and not np.isfinite(found.drawn).all():
        found = Sampled(found.value, None)
    return found.figure()


def _verdict(better_by: Value, same: bool, studies: int) -> tuple[Verdict, str]:
    """What a difference says, and why it says nothing.

    Args:
        better_by: with its interval.
        same: whether both figures are the same, in all draws or cell by cell: two that only happen to have the same
            value are not.
        studies: how many add anything to the figure.
    """
    if better_by["value"] is None:
        return "cannot tell", "it has no value for one of them"
    if same:
        return "same", ""
    if studies < MIN_STUDIES:
        return "cannot tell", f"it is over {studies} studies, and an interval needs {MIN_STUDIES} at least"
    if "low" not in better_by:
        return "cannot tell", "there is no interval"
    if better_by["low"] <= 0 <= better_by["high"]:
        return "cannot tell", "the interval includes 0"
    return ("better" if better_by["low"] > 0 else "worse"), ""
