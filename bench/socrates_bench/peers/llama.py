"""Llama, the class that llama-cpp-python's users know: greedy, flash attention as in ``bench score``. A child (children.py)."""

import time
from collections.abc import Sequence
from itertools import islice

import numpy as np

from socrates_bench.peers.runner import MAX_TOKENS, serve_runner


class LlamaPeer:
    """A loaded ``Llama``; a ``Runner``.

    Tests go through its ``generate``, which samples each token and stops at none; rows through ``create_completion``,
    as a user would call it, with its own reuse of the prefix that a row shares with the row before.
    """

    def __init__(self, path: str, threads: int, gpu_layers: int, context: int) -> None:
        from llama_cpp import Llama

        self._llama = Llama(
            model_path=path, n_ctx=context, n_threads=threads, n_threads_batch=threads, n_gpu_layers=gpu_layers,
            flash_attn=True, verbose=False,
        )  # fmt: skip
        self.facts = {"n_batch": self._llama.n_batch}
        self._sizes, self._runs = (0, 0), 0

    def begin(self, n_prompt: int, n_gen: int) -> None:
        """Warm up with a prompt of that size and one token."""
        self._sizes = n_prompt, n_gen
        self._generate(max(1, n_prompt), 1)

    def once(self) -> int:
        """Nanoseconds of a prompt and its first token, or of as many tokens after a prompt of one."""
        n_prompt, n_gen = self._sizes
        return self._generate(max(1, n_prompt), max(1, n_gen))

    def _generate(self, n_prompt: int, n_gen: int) -> int:
        self._runs += 1
        random = np.random.default_rng(self._runs).integers(self._llama.n_vocab(), size=n_prompt)
        ids = [int(token) for token in random]
        self._llama.reset()  # or it reuses what it has read
        started = time.perf_counter_ns()
        made = sum(1 for _ in islice(self._llama.generate(ids, temp=0.0), n_gen))
        assert made == n_gen  # it stops at no token
        return time.perf_counter_ns() - started

    def first(self, ids: Sequence[int]) -> int:
        """The first token after a prompt."""
        self._llama.reset()
        return int(next(self._llama.generate(list(ids), temp=0.0)))

    def answer(self, ids: Sequence[int]) -> int:
        """Generate one row's answer."""
        made = self._llama.create_completion(list(ids), max_tokens=MAX_TOKENS, temperature=0.0)
        return int(made["usage"]["completion_tokens"])


if __name__ == "__main__":
    serve_runner(LlamaPeer)
