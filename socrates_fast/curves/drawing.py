"""A plot of lines over training steps, as SVG that follows the colours of its page or stands alone.

No text from users enters a plot.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from html import escape

import numpy as np

from socrates_fast.curves.history import Floats

COLOURS = {
    "ink": "#101418", "muted": "#5c6570", "line": "#d5dae0", "human": "#3a6ea5", "predicted": "#d97b29",
}  # fmt: skip
"""The report's, by the names of its page's variables."""

WIDTH, HEIGHT = 302.0, 176.0
_LEFT, _RIGHT, _TOP, _BOTTOM = 44.0, 294.0, 8.0, 146.0
"""Where the lines lie, in points."""
MAX_POINTS = 400
"""Of a line; more steps are drawn as means of some."""
_STEPS = (1.0, 2.0, 2.5, 5.0, 10.0)


@dataclass(frozen=True)
class Line:
    """One line of a plot.

    Attributes:
        steps: ascending; shape (n,).
        values: finite; shape (n,).
        colour: a key of ``COLOURS``.
        opacity: 1 is solid.
        dots: mark every point.
    """

    steps: Floats
    values: Floats
    colour: str = "human"
    opacity: float = 1.0
    dots: bool = False


@dataclass(frozen=True)
class Curve:
    """Lines over steps, with the words around them; has what a report asks of its plots.

    Attributes:
        name: of its file.
        description: what is drawn, for readers who cannot see it; a fixed text.
        lines: at least one, each with a point.
        written: how a value stands at the axis.
        heading: a few words, shown strong before the caption.
        caption: how to read it, with its figures.
        from_zero: the axis of values begins at 0.
    """

    name: str
    description: str
    lines: tuple[Line, ...]
    written: Callable[[float], str]
    heading: str
    caption: str
    from_zero: bool = True

    @property
    def inline(self) -> str:
        """One ``<svg>`` element for a page that has the variables of ``COLOURS``."""
        box = f'viewBox="0 0 {WIDTH:g} {HEIGHT:g}"'
        return f'<svg {box} role="img" aria-label="{escape(self.description)}">{self._body()}</svg>'

    @property
    def svg(self) -> str:
        """A file of its own, on white."""
        body = re.sub(r"var\(--(\w+)\)", lambda found: COLOURS[found[1]], self._body())
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH:g}pt" height="{HEIGHT:g}pt" '
            f'viewBox="0 0 {WIDTH:g} {HEIGHT:g}" font-family="sans-serif">\n<title>{escape(self.description)}</title>\n'
            f'<rect width="100%" height="100%" fill="#ffffff"/>{body}</svg>\n'
        )

    def _body(self) -> str:
        across = _Axis.over([line.steps for line in self.lines], _LEFT, _RIGHT, whole=True)
        up = _Axis.over([line.values for line in self.lines], _BOTTOM, _TOP, from_zero=self.from_zero)
        parts = [_grid(up, self.written), _steps(across)]
        parts += [_drawn(line, across, up) for line in self.lines]
        return "\n".join(parts)


@dataclass(frozen=True)
class _Axis:
    """Values to places: ``low`` lies at ``start``, ``high`` at ``end``."""

    low: float
    high: float
    start: float
    end: float
    ticks: tuple[float, ...]

    @classmethod
    def over(
        cls, values: list[Floats], start: float, end: float, *, from_zero: bool = False, whole: bool = False
    ) -> "_Axis":
        every = np.concatenate(values)
        low, high = float(every.min()), float(every.max())
        if from_zero:
            low = min(low, 0.0)
        if not whole:
            high += 0.04 * (high - low)
        if high <= low:  # a single step, or a value that never changes
            low, high = (
                (low - 1, high + 1)
                if whole
                else (low - 0.05 * abs(low) - 1e-9, high + 0.05 * abs(high) + 1e-9)
            )
        return cls(low, high, start, end, ticks(low, high, whole))

    def at(self, values: Floats) -> Floats:
        return self.start + (values - self.low) / (self.high - self.low) * (self.end - self.start)


def ticks(low: float, high: float, whole: bool = False, most: int = 5) -> tuple[float, ...]:
    """Round numbers from ``low`` to ``high``: at most ``most`` of them, whole ones if asked."""
    least = (high - low) / most
    power = 10.0 ** np.floor(np.log10(least))
    step = next(factor * power for factor in _STEPS if factor * power >= least * (1 - 1e-9))
    if whole:
        step = max(np.ceil(step), 1.0)
    first, last = np.ceil(low / step - 1e-9), np.floor(high / step + 1e-9)
    return tuple(float(number * step) + 0.0 for number in np.arange(first, last + 1))  # no negative zero


def thinned(steps: Floats, values: Floats) -> tuple[Floats, Floats, int]:
    """At most ``MAX_POINTS`` points, each the mean of as many neighbours; and of how many."""
    each = -(-len(values) // MAX_POINTS)
    if each <= 1:
        return steps, values, 1
    begins = np.arange(0, len(values), each)
    counts = np.diff(np.append(begins, len(values)))
    return np.add.reduceat(steps, begins) / counts, np.add.reduceat(values, begins) / counts, each


def smoothed(values: Floats, width: int) -> Floats:
    """The mean of each value and the ``width - 1`` before it, as far as there are any; shape (n,)."""
    sums = np.concatenate([[0.0], np.cumsum(values)])
    ends = np.arange(1, len(values) + 1)
    begins = np.maximum(ends - width, 0)
    means: Floats = (sums[ends] - sums[begins]) / (ends - begins)
    return means


def _grid(up: _Axis, written: Callable[[float], str]) -> str:
    places = up.at(np.array(up.ticks)).tolist()
    lines = "".join(f"M{_LEFT:g} {y:.1f}H{_RIGHT:g}" for y in places)
    texts = "".join(
        f'<text x="{_LEFT - 5:g}" y="{y + 3:.1f}">{escape(written(value))}</text>'
        for value, y in zip(up.ticks, places, strict=True)
    )
    return f'<path d="{lines}" stroke="var(--line)" stroke-width="0.6" fill="none"/>{_texts(texts, "end")}'


def _steps(across: _Axis) -> str:
    places = across.at(np.array(across.ticks)).tolist()
    texts = "".join(
        f'<text x="{x:.1f}" y="{_BOTTOM + 13:g}">{value:,.0f}</text>'
        for value, x in zip(across.ticks, places, strict=True)
    )
    middle = (_LEFT + _RIGHT) / 2
    texts += f'<text x="{middle:g}" y="{_BOTTOM + 26:g}">step</text>'
    return (
        f'<path d="M{_LEFT:g} {_BOTTOM:g}H{_RIGHT:g}" stroke="var(--muted)" stroke-width="0.8" fill="none"/>'
        f"{_texts(texts, 'middle')}"
    )


def _texts(texts: str, anchor: str) -> str:
    return f'<g font-size="9" fill="var(--muted)" text-anchor="{anchor}">{texts}</g>'


def _drawn(line: Line, across: _Axis, up: _Axis) -> str:
    places = list(zip(across.at(line.steps).tolist(), up.at(line.values).tolist(), strict=True))
    path = "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in places)
    look = f'stroke="var(--{line.colour})" stroke-width="1.4" opacity="{line.opacity:g}" fill="none"'
    dots = ""
    if line.dots or len(places) == 1:
        circles = "".join(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="2"/>' for x, y in places)
        dots = f'<g fill="var(--{line.colour})" opacity="{line.opacity:g}">{circles}</g>'
    return f'<path d="{path}" {look}/>{dots}'
