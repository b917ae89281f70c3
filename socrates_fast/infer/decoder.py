"""Token paths in, log probabilities out: carries out a plan, and remembers what the cache holds."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from socrates_fast.infer.library import LlamaModel
from socrates_fast.infer.plan import BLOCK, Group, Path, chunks, group, plan, plan_apart


@dataclass(frozen=True)
class Row:
    """Log probabilities that were read: of which job, at which of its nodes, of the columns that were asked for."""

    job: int
    node: int
    logs: NDArray[np.float64]


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
        for step in self._groups(paths, shared):
            before(step)
            yield step, self._run(step)

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

    def _run(self, step: Group) -> list[Row]:
        model = self._model
        self._cached = None  # until all went well
        model.keep(self._sequence, step.kept)
        for sequence, length in enumerate(step.cached):
            if sequence and length:
                model.copy(sequence, length)
        rows: list[Row] = []
        for part in chunks(step, model.limits):
            outputs = [o for o in step.outputs if part.start <= o.token < part.stop]
            wanted = [output.token - part.start for output in outputs]
            model.decode(step.tokens[part], step.positions[part], step.first[part], step.last[part], wanted)
            logs = model.log_probabilities([output.columns for output in outputs])
            rows += [Row(o.job, o.node, log) for o, log in zip(outputs, logs, strict=True)]
        self.computed += len(step.tokens)
        self._cached, self._sequence = step.end, len(step.cached) - 1
        return rows
