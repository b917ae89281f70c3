"""A low and a high estimate, and how people read them."""

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Range:
    """What a quantity is expected to lie between; ``low`` is never above ``high``."""

    low: float
    high: float

    def __add__(self, other: "Range") -> "Range":
        return Range(self.low + other.low, self.high + other.high)

    def __mul__(self, other: "Range | float") -> "Range":
        by = other if isinstance(other, Range) else Range(other, other)
        return Range(self.low * by.low, self.high * by.high)

    def over(self, rate: "Range") -> "Range":
        """Divided by a rate: the high rate gives the low end."""
        return Range(self.low / rate.high, self.high / rate.low)

    @property
    def middle(self) -> float:
        """Geometric mean of both ends: as many times above the low end as below the high one."""
        return float((self.low * self.high) ** 0.5)

    def holds(self, value: float) -> bool:
        """Whether ``value`` lies inside."""
        return self.low <= value <= self.high

    def as_json(self, digits: int = 3) -> dict[str, float]:
        """Both ends, rounded to ``digits`` significant digits where they have more before the point than that keeps."""
        return {"low": rounded(self.low, digits), "high": rounded(self.high, digits)}

    def text(self, pattern: str = "{:,.1f}") -> str:
        """Like "1.2-3.4", or one number where both ends read the same."""
        low, high = pattern.format(self.low), pattern.format(self.high)
        return low if low == high else f"{low}-{high}"


def fixed(value: float) -> Range:
    """A quantity that is known."""
    return Range(value, value)


def total(parts: Iterable[Range]) -> Range:
    """Sum of the lows and of the highs."""
    found = fixed(0.0)
    for part in parts:
        found += part
    return found


def rounded(value: float, digits: int = 3) -> float:
    """``value`` to so many significant digits."""
    return float(f"{value:.{digits}g}")


def hours_text(hours: Range) -> str:
    """Like "25-48 min" or "2.1-4.0 h" or "85-160 h"."""
    if hours.high < 1.95:
        return f"{(hours * 60).text('{:,.0f}')} min"
    return f"{hours.text('{:,.1f}' if hours.low < 9.95 else '{:,.0f}')} h"


def gib_text(size: Range) -> str:
    """Bytes as GiB, like "11.2-14.0 GiB"."""
    return f"{(size * 2**-30).text('{:,.1f}')} GiB"


def gb_text(size: float) -> str:
    """Bytes as GB or MB of a disk or a download (powers of ten)."""
    if size < 0.095e9:
        return f"{size / 1e6:,.1f} MB"
    return f"{size / 1e9:,.2f} GB" if size < 9.95e9 else f"{size / 1e9:,.1f} GB"
