"""Which curves a training has, and how each is read."""

from collections.abc import Callable, Iterator

import numpy as np

from socrates_fast.curves.drawing import MAX_POINTS, Curve, Line, smoothed, thinned
from socrates_fast.curves.history import Floats, History

_RUNNING, _LEAST = 0.05, 10
"""Share of the steps that a running mean is over, and how many at least."""
_FEW = 20
"""Steps up to which no running mean is drawn."""


def curves(history: History) -> list[Curve]:
    """All that the log allows; none where there is no step."""
    found = [*_loss(history), *_speed(history)]
    for name, build in _OTHERS.items():
        steps, values = history.of(name)
        if len(values):
            found.append(build(steps, values))
    return found


def _loss(history: History) -> Iterator[Curve]:
    steps, values = history.of("loss")
    checked, losses = history.validated()
    if not len(values):
        return
    width = max(_LEAST, round(_RUNNING * len(values))) if len(values) > _FEW else 1
    thin_steps, thin, each = thinned(steps, values)
    lines = [Line(thin_steps, thin, opacity=1.0 if len(values) <= _FEW else 0.35)]
    text = f"Blue: training{_means(each)}"
    if len(values) > _FEW:
        running, means, _ = thinned(steps, smoothed(values, width))
        lines.append(Line(running, means))
        text += f"; strong: mean of the last {width:,} steps"
    text += f", at the end {smoothed(values, width)[-1]:.3f}."
    if len(losses):
        lines.append(Line(checked, losses, "predicted", dots=len(losses) <= MAX_POINTS // 10))
        best = int(np.argmin(losses))
        text += f" Orange: validation rows, at the end {losses[-1]:.3f}, lowest {losses[best]:.3f} at step {checked[best]:,.0f}."
    yield Curve(
        "training_loss", "Loss of training and validation rows by step", tuple(lines), "{:.3g}".format, "Loss", text,
        from_zero=False,
    )  # fmt: skip


def _speed(history: History) -> Iterator[Curve]:
    steps, values = history.of("tokens_per_second")
    if not len(values):
        return
    text = f"Tokens a second that are no padding: median {np.median(values):,.0f}{_median(history, 'examples_per_second', '{:,.1f} examples a second')}"
    text += f"{_median(history, 'mfu', 'MFU {:.1%}')}. In all {history.of('tokens')[1].sum():,.0f} tokens, "
    text += f"{history.of('supervised')[1].sum():,.0f} of them supervised."
    yield _curve("training_speed", "Tokens a second by step", steps, values, short, "Speed", text)


def _median(history: History, name: str, form: str) -> str:
    """Another figure of speed, where the log has it."""
    _, values = history.of(name)
    return f", {form.format(float(np.median(values)))}" if len(values) else ""


def _rate(steps: Floats, values: Floats) -> Curve:
    text = f"Highest {values.max():.3g}, at the end {values[-1]:.3g}."
    return _curve(
        "training_rate", "Learning rate by step", steps, values, "{:.3g}".format, "Learning rate", text
    )


def _padding(steps: Floats, values: Floats) -> Curve:
    text = f"Share of the places computed that hold no token: {values.mean():.1%} on average."
    return _curve(
        "training_padding", "Share of padding by step", steps, values, "{:.3g}%".format, "Padding", text, 100
    )


def _memory(steps: Floats, values: Floats) -> Curve:
    text = (
        f"The most until then, of the GPU or else of the process: {values.max() / 2**30:.2f} GiB at the end."
    )
    return _curve(
        "training_memory",
        "Peak memory by step, in GiB",
        steps,
        values,
        "{:.3g} GiB".format,
        "Peak memory",
        text,
        2**-30,
    )


def _gradient(steps: Floats, values: Floats) -> Curve:
    text = f"Norm before it is clipped: median {np.median(values):.3g}, highest {values.max():.3g}."
    return _curve(
        "training_gradient", "Norm of the gradient by step", steps, values, "{:.3g}".format, "Gradient", text
    )


_OTHERS: dict[str, Callable[[Floats, Floats], Curve]] = {
    "learning_rate": _rate, "padding": _padding, "peak_memory": _memory, "grad_norm": _gradient,
}  # fmt: skip


def _curve(
    name: str, description: str, steps: Floats, values: Floats, written: Callable[[float], str], heading: str, text: str,
    unit: float = 1.0,
) -> Curve:  # fmt: skip
    thin_steps, thin, each = thinned(steps, values * unit)
    means = f" Drawn as means of {each:,} steps." if each > 1 else ""
    return Curve(name, description, (Line(thin_steps, thin),), written, heading, text + means)


def _means(each: int) -> str:
    return f" (pale: means of {each:,} steps)" if each > 1 else ""


def short(count: float) -> str:
    """Like 12.5k or 1.2M."""
    for unit, name in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(count) >= unit:
            return f"{count / unit:.3g}{name}"
    return f"{count:.3g}"
