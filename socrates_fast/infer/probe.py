"""Settings that were left open, chosen by timing the loaded model: threads, and on a GPU the batch.

The choice is a function of the timings. It changes the speed; of the results it can change llama.cpp's last bits,
which depend on the batch, so where results must repeat, the batch is given.
"""

import math
import os
import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np

from socrates_fast.infer.bindings import Batch
from socrates_fast.infer.memory import GPU_BATCHES

BATCH = 512
"""Tokens in one decode unless a number is given or a GPU makes more worth a try."""
TOKENS, FIRST_TOKENS, ROUNDS, BUDGET = 64, 8, 2, 2.0
"""Tokens of a timed decode, of the very first one, timings of each candidate, seconds for all of them."""
CLEARLY = 1.05
"""A candidate takes the place of one before it only if it is faster by this factor: timings are noisy."""

CPU_MAX = Path("/sys/fs/cgroup/cpu.max")


@dataclass(frozen=True)
class Choice:
    """CPU threads, and most tokens in one decode."""

    threads: int
    batch: int


def choose(
    llama: Any,
    model: int,
    context: int,
    threads: int | None = None,
    batch: int | None = None,
    gpu: bool = False,
) -> Choice:
    """Choose what is None by timing decodes of random tokens; a slow model gets the defaults without it.

    Args:
        llama: the bindings.
        model: a loaded model, as llama.cpp's pointer.
        context: tokens of KV cache that scoring will have.
        threads: CPU threads, if given.
        batch: most tokens in one decode, if given.
        gpu: whether a GPU holds layers of the model.
    """
    counts = [threads] if threads else thread_candidates()
    sizes = [batch] if batch else [size for size in GPU_BATCHES if gpu and size <= context] or [BATCH]
    chosen = Choice(counts[0], sizes[0])
    if len(counts) > 1:
        with Clock(llama, model, TOKENS) as clock:
            chosen = Choice(_threads(clock, counts), sizes[0])
    if len(sizes) > 1:
        chosen = Choice(chosen.threads, _batch(llama, model, chosen.threads, sizes))
    return chosen


def _threads(clock: "Clock", counts: Sequence[int]) -> int:
    clock.seconds(counts[0], 1)  # reads the weights from the disk, which scoring would wait for otherwise
    if clock.seconds(counts[0], FIRST_TOKENS) * TOKENS / FIRST_TOKENS > BUDGET:
        return counts[0]
    return fastest(counts, lambda count: clock.seconds(count, TOKENS), lambda _: TOKENS)


def _batch(llama: Any, model: int, threads: int, sizes: Sequence[int]) -> int:
    def seconds(size: int) -> float:
        with Clock(llama, model, size) as clock:
            return clock.seconds(threads, size)

    if seconds(sizes[0]) > BUDGET:  # also prepares the GPU's kernels
        return sizes[0]
    return fastest(sizes, seconds, lambda size: size)


def fastest(
    candidates: Sequence[int],
    seconds: Callable[[int], float],
    work: Callable[[int], int],
    budget: float = BUDGET,
) -> int:
    """Time each candidate a few times in turn, as long as ``budget`` seconds allow, and pick one.

    Args:
        candidates: the default first.
        seconds: does a candidate's work; how long it took, infinite if it cannot.
        work: tokens that this computes.
        budget: no timing is begun that would exceed it, as far as those before it tell; the first always is.
    """
    per_token: dict[int, float] = {}
    spent = 0.0
    for candidate in [*candidates] * ROUNDS:
        expected = per_token.get(candidate, max(per_token.values(), default=0.0)) * work(candidate)
        if spent + expected > budget and math.isfinite(expected):
            break
        took = seconds(candidate)
        spent += took if math.isfinite(took) else 0.0
        per_token[candidate] = min(took / work(candidate), per_token.get(candidate, math.inf))
    return pick(per_token)


def pick(timings: Mapping[int, float]) -> int:
    """The fastest; of nearly equal ones the first."""
    chosen = next(iter(timings))
    for candidate, seconds in timings.items():
        if seconds * CLEARLY < timings[chosen]:
            chosen = candidate
    return chosen


class Clock:
    """Times decodes of random tokens in a context of its own, which holds ``size`` tokens."""

    def __init__(self, llama: Any, model: int, size: int) -> None:
        self._llama = llama
        params = llama.llama_context_default_params()
        params.n_ctx = params.n_batch = params.n_ubatch = size
        params.n_seq_max = params.n_outputs_max = 1
        self._context = llama.llama_init_from_model(model, params)
        vocabulary = llama.llama_vocab_n_tokens(llama.llama_model_get_vocab(model))
        self._batch = Batch(size, 1)
        self._batch.token[:] = np.random.default_rng(0).integers(vocabulary, size=size)
        self._batch.position[:] = np.arange(size)
        self._batch.owners[:] = 1

    def seconds(self, threads: int, tokens: int) -> float:
        """Seconds of one decode of ``tokens`` tokens; infinite if llama.cpp cannot do it."""
        if not self._context:
            return math.inf
        self._llama.llama_set_n_threads(self._context, threads, threads)
        self._llama.llama_memory_clear(self._llama.llama_get_memory(self._context), False)
        self._batch.wanted[:] = 0
        self._batch.wanted[tokens - 1] = 1
        started = time.perf_counter()
        status = self._llama.llama_decode(self._context, self._batch.view(tokens))
        self._llama.llama_synchronize(self._context)
        return time.perf_counter() - started if status == 0 else math.inf

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._context:
            self._llama.llama_free(self._context)
            self._context = None


def allowed_cpus() -> list[int]:
    """Numbers of the CPUs that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def thread_candidates() -> list[int]:
    """Thread counts worth a try, the default first.

    All CPUs that this process may use, by affinity and by its container's quota; one for each physical core; half.
    """
    cpus = allowed_cpus()
    most = min(len(cpus), cpu_quota())
    cores = len({_core(cpu) for cpu in cpus})
    return list(dict.fromkeys([most, min(most, cores), max(1, most // 2)]))


def _core(cpu: int) -> str:
    """The CPUs of the physical core that ``cpu`` belongs to, as Linux lists them; elsewhere each is its own."""
    file = Path(f"/sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list")
    return file.read_text(encoding="ascii").strip() if file.is_file() else str(cpu)


def cpu_quota(file: Path = CPU_MAX) -> int:
    """CPUs' worth of time that the container grants, rounded up; more than any machine has if it sets no limit."""
    limit = re.match(r"(\d+) (\d+)", file.read_text(encoding="ascii")) if file.is_file() else None
    return max(1, -(-int(limit[1]) // int(limit[2]))) if limit else 2**16
