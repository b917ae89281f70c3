"""A comparison in words and numbers: conclusions about the headline, what its intervals are, what undermines it."""

from socrates_fast.evaluate.compare import HEADLINE, ROUNDING, Comparison, Difference, Entry, Line, Value
from socrates_fast.evaluate.figures import FIGURES
from socrates_fast.evaluate.report.words import ARROWS, MISSING
from socrates_fast.evaluate.uncertainty import MIN_STUDIES

LEGEND = (
    "↓ smaller is better, ↑ larger is better, →1 nearer to 1 is better. Gain: the improvement in percent of A, the "
    "reference, where smaller is better."
)


def conclusions(comparison: Comparison) -> list[str]:
    """What the headline figures say, one sentence for each and each evaluation."""
    reference = comparison.entries[0]
    headline = [line for line in comparison.lines if line.name in HEADLINE]
    return [
        _conclusion(line, reference, entry, line.differences[number])
        for number, entry in enumerate(comparison.entries[1:])
        for line in headline
    ]


def notes(comparison: Comparison) -> list[str]:
    """What a reader must know before believing the rest."""
    return [_about_draws(comparison), *_about_chance(comparison), *_about_figures(comparison)]


def banners(comparison: Comparison) -> list[str]:
    """What undermines the evaluations' figures, and whose; what several of them say is said once."""
    said: dict[str, list[str]] = {}
    for entry in comparison.entries:
        for banner in entry.banners:
            said.setdefault(banner, []).append(entry.key)
    return [f"{', '.join(keys)}: {banner}" for banner, keys in said.items()]


def size(comparison: Comparison) -> str:
    """How much the figures are over."""
    headline = comparison.headline
    rows = f"{comparison.rows:,} rows"
    if headline["rows"] < comparison.rows:
        rows = f"{headline['rows']:,} of the same {rows}, those of cells with at least {headline['min_people']} people"
    else:
        rows = f"the same {rows}"
    return f"The figures are over {rows}: {headline['cells']:,} cells of {headline['studies']} studies."


def interval(value: Value, signed: bool = False) -> str:
    """``low to high``; empty where there is no interval."""
    if value["value"] is None or "low" not in value:
        return ""
    digits = decimals(value)
    return f"{number(value['low'], digits, signed)} to {number(value['high'], digits, signed)}"


def shown(value: Value, signed: bool = False) -> str:
    """The value itself, a dash where it is undefined; ``signed`` is for differences, which may need more decimals."""
    figure = value["value"]
    return number(figure, decimals(value) if signed else _of_size(abs(figure or 0.0)), signed)


def percent(value: Value | None, brief: bool = False) -> str:
    """Like ``+26.3 %``, or ``+26 %`` if brief; empty where there is none."""
    if value is None or value["value"] is None:
        return ""
    size = abs(value["value"])
    return f"{number(value['value'], 0 if brief and size >= 10 else _of_percent(value), True)}\u00a0%"


def percent_interval(value: Value | None) -> str:
    """Like ``+15.1 to +34.0 %``; empty where there is none."""
    if value is None or value["value"] is None or "low" not in value:
        return ""
    digits = _of_percent(value)
    return f"{number(value['low'], digits, True)} to {number(value['high'], digits, True)}\u00a0%"


def _of_percent(value: Value) -> int:
    """One decimal, or two where that would leave little."""
    return 2 if 0 < max(abs(value[end]) for end in ("value", "low", "high") if end in value) < 1 else 1


def decimals(value: Value) -> int:
    """Four where half of the interval, or else the value, would vanish in three, and fewer of large numbers."""
    if value["value"] is None:
        return 3
    extent = (value["high"] - value["low"]) / 2 if "low" in value else abs(float(value["value"]))
    if extent >= 1:
        return _of_size(max(abs(value[end]) for end in ("value", "low", "high") if end in value))
    return 4 if ROUNDING < extent < 0.002 else 3


def _of_size(size: float) -> int:
    """Decimals of a number that is not a small difference: those that leave it five characters."""
    return next((digits for digits in (3, 2, 1) if size < 10.0 ** (4 - digits)), 0)


def number(value: float | None, digits: int, signed: bool = False) -> str:
    """A number with so many decimals; a dash for None.

    Args:
        signed: with its sign, even if nothing but zeros is left of it: an interval that ends at -0.000 excludes 0.
    """
    if value is None:
        return MISSING
    if abs(value) < (ROUNDING if signed else 0.5 * 10.0**-digits):
        return f"{0:.{digits}f}"
    return f"{value:+.{digits}f}" if signed else f"{value:.{digits}f}"


def heading(line: Line) -> str:
    """What a figure is called, with where it is best, never broken before that."""
    return f"{line.figure.label}\u00a0{ARROWS[line.figure.best]}"


def _conclusion(line: Line, reference: Entry, entry: Entry, found: Difference) -> str:
    values = f"{shown(line.values[reference.key])} → {shown(line.values[entry.key])}"
    head = f"{entry.key} against {reference.key}, {line.figure.label}: {found.verdict}"
    head += f", {found.why}. " if found.why else ". "
    floor = "" if line.floor is None else f" A perfect prediction would be at {line.floor:.3f}."
    if found.verdict == "same":
        return f"{head}{values}.{floor}"
    if found.improvement is None:
        change, within = (
            f"difference {shown(found.difference, signed=True)}",
            interval(found.difference, signed=True),
        )
    else:
        change, within = (
            f"improvement {percent(found.improvement) or MISSING}",
            percent_interval(found.improvement),
        )
    return f"{head}{values}, {change}" + (f" ({within})" if within else "") + f".{floor}"


def _about_draws(comparison: Comparison) -> str:
    how = comparison.intervals
    if how["studies"] < MIN_STUDIES:
        return (
            f"No intervals: the figures are over {how['studies']} studies, and at least {MIN_STUDIES} are needed to tell how "
            "much they would change with other studies. No difference can be told from chance."
        )
    return (
        f"Intervals hold {how['level']} %: {how['draws']:,} draws (seed {how['seed']}) over {how['studies']} {how['over']}, "
        "the same for all evaluations, so differences are paired."
    )


def _about_chance(comparison: Comparison) -> list[str]:
    tested = sum("low" in line.differences[0].better_by for line in comparison.lines)
    if not tested:
        return []
    by_chance = tested * (100 - comparison.intervals["level"]) / 100
    headline = " and ".join(FIGURES[name].label for name in HEADLINE)
    return [
        f"{tested} figures have intervals: between two models that do not differ, about {by_chance:.1f} of these exclude 0 by "
        f"chance. Conclude from the headline, {headline}; the others explain it."
    ]


def _about_figures(comparison: Comparison) -> list[str]:
    if not comparison.left_out:
        return []
    return [f"Left out, as not all evaluations have them: {', '.join(comparison.left_out)}."]
