"""What a GGUF takes of a machine's memory, from its header: weights, KV cache, working memory.

And so how many of its layers fit a GPU, before any is loaded.
"""

import re
from collections.abc import Sequence
from itertools import accumulate, pairwise
from typing import Any

from socrates_fast.infer.devices import offload_devices
from socrates_fast.infer.header import Header

CONTEXT = 4096
"""Tokens in the KV cache unless a number is given."""
GPU_BATCHES = (512, 1024, 2048)
"""Tokens in one decode that are worth a try where a GPU computes."""
RESERVE = 512 * 2**20
"""Bytes of a GPU's memory that stay free for its driver and its matrix library."""


LARGE_VOCABULARY = 2**16


def sequences(batch: int, vocabulary: int) -> int:
    """Token paths in flight at once, and rows of logits that one decode reserves, for ``batch`` tokens.

    A tail of a hundred tokens with ten steps into its answers fills a batch, at a row of logits for each path; llama.cpp
    takes 256 paths at most. With a large vocabulary a row is half a megabyte, of which llama.cpp holds two copies and we two:
    fewer are reserved then, which only wide scales notice.
    """
    least, share = (24, 1.5) if vocabulary > LARGE_VOCABULARY else (48, 3)
    return min(256, max(least, int(share * batch) // 32))


def default_context(header: Header) -> int:
    """Tokens of context where none are asked for: what the model was trained for, at most ``CONTEXT``."""
    return min(header.context_length or CONTEXT, CONTEXT)


def kv_bytes_per_token(header: Header, cell_bytes: int = 2) -> int:
    """Bytes of KV cache that a token takes, over all layers; ``cell_bytes`` is 2 for F16, 4 for F32."""
    return cell_bytes * sum(_kv_widths(header))


def _kv_widths(header: Header) -> list[int]:
    """Numbers that a token leaves in each layer's cache: keys and values."""
    rows = {tensor.name: tensor.shape[-1] for tensor in header.tensors if len(tensor.shape) == 2}
    layers = _layers(header)
    names = [[f"blk.{layer}.attn_{part}.weight" for part in ("k", "v")] for layer in range(layers)]
    fallback = 0 if all(name in rows for pair in names for name in pair) else _stated_width(header)
    return [sum(rows.get(name, fallback) for name in pair) for pair in names]


def _stated_width(header: Header) -> int:
    """Numbers in one token's keys (or values) of one layer, from the metadata: some files fuse the matrices."""
    heads = _number(header, "attention.head_count")
    size = _number(header, "attention.key_length") or _number(header, "embedding_length") // max(heads, 1)
    return (_number(header, "attention.head_count_kv") or heads) * size


def _number(header: Header, key: str) -> int:
    value = header.metadata.get(f"{header.architecture}.{key}", 0)
    return value if isinstance(value, int) else 0


def _layers(header: Header) -> int:
    return _number(header, "block_count")


def layer_bytes(header: Header) -> tuple[list[int], int]:
    """Bytes of weights of each layer, and of what follows the last one (the output matrix and its norm).

    A model whose output matrix is its input's has a second copy of it where the output is computed.
    """
    layers, sizes = [0] * _layers(header), _tensor_bytes(header)
    output = 0 if "output.weight" in sizes else sizes.get("token_embd.weight", 0)
    for name, size in sizes.items():
        found = re.match(r"blk\.(\d+)\.", name)
        if found and int(found[1]) < len(layers):
            layers[int(found[1])] += size
        elif name != "token_embd.weight":
            output += size
    return layers, output


def _tensor_bytes(header: Header) -> dict[str, int]:
    """Bytes of each tensor, padding included: the distances between where they start."""
    tensors = sorted(header.tensors, key=lambda tensor: tensor.offset)
    ends = [tensor.offset for tensor in tensors] + [header.path.stat().st_size - header.data_start]
    return {tensor.name: end - start for tensor, (start, end) in zip(tensors, pairwise(ends), strict=True)}


def compute_bytes(header: Header, context: int, batch: int, exact: bool = False) -> int:
    """Bytes of working memory for one decode of ``batch`` tokens, estimated from above.

    Four arrays of the widest layer's size, the rows of logits, and without flash attention (``exact``) the scores.
    """
    embedding = _number(header, "embedding_length")
    widest = max(_number(header, "feed_forward_length"), 4 * embedding)
    vocabulary = max((t.shape[-1] for t in header.tensors if t.name == "token_embd.weight"), default=0)
    scores = _number(header, "attention.head_count") * context * batch if exact else 0
    return 4 * (4 * batch * widest + 2 * sequences(batch, vocabulary) * vocabulary + 2 * scores)


def fit_gpu_layers(llama: Any, header: Header, context: int, batch: int | None, exact: bool = False) -> int:
    """How many layers to put on the GPU: -1 if all fit its free memory, 0 without a GPU.

    Args:
        llama: the bindings.
        header: of the file.
        context: tokens of KV cache.
        batch: tokens of the largest decode; None for the largest that may be chosen.
        exact: whether the KV cache is float32 and attention plain.
    """
    free = sum(max(device.free - RESERVE, 0) for device in offload_devices(llama))
    working = compute_bytes(header, context, batch or GPU_BATCHES[-1], exact)
    layers, output = layer_bytes(header)
    cell_bytes = 4 if exact else 2
    cache = [cell_bytes * context * width for width in _kv_widths(header)]
    return layers_that_fit([w + c for w, c in zip(layers, cache, strict=True)], output, free - working)


def layers_that_fit(layers: Sequence[int], output: int, room: int) -> int:
    """llama.cpp's number of GPU layers for ``room`` bytes; -1 for all of them.

    It counts the output (``output`` bytes) as the first, then the model's layers from the last one backwards.
    """
    needed = accumulate((output, *reversed(layers)))
    fitting = sum(total <= room for total in needed)
    return fitting if fitting <= len(layers) else -1
