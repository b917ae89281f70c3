"""The lines of ``bench score``, each beside what is asked of it."""

import statistics
from collections.abc import Mapping
from typing import Any

from socrates_bench.record import Bench, Ceiling, Figure, Measurement

ASKED = {
    "persona_first": "at least 1.2 on a CPU, 8 on a GPU",
    "stimulus_first": "at least 3 on a CPU, 8 on a GPU",
}
ASKED_TREE, ASKED_SHARE, ASKED_OVERHEAD = "at most 1.02", "at least 0.85 of the ceiling", "at most 0.5 (tiny)"
ASKED_MEMORY = "at most 300 MiB beyond the ceiling"
PP512 = "llama.cpp's own prompt speed (pp512) in the same turns, over the tokens computed a row"
Shared = Mapping[str, Any]
"""Fields that the lines of one file share: ``model``, ``settings``, ``llama``."""


def order_lines(bench: Bench, shared: Shared, order: str, found: dict[str, Any]) -> list[Measurement]:
    """Ours, llama.cpp's prompt speed and Llama on one order of the prompt.

    Args:
        bench: the run.
        shared: what the lines of one file share.
        order: of the prompt.
        found: ``runs`` of ours (``rows``, ``seconds``, ``decode_seconds``, ``tokens_computed``, ``tokens_asked``), ``pp512`` in
            tokens/s, ``work`` (counts of the prefix tree), ``peer`` (see ``peer_figures``) and ``deviation``.
    """
    facts = {**shared, "settings": {**shared["settings"], "order": order}}
    runs, first = found["runs"], found["runs"][0]
    pp512 = Figure.of(found["pp512"], "tokens/s", warm_up=1)
    outside = [1000 * (run["seconds"] - run["decode_seconds"]) / run["rows"] for run in runs]
    over_tree = first["tokens_computed"] / found["work"]["tree_nodes_with_answers"]
    return [
        _speed(bench, facts, found, pp512),
        bench.measured("prompt speed of llama.cpp", pp512, **facts),
        bench.measured("time outside llama.cpp", Figure.of(outside, "ms/row"), details={"asked": ASKED_OVERHEAD}, **facts),
        bench.measured("tokens computed over the tree's nodes", Figure.of([over_tree], "x"),
                       details={"asked": ASKED_TREE, "work": found["work"]}, **facts),
        *_peer_lines(bench, facts, order, found),
    ]  # fmt: skip


def _speed(bench: Bench, facts: dict[str, Any], found: dict[str, Any], pp512: Figure) -> Measurement:
    """Rows per second, under the speed at which llama.cpp could compute as many tokens."""
    runs, first, deviation = found["runs"], found["runs"][0], found["deviation"]
    inside = statistics.median(run["decode_seconds"] for run in runs)
    best = pp512.median * first["rows"] / first["tokens_computed"]
    details = {
        "seconds": [run["seconds"] for run in runs], "decode_seconds": [run["decode_seconds"] for run in runs],
        "tokens_asked": first["tokens_asked"], "tokens_computed": first["tokens_computed"],
        "shared_prefix": 1 - first["tokens_computed"] / first["tokens_asked"],
        "share_inside": first["tokens_computed"] / inside / pp512.median, "rows_alone": deviation["rows"],
        "asked": ASKED_SHARE,
    }  # fmt: skip
    return bench.measured(
        "rows per second", Figure.of([run["rows"] / run["seconds"] for run in runs], "rows/s"),
        ceiling=Ceiling(value=best, unit="rows/s", how=PP512), quality={"deviation": deviation["largest"]},
        details=details, **facts,
    )  # fmt: skip


def peer_figures(peers: list[dict[str, Any]]) -> dict[str, Any]:
    """Llama's figures over its rows, from what each row took."""
    seconds, first = (sum(row[key] for row in peers) for key in ("seconds", "seconds_to_first_token"))
    return {
        "rows": len(peers),
        "rows_per_second": len(peers) / seconds,
        "rows_per_second_to_first_token": len(peers) / first,
        "generated_per_row": statistics.mean(row["generated"] for row in peers),
        "parsed": sum(row["answer"] is not None for row in peers),
    }


def _peer_lines(bench: Bench, facts: dict[str, Any], order: str, found: dict[str, Any]) -> list[Measurement]:
    """Llama's rows per second, and ours over them: with its whole answers, and up to their first token."""
    peer = found["peer"]
    seen = {name: peer[name] for name in ("rows", "generated_per_row", "parsed")}
    made = []
    for key, end in (("rows_per_second", ""), ("rows_per_second_to_first_token", " to its first token")):
        rate, asked = peer[key], {} if end else {"asked": ASKED[order]}
        times = [run["rows"] / run["seconds"] / rate for run in found["runs"]]
        made += [
            bench.measured(
                f"rows per second of Llama{end}", Figure.of([rate], "rows/s"), details=seen, **facts
            ),
            bench.measured(f"times Llama{end}", Figure.of(times, "x"), details=asked or None, **facts),
        ]
    return made


def deterministic_line(bench: Bench, shared: Shared, order: str, found: dict[str, Any]) -> Measurement:
    """The deterministic mode on Llama's rows."""
    settings = {**shared["settings"], "order": order, "rows": found["rows"]}
    return bench.measured(
        "rows per second, deterministic", Figure.of([found["rows_per_second"]], "rows/s"),
        **{**shared, "settings": settings}, quality={"deviation": found["deviation"]["largest"]},
        details={"tokens_computed": found["tokens_computed"], "rows_alone": found["deviation"]["rows"]},
    )  # fmt: skip


def memory_line(bench: Bench, shared: Shared, found: dict[str, Any]) -> Measurement:
    """Peak of both our processes after all rows, over the file and its KV cache."""
    peak, least = (
        sum(found["all_rows"][each]["peak"] for each in ("parent", "worker")),
        found["model"] + found["kv"],
    )
    if shared["settings"].get("gpu_layers") and bench.where.gpus:  # the weights are elsewhere
        return bench.measured("memory of the host", Figure.of([peak], "bytes"), details=found, **shared)
    return bench.measured(
        "memory", Figure.of([peak], "bytes"), peak_memory=peak, details={**found, "asked": ASKED_MEMORY},
        ceiling=Ceiling(value=least, unit="bytes", how="the file and the KV cache"), **shared,
    )  # fmt: skip
