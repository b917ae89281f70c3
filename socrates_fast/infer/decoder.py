"""Token paths in, log probabilities out: carries out a plan, and remembers what the cache holds."""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from socrates_fast.infer.library import LlamaModel, log_softmax
from socrates_fast.infer.plan import BLOCK, Group, Path, chunks, group, plan, plan_apart


@dataclass(frozen=True)
class Row:
    """Log probabilities that were read: of which job, at which of its nodes, of the columns that were asked for."""

    job: int
    node: int
    logs: NDArray[np.float64]


_Logits = list[NDArray[np.float32]]
"""Rows of logits, (r, V), one array for each decode that gave some."""


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
    ) -> Iterator[tuple[Group, list[Row]]]:
        """Decode paths, group by group, and read what they ask for.

        Args:
            paths: paths of one job one after the other; sorted, no shared prefix is computed twice.
            before: told of each group before it is decoded.
            shared: go on from what is in the cache; False reads each row of a path alone (each job, if deterministic).
        """
        groups = self._groups(paths, shared)
        decoded: tuple[Group, _Logits] | None = None
        with ThreadPoolExecutor(1) as pool:
            step = next(groups, None)
            while step is not None:
                before(step)
                running = pool.submit(self._run, step)
                if (
                    decoded
                ):  # while llama.cpp computes, what it computed before is worked on, and the next is planned
                    yield _rows(*decoded)
                following = next(groups, None)
                decoded, step = (step, running.result()), following
        if decoded:
            yield _rows(*decoded)

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

    def _run(self, step: Group) -> _Logits:
        model = self._model
        self._cached = None  # until all went well
        model.keep(self._sequence, step.kept)
        for sequence, length in enumerate(step.cached):
            if sequence and length:
                model.copy(sequence, length)
        logits = []
        for part in chunks(step, model.limits):
            outputs = [o for o in step.outputs if part.start <= o.token < part.stop]
            wanted = [output.token - part.start for output in outputs]
            model.decode(step.tokens[part], step.positions[part], step.first[part], step.last[part], wanted)
            if wanted:
                logits.append(model.logits(len(wanted)))
        self.computed += len(step.tokens)
        self._cached, self._sequence = step.end, len(step.cached) - 1
        return logits


def _rows(step: Group, logits: _Logits) -> tuple[Group, list[Row]]:
    """The log probabilities that a group asked for, of the rows of logits that its decodes gave."""
    logs: list[NDArray[np.float64]] = []
    for rows in logits:
        columns = [output.columns for output in step.outputs[len(logs) : len(logs) + len(rows)]]
        logs += log_softmax(rows, columns)
    return step, [Row(o.job, o.node, log) for o, log in zip(step.outputs, logs, strict=True)]
