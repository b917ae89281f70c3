"""Our predictor over the real workload, some rows at a time. A child (children.py)."""

import os
import time
from typing import Any

from socrates_bench.children import Answer, memory, serve
from socrates_bench.decode.prompts import ORDER
from socrates_bench.score_work import prompts_of_people
from socrates_fast.infer.gguf_model import GgufPredictor


def start(people: int, **settings: Any) -> tuple[dict[str, Any], Answer]:
    """Load the model; each question then is a span of the people's rows, its answer what they took."""
    predictor = GgufPredictor(**settings)
    prompts = prompts_of_people(people, ORDER)

    def answer(first: int, last: int) -> dict[str, Any]:
        before, started = predictor.stats, time.perf_counter()
        rows = predictor.predict(prompts[first:last])
        seconds = time.perf_counter() - started
        peaks = [memory(process)["peak"] for process in (os.getpid(), predictor.worker_pid)]
        after = predictor.stats
        return {
            "rows": len(rows), "seconds": seconds, "peak": sum(peaks),
            "tokens_asked": after.tokens_asked - before.tokens_asked,
            "tokens_computed": after.tokens_computed - before.tokens_computed,
        }  # fmt: skip

    return {"context": predictor.info.context}, answer


if __name__ == "__main__":
    serve(start)
