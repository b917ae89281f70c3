"""Rows per second of answer distributions from a GGUF, beside what else a user would run, and what they cost.

Why it matters: generating and parsing one answer after another takes hours for a study, and nearly all of a prompt is
shared with other rows.
Method: a random model of a real shape, exported by the exporter; made-up people who are each asked the same ten tasks
(score_work.py), person by person as in SocSci210. In turns, in processes of their own, on the same file with as many
threads: llama.cpp's own prompt speed (pp512.py); Llama of llama-cpp-python, row by row with its own prefix reuse
(score_peer.py), in pieces before and after each run of ours; and ours, from people and stimuli to distributions
(score_ours.py). Llama answers the first people's rows only: its cost per row does not depend on how many there are.
It is given token ids, and flash attention, which is a little faster than its default; ours renders and tokenises
within its time. Random weights seldom end an answer, so Llama's time is also given up to its first token only. The
prefix tree is counted here, from the tokenizer's file. How far it is goes to stderr: a run takes up to an hour a type.
Output: the lines of each part of it as soon as that part is done, so that a run that is cut short keeps them.
Command: socrates-fast bench score --shape 0.5b --json
"""

import statistics
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from socrates_bench.children import Child
from socrates_bench.llama_source import llama_source
from socrates_bench.record import Bench, Measurement, Model
from socrates_bench.score_lines import deterministic_line, memory_line, order_lines, peer_figures
from socrates_bench.score_work import batches, people, prompts_of_people, row_by_row, stimuli, tree_nodes
from socrates_bench.synthetic import SHAPES, write_base
from socrates_export.child import run_task
from socrates_export.write.types import check_kinds
from socrates_fast.errors import SocratesError
from socrates_fast.infer.header import read_header
from socrates_fast.infer.memory import kv_bytes_per_token
from socrates_fast.infer.probe import thread_candidates
from socrates_fast.prompt import ChatRenderer, persona_text
from socrates_fast.recipe import Order
from socrates_fast.tokenizer import FolderTokenizer

TYPES = ("f16", "q8_0", "q4_k_m")
ORDERS: tuple[Order, ...] = ("persona_first", "stimulus_first")
PEOPLE = {"tiny": (200, 20), "0.5b": (40, 4), "1.5b": (16, 3), "3b": (8, 2)}
"""By shape, the people whose rows ours answers, and those whose rows Llama answers."""
REPETITIONS = 3
"""Runs of pp512 each time it has its turn."""


@dataclass(frozen=True)
class Plan:
    """What to measure.

    Attributes:
        people: whose rows ours answers.
        peer_people: the first of them, whose rows Llama answers too.
        orders: of the prompt's parts.
        repeats: runs of ours in each order; the median counts.
        threads: CPU threads of everyone.
        gpu_layers: layers on the GPU, -1 for all.
        context: tokens of KV cache of ours and of Llama.
    """

    people: int
    peer_people: int
    orders: Sequence[Order]
    repeats: int
    threads: int
    gpu_layers: int
    context: int = 4096


def plan_of(
    shape: str,
    asked: int | None,
    peer: int | None,
    orders: Sequence[str],
    repeats: int,
    threads: int | None,
    gpu_layers: int,
) -> Plan:
    """What to measure of a shape; None where its own default stands.

    Raises:
        SocratesError: there is no such shape or order.
    """
    if shape not in PEOPLE:
        raise SocratesError(f"no shape {shape}; choose from {', '.join(PEOPLE)}")
    chosen = [order for order in ORDERS if order in orders]
    if not chosen or set(orders) - set(ORDERS):
        raise SocratesError(f"no order {', '.join(orders)}; choose from {', '.join(ORDERS)}")
    people, peer_people = (given or known for given, known in zip((asked, peer), PEOPLE[shape], strict=True))
    return Plan(
        people, min(peer_people, people), chosen, repeats, threads or thread_candidates()[0], gpu_layers
    )


def measure(shape: str, types: Sequence[str], plan: Plan) -> Iterator[Measurement]:
    """Measure one shape in some types, part by part."""
    check_kinds(list(types))
    bench = Bench.begin("score", plan.threads)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        texts = [prompt.user for prompt in prompts_of_people(20, "persona_first")]
        big = SHAPES[shape]["vocab_size"] > 100_000
        write_base(folder / "base", shape, llama_source() / "models/ggml-vocab-qwen2.gguf" if big else texts)
        tokenizer = FolderTokenizer(folder / "base")
        work: dict[str, dict[str, Any]] = {
            order: _work(tokenizer.renderer(), plan, order) for order in plan.orders
        }
        settings = {
            "people": plan.people, "peer_people": plan.peer_people, "rows": plan.people * len(stimuli()),
            "peer_rows": plan.peer_people * len(stimuli()), "repeats": plan.repeats, "gpu_layers": plan.gpu_layers,
            "context": plan.context, "tokens": _sizes(tokenizer, plan.people),
        }  # fmt: skip
        for kind in types:
            path = _export(folder, kind)
            model = Model(shape=shape, quantisation=kind, bytes=path.stat().st_size)
            yield from _one(bench, {"model": model, "settings": settings}, path, plan, work)
            path.unlink()


def _sizes(tokenizer: FolderTokenizer, count: int) -> dict[str, float]:
    """Mean tokens of a stimulus and of a persona, by the model's own tokenizer."""
    texts = {
        "stimulus": [text for text, _ in stimuli()],
        "persona": [persona_text(person) for person in people(count)],
    }
    return {
        name: statistics.mean(len(tokenizer.encode(text, False)) for text in some)
        for name, some in texts.items()
    }


def _work(renderer: ChatRenderer, plan: Plan, order: Order) -> dict[str, Any]:
    """Llama's token ids, and the nodes of the prefix tree of all rows."""
    prompts = prompts_of_people(plan.people, order)
    ids = [renderer.prompt_ids(prompt) for prompt in prompts]
    answers = [[renderer.answer_ids(value) for value in prompt.scale.values or ()] for prompt in prompts]
    nodes, with_answers = tree_nodes(zip(ids, answers, strict=True))
    return {
        "ids": ids[: plan.peer_people * len(stimuli())],
        "tokens_of_prompts": sum(map(len, ids)),
        "tokens_row_by_row": row_by_row(ids),
        "tree_nodes": nodes,
        "tree_nodes_with_answers": with_answers,
    }


def _export(folder: Path, kind: str) -> Path:
    """Export the base as one type, without proof."""
    path = folder / f"random-{kind}.gguf"
    arguments = {
        "base": str(folder / "base"), "adapter": None, "merge_base": "original", "name": "random", "extra": {},
        "files": {kind: str(path)}, "imatrix": None, "threads": 0,
    }  # fmt: skip
    run_task("write", arguments, f"writing {path.name}")
    return path


def _one(
    bench: Bench, facts: dict[str, Any], path: Path, plan: Plan, work: dict[str, dict[str, Any]]
) -> Iterator[Measurement]:
    """Measure one file."""
    shared: dict[str, Any] = {"path": str(path), "threads": plan.threads, "gpu_layers": plan.gpu_layers}
    with ExitStack() as stack:
        speed = stack.enter_context(Child("socrates_bench.pp512", **shared))
        peer = stack.enter_context(
            Child("socrates_bench.score_peer", **shared, context=plan.context, flash_attention=True)
        )
        ours = stack.enter_context(
            Child("socrates_bench.score_ours", **shared, context=plan.context, probe=True)
        )
        facts = {**facts, "llama": ours.ready["system_info"]}
        for order in plan.orders:
            found = _order(order, plan, work[order], speed, peer, ours)
            yield from order_lines(bench, facts, order, found)
        peak = ours.ask(do="memory")
    for order, found in _deterministic(shared, plan):
        yield deterministic_line(bench, facts, order, found)
    yield memory_line(bench, facts, {**_memory(path, shared, plan, peak), **ours.ready})


def _order(
    order: Order, plan: Plan, work: dict[str, Any], speed: Child, peer: Child, ours: Child
) -> dict[str, Any]:
    """All three in turns on one order of the prompt."""
    speeds: list[float] = []
    peers: list[dict[str, Any]] = []
    runs: list[dict[str, Any]] = []
    for turn, piece in enumerate(batches(work["ids"], plan.repeats + 1)):
        speeds += speed.ask(repetitions=REPETITIONS)["tokens_per_second"]
        peers += peer.ask(rows=piece)["rows"]
        if turn < plan.repeats:
            runs.append(ours.ask(do="run", people=plan.people, order=order))
            print(f"{order}: {runs[-1]['rows'] / runs[-1]['seconds']:.2f} rows/s", file=sys.stderr)
    speeds += speed.ask(repetitions=REPETITIONS)["tokens_per_second"]
    counts = {name: value for name, value in work.items() if name != "ids"}
    return {"runs": runs, "peer": peer_figures(peers), "pp512": speeds, "work": counts,
            "deviation": ours.ask(do="deviation", people=plan.peer_people, order=order)}  # fmt: skip


def _deterministic(shared: dict[str, Any], plan: Plan) -> Iterator[tuple[Order, dict[str, Any]]]:
    """Rows per second of the deterministic mode, on the rows that Llama answers, by order."""
    with Child("socrates_bench.score_ours", **shared, context=plan.context, deterministic=True) as ours:
        for order in plan.orders:
            run = ours.ask(do="run", people=plan.peer_people, order=order)
            alone = ours.ask(do="deviation", people=min(2, plan.peer_people), order=order)
            yield order, {"rows": run["rows"], "rows_per_second": run["rows"] / run["seconds"],
                          "tokens_computed": run["tokens_computed"], "deviation": alone}  # fmt: skip


def _memory(path: Path, shared: dict[str, Any], plan: Plan, peak: dict[str, Any]) -> dict[str, Any]:
    """Peak resident memory of parent and worker after all rows, and after a quarter of them in fresh processes."""
    quarter = max(1, plan.people // 4)
    with Child("socrates_bench.score_ours", **shared, context=plan.context, probe=True) as ours:
        ours.ask(do="run", people=quarter, order=plan.orders[-1])
        fewer = ours.ask(do="memory")
    model, cache = path.stat().st_size, kv_bytes_per_token(read_header(path)) * plan.context
    return {
        "model": model, "kv": cache, "all_rows": peak, "quarter_of_rows": fewer,
        "beyond_model_and_kv": _peak(peak) - model - cache, "growth": _peak(peak) - _peak(fewer),
    }  # fmt: skip


def _peak(memory: dict[str, Any]) -> int:
    return sum(int(memory[process]["peak"]) for process in ("parent", "worker"))
