"""The predictor that scores a GGUF with llama.cpp in a worker process."""

import os
import weakref
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from socrates_fast.errors import ScoringError
from socrates_fast.infer.client import WorkerClient
from socrates_fast.infer.header import Header, read_header
from socrates_fast.infer.messages import ModelInfo, Progress, Score, Settings, Stats
from socrates_fast.infer.predictor import AnswerDistribution, Predictor, Result
from socrates_fast.prompt import Prompt

CONTEXT = 4096
BATCH = 512


class GgufPredictor(Predictor):
    """Answer distributions from a GGUF file, exact up to llama.cpp's arithmetic.

    Args:
        path: the file; its header is checked before llama.cpp sees it.
        context: tokens in the KV cache; the longest prompt, and room for prompts that are decoded together.
        batch: most tokens in one decode.
        threads: CPU threads; None for as many as this process may use.
        gpu_layers: layers on the GPU where llama.cpp was built with one; -1 for all.
        exact: float32 KV cache and plain attention: as near to a float32 forward pass as the file's weights
            allow, at twice the KV memory.
        progress: called with every report of how far ``predict`` is.

    Raises:
        ModelError: the file is not a whole GGUF, or llama.cpp cannot load it.
        ScoringError: the worker process died.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        context: int = CONTEXT,
        batch: int = BATCH,
        threads: int | None = None,
        gpu_layers: int = -1,
        exact: bool = False,
        progress: Callable[[Progress], None] | None = None,
    ) -> None:
        self.path = Path(path)
        self.name = self.path.stem
        self.header: Header = read_header(self.path)
        self.stats = Stats()
        """Work over all calls of ``predict``: tokens asked and computed."""
        self._progress = progress
        self._settings = Settings(
            path=str(self.path.absolute()),
            context=_at_least(1, "context", context),
            batch=_at_least(1, "batch", batch),
            threads=_at_least(1, "threads", threads or available_threads()),
            gpu_layers=gpu_layers,
            exact=exact,
        )
        self._closed = False
        self._worker = self._connect()

    def _connect(self) -> WorkerClient:
        worker = WorkerClient(self._settings)
        weakref.finalize(self, worker.close)  # for those who do not use ``with``
        return worker

    @property
    def info(self) -> ModelInfo:
        """What was loaded, and what llama.cpp was built with."""
        return self._worker.info

    @property
    def worker_pid(self) -> int:
        """The worker process's id."""
        return self._worker.pid

    def stream(self, prompts: Sequence[Prompt]) -> Iterator[tuple[int, Result]]:
        """Results as they become known."""
        yield from enumerate(self.predict(prompts))

    def predict(self, prompts: Sequence[Prompt], shared: bool = True) -> list[AnswerDistribution]:
        """One distribution per prompt, in order; identical prompts are scored once.

        Args:
            prompts: with closed scales.
            shared: decode a prefix that prompts share once; False scores each alone, as a reference.

        Raises:
            ScoringError: a prompt cannot be scored (the message has its number), or the worker died.
        """
        if not prompts:
            return []
        if self._closed:
            raise ScoringError(f"{self.path}: this predictor is closed")
        if not self._worker.alive:  # it died of an earlier call, or was interrupted
            self._worker = self._connect()
        scored = self._worker.score(Score(tuple(prompts), shared), self._progress)
        self.stats += scored.stats
        return list(scored.distributions)

    def close(self) -> None:
        """End the worker process; safe to call again."""
        self._closed = True
        self._worker.close()


def available_threads() -> int:
    """CPUs that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _at_least(lowest: int, name: str, value: int) -> int:
    if value < lowest:
        raise ScoringError(f"{name} must be at least {lowest}, not {value}")
    return value
