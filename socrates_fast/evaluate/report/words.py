"""Numbers as a report writes them."""

import json
from collections.abc import Mapping
from typing import Any

from socrates_fast.evaluate.figures import Best

MISSING = "–"
"""What stands for a figure that is not defined."""

_LARGE = 1e4

ARROWS: dict[Best, str] = {"low": "↓", "high": "↑", "one": "→1"}


def decimals(value: float | None) -> str:
    """Three decimals; no negative zero; large numbers short."""
    if value is None:
        return MISSING
    if abs(value) >= _LARGE:
        return f"{value:.2e}"
    text = f"{value:.3f}"
    return text.removeprefix("-") if float(text) == 0 else text


def number(figure: Mapping[str, Any] | None) -> str:
    """A figure's value; empty where there is no such figure."""
    return "" if figure is None else decimals(figure["value"])


def interval(figure: Mapping[str, Any] | None) -> str:
    """A figure's interval; empty where there is none."""
    if figure is None or "low" not in figure:
        return ""
    return f"{decimals(figure['low'])} to {decimals(figure['high'])}"


def count(value: Any) -> str:
    """A number of things with separators; anything else as it is."""
    return f"{value:,}" if isinstance(value, int) else str(value)


def as_yaml(value: Any) -> str:
    """Settings in the form that people write them in."""
    import yaml

    if isinstance(value, str):
        return value
    plain = json.loads(json.dumps(value, default=str))  # paths and the like become text
    return str(yaml.safe_dump(plain, sort_keys=False, allow_unicode=True))
