"""The cards at the top of a report: the few figures that decide whether the rest is worth reading."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from socrates_fast.evaluate.report.words import decimals, number

_BEYOND_UNIFORM, _BEYOND_FLOOR = 0.4, 0.15
"""How far the track goes past its two ends, as shares of their distance, for models that lie there."""


class Track(NamedTuple):
    """Where a model lies between the floor and uniform guessing; all in percent of the track's length.

    Attributes:
        floor: place of the floor.
        uniform: place of uniform guessing.
        model: place of the model; at an end of the track if it lies beyond.
        start: where its interval begins.
        width: length of its interval; 0 if there is none.
        floor_value: the floor, for its label.
        uniform_value: uniform guessing's figure, likewise.
    """

    floor: float
    uniform: float
    model: float
    start: float
    width: float
    floor_value: float
    uniform_value: float


class Card(NamedTuple):
    """One figure of the headline.

    Attributes:
        label: its name.
        figure: {"value", "low"?, "high"?}.
        hint: how to read it.
        beside: values that it lies between; "" for none.
        track: a picture of that; None for none.
    """

    label: str
    figure: Mapping[str, Any]
    hint: str
    beside: str = ""
    track: Track | None = None


def cards(metrics: Mapping[str, Any]) -> list[Card]:
    """The headline."""
    uniform = metrics["baselines"]["uniform"]["wasserstein.stated"]
    stated, floor = metrics["wasserstein.stated"], metrics["floor"]["wasserstein.stated"]
    found = [
        Card(
            "Wasserstein, stated range", stated,
            "distance to people's answers; the floor is what a perfect prediction would get",
            f"floor {number(floor)}, uniform guessing {number(uniform)}",
            track(stated, floor["value"], uniform["value"]),
        ),
        Card("Skill", metrics["skill"]["wasserstein.stated"], "of that distance: 0 is guessing, 1 the floor"),
        Card("Correlation of effects", metrics["effects.correlation"], _of_effects(metrics)),
        Card(
            "Condition sensitivity", metrics["effects.sensitivity"],
            "spread of effects beside people's; best at 1, blind at 0",
        ),
        Card("Answer mass", metrics["answer_mass"], "probability of a valid answer"),
    ]  # fmt: skip
    if "wasserstein.truth" in metrics:
        hint = "distance to the true distributions; 0 is best"
        found.append(Card("To the truth", metrics["wasserstein.truth"], hint))
    return found


def _of_effects(metrics: Mapping[str, Any]) -> str:
    """What a correlation of effects is to be compared with."""
    if not metrics["headline"]["tasks_with_conditions"]:
        return "no task has two conditions to compare"
    ceiling = metrics["floor"].get("effects.correlation", {"value": None})["value"]
    chance = metrics.get("effects.p", {"value": None})["value"]
    words = "no ceiling" if ceiling is None else f"a perfect prediction would reach {decimals(ceiling)}"
    return words if chance is None else f"{words}; permuted conditions: p\u00a0=\u00a0{decimals(chance)}"


def track(figure: Mapping[str, Any], floor: float | None, uniform: float | None) -> Track | None:
    """The model's place between floor and uniform guessing; None where they are undefined or in the wrong order."""
    value = figure["value"]
    if value is None or floor is None or uniform is None or uniform <= floor:
        return None
    length = uniform - floor
    left = max(min(floor, value), floor - _BEYOND_FLOOR * length)
    right = min(max(uniform, value), uniform + _BEYOND_UNIFORM * length)

    start, end = figure.get("low", value), figure.get("high", value)
    share = np.array([floor, uniform, value, start, end], dtype=np.float64)
    place = 100 * np.clip((share - left) / (right - left), 0, 1)
    at_floor, at_uniform, at_model, begins, ends = place.tolist()
    return Track(at_floor, at_uniform, at_model, begins, ends - begins, floor, uniform)
