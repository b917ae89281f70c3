"""The figures of ``bench train`` from what was measured, and the record for people, each beside what is asked."""

import re
import statistics
from typing import Any

from socrates_fast.plan.gpus import GPUS

WARM_UP = 2
"""Steps at the beginning that do not count."""
ASKED_SPEED, ASKED_MEMORY, ASKED_TOKENS, ASKED_OWN, ASKED_LOSS = 2.0, 0.5, 9000, 0.03, 1e-4
"""On a GPU with the 14b shape: at least so many times the plain backend's examples a second, at most so much of its memory,
at least so many real tokens a second. With the tiny one on a CPU: at most this share of a step is our own code. In float32:
at most this far are the losses of a step apart."""
FORWARD_BACKWARD, RECOMPUTED = 4, 6
"""Floating-point operations per token and parameter that it is multiplied with: 2 forward and 2 back through the
activations, as the base's own gradients are not needed (2 more if they were); and 2 more to recompute the activations.
Attention between tokens is left out: 1% at these lengths."""
_OTHER_PEAKS = re.compile(r"\b(H\d00 (PCIe|NVL)|\d0\d0 (Ti|D|SUPER|Laptop))\b")


def figures(answer: dict[str, Any], multiplied: int, facts: dict[str, Any]) -> dict[str, Any]:
    """What is asked of one backend, from what its process wrote down.

    Args:
        answer: of ``train_child``.
        multiplied: parameters that each token is multiplied with.
        facts: the device, and whether activations were recomputed.
    """
    steps = answer["steps"]
    counted = steps[WARM_UP:]
    tokens = statistics.median(step["tokens"] / step["seconds"] for step in counted)
    return {
        "seconds_per_step": statistics.median(step["seconds"] for step in counted),
        "cpu_seconds_per_step": statistics.median(step["cpu_seconds"] for step in counted),
        "tokens_per_second": tokens,
        "examples_per_second": statistics.median(step["rows"] / step["seconds"] for step in counted),
        "padding": 1 - sum(step["tokens"] for step in counted) / sum(step["places"] for step in counted),
        "tokens_per_row": sum(step["tokens"] for step in steps) / max(1, sum(step["rows"] for step in steps)),
        "memory": answer["memory"],
        **_utilisation(tokens * multiplied, facts),
        "start": _start(answer, facts),
        "own": _own(answer),
        "switches": answer["switches"],
        "trainable": answer["trainable"],
        "losses": [step["loss"] for step in steps],
        "seconds": [step["seconds"] for step in steps],
        "batches": [[step["rows"], step["tokens"], step["supervised"], step["ids"]] for step in steps],
    }


def peak_teraflops(gpu: str | None) -> float | None:
    """The dense 16-bit peak of a GPU by the name that its driver gives; None if it is not in ``plan.gpus``.

    Siblings whose peak is another are left out (H100 PCIe, RTX 4090 D).
    """
    if gpu is None or _OTHER_PEAKS.search(gpu):
        return None
    for card in GPUS.values():
        if re.search(rf"\b{card.name.partition('-')[0]}\b", gpu):
            return card.teraflops
    return None


def _utilisation(per_second: float, facts: dict[str, Any]) -> dict[str, Any]:
    """MFU by the operations that the model needs, HFU by those that were done; null where the peak is not known."""
    peak = peak_teraflops(facts["gpu"])
    done = RECOMPUTED if facts["checkpointing"] else FORWARD_BACKWARD
    shares = [each * per_second / (1e12 * peak) if peak else None for each in (FORWARD_BACKWARD, done)]
    return {"peak_teraflops": peak, "mfu": shares[0], "hfu": shares[1]}


def _start(answer: dict[str, Any], facts: dict[str, Any]) -> dict[str, float]:
    """Seconds from the start of the process to the end of the first step, by part."""
    parts = answer["seconds"]
    return {
        "import": facts["import_seconds"],
        **{name: parts[name] for name in ("examples", "load", "trainer")},
        "first_step": answer["steps"][0]["seconds"],
        "to_first_step": answer["to_first_step"],
    }


def _own(answer: dict[str, Any]) -> dict[str, float]:
    """Our own code's seconds of a step, and their share of it.

    Making the examples comes before the first step; each step is charged with that of its rows.
    """
    steps = answer["steps"][WARM_UP:]
    parts = {name: sum(each[WARM_UP:]) / len(steps) for name, each in answer["own"].items()}
    rows, all_rows = sum(step["rows"] for step in steps) / len(steps), answer["rows"]
    for name in ("examples", "datasets"):
        parts[name] = answer["seconds"][name] / all_rows * rows
    step = sum(step["seconds"] for step in steps) / len(steps)
    return {
        **parts,
        "examples_per_row": answer["seconds"]["examples"] / all_rows,
        "share_of_step": sum(parts.values()) / step,
    }


def compare(found: dict[str, dict[str, Any]]) -> dict[str, Any] | None:
    """Unsloth over the plain backend; None unless both ran to the end."""
    if len(found) < 2 or any("error" in each for each in found.values()):
        return None
    unsloth, plain = found["unsloth"], found["transformers"]
    apart = [abs(a - b) for a, b in zip(unsloth["losses"], plain["losses"], strict=True)]
    return {
        "examples_per_second": unsloth["examples_per_second"] / plain["examples_per_second"],
        "peak_memory": unsloth["memory"]["peak"] / plain["memory"]["peak"],
        "loss_difference": max(apart),
        "same_batches": unsloth["batches"] == plain["batches"],
    }


def print_record(record: dict[str, Any]) -> None:
    """The record for people: each figure beside what is asked."""
    print(
        f"{record['shape']}: {record['parameters']['all']:,} parameters, {record['steps']} steps of "
        f"{record['batch_size'] * record['accumulation']} rows, the first {record['warm_up']} not counted"
    )
    for backend, found in record["backends"].items():
        print(f"{backend} on {found['gpu'] or record['cpu']}")
        for line in [found["error"]] if "error" in found else _lines(found):
            print(f"  {line}")
    if record["compared"]:
        gpu = any(found["gpu"] for found in record["backends"].values())
        print(
            "unsloth / transformers"
            + ("" if gpu else " (on a CPU neither speed nor memory is what is asked)")
        )
        for line in _compared(record["compared"]):
            print(f"  {line}")


def _lines(found: dict[str, Any]) -> list[str]:
    memory, start, own = found["memory"], found["start"], found["own"]
    mfu = (
        "not known here"
        if found["mfu"] is None
        else f"{found['mfu']:.3f} of {found['peak_teraflops']} TFLOP/s"
    )
    off = ", ".join(
        f"{name} {on}" for name, (asked, on) in found["switches"].items() if asked not in (on, "auto")
    )
    return [
        f"seconds/step      {found['seconds_per_step']:10.3f}   {found['cpu_seconds_per_step']:.3f} of all processors",
        f"real tokens/s     {found['tokens_per_second']:10.1f}   asked of Unsloth, 14b on an H200: at least {ASKED_TOKENS}",
        f"examples/s        {found['examples_per_second']:10.2f}   padding {100 * found['padding']:.1f}%",
        f"MFU               {mfu:>10}",
        f"peak GiB          {memory['peak'] / 2**30:10.2f}   {memory['load_peak'] / 2**30:.2f} up to the loaded base; "
        f"activations {'recomputed' if found['checkpointing'] else 'kept'}",
        f"s to first step   {start['to_first_step']:10.1f}   import {start['import']:.1f}, load {start['load']:.1f}, "
        f"first step {start['first_step']:.1f}",
        f"our own code      {100 * own['share_of_step']:9.2f}%   asked, tiny on a CPU: under {100 * ASKED_OWN:.0f}% of a step",
        f"loss              {found['losses'][0]:10.4f}   at the end {found['losses'][-1]:.4f}",
        f"asked, not so      {off or 'nothing'}",
    ]


def _compared(compared: dict[str, Any]) -> list[str]:
    batches = "the same batches" if compared["same_batches"] else "NOT the same batches"
    return [
        f"examples/s        {compared['examples_per_second']:10.2f}   asked, 14b on an H200: at least {ASKED_SPEED}",
        f"peak memory       {compared['peak_memory']:10.2f}   asked, 14b on an H200: at most {ASKED_MEMORY}",
        f"loss apart        {compared['loss_difference']:10.1e}   asked in float32: at most {ASKED_LOSS}; {batches}",
    ]
