"""The prompt speed that llama.cpp itself reaches, as its own llama-bench measures it by default (its "pp512").

512 random tokens into an empty context of 512, in one decode (n_batch 2048, n_ubatch 512), F16 KV cache, flash
attention as llama.cpp decides, logits of the last token only; one run to warm up. A child (children.py).
"""

import time
from typing import Any

import numpy as np

from socrates_bench.children import Answer, serve
from socrates_fast.errors import ModelError
from socrates_fast.infer.bindings import Batch, bindings, log

TOKENS, BATCH, PHYSICAL_BATCH = 512, 2048, 512


class PromptSpeed:
    """A loaded model and a context for a prompt of ``tokens`` random tokens.

    Raises:
        ModelError: llama.cpp refuses the file.
    """

    def __init__(self, path: str, threads: int, gpu_layers: int, tokens: int) -> None:
        self._llama, reasons = bindings(), log()
        params = self._llama.llama_model_default_params()
        params.n_gpu_layers = gpu_layers
        model = self._llama.llama_model_load_from_file(path.encode(), params)
        context = self._llama.llama_context_default_params()
        context.n_ctx, context.n_batch, context.n_ubatch = tokens, BATCH, PHYSICAL_BATCH
        context.n_threads = context.n_threads_batch = threads
        self._context = self._llama.llama_init_from_model(model, context) if model else None
        if not self._context:
            raise ModelError(f"{path}: llama.cpp cannot load it: {reasons.take()}")
        vocabulary = self._llama.llama_vocab_n_tokens(self._llama.llama_model_get_vocab(model))
        self.tokens = tokens
        self._batch = Batch(tokens, 1)
        self._batch.token[:] = np.random.default_rng(0).integers(vocabulary, size=tokens)
        self._batch.position[:] = np.arange(tokens)
        self._batch.owners[:] = 1
        self._batch.wanted[-1] = 1
        self.once()

    def once(self) -> float:
        """Seconds of one run."""
        self._llama.llama_memory_clear(self._llama.llama_get_memory(self._context), False)
        started = time.perf_counter()
        status = self._llama.llama_decode(self._context, self._batch.view(self.tokens))
        self._llama.llama_synchronize(self._context)
        if status != 0:
            raise ModelError(f"llama_decode failed with code {status}")
        return time.perf_counter() - started


def start(path: str, threads: int, gpu_layers: int, tokens: int = TOKENS) -> tuple[dict[str, Any], Answer]:
    """Load the model; each question then is a number of repetitions, its answer tokens per second of each."""
    speed = PromptSpeed(path, threads, gpu_layers, tokens)

    def answer(repetitions: int) -> dict[str, Any]:
        return {"tokens_per_second": [tokens / speed.once() for _ in range(repetitions)]}

    return {"system_info": bindings().llama_print_system_info().decode().strip(" |")}, answer


if __name__ == "__main__":
    serve(start)
