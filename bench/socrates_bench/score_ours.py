"""Our predictor over the bench's rows: from people and stimuli to answer distributions. A child (children.py)."""

import os
import time
from typing import Any

from socrates_bench.children import Answer, memory, serve
from socrates_bench.score_work import prompts_of_people
from socrates_fast.infer.gguf_model import GgufPredictor
from socrates_fast.infer.predictor import AnswerDistribution


class Ours:
    """A loaded predictor, and the distributions of its last run."""

    def __init__(self, **settings: Any) -> None:
        self.predictor = GgufPredictor(**settings)
        self._last: list[AnswerDistribution] = []

    def run(self, people: int, order: Any) -> dict[str, Any]:
        """Score the rows of the first ``people``."""
        before = self.predictor.stats
        started = time.perf_counter()
        self._last = self.predictor.predict(prompts_of_people(people, order))
        seconds = time.perf_counter() - started
        stats = self.predictor.stats
        return {
            "rows": len(self._last),
            "seconds": seconds,
            "decode_seconds": stats.decode_seconds - before.decode_seconds,
            "tokens_computed": stats.tokens_computed - before.tokens_computed,
            "tokens_asked": stats.tokens_asked - before.tokens_asked,
        }

    def deviation(self, people: int, order: Any) -> dict[str, Any]:
        """How far the last run's first rows are from the same prompts scored each alone."""
        alone = self.predictor.predict(prompts_of_people(people, order), shared=False)
        differences = [
            float(abs(one.probabilities - other.probabilities).max())
            for one, other in zip(alone, self._last, strict=False)
        ]
        return {"rows": len(alone), "largest": max(differences)}

    def memory(self) -> dict[str, Any]:
        """Resident bytes of this process and of the worker."""
        return {"parent": memory(os.getpid()), "worker": memory(self.predictor.worker_pid)}


def start(**settings: Any) -> tuple[dict[str, Any], Answer]:
    """Load the model; each question then names one of ``Ours``'s methods."""
    ours = Ours(**settings)

    def answer(do: str, **arguments: Any) -> dict[str, Any]:
        done: dict[str, Any] = getattr(ours, do)(**arguments)
        return done

    info = ours.predictor.info
    return {"description": info.description, "model_bytes": info.n_bytes, "system_info": info.system_info,
            "threads": info.threads, "context": info.context}, answer  # fmt: skip


if __name__ == "__main__":
    serve(start)
