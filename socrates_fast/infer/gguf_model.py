"""The predictor that scores a GGUF with llama.cpp in a worker process."""

import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
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
from socrates_fast.infer.reasoning import (
    ANSWER_TOKENS,
    MOST_TOKENS,
    REASONED_TOGETHER,
    asks_for_reasoning,
    mixture,
    opened,
)
from socrates_fast.prompt import REASONING_ENDS, Prompt


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
        self._drawn = self._cut_off = 0
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
        """All results; where prompts ask for reasonings, of a few prompts at a time: a reasoning takes seconds."""
        asked = dict(enumerate(prompts))
        if not any(map(asks_for_reasoning, prompts)):
            yield from self._scored(asked, len(prompts), shared, strict)
            return
        for start in range(0, len(prompts), REASONED_TOGETHER):
            some = {number: asked[number] for number in list(asked)[start : start + REASONED_TOGETHER]}
            yield from self._reasoned(some, len(prompts), shared, strict)

    def _reasoned(
        self, prompts: Mapping[int, Prompt], total: int, shared: bool, strict: bool
    ) -> Iterator[tuple[int, Result]]:
        parts: dict[int, list[Result]] = {number: [] for number in prompts}
        for draw in range(self._reasonings):
            after = self._opened(prompts, draw, total, strict)
            ready = {number: each for number, each in after.items() if isinstance(each, Prompt)}
            for number, each in after.items():
                if not isinstance(each, Prompt):
                    parts[number].append(each)
            for number, result in self._scored(ready, total, shared, strict):
                parts[number].append(result)
        for number, results in parts.items():
            yield number, mixture(results)

    def _opened(
        self, prompts: Mapping[int, Prompt], seed: int, total: int, strict: bool
    ) -> dict[int, Prompt | ScoringError]:
        """The prompts with a reasoning where they ask for one; or why there is none."""
        asking = {number: prompt for number, prompt in prompts.items() if asks_for_reasoning(prompt)}

        def request(missing: Mapping[int, Prompt]) -> Sample:
            return Sample(tuple(missing.values()), 1, 1.0, 1.0, seed, MOST_TOKENS, tuple(missing), total, strict,
                          ANSWER_TOKENS)  # fmt: skip

        found: dict[int, Prompt | ScoringError] = dict(prompts)
        for number, drawn in self._again(asking, request):
            if isinstance(drawn, Draws):
                self._drawn += 1
                self._cut_off += REASONING_ENDS not in drawn.texts[0]
                found[number] = opened(prompts[number], drawn.texts[0])
            else:
                found[number] = cast(ScoringError, drawn)
        return found

    @property
    def notes(self) -> list[str]:
        """How many reasonings did not come to an end."""
        if not self._cut_off:
            return []
        return [
            f"{self._cut_off} of {self._drawn} reasonings did not end within {MOST_TOKENS} tokens or the context; the answer "
            "was read after what there was"
        ]

    def _scored(
        self, prompts: Mapping[int, Prompt], total: int, shared: bool, strict: bool
    ) -> Iterator[tuple[int, Result]]:
        """Results by the prompts' numbers."""

        def request(missing: Mapping[int, Prompt]) -> Score:
            return Score(tuple(missing.values()), tuple(missing), total, shared, strict, self._open)

        for number, result in self._again(prompts, request):
            yield number, cast(Result, result)

    def _again(
        self, prompts: Mapping[int, Prompt], request: Callable[[Mapping[int, Prompt]], Score | Sample]
    ) -> Iterator[tuple[int, Result | Draws]]:
        """What a request gives; one that a worker's death cut short is made again for what is missing."""
        missing, died = dict(prompts), False
        while missing:
            try:
                for number, result in self._ask(request(missing)):
                    died = False
                    del missing[number]
                    yield number, result
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
