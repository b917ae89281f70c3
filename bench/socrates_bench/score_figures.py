"""The figures of ``bench score`` from what was measured, and the record for people, each beside what is asked."""

import statistics
from typing import Any

ASKED = {"persona_first": 1.2, "stimulus_first": 3.0}
"""At least how many times Llama's rows per second, on a CPU; with a GPU 8."""
ASKED_ON_GPU, TREE, SHARE, OVERHEAD_MS, MEMORY = 8.0, 1.02, 0.85, 0.5, 300 * 2**20
"""Tokens over nodes at most; share of pp512 at least; ms a row outside llama.cpp and bytes besides model and KV at most."""


def figures(
    runs: list[dict[str, Any]], peers: list[dict[str, Any]], speeds: list[float], work: dict[str, Any]
) -> dict[str, Any]:
    """What is asked, from what was measured."""
    seconds = statistics.median(run["seconds"] for run in runs)
    rows, computed = runs[0]["rows"], runs[0]["tokens_computed"]
    rate, pp512 = rows / seconds, statistics.median(speeds)
    peer_seconds, first_seconds = (
        sum(row[key] for row in peers) for key in ("seconds", "seconds_to_first_token")
    )
    outside = statistics.median(run["seconds"] - run["decode_seconds"] for run in runs)
    return {
        "rows_per_second": rate,
        "seconds": [run["seconds"] for run in runs],
        "decode_seconds": [run["decode_seconds"] for run in runs],
        "overhead_ms_per_row": 1000 * outside / rows,
        "tokens_asked": runs[0]["tokens_asked"],
        "tokens_computed": computed,
        "tokens_over_tree": computed / work["tree_nodes_with_answers"],
        "pp512": {"median": pp512, "all": speeds},
        "share_of_pp512": computed / seconds / pp512,
        "share_of_pp512_inside": computed / statistics.median(r["decode_seconds"] for r in runs) / pp512,
        "peer": {
            "rows": len(peers),
            "rows_per_second": len(peers) / peer_seconds,
            "rows_per_second_to_first_token": len(peers) / first_seconds,
            "generated_per_row": statistics.mean(row["generated"] for row in peers),
            "parsed": sum(row["answer"] is not None for row in peers),
        },
        "times_peer": rate * peer_seconds / len(peers),
        "times_peer_to_first_token": rate * first_seconds / len(peers),
    }


def print_record(record: dict[str, Any]) -> None:
    """The record for people: each figure beside what is asked."""
    tokens = record["tokens"]
    print(
        f"{record['shape']}: {record['people']} people x 10 tasks, stimulus {tokens['stimulus']:.0f} and persona "
        f"{tokens['persona']:.0f} tokens, {record['threads']} threads, GPU layers {record['gpu_layers']}"
    )
    for one in record["files"]:
        for order, found in one["orders"].items():
            print(f"{one['type']} {order}")
            for line in _lines(order, found, one):
                print(f"  {line}")


def _lines(order: str, found: dict[str, Any], one: dict[str, Any]) -> list[str]:
    peer, exact = found["peer"], one["deterministic"][order]
    least = f"at least {ASKED[order]} on a CPU, {ASKED_ON_GPU:.0f} on a GPU"
    return [
        f"rows/s                {found['rows_per_second']:10.2f}   (deterministic {exact['rows_per_second']:.2f})",
        f"x Llama row by row    {found['times_peer']:10.2f}   asked: {least}; it has {peer['rows_per_second']:.2f} rows/s, "
        f"{peer['generated_per_row']:.1f} tokens each",
        f"x Llama to 1st token  {found['times_peer_to_first_token']:10.2f}   its prompt and one token only",
        f"tokens / tree nodes   {found['tokens_over_tree']:10.4f}   asked: at most {TREE}",
        f"share of pp512        {found['share_of_pp512']:10.3f}   asked: at least {SHARE} of {found['pp512']['median']:.0f} tokens/s",
        f"ms/row outside        {found['overhead_ms_per_row']:10.3f}   asked: at most {OVERHEAD_MS} (tiny model)",
        f"MiB beyond model + KV {one['memory']['beyond_model_and_kv'] / 2**20:10.0f}   asked: at most "
        f"{MEMORY / 2**20:.0f}; {one['memory']['growth'] / 2**20:+.0f} from a quarter of the rows to all",
        f"largest deviation     {found['deviation']['largest']:10.2e}   deterministic {exact['deviation']['largest']:.0e}",
    ]
