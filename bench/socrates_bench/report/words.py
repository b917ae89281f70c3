"""Figures as a person reads them."""

from socrates_bench.record import Figure, Measurement

_BINARY = ((2**30, "GiB"), (2**20, "MiB"), (2**10, "KiB"))
LARGE, SMALL = 1e4, 1e-3


def number(value: float) -> str:
    """Four digits, or all in front of the point."""
    if value == int(value) and abs(value) < LARGE:
        return f"{value:.0f}"
    if abs(value) >= LARGE:
        return f"{value:,.0f}"
    return f"{value:.4g}" if abs(value) >= SMALL else f"{value:.2g}"


def amount(value: float, unit: str) -> str:
    """A value with its unit; bytes in the largest unit of which there is one."""
    if unit == "bytes":
        for size, name in _BINARY:
            if value >= size:
                return f"{value / size:.3g} {name}" if value < 1000 * size else f"{value / size:,.0f} {name}"
    return f"{number(value)} {unit}"


def spread(figure: Figure) -> str:
    """The least and the largest value, where there are several."""
    if figure.n == 1:
        return ""
    unit = figure.unit
    low, high = amount(figure.min, unit), amount(figure.max, unit)
    return f"{low.removesuffix(f' {unit}')} to {high}"


def ceiling(one: Measurement) -> str:
    """How far a figure is from the best that could be had."""
    if one.ceiling is None or one.share is None:
        return ""
    return f"{one.share:.3g} of {amount(one.ceiling.value, one.ceiling.unit)}"


def heading(one: Measurement) -> str:
    """What run it was, and where, in one line."""
    here, parts = one.where, [f"bench {one.bench}"]
    if one.model and one.model.shape:
        parts.append(one.model.shape)
    machine = [here.cpu if here.cpus is None else f"{here.cpu}, {here.cpus} processors", *(here.gpus or ())]
    facts = [f"{one.date:%Y-%m-%d}", "; ".join(machine)]
    if here.commit:
        facts.append(f"commit {here.commit}{' with changes' if here.dirty else ''}")
    if here.load_average is not None:
        facts.append(f"load {here.load_average:.1f} at the start")
    return f"**{', '.join(parts)}** ({', '.join(facts)})"
