"""Token paths in, log probabilities out: carries out a plan, and remembers what the cache holds."""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from socrates_fast.infer.library import LlamaModel, log_softmax
from socrates_fast.infer.plan import BLOCK, Group, Output, Path, chunks, group, plan, plan_apart


class Row(NamedTuple):
    """Log probabilities that were read: of which job, at which of its nodes, of the columns that were asked for."""

    job: int
    node: int
    logs: NDArray[np.float64]


@dataclass(frozen=True)
class _Decode:
    """One decode of a group.

    Attributes:
        group: of which it is.
        part: which of the group's tokens.
        outputs: the rows to read.
        batch: the tokens as llama.cpp takes them.
    """

    group: Group
    part: slice
    outputs: list[Output]
    batch: Any


class Decoder:
    """Reads token paths with one loaded model.

    Args:
        model: the model; nobody else uses its cache.
        deterministic: what a job reads does not depend on the other jobs.
    """

    def __init__(self, model: LlamaModel, deterministic: bool) -> None:
        self._model = model
        self._deterministic = deterministic
        self._cached: NDArray[np.int32] | None = None
        self._sequence = 0  # which holds ``_cached``
        self.computed = 0
        """Tokens computed so far."""

    def read(
        self, paths: Iterable[Path], before: Callable[[Group], None], shared: bool = True
    ) -> Iterator[list[Row]]:
        """Decode paths, group by group, and read what they ask for; the rows of a decode at a time.

        While llama.cpp computes, the caller has what it computed before, and the next decode is prepared.

        Args:
            paths: paths of one job one after the other; sorted, no shared prefix is computed twice.
            before: told of each group before it is decoded.
            shared: go on from what is in the cache; False reads each row of a path alone (each job, if deterministic).
        """
        decodes = self._decodes(self._groups(paths, shared))
        decode, done = next(decodes, None), list[tuple[list[Output], NDArray[np.float32]]]()
        with ThreadPoolExecutor(1) as pool:
            while decode:
                if decode.part.start == 0:
                    before(decode.group)
                    self._enter(decode.group)
                running = pool.submit(self._model.decode, decode.batch)
                if done:
                    yield _rows(*done.pop())
                following = next(decodes, None)
                running.result()
                logits = self._leave(decode)
                if decode.outputs:
                    done.append((decode.outputs, logits))
                decode = following
        if done:
            yield _rows(*done.pop())

    def _groups(self, paths: Iterable[Path], shared: bool) -> Iterator[Group]:
        limits = self._model.limits
        if self._deterministic:
            return plan_apart(paths, limits, BLOCK, self._cached, shared)
        if shared:
            return plan(paths, limits, self._cached)
        return (
            group([(Path(path.job, path.tokens[: at + 1], {at: node}, path.columns), 0)])
            for path in paths
            for at, node in path.outputs.items()
        )

    def _decodes(self, groups: Iterator[Group]) -> Iterator[_Decode]:
        for step in groups:
            for part in chunks(step, self._model.limits):
                outputs = [output for output in step.outputs if part.start <= output.token < part.stop]
                wanted = [output.token - part.start for output in outputs]
                owners = step.first[part], step.last[part]
                batch = self._model.prepare(step.tokens[part], step.positions[part], *owners, wanted)
                yield _Decode(step, part, outputs, batch)

    def _enter(self, step: Group) -> None:
        """Leave in the cache what a group begins with, and give it to the group's sequences."""
        self._cached = None  # until all of the group is computed
        self._model.keep(self._sequence, step.kept)
        for sequence, length in enumerate(step.cached):
            if sequence and length:
                self._model.copy(sequence, length)

    def _leave(self, decode: _Decode) -> NDArray[np.float32]:
        """Take what the decode that has just ended gave; (rows, V)."""
        step = decode.group
        self.computed += decode.part.stop - decode.part.start
        if decode.part.stop == len(step.tokens):
            self._cached, self._sequence = step.end, len(step.cached) - 1
        return self._model.logits(len(decode.outputs))


def _rows(outputs: list[Output], logits: NDArray[np.float32]) -> list[Row]:
    """The log probabilities that some outputs ask for, of their logits, (r, V)."""
    logs = log_softmax(logits, [output.columns for output in outputs])
    return [Row(output.job, output.node, log) for output, log in zip(outputs, logs, strict=True)]
