"""llama.cpp through its C API, as llama-bench calls it. A child (children.py)."""

from collections.abc import Sequence

import numpy as np

from socrates_bench.llama_bench import LoadedModel, Test
from socrates_bench.peers.runner import serve_runner


class LlamaCpp:
    """A loaded GGUF and the test that it is at; a ``Runner``."""

    def __init__(self, path: str, threads: int, gpu_layers: int) -> None:
        self._model = LoadedModel(path, threads, gpu_layers)
        self._test: Test | None = None
        self.facts = self._model.facts()

    def begin(self, n_prompt: int, n_gen: int, warm_up: bool = True) -> None:
        """A new context in the place of the one before."""
        if self._test:
            self._test.close()
        self._test = Test(self._model, n_prompt, n_gen, warm_up)

    def once(self) -> int:
        """Nanoseconds of one repetition."""
        assert self._test is not None  # begin comes first
        return self._test.once()

    def first(self, ids: Sequence[int]) -> int:
        """The first token after a prompt; the very first of a process opens the context in its time."""
        if self._test is None or self._test.n_prompt != len(ids):
            self.begin(len(ids), 0, warm_up=False)
        assert self._test is not None
        self._test.clear()
        self._test.prompt(np.array(ids, np.int32))
        return self._test.best_token()

    def answer(self, ids: Sequence[int]) -> int:
        """Nobody asks for it: of rows the product's predictor is measured (``decode/predictor.py``)."""
        raise TypeError("rows are answered by the predictor")


if __name__ == "__main__":
    serve_runner(LlamaCpp)
