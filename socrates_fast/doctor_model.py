"""What a GGUF is, what it takes of this machine, and the settings that suit both: a part of ``doctor``."""

from collections.abc import Iterator
from pathlib import Path

from socrates_fast.errors import SocratesError
from socrates_fast.infer.header import Header, read_header
from socrates_fast.infer.memory import compute_bytes, default_context, kv_bytes_per_token

MEMORY_INFO = Path("/proc/meminfo")
GIB, MIB, KIB = 2**30, 2**20, 2**10
PROCESSES = 210 * MIB
"""Of Python, numpy and queues in the two processes that score: what the tiny model's records (bench/results/score.jsonl)
leave beyond weights, cache and llama.cpp's working memory."""


def checks(path: Path) -> Iterator[tuple[bool | None, str]]:
    """The file's facts, whether it fits the memory, and what the probe chooses for it; it is loaded for that."""
    from socrates_fast.infer.gguf_model import GgufPredictor

    try:
        header = read_header(path)
        yield True, _facts(header)
        yield _memory(header, available_memory())
        with GgufPredictor(path, probe=True) as predictor:
            info = predictor.info
    except SocratesError as error:
        yield False, str(error)
        return
    layers = "all layers" if info.gpu_layers == -1 else f"{info.gpu_layers} layers"
    yield (
        True,
        (
            f"loads; settings for this machine: threads {info.threads}, context {info.context:,}, batch {info.batch}, "
            f"{layers} on a GPU"
        ),
    )


def _facts(header: Header) -> str:
    from gguf import LlamaFileType

    known = {kind.value: kind.name.removeprefix("MOSTLY_").removeprefix("ALL_") for kind in LlamaFileType}
    kind = (
        known.get(header.file_type, "of unstated type")
        if header.file_type is not None
        else "of unstated type"
    )
    trained = f"{header.context_length:,} tokens" if header.context_length else "an unstated number of tokens"
    return (
        f"{header.path}: {header.name}, {header.architecture}, {kind}, "
        f"{_size(header.path.stat().st_size)}, trained for contexts of {trained}"
    )


def _memory(header: Header, available: int | None) -> tuple[bool | None, str]:
    context, cell = default_context(header), kv_bytes_per_token(header)
    weights, cache, working = header.path.stat().st_size, cell * context, compute_bytes(header, context, 512)
    needed = weights + cache + working + PROCESSES
    line = (
        f"memory: about {_size(needed)} = weights {_size(weights)}, KV cache {_size(cache)} ({cell / KIB:.0f} KiB a token, "
        f"{context:,} tokens), working memory {_size(working)}, the command and its worker {_size(PROCESSES)}"
    )
    if available is None:
        return True, line
    fits = needed <= available
    return True if fits else None, f"{line}; {available / GIB:.1f} GiB available" + (
        "" if fits else ": too little for the CPU alone; use a smaller type (q4_k_m) or a smaller --context"
    )


def _size(count: int) -> str:
    return f"{count / GIB:.2f} GiB" if count >= GIB else f"{count / MIB:.0f} MiB"


def available_memory(file: Path = MEMORY_INFO) -> int | None:
    """Bytes that new programs can use without swapping, where Linux says it."""
    if not file.is_file():
        return None
    for line in file.read_text(encoding="ascii").splitlines():
        if line.startswith("MemAvailable:"):
            return KIB * int(line.split()[1])
    return None
