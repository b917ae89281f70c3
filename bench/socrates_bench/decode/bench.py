"""How fast a GGUF reads prompts and writes tokens, beside what the machine could give and what else a user would run.

Why it matters: a speed alone does not say whether the file, the build or the machine is slow.
Method: ``pp`` and ``tg`` as llama-bench measures them (llama_bench.py), with its names; the time to the first token of a
real prompt; rows of answer distributions. In the same run, on the same file, in turns: the peers of ``--vs`` (peers/),
whose ratios are paired, because another program's load falls on both. Ceilings come from the machine's memory and
arithmetic, measured before and after each test (machine.py, ceilings.py). Everyone is a process of its own.
Output: one JSON line a measurement.
Command: socrates-fast bench decode --shape 0.5b --types q8_0 --vs llama,transformers --json
"""

import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from socrates_bench.children import Child
from socrates_bench.decode.ceilings import Machine, is_dense
from socrates_bench.decode.contest import OURS, Contest
from socrates_bench.decode.lines import OUR_ROWS, Lines, Test
from socrates_bench.decode.subject import Subject, check_shapes, random_subjects, subject_of
from socrates_bench.peers.known import Peer, chosen
from socrates_bench.record import Bench, Ceiling, Measurement
from socrates_bench.score_work import stimuli
from socrates_export.write.types import check_kinds
from socrates_fast.infer.memory import default_context
from socrates_fast.infer.probe import thread_candidates

COLD_STARTS = 3
"""At most: a process that starts and loads takes seconds."""
_LEAST_CONTEXT = 1024
"""Tokens that a row and its answer fit into."""


@dataclass(frozen=True)
class Plan:
    """What to measure.

    Attributes:
        models: a user's files.
        shapes: of random models besides.
        types: in which those are exported.
        tests: tokens of each test.
        repeats: of each test after its warm-up, as in llama-bench.
        people: of the real workload, ten rows each; 0 leaves it out.
        threads: CPU threads of everyone.
        gpu_layers: layers on the GPU, -1 for all.
        peers: who takes part besides.
    """

    models: tuple[Subject, ...]
    shapes: tuple[str, ...]
    types: tuple[str, ...]
    tests: tuple[Test, ...]
    repeats: int
    people: int
    threads: int
    gpu_layers: int
    peers: tuple[Peer, ...]

    @property
    def context(self) -> int:
        """Tokens that a peer must hold."""
        return max(_LEAST_CONTEXT, *(test.tokens + 1 for test in self.tests))


def plan_of(
    models: Sequence[Path],
    shapes: Sequence[str],
    types: Sequence[str],
    prompt: int,
    generate: int,
    repeats: int,
    people: int,
    threads: int | None,
    gpu_layers: int,
    peers: Sequence[str],
) -> Plan:
    """What to measure; all that can be wrong is found here.

    Raises:
        SocratesError: there is no such shape, type or peer, or a file is no GGUF.
    """
    check_shapes(shapes)
    tests = (Test(prompt, 0), Test(0, generate))
    return Plan(
        tuple(map(subject_of, models)), tuple(shapes), tuple(check_kinds(list(types))),
        tuple(test for test in tests if test.tokens), repeats, people, threads or thread_candidates()[0],
        gpu_layers, chosen(peers),
    )  # fmt: skip


def measure(plan: Plan) -> Iterator[Measurement]:
    """Measure one file after the other; each line as soon as it is known."""
    bench = Bench.begin("decode", plan.threads)
    with tempfile.TemporaryDirectory() as place, Machine(plan.threads) as machine:
        for subject in _subjects(plan, Path(place)):
            yield from _one(bench, plan, subject, machine)


def _subjects(plan: Plan, folder: Path) -> Iterator[Subject]:
    yield from plan.models
    for shape in plan.shapes:
        yield from random_subjects(shape, plan.types, folder)


def _one(bench: Bench, plan: Plan, subject: Subject, machine: Machine) -> Iterator[Measurement]:
    """One file: cold starts, the tests, warm prompts, rows."""
    rows = _rows(plan, subject)
    with Contest.of(subject, plan.peers, plan.context, plan.threads, plan.gpu_layers) as contest:
        lines = Lines(bench, subject, plan.threads, plan.gpu_layers, contest)
        if rows:
            cold = contest.turns(
                lambda who, _: _cold(contest.openers[who], rows[0]), min(plan.repeats, COLD_STARTS)
            )
            yield from lines.first_token("cold", cold, len(rows[0]))
        contest.gather()
        lines.facts = {who: child.ready for who, child in contest.children.items()}
        prompt_speed = None
        for test in plan.tests:
            found, ceiling = _test(plan, test, contest, machine, subject)
            made = lines.test(test, found, ceiling)
            prompt_speed = made[0].figure.median if test.n_prompt else prompt_speed
            yield from made
        if rows:
            contest.turns(partial(_first, contest, rows[0]), 1)  # to warm up
            warm = contest.turns(partial(_first, contest, rows[0]), plan.repeats)
            yield from lines.first_token("warm", warm, len(rows[0]))
            yield from lines.rows(_workload(plan, subject, rows, contest), prompt_speed)
        yield from lines.memory({who: child.ask(do="memory") for who, child in contest.children.items()})


def _rows(plan: Plan, subject: Subject) -> list[list[int]]:
    """The real workload's prompts, as the file's tokenizer makes them."""
    if not plan.people:
        return []
    with Child("socrates_bench.decode.prompts", path=str(subject.path), people=plan.people) as child:
        rows: list[list[int]] = child.ready["rows"]
    return rows


def _cold(opener: Callable[[], Child], ids: Sequence[int]) -> dict[str, Any]:
    """Seconds of loading and of a prompt's first token in a new process; the file comes from the page cache."""
    started = time.perf_counter()
    with opener() as child:
        prompt, process = child.ask(do="first", ids=ids)["seconds"], time.perf_counter() - started
        load = child.ready["load_seconds"]
    return {"seconds": load + prompt, "load": load, "prompt": prompt, "process": process}


def _first(contest: Contest, ids: Sequence[int], who: str, _turn: int) -> dict[str, Any]:
    """Seconds of a prompt's first token in a process that has answered before."""
    return contest.children[who].ask(do="first", ids=ids)


def _test(
    plan: Plan, test: Test, contest: Contest, machine: Machine, subject: Subject
) -> tuple[dict[str, list[dict[str, Any]]], Ceiling | None]:
    """One test by everyone in turns, and its ceiling where the CPU computes a model whose costs are known.

    The machine is measured before the warm-ups: between them and the test it made the first repetitions slower.
    """
    sizes = {"n_prompt": test.n_prompt, "n_gen": test.n_gen}
    machine.measure()
    contest.turns(lambda who, _: contest.children[who].ask(do="begin", **sizes), 1)
    found = contest.turns(lambda who, _: contest.children[who].ask(do="once"), plan.repeats)
    machine.measure()
    on_gpu = plan.gpu_layers != 0 and contest.children[OURS].ready["gpus"]
    if on_gpu or not is_dense(subject.header):
        return found, None
    if test.n_prompt:
        return found, machine.prompt(subject.header, test.n_prompt)
    return found, machine.generation(subject.header, test.n_gen)


def _workload(
    plan: Plan, subject: Subject, rows: list[list[int]], contest: Contest
) -> dict[str, list[dict[str, Any]]]:
    """Person by person, everyone's time for the person's rows: ours predicts, the peers generate row by row."""
    size = len(stimuli())
    with Child(
        "socrates_bench.decode.predictor", people=plan.people, path=str(subject.path), threads=plan.threads,
        gpu_layers=plan.gpu_layers, context=default_context(subject.header),
    ) as ours:  # fmt: skip

        def ask(who: str, person: int) -> dict[str, Any]:
            first, last = person * size, (person + 1) * size
            if who == OURS:
                return ours.ask(first=first, last=last)
            return contest.children[who].ask(do="rows", rows=rows[first:last])

        found = contest.turns(ask, plan.people)
    return {OUR_ROWS if who == OURS else who: answers for who, answers in found.items()}
