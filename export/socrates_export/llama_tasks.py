"""What the child process does with llama.cpp: tokenize, compute logits.

Only ``child`` runs these. Whatever makes llama.cpp abort (more tokens than ``n_batch``, more outputs than
``n_outputs_max``) is sized here from the input.
"""

import ctypes
import json
import sys
from collections.abc import Iterator, Sequence, Set
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from socrates_fast.errors import ExportError

_WARN, _CONTINUED = 3, 5  # ggml: 1 debug, 2 info, 3 warning, 4 error, 5 continues the last message
_GGML_TYPE_F32 = 0
_callbacks: list[Any] = []  # ctypes callbacks must outlive their use


def _start() -> None:
    """Send llama.cpp's warnings and errors to stderr; drop the rest."""
    from llama_cpp import llama_cpp as api

    level = 0

    def log(new_level: int, text: bytes, _: ctypes.c_void_p) -> None:
        nonlocal level
        level = level if new_level == _CONTINUED else new_level
        message = text.decode("utf-8", "replace")
        if level >= _WARN:
            sys.stderr.write(message)
            sys.stderr.flush()

    _callbacks.append(api.llama_log_callback(log))
    api.llama_log_set(_callbacks[-1], ctypes.c_void_p(0))
    api.llama_backend_init()


@contextmanager
def loaded_model(model: str, vocab_only: bool, gpu: bool = False) -> Iterator[Any]:
    """A loaded GGUF: its vocabulary alone or all of it, on the CPU or where llama.cpp was built for."""
    from llama_cpp import llama_cpp as api

    _start()
    params = api.llama_model_default_params()
    params.vocab_only = vocab_only
    params.n_gpu_layers = -1 if gpu else 0
    # Repacked weights use other kernels, and other rounding, than the file's own type.
    params.use_extra_bufts = False
    loaded = api.llama_model_load_from_file(model.encode(), params)
    if not loaded:
        raise ExportError(f"llama.cpp cannot load {model}")
    try:
        yield loaded
    finally:
        api.llama_model_free(loaded)


def tokenize(model: str, cases: Sequence[tuple[str, bool]], out: str) -> None:
    """Write to ``out`` (JSON) the token ids of each (text, parse special) and the vocabulary's facts."""
    from llama_cpp import llama_cpp as api

    with loaded_model(model, vocab_only=True) as loaded:
        vocab = api.llama_model_get_vocab(loaded)
        size = api.llama_vocab_n_tokens(vocab)
        template = api.llama_model_chat_template(loaded, None)
        facts = {
            "ids": [_token_ids(vocab, text, special) for text, special in cases],
            "size": size,
            "eos": api.llama_vocab_eos(vocab),
            "eot": api.llama_vocab_eot(vocab),
            "bos": api.llama_vocab_bos(vocab),
            "pad": api.llama_vocab_pad(vocab),
            "add_bos": api.llama_vocab_get_add_bos(vocab),
            "add_eos": api.llama_vocab_get_add_eos(vocab),
            "ends": [token for token in range(size) if api.llama_vocab_is_eog(vocab, token)],
            "chat_template": template.decode("utf-8") if template else None,
        }
    Path(out).write_text(json.dumps(facts), encoding="utf-8")


def _token_ids(vocab: Any, text: str, special: bool) -> list[int]:
    from llama_cpp import llama_cpp as api

    raw = text.encode("utf-8")
    buffer = (api.llama_token * (len(raw) + 8))()
    count = api.llama_tokenize(vocab, raw, len(raw), buffer, len(buffer), False, special)
    if count < 0:
        raise ExportError(f"{text!r} has {-count} tokens, more than it has bytes")
    return list(buffer[:count])


def logits(
    model: str,
    sequences: Sequence[Sequence[int]],
    positions: Sequence[Sequence[int]],
    out: str,
    lora: str | None = None,
) -> None:
    """Write to ``out`` (npz, keys "0", "1", ...) each sequence's logits at its ``positions``.

    Each array is float32, shape (positions, vocabulary). Keys, values and attention are computed in float32. A LoRA
    GGUF, ``lora``, is applied to the model.
    """
    from llama_cpp import llama_cpp as api

    longest = max(len(sequence) for sequence in sequences)
    params = api.llama_context_default_params()
    params.n_ctx = params.n_batch = longest
    params.n_ubatch = min(512, longest)
    params.n_outputs_max = max(len(wanted) for wanted in positions)
    params.flash_attn_type = 0  # LLAMA_FLASH_ATTN_TYPE_DISABLED
    params.type_k = params.type_v = _GGML_TYPE_F32
    params.op_offload = params.offload_kqv = False
    with loaded_model(model, vocab_only=False) as loaded:
        context = api.llama_init_from_model(loaded, params)
        if not context:
            raise ExportError(f"llama.cpp cannot make a context of {longest} tokens for {model}")
        if lora is not None:
            _apply(loaded, context, lora)
        width = api.llama_vocab_n_tokens(api.llama_model_get_vocab(loaded))
        arrays = {
            str(index): _logits(context, sequence, wanted, width)
            for index, (sequence, wanted) in enumerate(zip(sequences, positions, strict=True))
        }
        api.llama_free(context)
    np.savez(out, allow_pickle=False, **arrays)


def _apply(loaded: Any, context: Any, lora: str) -> None:
    """Apply a LoRA GGUF to a model in its ``context``; it is freed with the model."""
    from llama_cpp import llama_cpp as api

    adapter = api.llama_adapter_lora_init(loaded, lora.encode())
    if not adapter:
        raise ExportError(f"llama.cpp cannot apply {lora} to this model")
    adapters = (api.llama_adapter_lora_p_ctypes * 1)(adapter)
    if api.llama_set_adapters_lora(context, adapters, 1, (ctypes.c_float * 1)(1.0)) != 0:
        raise ExportError(f"llama.cpp refused {lora}")


def decode(context: Any, sequence: Sequence[int], wanted: Set[int]) -> None:
    """Decode one sequence from an empty memory; logits are computed at the positions in ``wanted``.

    Raises:
        ExportError: llama.cpp refuses.
    """
    from llama_cpp import llama_cpp as api

    api.llama_memory_clear(api.llama_get_memory(context), True)
    batch = api.llama_batch_init(len(sequence), 0, 1)
    batch.n_tokens = len(sequence)
    for position, token in enumerate(sequence):
        batch.token[position] = token
        batch.pos[position] = position
        batch.n_seq_id[position] = 1
        batch.seq_id[position][0] = 0
        batch.logits[position] = position in wanted
    code = api.llama_decode(context, batch)
    api.llama_batch_free(batch)
    if code != 0:
        raise ExportError(f"llama_decode returned {code} on {len(sequence)} tokens")


def _logits(
    context: Any, sequence: Sequence[int], positions: Sequence[int], width: int
) -> NDArray[np.float32]:
    from llama_cpp import llama_cpp as api

    decode(context, sequence, set(positions))
    rows = [api.llama_get_logits_ith(context, position) for position in positions]
    # The pointers are valid only until the next decode.
    return np.stack([np.ctypeslib.as_array(row, (width,)) for row in rows])
