"""The prompt speed that llama.cpp itself reaches: llama-bench's ``pp`` test (llama_bench.py). A child (children.py)."""

from typing import Any

from socrates_bench.children import Answer, serve
from socrates_bench.llama_bench import LoadedModel, Test

TOKENS = 512


def start(path: str, threads: int, gpu_layers: int, tokens: int = TOKENS) -> tuple[dict[str, Any], Answer]:
    """Load the model; each question then is a number of repetitions, its answer tokens per second of each."""
    model = LoadedModel(path, threads, gpu_layers)
    test = Test(model, tokens, 0)

    def answer(repetitions: int) -> dict[str, Any]:
        return {"tokens_per_second": [1e9 * tokens / test.once() for _ in range(repetitions)]}

    return {"system_info": model.facts()["system_info"]}, answer


if __name__ == "__main__":
    serve(start)
