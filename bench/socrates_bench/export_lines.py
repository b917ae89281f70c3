"""The lines of ``bench export``."""

from collections.abc import Sequence
from typing import Any

from socrates_bench.record import Bench, Ceiling, Figure, Measurement, Model
from socrates_bench.steps import Measured

ARITHMETIC = "the start-up, and ggml_quantize_chunk over as many elements on as many threads"


def startup_line(bench: Bench, shared: dict[str, Any], seconds: Sequence[float]) -> Measurement:
    """The start-up: an export of nothing."""
    return bench.measured("seconds of an export of nothing", Figure.of(seconds, "s"), **shared)


def step_lines(
    bench: Bench, shared: dict[str, Any], turns: Sequence[dict[str, Measured]]
) -> list[Measurement]:
    """The steps that the export replaces.

    Args:
        bench: the run.
        shared: ``model`` and ``settings`` of the run.
        turns: of each turn, what its steps took, by their names.
    """
    return [
        bench.measured(
            "seconds of a step apart", Figure.of((turn[step].seconds for turn in turns), "s"),
            **{**shared, "settings": {**shared["settings"], "step": step}},
            peak_memory=max(turn[step].peak_rss for turn in turns), details={"written": turns[0][step].written},
        )
        for step in (turns[0] if turns else ())
    ]  # fmt: skip


def export_lines(bench: Bench, shared: dict[str, Any], found: dict[str, Any]) -> list[Measurement]:
    """One export, and how many times as fast it is as the steps apart.

    Args:
        bench: the run.
        shared: ``model`` and ``settings`` of the run.
        found: ``types``, ``seconds`` (all), ``peak_rss``, ``bytes``, the medians ``startup_seconds`` and
            ``arithmetic_seconds``; of the steps apart their seconds in each turn.
    """
    figure, least = Figure.of(found["seconds"], "s"), found["startup_seconds"] + found["arithmetic_seconds"]
    details = {name: value for name, value in found.items() if name not in ("types", "seconds", "bytes")}
    details["over_arithmetic"] = (figure.median - found["startup_seconds"]) / found["arithmetic_seconds"]
    model = shared["model"].model_copy(
        update={"quantisation": "+".join(found["types"]), "bytes": found["bytes"]}
    )
    lines = [
        bench.measured(
            "seconds of the export", figure, model=model, settings=shared["settings"], details=details,
            ceiling=Ceiling(value=least, unit="s", how=ARITHMETIC), peak_memory=found["peak_rss"],
        )
    ]  # fmt: skip
    if "apart_seconds" in found:
        for name, key in (
            ("times as fast as the steps apart", "apart_seconds"),
            ("times as fast as the steps apart, type after type", "apart_seconds_one_after_another"),
        ):
            pairs = zip(found[key], found["seconds"], strict=True)
            ratio = Figure.of((apart / ours for apart, ours in pairs), "x")
            lines.append(bench.measured(name, ratio, model=model, settings=shared["settings"]))
    return lines


def model_of(shape: str, parameters: int) -> Model:
    """The model of a run, without a type."""
    return Model(shape=shape, parameters=parameters)
