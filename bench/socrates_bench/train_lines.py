"""The lines of ``bench train``."""

from typing import Any

from socrates_bench.record import Bench, Ceiling, Figure, Measurement, Model
from socrates_fast.plan.utilisation import FORWARD_BACKWARD

WARM_UP = 2
"""Steps at the beginning that do not count."""
ASKED_SPEED, ASKED_MEMORY = "14b on an H200: at least 2", "14b on an H200: at most 0.5"
ASKED_TOKENS, ASKED_OWN, ASKED_LOSS = (
    "Unsloth, 14b on an H200: at least 9,000", "tiny on a CPU: under 0.03", "in float32: at most 1e-4",
)  # fmt: skip
_OF_PLAN = ("steps", "batch_size", "accumulation", "packing", "precision", "four_bit", "memory_cap")


def shared_of(facts: dict[str, Any]) -> dict[str, Any]:
    """``model`` and ``settings`` of a run, from its plan and the model's ``config`` and ``parameters``."""
    settings = {name: facts[name] for name in _OF_PLAN} | {"checkpointing asked": facts["checkpointing"]}
    kind = "nf4" if facts["four_bit"] else None
    model = Model(shape=facts["shape"], parameters=facts["parameters"]["all"], quantisation=kind)
    return {"model": model, "settings": settings}


def base_line(bench: Bench, shared: dict[str, Any], facts: dict[str, Any]) -> Measurement:
    """Writing the base, and what it is."""
    details = {"config": facts["config"], "multiplied": facts["parameters"]["multiplied"]}
    return bench.measured("seconds of writing the base", Figure.of([facts["base_seconds"]], "s"), details=details,
                          **shared)  # fmt: skip


def backend_lines(
    bench: Bench, shared: dict[str, Any], backend: str, found: dict[str, Any], base: dict[str, Any]
) -> list[Measurement]:
    """One backend: seconds, tokens and examples, memory, the start, and our own code's share.

    Args:
        bench: the run.
        shared: ``model`` and ``settings`` of the run.
        backend: its name.
        found: of ``train_figures.figures``, with the device; or ``error`` where the memory was too little.
        base: ``config`` and ``multiplied`` of the base.
    """
    settings = {**shared["settings"], "backend": backend, "checkpointing": found["checkpointing"]}
    facts = {**shared, "settings": settings, "threads": found["threads"]}
    if "error" in found:
        limit = settings["memory_cap"]
        least = limit * 2**30 if limit else found["gpu_bytes"] or bench.where.memory_bytes or 0
        return [
            bench.measured("memory that was not enough", Figure.of([least], "bytes"), details=found, **facts)
        ]
    counted = list(zip(found["seconds"], found["batches"], strict=True))[WARM_UP:]
    memory, own, start = found["memory"], found["own"], found["start"]
    figures = {
        name: found[name] for name in ("gpu", "padding", "tokens_per_row", "seconds_per_step", "mfu", "hfu")
    }
    rest = {
        name: value
        for name, value in found.items()
        if name not in ("checkpointing", "threads", "start", "own")
    }
    return [
        bench.measured("seconds per step", Figure.of([one for one, _ in counted], "s", WARM_UP),
                       peak_memory=memory["peak"], details=rest, **facts),
        bench.measured("tokens per second", Figure.of([batch[1] / one for one, batch in counted], "tokens/s", WARM_UP),
                       ceiling=_most_tokens(found, base["multiplied"]), peak_memory=memory["peak"],
                       details={**figures, **base, "asked": ASKED_TOKENS}, **facts),
        bench.measured("examples per second", Figure.of([batch[0] / one for one, batch in counted], "rows/s", WARM_UP),
                       **facts),
        bench.measured("seconds to the end of the first step", Figure.of([start["to_first_step"]], "s"), details=start,
                       **facts),
        bench.measured("our own code's share of a step", Figure.of([own["share_of_step"]], "of the step"),
                       details={**own, "asked": ASKED_OWN}, **facts),
        bench.measured("memory", Figure.of([memory["peak"]], "bytes"), peak_memory=memory["peak"], details=memory, **facts),
    ]  # fmt: skip


def _most_tokens(found: dict[str, Any], multiplied: int) -> Ceiling | None:
    """Tokens per second at the device's peak; None where that is not known."""
    if not found["peak_teraflops"]:
        return None
    most = 1e12 * found["peak_teraflops"] / (FORWARD_BACKWARD * multiplied)
    how = f"{found['peak_teraflops']} TFLOP/s, {FORWARD_BACKWARD} operations a token and parameter"
    return Ceiling(value=most, unit="tokens/s", how=how)


def compared_lines(bench: Bench, shared: dict[str, Any], compared: dict[str, Any]) -> list[Measurement]:
    """Unsloth over the plain backend."""
    entries = (
        ("examples per second, Unsloth over plain", "examples_per_second", "x", ASKED_SPEED),
        ("peak memory, Unsloth over plain", "peak_memory", "x", ASKED_MEMORY),
        ("largest difference of a step's loss", "loss_difference", "nats", ASKED_LOSS),
    )
    return [
        bench.measured(name, Figure.of([compared[key]], unit),
                       details={"asked": asked, **{fact: compared[fact] for fact in ("same_batches", "checkpointing")}}, **shared)
        for name, key, unit, asked in entries
    ]  # fmt: skip
