"""The predictor that scores a GGUF with llama.cpp in a worker process."""

import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import cast

from socrates_fast.errors import ScoringError
from socrates_fast.infer.client import WorkerClient, WorkerDied
from socrates_fast.infer.header import Header, read_header
from socrates_fast.infer.memory import default_context
from socrates_fast.infer.messages import (
    Draws,
    ModelInfo,
    OpenOptions,
    Progress,
    Sample,
    Score,
    Scored,
    Settings,
    Stats,
)
from socrates_fast.infer.plan import BLOCK
from socrates_fast.infer.predictor import AnswerDistribution, Predictor, Result
from socrates_fast.infer.probe import BATCH, thread_candidates
from socrates_fast.infer.reasoning import MOST_TOKENS, asks_for_reasoning, mixture, opened
from socrates_fast.prompt import Prompt


class GgufPredictor(Predictor):
    """Answer distributions from a GGUF file, exact up to llama.cpp's arithmetic.

    Args:
        path: the file; its header is checked before llama.cpp sees it.
        context: tokens in the KV cache: the longest prompt, and room for prompts that are decoded together. Its memory
            is ``memory.kv_bytes_per_token`` times it. None for 4096, or less if the model was trained for less.
        batch: most tokens in one decode; None for 512.
        threads: CPU threads; None for as many as this process may use.
        gpu_layers: layers on the GPU where llama.cpp was built with one; -1 for all, None for as many as fit.
        probe: choose threads and batch, where they are None, by a few timed decodes (two seconds at most). Not in the
            deterministic mode, whose last bits may depend on them.
        exact: float32 KV cache and plain attention: as near to a float32 forward pass as the file's weights
            allow, at twice the KV memory.
        deterministic: a prompt's result does not depend, to the last bit, on what else is scored; slower, because less
            is shared and decodes are smaller (see ``plan.plan_apart``).
        open_share: of the probability of all allowed answers, how much of an open scale is to be found.
        open_budget: most token paths that are read for it, for each prompt.
        reasonings: drawn of each prompt that asks for one, see ``reasoning.py``.
        progress: called with every report of how far ``predict`` is.

    Raises:
        ModelError: the file is not a whole GGUF, or llama.cpp cannot load it.
        ScoringError: the worker process died.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        context: int | None = None,
        batch: int | None = None,
        threads: int | None = None,
        gpu_layers: int | None = None,
        probe: bool = False,
        exact: bool = False,
        deterministic: bool = False,
        open_share: float = OpenOptions.share,
        open_budget: int = OpenOptions.budget,
        reasonings: int = 1,
        progress: Callable[[Progress], None] | None = None,
    ) -> None:
        self.path = Path(path)
        self.name = self.path.stem
        self.header: Header = read_header(self.path)
        self.stats = Stats()
        """Work over all calls of ``predict``: tokens asked and computed."""
        self._progress = progress
        probe = probe and not deterministic
        self._settings = Settings(
            path=str(self.path.absolute()),
            context=_at_least(1, "context", default_context(self.header) if context is None else context),
            batch=_at_least(1, "batch", batch or BATCH) if batch or not probe else None,
            threads=_at_least(1, "threads", threads or thread_candidates()[0])
            if threads or not probe
            else None,
            gpu_layers=gpu_layers,
            exact=exact,
            deterministic=deterministic,
        )
        if not 0 < open_share < 1:
            raise ScoringError(f"open_share must be between 0 and 1, not {open_share}")
        if deterministic:
            _at_least(BLOCK, "batch, in the deterministic mode,", self._settings.batch or BATCH)
        self._open = OpenOptions(open_share, _at_least(1, "open_budget", open_budget))
        self._reasonings = _at_least(1, "reasonings", reasonings)
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
        """Results as they become known, see ``Predictor``. A worker that dies is started again and goes on.

        Raises:
            ScoringError: the worker died twice without a result between.
        """
        yield from self._results(prompts, shared=True, strict=False)

    def predict(self, prompts: Sequence[Prompt], shared: bool = True) -> list[AnswerDistribution]:
        """One distribution per prompt, in order; identical prompts are scored once.

        Args:
            prompts: what to score.
            shared: decode a prefix that prompts share once; False scores each alone, as a reference.

        Raises:
            ScoringError: a prompt cannot be scored (the message has its number), or the worker died twice without
                a result between.
        """
        found = dict(self._results(prompts, shared, strict=True))
        return [cast(AnswerDistribution, found[number]) for number in range(len(prompts))]

    def sample(
        self,
        prompts: Sequence[Prompt],
        draws: int,
        *,
        temperature: float = 0.6,
        top_p: float = 0.9,
        seed: int = 0,
        most: int = 16,
    ) -> list[Draws]:
        """Answers drawn as free text, in the prompts' order: what published practice does, to compare with.

        Args:
            prompts: what to ask.
            draws: answers to each prompt; identical prompts get the same ones.
            temperature: of the softmax, above 0.
            top_p: the likeliest tokens that have this share together are drawn from; in (0, 1].
            seed: a draw depends on it, on its prompt and its number only.
            most: tokens of an answer at most.

        Raises:
            ScoringError: as for ``predict``; or a setting is out of its range.
        """
        if not 0 < top_p <= 1 or not temperature > 0:
            raise ScoringError(
                f"top_p must be in (0, 1], not {top_p}, and temperature above 0, not {temperature}"
            )
        _at_least(1, "draws", draws)
        request = Sample(tuple(prompts), draws, temperature, top_p, seed, _at_least(1, "most", most))
        found = dict(self._ask(request)) if prompts else {}
        return [cast(Draws, found[number]) for number in range(len(prompts))]

    def _results(self, prompts: Sequence[Prompt], shared: bool, strict: bool) -> Iterator[tuple[int, Result]]:
        """All results, after reasonings where prompts ask for them."""
        if not any(map(asks_for_reasoning, prompts)):
            yield from self._scored(prompts, shared, strict)
            return
        after = [self._opened(prompts, number, strict) for number in range(self._reasonings)]
        known = {number: each for number, each in enumerate(after[0]) if isinstance(each, ScoringError)}
        yield from known.items()
        flat = [each for one in after for each in one if isinstance(each, Prompt)]
        places = [number for one in after for number, each in enumerate(one) if isinstance(each, Prompt)]
        parts: dict[int, list[Result]] = {}
        for at, result in self._scored(flat, shared, strict):
            found = parts.setdefault(places[at], [])
            found.append(result)
            if len(found) == self._reasonings:
                yield places[at], mixture(found)

    def _opened(self, prompts: Sequence[Prompt], number: int, strict: bool) -> list[Prompt | ScoringError]:
        """The prompts with the reasoning of this number, where they ask for one; or why there is none."""
        asking = [at for at, prompt in enumerate(prompts) if asks_for_reasoning(prompt)]
        request = Sample(tuple(prompts[at] for at in asking), 1, 1.0, 1.0, number, MOST_TOKENS, strict)
        found: list[Prompt | ScoringError] = list(prompts)
        for at, drawn in self._ask(request):
            prompt = prompts[asking[at]]
            found[asking[at]] = (
                opened(prompt, drawn.texts[0]) if isinstance(drawn, Draws) else cast(ScoringError, drawn)
            )
        return found

    def _scored(self, prompts: Sequence[Prompt], shared: bool, strict: bool) -> Iterator[tuple[int, Result]]:
        """All results; a request that a worker's death cut short is made again for what is missing."""
        missing, died = dict(enumerate(prompts)), False
        while missing:
            request = Score(tuple(missing.values()), tuple(missing), len(prompts), shared, strict, self._open)
            try:
                for number, result in self._ask(request):
                    died = False
                    del missing[number]
                    yield number, cast(Result, result)
            except WorkerDied:
                if died:
                    raise
                died = True

    def _ask(self, request: Score | Sample) -> Iterator[tuple[int, Result | Draws]]:
        if self._closed:
            raise ScoringError(f"{self.path}: this predictor is closed")
        if not self._worker.alive:  # it died, or was interrupted
            self._worker = self._connect()
        with closing(self._worker.ask(request)) as replies:
            for reply in replies:
                if isinstance(reply, Scored):
                    self.stats += reply.stats
                    return
                if self._progress is not None:
                    self._progress(reply)
                yield from reply.results

    def close(self) -> None:
        """End the worker process; safe to call again."""
        self._closed = True
        self._worker.close()


def _at_least(lowest: int, name: str, value: int) -> int:
    if value < lowest:
        raise ScoringError(f"{name} must be at least {lowest}, not {value}")
    return value
