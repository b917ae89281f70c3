"""Plots of measurements, as PNG and SVG: speed over quality, rows per second over the shared prefix, memory over size."""

from collections.abc import Callable, Iterable, Sequence
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from socrates_bench.record import Measurement, better
from socrates_fast.data.plots import INK, LINE, MUTED, PAPER
from socrates_fast.runs import atomic_path

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLOURS = ("#3a6ea5", "#d97b29", "#2d8a6b", "#8a5fa8", "#6b7480", "#b3425a")
GIB = 2**30
_STYLE: dict[Any, Any] = {
    "figure.facecolor": PAPER, "axes.facecolor": PAPER, "font.size": 9, "text.color": INK, "axes.edgecolor": LINE,
    "axes.labelcolor": MUTED, "axes.titlesize": 10, "axes.titlelocation": "left", "axes.spines.top": False,
    "axes.spines.right": False, "xtick.color": MUTED, "ytick.color": MUTED, "legend.frameon": False,
    "svg.hashsalt": "socrates-bench",
}  # fmt: skip


class Point(NamedTuple):
    """A point of a plot: its series, its place with the least and the largest y, and what stands beside it."""

    series: str
    x: float
    y: float
    low: float
    high: float
    label: str


class Plot(NamedTuple):
    """A plot: its file's name, title, axes, which measurements have a point in it, and what is said if none has."""

    name: str
    title: str
    x: str
    y: str
    points: Callable[[Sequence[Measurement]], list[Point]]
    without: str
    joined: bool = False
    logarithmic: tuple[bool, bool] = (True, True)


def _kind(one: Measurement) -> str:
    return (one.model.quantisation if one.model else None) or ""


def _shape(one: Measurement) -> str:
    return (one.model.shape if one.model else None) or str(one.settings.get("name", ""))


def _point(one: Measurement, series: str, x: float, label: str) -> Point:
    figure = one.figure
    return Point(series, x, figure.median, figure.min, figure.max, label)


def speed_over_quality(measurements: Sequence[Measurement]) -> list[Point]:
    """Speeds that were measured together with the divergence of the answers."""
    return [
        _point(
            one, f"{one.bench} {_shape(one)}: {one.name}, {one.figure.unit}", one.quality["kl"], _kind(one)
        )
        for one in measurements
        if better(one.figure.unit) == "higher" and one.quality and one.quality.get("kl", 0) > 0
    ]


def rows_over_prefix(measurements: Sequence[Measurement]) -> list[Point]:
    """Rows per second over the share of all prompts' tokens that was not computed again, percent."""
    found = []
    for one in measurements:
        shared = (one.details or {}).get("shared_prefix")
        if one.figure.unit == "rows/s" and isinstance(shared, float):
            order = str(one.settings.get("order", "")).replace("_", " ")
            found.append(_point(one, f"{one.bench} {_shape(one)} {_kind(one)}", 100 * shared, order))
    return found


def memory_over_size(measurements: Sequence[Measurement]) -> list[Point]:
    """Peak memory over the bytes of the model's files, both in GiB; the largest of a bench's lines of one model."""
    largest: dict[tuple[str, str, str, int], int] = {}
    for one in measurements:
        if one.peak_memory and one.model and one.model.bytes:
            key = (one.bench, _shape(one), _kind(one), one.model.bytes)
            largest[key] = max(one.peak_memory, largest.get(key, 0))
    return [
        Point(bench, size / GIB, peak / GIB, peak / GIB, peak / GIB, f"{shape} {kind}".strip())
        for (bench, shape, kind, size), peak in largest.items()
    ]


PLOTS = (
    Plot("speed-over-quality", "Speed over quality", "divergence of the answers from the original's, nats", "speed",
         speed_over_quality, "no line has a speed together with the quality kl (bench parity)", logarithmic=(True, False)),
    Plot("rows-over-shared-prefix", "Rows per second over shared prefix", "tokens shared with other rows, %", "rows/s",
         rows_over_prefix, "no line has rows/s with shared_prefix (bench score)", joined=True, logarithmic=(False, True)),
    Plot("memory-over-model-size", "Memory over model size", "bytes of the files, GiB", "peak memory, GiB",
         memory_over_size, "no line has peak memory and a model's bytes (bench score, bench export)"),
)  # fmt: skip


def draw(measurements: Sequence[Measurement], folder: Path) -> tuple[list[Path], list[str]]:
    """Draw what there is to draw.

    Returns:
        The files, and a sentence for each plot that was not drawn.
    """
    import matplotlib

    made, missing = [], []
    for plot in PLOTS:
        points = plot.points(measurements)
        if not points:
            missing.append(f"{plot.name} was not drawn: {plot.without}")
            continue
        with matplotlib.rc_context(_STYLE):
            made += _save(_figure(plot, points), folder / plot.name)
    return made, missing


def _save(figure: "Figure", stem: Path) -> list[Path]:
    paths = []
    metadata: dict[str, dict[str, Any]] = {"png": {"Software": None}, "svg": {"Date": None}}
    for kind, facts in metadata.items():
        buffer = BytesIO()
        figure.savefig(buffer, format=kind, dpi=150, metadata=facts)
        paths.append(stem.with_suffix(f".{kind}"))
        with atomic_path(paths[-1]) as partial:
            partial.write_bytes(buffer.getvalue())
    return paths


def _figure(plot: Plot, points: Iterable[Point]) -> "Figure":
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    figure = Figure(figsize=(7.2, 4.4), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    series: dict[str, list[Point]] = {}
    for point in points:
        series.setdefault(point.series, []).append(point)
    for number, (name, some) in enumerate(series.items()):
        _series_of(
            axes, name, sorted(some, key=lambda one: one.x), COLOURS[number % len(COLOURS)], plot.joined
        )
    axes.set(title=plot.title, xlabel=plot.x, ylabel=plot.y)
    axes.margins(0.12)
    if plot.logarithmic[0]:
        axes.set_xscale("log")
    if plot.logarithmic[1]:
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.yaxis.set_minor_formatter(NullFormatter())
    else:
        axes.set_ylim(0, 1.12 * axes.dataLim.y1)  # the margin above must not depend on how far below 0 is
    axes.grid(color=LINE, linewidth=0.5)
    figure.legend(loc="outside lower center", ncols=2)
    return figure


def _series_of(axes: "Axes", name: str, points: Sequence[Point], colour: str, joined: bool) -> None:
    xs, ys = [one.x for one in points], [one.y for one in points]
    reach = [[one.y - one.low for one in points], [one.high - one.y for one in points]]
    line = "o-" if joined else "o"
    axes.errorbar(
        xs, ys, yerr=reach, fmt=line, color=colour, markersize=5, linewidth=1, elinewidth=0.6, label=name
    )
    for point in points:
        axes.annotate(point.label, (point.x, point.y), (4, 3), textcoords="offset points", color=MUTED, fontsize=7,
                      rotation=25)  # fmt: skip
