"""Prompts to answer distributions, inside the worker: render, dedupe, plan, decode, read.

Identical prompts are scored once. The others are sorted by token ids so that the plan (plan.py) computes each
shared prefix once, and the few tokens that multi-token answers need (trie.py) ride in the same decodes.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from socrates_fast.errors import ModelError, ScoringError
from socrates_fast.infer.library import LlamaModel
from socrates_fast.infer.messages import Progress, Scored, Stats
from socrates_fast.infer.plan import Group, Path, chunks, group, plan
from socrates_fast.infer.predictor import AnswerDistribution
from socrates_fast.infer.trie import AnswerTrie
from socrates_fast.prompt import ChatRenderer, Prompt


@dataclass
class Job:
    """One of the different prompts of a request: where it occurs, its tokens, its answers, what was read."""

    numbers: list[int]
    ids: NDArray[np.int32]
    trie: AnswerTrie
    rows: dict[int, NDArray[np.float64]] = field(default_factory=dict)

    @property
    def tokens_asked(self) -> int:
        """Tokens that one occurrence takes when scored alone: the prompt and the steps into the trie."""
        return len(self.ids) + len(self.trie.nodes) - 1

    def distribution(self) -> AnswerDistribution:
        """The answer distribution, once every node's row was read."""
        logs = self.trie.log_probabilities([self.rows[node] for node in range(len(self.rows))])
        return normalised(self.trie.values, logs)


def normalised(values: NDArray[np.int64], logs: NDArray[np.float64]) -> AnswerDistribution:
    """The distribution over ``values``, (k,), from log probabilities whose sum is the answer mass.

    Raises:
        ScoringError: the mass is zero or not a number.
    """
    highest = float(np.max(logs))
    if not np.isfinite(highest):
        raise ScoringError(
            "the model gives no probability at all to any answer on the scale"
            if highest == -np.inf
            else "the model's probabilities are not numbers (NaN); the file is damaged, or its type or "
            "the backend's overflows"
        )
    weights = np.exp(logs - highest)
    mass = float(weights.sum() * np.exp(highest))
    return AnswerDistribution(values, weights / weights.sum(), min(mass, 1.0))


class Scorer:
    """Scores prompts with one loaded GGUF.

    Raises:
        ModelError: the file's chat template is missing or cannot be rendered.
    """

    def __init__(self, model: LlamaModel) -> None:
        self._model = model
        template, variables = model.chat_template, model.template_variables
        try:
            self._renderer = ChatRenderer(template, model.tokenize, variables)
        except ModelError as error:
            raise ModelError(f"{model.path}: {error}") from error
        self._tries: dict[tuple[int, ...], AnswerTrie] = {}

    def score(self, prompts: Sequence[Prompt], shared: bool, report: Callable[[Progress], None]) -> Scored:
        """One distribution per prompt, in order.

        Args:
            prompts: with closed scales.
            shared: share prefixes; False scores each row of probabilities alone, as a reference.
            report: called before each group of prompts is decoded.

        Raises:
            ScoringError: a prompt cannot be scored; the message has its number, counted from 1.
        """
        jobs = self._jobs(prompts)
        asked = sum(job.tokens_asked * len(job.numbers) for job in jobs)
        groups = self._shared_groups(jobs) if shared else self._lone_groups(jobs)
        found: dict[int, AnswerDistribution] = {}
        computed, done, last_sequence = 0, 0, 0
        for step in groups:
            current = tuple(jobs[number].numbers[0] for number in step.jobs)
            report(Progress(done, len(prompts), computed, asked, current))
            self._decode(step, jobs, last_sequence)
            last_sequence = len(step.cached) - 1
            computed += len(step.tokens)
            for number in step.jobs:
                done += self._finish(jobs[number], len(prompts), found)
        report(Progress(done, len(prompts), computed, asked, ()))
        distributions = tuple(found[number] for number in range(len(prompts)))
        return Scored(distributions, Stats(len(prompts), len(jobs), asked, computed))

    def _jobs(self, prompts: Sequence[Prompt]) -> list[Job]:
        """The different prompts, sorted by token ids."""
        jobs: dict[tuple[bytes, tuple[int, ...]], Job] = {}
        for number, prompt in enumerate(prompts):
            try:
                ids, trie = self._render(prompt)
            except ScoringError as error:
                raise ScoringError(f"{_place(number, len(prompts))}: {error}") from error
            key = (
                ids.astype(">u4").tobytes(),
                trie_key(prompt),
            )  # big-endian bytes sort as numbers
            jobs.setdefault(key, Job([], ids, trie)).numbers.append(number)
        return [jobs[key] for key in sorted(jobs)]

    def _render(self, prompt: Prompt) -> tuple[NDArray[np.int32], AnswerTrie]:
        trie = self._trie(trie_key(prompt))
        try:
            ids = self._renderer.prompt_ids(prompt)
        except UnicodeEncodeError as error:
            raise ScoringError(f"its text is not valid Unicode: {error}") from error
        info = self._model.info
        longest = min(info.context, info.trained_context)
        if len(ids) + trie.depth > longest:
            steps = f" and {trie.depth} more for its answers" if trie.depth else ""
            larger = info.context < info.trained_context
            raise ScoringError(
                f"it has {len(ids)} tokens{steps}, and at most {longest} fit (context {info.context}, "
                f"model trained for {info.trained_context}); shorten the stimulus"
                + (" or ask for a larger context" if larger else "")
            )
        return np.array(ids, dtype=np.int32), trie

    def _trie(self, values: tuple[int, ...]) -> AnswerTrie:
        if values not in self._tries:
            answers = {value: self._renderer.answer_ids(value) for value in values}
            self._tries[values] = AnswerTrie(answers, self._renderer.end_id)
        return self._tries[values]

    def _shared_groups(self, jobs: list[Job]) -> Iterator[Group]:
        paths = (
            _path(number, job, leaf.path, leaf.nodes)
            for number, job in enumerate(jobs)
            for leaf in job.trie.leaves
        )
        return plan(paths, self._model.limits)

    def _lone_groups(self, jobs: list[Job]) -> Iterator[Group]:
        """Each row of probabilities from a decode that begins with an empty cache."""
        for number, job in enumerate(jobs):
            for node, steps in enumerate(job.trie.nodes):
                yield group([(_path(number, job, steps, {len(steps): node}), 0)])

    def _decode(self, step: Group, jobs: list[Job], last_sequence: int) -> None:
        """Run one group and keep the log probabilities that its jobs asked for."""
        model = self._model
        model.keep(last_sequence, step.kept)
        for sequence, length in enumerate(step.cached):
            if sequence and length:
                model.copy(sequence, length)
        for part in chunks(step, model.limits):
            outputs = [o for o in step.outputs if part.start <= o.token < part.stop]
            wanted = [output.token - part.start for output in outputs]
            model.decode(step.tokens[part], step.positions[part], step.first[part], step.last[part], wanted)
            for output, token in zip(outputs, wanted, strict=True):
                job = jobs[output.job]
                columns = job.trie.columns[output.node]
                job.rows[output.node] = model.log_probabilities(token, columns)

    def _finish(self, job: Job, total: int, found: dict[int, AnswerDistribution]) -> int:
        """Settle a job whose rows are all read; returns how many prompts that settles."""
        if len(job.rows) < len(job.trie.nodes):
            return 0
        try:
            distribution = job.distribution()
        except ScoringError as error:
            raise ScoringError(f"{_place(job.numbers[0], total)}: {error}") from error
        job.rows.clear()
        found.update(dict.fromkeys(job.numbers, distribution))
        return len(job.numbers)


def trie_key(prompt: Prompt) -> tuple[int, ...]:
    """The allowed answers of a prompt.

    Raises:
        ScoringError: its scale is open.
    """
    if prompt.scale.values is None:
        raise ScoringError(
            f"its scale is open or too wide to enumerate ({prompt.scale.low} to {prompt.scale.high}), "
            "and open scales are not scored yet; declare the allowed values or leave the task out"
        )
    return prompt.scale.values


def _path(number: int, job: Job, steps: Sequence[int], nodes: dict[int, int]) -> Path:
    tokens = np.concatenate([job.ids, np.array(steps, dtype=np.int32)])
    return Path(number, tokens, {len(job.ids) - 1 + depth: node for depth, node in nodes.items()})


def _place(number: int, total: int) -> str:
    return f"prompt {number + 1} of {total}"
