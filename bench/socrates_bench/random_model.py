"""Random models of real shapes as files, for the benches that need no checkpoint: a base, and GGUFs of it by the exporter."""

from collections.abc import Sequence
from pathlib import Path

from socrates_bench.llama_source import llama_source
from socrates_bench.score_work import prompts_of_people
from socrates_bench.synthetic import SHAPES, write_base
from socrates_export.child import run_task

_LARGE_VOCABULARY = 100_000


def has_real_tokenizer(shape: str) -> bool:
    """Whether a shape's vocabulary is large enough for Qwen2.5's own tokenizer."""
    return SHAPES[shape]["vocab_size"] > _LARGE_VOCABULARY


def random_base(folder: Path, shape: str) -> Path:
    """Write a base of a shape of ``SHAPES`` to ``folder``, which is made.

    The large shapes get Qwen2.5's own tokenizer, the small one's is trained on texts like those that it will read.
    """
    texts: Sequence[str] = [prompt.user for prompt in prompts_of_people(20, "persona_first")]
    real = has_real_tokenizer(shape)
    write_base(folder, shape, llama_source() / "models" / "ggml-vocab-qwen2.gguf" if real else texts)
    return folder


def random_gguf(base: Path, path: Path, kind: str) -> Path:
    """Export a base as one type, without proof."""
    arguments = {
        "base": str(base), "adapter": None, "merge_base": "original", "name": "random", "extra": {},
        "files": {kind: str(path)}, "imatrix": None, "threads": 0,
    }  # fmt: skip
    run_task("write", arguments, f"writing {path.name}")
    return path
