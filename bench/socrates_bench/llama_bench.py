"""llama.cpp's own measure of a model, llama-bench's ``pp`` and ``tg`` tests, through its C API; used in children only.

The same loop as in its tools/llama-bench: a context of just the test's tokens, n_batch 2048, n_ubatch 512, F16 KV cache,
flash attention as llama.cpp decides; random tokens after a BOS where the vocabulary adds one; logits of the prompt's
last token only and of every generated one; the cache cleared before each repetition, a synchronisation at its end.
Only the threads are another's: llama-bench hands llama.cpp a thread pool, which a build with OpenMP does not use.
"""

import ctypes
import statistics
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from socrates_fast.errors import ModelError
from socrates_fast.infer.bindings import Batch, bindings, log
from socrates_fast.infer.devices import offload_devices

BATCH, PHYSICAL_BATCH = 2048, 512


class LoadedModel:
    """A GGUF in memory, for tests one after the other.

    Args:
        path: the file.
        threads: CPU threads.
        gpu_layers: layers on the GPU, -1 for all.

    Raises:
        ModelError: llama.cpp refuses the file.
    """

    def __init__(self, path: str, threads: int, gpu_layers: int) -> None:
        self.llama, reasons = bindings(), log()
        self.path, self.threads = path, threads
        params = self.llama.llama_model_default_params()
        params.n_gpu_layers = gpu_layers
        self.pointer = self.llama.llama_model_load_from_file(path.encode(), params)
        if not self.pointer:
            raise ModelError(f"{path}: llama.cpp cannot load it: {reasons.take()}")
        self.vocabulary = self.llama.llama_model_get_vocab(self.pointer)
        self.tokens = int(self.llama.llama_vocab_n_tokens(self.vocabulary))

    def facts(self) -> dict[str, Any]:
        """What llama-bench says of a model, by its names, and llama.cpp's system line."""
        text = ctypes.create_string_buffer(256)
        self.llama.llama_model_desc(self.pointer, text, len(text))
        return {
            "model_type": text.value.decode("utf-8", "replace"),
            "model_size": int(self.llama.llama_model_size(self.pointer)),
            "model_n_params": int(self.llama.llama_model_n_params(self.pointer)),
            "gpus": [device.description for device in offload_devices(self.llama)],
            "system_info": self.llama.llama_print_system_info().decode().strip(" |"),
        }

    def random(self, count: int, seed: int) -> NDArray[np.int32]:
        """``count`` random tokens, the first the BOS where the vocabulary adds one."""
        tokens = np.random.default_rng(seed).integers(self.tokens, size=count, dtype=np.int32)
        if count and self.llama.llama_vocab_get_add_bos(self.vocabulary):
            tokens[0] = self.llama.llama_vocab_bos(self.vocabulary)
        return tokens


class Test:
    """A context for a prompt of ``n_prompt`` tokens and then ``n_gen`` single ones, and its warm-up.

    Args:
        model: the model.
        n_prompt: tokens of the prompt.
        n_gen: tokens generated.
        warm_up: with False the first run is a cold one.

    Raises:
        ModelError: llama.cpp cannot open the context.
    """

    __test__ = False  # pytest

    def __init__(self, model: LoadedModel, n_prompt: int, n_gen: int, warm_up: bool = True) -> None:
        self._model, self._llama = model, model.llama
        self.n_prompt, self.n_gen = n_prompt, n_gen
        params = self._llama.llama_context_default_params()
        params.n_ctx, params.n_batch, params.n_ubatch = n_prompt + n_gen, BATCH, PHYSICAL_BATCH
        params.n_threads = params.n_threads_batch = model.threads
        self._context = self._llama.llama_init_from_model(model.pointer, params)
        if not self._context:
            raise ModelError(f"{model.path}: llama.cpp cannot open a context: {log().take()}")
        self._batch = Batch(max(1, min(n_prompt, BATCH)), 1)
        self._batch.owners[:] = 1
        self._positions, self._past = np.arange(n_prompt + n_gen + 1, dtype=np.int32), 0
        self._runs = 0
        if warm_up and n_prompt:
            self.prompt(self._random(n_prompt))
        if warm_up and n_gen:
            self._generate(self._random(1))

    def _random(self, count: int) -> NDArray[np.int32]:
        self._runs += 1
        return self._model.random(count, self._runs)

    def once(self) -> int:
        """Nanoseconds of one repetition."""
        prompt, generated = self._random(self.n_prompt), self._random(self.n_gen)
        self.clear()
        started = time.perf_counter_ns()
        self.prompt(prompt)
        self._generate(generated)
        return time.perf_counter_ns() - started

    def clear(self) -> None:
        """Forget all tokens."""
        self._past = 0
        self._llama.llama_memory_clear(self._llama.llama_get_memory(self._context), False)

    def prompt(self, tokens: NDArray[np.int32]) -> None:
        """Compute a prompt, (n,), after what the context holds, as many tokens at once as a batch takes."""
        for start in range(0, len(tokens), BATCH):
            self._decode(tokens[start : start + BATCH])
        self._llama.llama_synchronize(self._context)

    def _generate(self, tokens: NDArray[np.int32]) -> None:
        for at in range(len(tokens)):
            self._decode(tokens[at : at + 1])
            self._llama.llama_synchronize(self._context)

    def best_token(self) -> int:
        """The most probable token after the prompt."""
        logits = self._llama.llama_get_logits_ith(self._context, -1)
        return int(np.ctypeslib.as_array(logits, (self._model.tokens,)).argmax())

    def _decode(self, tokens: NDArray[np.int32]) -> None:
        count, batch, past = len(tokens), self._batch, self._past
        batch.token[:count] = tokens
        batch.position[:count] = self._positions[past : past + count]
        batch.wanted[:count] = 0
        batch.wanted[count - 1] = 1
        self._past += count
        status = self._llama.llama_decode(self._context, batch.view(count))
        if status != 0:
            raise ModelError(f"llama_decode failed with code {status}: {log().take()}")

    def close(self) -> None:
        """Free the context."""
        self._llama.llama_free(self._context)
        self._context = None


def statistics_of(samples_ns: Sequence[int], tokens: int) -> dict[str, Any]:
    """What llama-bench prints of a test's repetitions, by its names: means and standard deviations (n - 1).

    Args:
        samples_ns: nanoseconds of each repetition.
        tokens: of one repetition.
    """
    speeds = [1e9 * tokens / sample for sample in samples_ns]
    found: dict[str, Any] = {}
    for name, values in (("ns", list(map(float, samples_ns))), ("ts", speeds)):
        found[f"avg_{name}"] = statistics.fmean(values)
        found[f"stddev_{name}"] = statistics.stdev(values) if len(values) > 1 else 0.0
    return {**found, "samples_ns": list(samples_ns), "samples_ts": speeds}
