"""The figures of ``bench train`` from what was measured."""

import statistics
from typing import Any

from socrates_bench.train_lines import WARM_UP
from socrates_fast.plan.utilisation import FORWARD_BACKWARD, RECOMPUTED, peak_teraflops, utilisation


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
        **_utilisation(tokens, multiplied, facts),
        "start": _start(answer, facts),
        "own": _own(answer),
        "switches": answer["switches"],
        "trainable": answer["trainable"],
        "losses": [step["loss"] for step in steps],
        "seconds": [step["seconds"] for step in steps],
        "batches": [[step["rows"], step["tokens"], step["supervised"], step["ids"]] for step in steps],
    }


def _utilisation(per_second: float, multiplied: int, facts: dict[str, Any]) -> dict[str, Any]:
    """MFU by the operations that the model needs, HFU by those that were done; null where the peak is not known."""
    peak = peak_teraflops(facts["gpu"])
    done = RECOMPUTED if facts["checkpointing"] else FORWARD_BACKWARD
    shares = [
        utilisation(per_second, multiplied, peak, each) if peak else None for each in (FORWARD_BACKWARD, done)
    ]
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
        "checkpointing": {name: each["checkpointing"] for name, each in found.items()},
        "same_batches": unsloth["batches"] == plain["batches"],
    }
