"""Prompts to results, inside the worker: render, dedupe, sort, decode, read.

Identical prompts are scored once. The others are sorted by token ids so that the plan (plan.py) computes each
shared prefix once, and the few tokens that multi-token answers need (trie.py) ride in the same decodes. Open scales
come after the others, prompt by prompt, because what they read depends on what was read before (open_scale.py).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from socrates_fast.errors import ModelError, ScoringError
from socrates_fast.infer.decoder import Decoder
from socrates_fast.infer.feed import Feed
from socrates_fast.infer.library import LlamaModel
from socrates_fast.infer.messages import Draws, Progress, Sample, Score, Stats
from socrates_fast.infer.open_scale import Expansion, Numerals, is_numeral
from socrates_fast.infer.plan import Group, Path
from socrates_fast.infer.predictor import Result
from socrates_fast.infer.sampling import draw, read_answer
from socrates_fast.infer.trie import AnswerTrie, TokenPath, normalised
from socrates_fast.prompt import ChatRenderer, Prompt

WIDE = 10_001
"""Closed scales with more answers than this are expanded like open ones, not read whole."""


@dataclass
class Job:
    """One of the different prompts of a request: where it occurs, its tokens, its answers, what was read."""

    prompt: Prompt
    numbers: list[int]
    ids: NDArray[np.int32]
    trie: AnswerTrie | None
    rows: dict[int, NDArray[np.float64]] = field(default_factory=dict)

    @property
    def tokens_asked(self) -> int:
        """Tokens that one occurrence takes when scored alone: the prompt and the steps into the trie."""
        return len(self.ids) + (len(self.trie.nodes) - 1 if self.trie else 0)


class Scorer:
    """Scores prompts with one loaded GGUF.

    Args:
        model: the model.
        deterministic: a prompt's result does not depend on the others.

    Raises:
        ModelError: the file's chat template is missing or cannot be rendered.
    """

    def __init__(self, model: LlamaModel, deterministic: bool) -> None:
        self._model = model
        self._decoder = Decoder(model, deterministic)
        template, variables = model.chat_template, model.template_variables
        try:
            self._renderer = ChatRenderer(template, model.tokenize, variables)
        except ModelError as error:
            raise ModelError(f"{model.path}: {error}") from error
        self._tries: dict[tuple[int, ...], AnswerTrie] = {}
        self._numerals: dict[tuple[int, int], Numerals] = {}

    def score(self, request: Score, report: Callable[[Progress], None]) -> Stats:
        """Score a request; every prompt's result is reported once, as soon as it is known.

        Raises:
            ScoringError: the request is strict, and a prompt cannot be scored; or llama.cpp fails.
        """
        feed = self._feed(request.numbers, request.total, request.strict, report)
        jobs = self._jobs(request.prompts, feed)
        feed.asked = sum(job.tokens_asked * len(job.numbers) for job in jobs)
        self._score_closed([job for job in jobs if job.trie], feed, request.shared)
        for job in jobs:
            if job.trie is None:
                self._expand(job, request, feed)
        return feed.finished(len(jobs))

    def sample(self, request: Sample, report: Callable[[Progress], None]) -> Stats:
        """Draw answers as free text; every prompt's ``Draws`` are reported once."""
        numbers = range(len(request.prompts)) if request.numbers is None else request.numbers
        feed = self._feed(numbers, request.total or len(request.prompts), request.strict, report)
        jobs = self._jobs(request.prompts, feed)
        for job in jobs:
            feed.asked += len(job.ids) * request.draws * len(job.numbers)

            def rows(tails: list[TokenPath], job: Job = job) -> dict[TokenPath, NDArray[np.float64]]:
                return self._read_after(job, tails, None, feed, True)

            room = self._longest - len(job.ids) - request.reserve
            paths = draw(request, job.ids, max(0, min(request.most, room)), rows, self._model.ends_answer)
            texts = tuple(self._model.text(path) for path in paths)
            answers = tuple(read_answer(text, job.prompt.scale) for text in texts)
            feed.settle(job.numbers, Draws(texts, answers))
        return feed.finished(len(jobs))

    def _feed(
        self, numbers: Sequence[int], total: int, strict: bool, report: Callable[[Progress], None]
    ) -> Feed:
        return Feed(numbers, total, strict, report, lambda: (self._decoder.computed, self._model.seconds))

    # --- prompts ----------------------------------------------------------------------------------------

    def _jobs(self, prompts: Sequence[Prompt], feed: Feed) -> list[Job]:
        """The different prompts, sorted by token ids; those that cannot be rendered are settled."""
        jobs: dict[tuple[object, ...], Job] = {}
        for number, prompt in enumerate(prompts):
            try:
                ids, trie = self._render(prompt)
            except ScoringError as error:
                feed.settle([number], error)
                continue
            scale = prompt.scale
            answers = (scale.low, scale.high) if scale.values is None else scale.values
            # Big-endian bytes sort as numbers.
            key = (ids.astype(">u4").tobytes(), scale.values is None, answers)
            jobs.setdefault(key, Job(prompt, [], ids, trie)).numbers.append(number)
        return [jobs[key] for key in sorted(jobs)]

    def _render(self, prompt: Prompt) -> tuple[NDArray[np.int32], AnswerTrie | None]:
        values = prompt.scale.values
        trie = self._trie(values) if values is not None and len(values) <= WIDE else None
        steps = trie.depth if trie else len(str(prompt.scale.high)) + 1
        try:
            ids = self._renderer.prompt_array(prompt)
        except UnicodeEncodeError as error:
            raise ScoringError(f"its text is not valid Unicode: {error}") from error
        info, longest = self._model.info, self._longest
        if len(ids) + steps > longest:
            more = f" and {steps} more for its answers" if steps else ""
            larger = info.context < info.trained_context
            raise ScoringError(
                f"it has {len(ids)} tokens{more}, and at most {longest} fit (context {info.context}, "
                f"model trained for {info.trained_context}); shorten the stimulus"
                + (" or ask for a larger context" if larger else "")
            )
        return ids, trie

    @property
    def _longest(self) -> int:
        """Most tokens of a prompt with its answer."""
        return min(self._model.info.context, self._model.info.trained_context)

    def _trie(self, values: tuple[int, ...]) -> AnswerTrie:
        if values not in self._tries:
            answers = {value: self._renderer.answer_ids(value) for value in values}
            self._tries[values] = AnswerTrie(answers, self._renderer.end_id)
        return self._tries[values]

    # --- closed scales ----------------------------------------------------------------------------------

    def _score_closed(self, jobs: list[Job], feed: Feed, shared: bool) -> None:
        paths = (
            _path(number, job.ids, leaf.path, leaf.nodes, job.trie.columns)
            for number, job in enumerate(jobs)
            if job.trie
            for leaf in job.trie.leaves
        )

        def tell(step: Group) -> None:
            feed.tell([jobs[number].numbers[0] for number in step.jobs])

        for rows in self._decoder.read(paths, tell, shared):
            for row in rows:
                job = jobs[row.job]
                job.rows[row.node] = row.logs
                if job.trie and len(job.rows) == len(job.trie.nodes):
                    _finish(job, job.trie, feed)

    # --- open scales and draws --------------------------------------------------------------------------

    def _expand(self, job: Job, request: Score, feed: Feed) -> None:
        scale = job.prompt.scale
        before = self._decoder.computed
        try:
            numerals = self._numerals_of(scale.low, scale.high)
            expansion = Expansion(numerals, request.open)
            while paths := expansion.next_paths():
                rows = self._read_after(job, list(paths), numerals.columns, feed, request.shared)
                for path, reach in paths.items():
                    expansion.take(path, reach, rows[path])
            feed.settle(job.numbers, expansion.distribution(scale.values))
        except ScoringError as error:
            feed.settle(job.numbers, error)
        steps = max(0, self._decoder.computed - before - len(job.ids))
        feed.asked += steps * len(job.numbers)

    def _numerals_of(self, low: int, high: int) -> Numerals:
        if (low, high) not in self._numerals:
            texts = {token: text for token, text in self._model.token_texts() if is_numeral(text)}
            self._numerals[low, high] = Numerals(
                low, high, texts, lambda text: self._renderer.tokenize(text, False), self._renderer.end_id
            )
        return self._numerals[low, high]

    def _read_after(
        self,
        job: Job,
        tails: list[TokenPath],
        columns: NDArray[np.int64] | None,
        feed: Feed,
        shared: bool,
    ) -> dict[TokenPath, NDArray[np.float64]]:
        """Log probabilities of ``columns`` (None: of all tokens) after the prompt and each of ``tails``."""
        tails = sorted(tails)
        paths = [
            _path(0, job.ids, tail, {len(tail): at}, [columns] * len(tails)) for at, tail in enumerate(tails)
        ]
        found = {}
        for rows in self._decoder.read(paths, lambda _: feed.tell(job.numbers[:1]), shared):
            found.update({tails[row.node]: row.logs for row in rows})
        return found


def _finish(job: Job, trie: AnswerTrie, feed: Feed) -> None:
    """Settle a job whose rows are all read."""
    result: Result
    try:
        logs = trie.log_probabilities([job.rows[node] for node in range(len(trie.nodes))])
        result = normalised(trie.values, logs)
    except ScoringError as error:
        result = error
    job.rows.clear()
    feed.settle(job.numbers, result)


def _path(
    number: int,
    ids: NDArray[np.int32],
    steps: Sequence[int],
    nodes: dict[int, int],
    columns: Sequence[NDArray[np.int64] | None],
) -> Path:
    tokens = np.concatenate([ids, np.array(steps, dtype=np.int32)]) if steps else ids
    return Path(number, tokens, {len(ids) - 1 + depth: node for depth, node in nodes.items()}, columns)
