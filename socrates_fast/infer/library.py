"""A loaded GGUF and a context over it: what the scorer needs of llama.cpp; used inside the worker only.

Several misuses make llama.cpp abort the process (more tokens or more output rows than reserved, among others):
they are checked here.
"""

import ctypes
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from socrates_fast.errors import ModelError, ScoringError
from socrates_fast.infer.bindings import Batch, bindings, log
from socrates_fast.infer.devices import offload_devices
from socrates_fast.infer.header import read_header
from socrates_fast.infer.memory import fit_gpu_layers, sequences
from socrates_fast.infer.messages import ModelInfo, Settings
from socrates_fast.infer.plan import Limits
from socrates_fast.infer.probe import Choice, choose

_TYPE_F32 = 0
_ENTRIES_AT_ONCE = 2**17
"""Logits whose softmax is computed at once: as many as a processor's cache holds."""


class LlamaModel:
    """A GGUF and one context over it.

    Raises:
        ModelError: llama.cpp refuses the file, or it lacks a chat template.
    """

    def __init__(self, settings: Settings) -> None:
        self._llama = bindings()
        self._log = log()
        self.path = settings.path
        layers = settings.gpu_layers
        if layers is None:
            layers = fit_gpu_layers(
                self._llama, read_header(Path(self.path)), settings.context, settings.batch, settings.exact
            )
        self._model = self._load(layers)
        self._vocab = self._llama.llama_model_get_vocab(self._model)
        chosen = choose(
            self._llama, self._model, settings.context, settings.threads, settings.batch,
            gpu=layers != 0 and bool(offload_devices(self._llama)),
        )  # fmt: skip
        self._context = self._open(settings, chosen)
        self._memory = self._llama.llama_get_memory(self._context)
        self.limits = Limits(
            sequences=self._sequences(chosen.batch),
            cells=settings.context,
            batch=int(self._llama.llama_n_batch(self._context)),
            outputs=self._sequences(chosen.batch),
        )
        self._batch, self._spare = (Batch(self.limits.batch, self.limits.sequences) for _ in range(2))
        self.info = self._describe(settings, chosen, layers)
        self.seconds = 0.0
        """Time spent in llama.cpp's decoding and its memory so far."""

    def _load(self, gpu_layers: int) -> int:
        params = self._llama.llama_model_default_params()
        params.n_gpu_layers = gpu_layers
        model = self._llama.llama_model_load_from_file(self.path.encode(), params)
        if not model:
            raise ModelError(f"{self.path}: llama.cpp cannot load it: {self._log.take()}")
        return int(model)

    def _open(self, settings: Settings, chosen: Choice) -> int:
        params = self._llama.llama_context_default_params()
        params.n_ctx = settings.context
        params.n_batch = params.n_ubatch = min(chosen.batch, settings.context)
        params.n_seq_max = params.n_outputs_max = self._sequences(chosen.batch)
        params.n_threads = params.n_threads_batch = chosen.threads
        params.kv_unified = True  # sequences share cells, so that copying a prefix costs no memory
        if settings.exact:
            params.type_k = params.type_v = _TYPE_F32
            params.flash_attn_type = self._llama.LLAMA_FLASH_ATTN_TYPE_DISABLED
        context = self._llama.llama_init_from_model(self._model, params)
        if not context:
            raise ModelError(
                f"{settings.path}: llama.cpp cannot open a context of {settings.context} tokens: "
                f"{self._log.take()}. If memory is short, ask for a smaller context."
            )
        return int(context)

    def _sequences(self, batch: int) -> int:
        return sequences(batch, int(self._llama.llama_vocab_n_tokens(self._vocab)))

    def _describe(self, settings: Settings, chosen: Choice, gpu_layers: int) -> ModelInfo:
        text = ctypes.create_string_buffer(256)
        self._llama.llama_model_desc(self._model, text, len(text))
        return ModelInfo(
            description=text.value.decode("utf-8", "replace"),
            n_params=int(self._llama.llama_model_n_params(self._model)),
            n_bytes=int(self._llama.llama_model_size(self._model)),
            vocabulary=int(self._llama.llama_vocab_n_tokens(self._vocab)),
            context=settings.context,
            trained_context=int(self._llama.llama_model_n_ctx_train(self._model)),
            threads=chosen.threads,
            batch=self.limits.batch,
            gpu_layers=gpu_layers,
            system_info=self._llama.llama_print_system_info().decode().strip(" |"),
        )

    def metadata(self, key: str) -> str | None:
        """A scalar or string of the GGUF's metadata as text, or None."""
        size = 256
        while True:
            text = ctypes.create_string_buffer(size)
            needed = self._llama.llama_model_meta_val_str(self._model, key.encode(), text, size)
            if needed < size:
                return text.value.decode("utf-8") if needed >= 0 else None
            size = needed + 1

    @property
    def chat_template(self) -> str:
        """The Jinja chat template."""
        template = self.metadata("tokenizer.chat_template")
        if not template:
            raise ModelError(
                f"{self.path}: it holds no chat template (tokenizer.chat_template), so prompts cannot be "
                "written as the model knows them; export it from an instruct model's folder"
            )
        return template

    @property
    def template_variables(self) -> dict[str, str]:
        """``bos_token`` and ``eos_token`` as text, "" where the file names none."""
        return {f"{role}_token": self._token_text(role) for role in ("bos", "eos")}

    def _token_text(self, role: str) -> str:
        # Asked of the metadata: where the file is silent, llama.cpp invents an id.
        number = self.metadata(f"tokenizer.ggml.{role}_token_id")
        if number is None:
            return ""
        return str(self._llama.llama_vocab_get_text(self._vocab, int(number)).decode("utf-8"))

    def tokenize(self, text: str, special: bool) -> list[int]:
        """Ids of ``text`` without BOS or EOS; control tokens in it are recognised only if ``special``."""
        data = text.encode("utf-8")
        capacity = len(data) + 8
        while True:
            ids = (ctypes.c_int32 * capacity)()
            count = self._llama.llama_tokenize(self._vocab, data, len(data), ids, capacity, False, special)
            if count >= 0:
                return ids[:count]
            capacity = -count

    def text(self, tokens: Sequence[int]) -> str:
        """The text of some tokens."""
        ids = (ctypes.c_int32 * max(1, len(tokens)))(*tokens)
        capacity = 64
        while True:
            data = ctypes.create_string_buffer(capacity)
            count = self._llama.llama_detokenize(self._vocab, ids, len(tokens), data, capacity, False, False)
            if count >= 0:
                return data.raw[:count].decode("utf-8", "replace")
            capacity = -count

    def token_texts(self) -> Iterator[tuple[int, str]]:
        """All tokens with their text as the vocabulary has it."""
        for token in range(self.info.vocabulary):
            text = self._llama.llama_vocab_get_text(self._vocab, token)
            yield token, text.decode("utf-8", "replace")

    def ends_answer(self, token: int) -> bool:
        """Whether the model ends what it says with this token."""
        return bool(self._llama.llama_vocab_is_eog(self._vocab, token))

    @contextmanager
    def _timed(self) -> Iterator[None]:
        started = perf_counter()
        yield
        self.seconds += perf_counter() - started

    def keep(self, sequence: int, length: int) -> None:
        """Forget everything but the first ``length`` tokens of ``sequence``, which becomes sequence 0."""
        with self._timed():
            if length == 0:
                self._llama.llama_memory_clear(self._memory, False)
                return
            self._llama.llama_memory_seq_keep(self._memory, sequence)
            if not self._llama.llama_memory_seq_rm(self._memory, sequence, length, -1):
                raise ScoringError(f"{self.path}: this architecture's memory cannot share prefixes")
            if sequence:
                self._llama.llama_memory_seq_cp(self._memory, sequence, 0, 0, length)
                self._llama.llama_memory_seq_rm(self._memory, sequence, -1, -1)

    def copy(self, sequence: int, length: int) -> None:
        """Let ``sequence`` begin with the first ``length`` tokens of sequence 0."""
        self._llama.llama_memory_seq_cp(self._memory, 0, sequence, 0, length)

    def prepare(
        self,
        tokens: NDArray[np.int32],
        positions: NDArray[np.int32],
        first: NDArray[np.int32],
        last: NDArray[np.int32],
        wanted: list[int],
    ) -> Any:
        """A batch for ``decode``; of those that were prepared the last two are good.

        Args:
            tokens: ids; (n,).
            positions: of the tokens in their sequences; (n,).
            first: first sequence that a token belongs to; (n,).
            last: last such sequence; (n,).
            wanted: the tokens (numbers below n) whose next-token logits will be read.
        """
        count = len(tokens)
        if count > self.limits.batch or len(wanted) > self.limits.outputs:
            raise ValueError(f"{count} tokens, {len(wanted)} outputs exceed {self.limits}")
        batch, self._spare = self._spare, self._batch
        self._batch = batch
        batch.token[:count] = tokens
        batch.position[:count] = positions
        batch.owners[:count] = owners = last - first + 1
        most = int(owners.max())
        batch.sequence[:count, :most] = first[:, None] + np.arange(most, dtype=np.int32)
        batch.wanted[:count] = 0
        batch.wanted[wanted] = 1
        return batch.view(count)

    def decode(self, batch: Any) -> None:
        """Compute a prepared batch's tokens; what they attend to is in the cache or among them.

        Raises:
            ScoringError: llama.cpp refuses.
        """
        with self._timed():
            status = self._llama.llama_decode(self._context, batch)
            self._llama.llama_synchronize(self._context)
        if status != 0:
            raise ScoringError(f"llama_decode failed with code {status}: {self._log.take()}")

    def logits(self, count: int) -> NDArray[np.float32]:
        """The logits after the ``count`` wanted tokens of the last decode, as a copy; (count, V)."""
        if not count:
            return np.empty((0, self.info.vocabulary), np.float32)
        pointer = self._llama.llama_get_logits(self._context)
        return np.ctypeslib.as_array(pointer, (count, self.info.vocabulary)).copy()


def log_softmax(
    rows: NDArray[np.float32], columns: Sequence[NDArray[np.int64] | None]
) -> list[NDArray[np.float64]]:
    """Log-softmax of rows of logits, (r, V), each at its columns, (c,), or at all; NaN where a row holds NaN or +inf.

    The rows are overwritten: the memory is as large as the vocabulary is.
    """
    picked = [
        (row if wanted is None else row[wanted]).astype(np.float64)
        for row, wanted in zip(rows, columns, strict=True)
    ]
    at_once = max(1, _ENTRIES_AT_ONCE // rows.shape[1])
    with np.errstate(invalid="ignore"):  # inf - inf: the NaN is reported with the prompt's number
        shifts = [_log_sums(rows[start : start + at_once]) for start in range(0, len(rows), at_once)]
        return [row - shift for row, shift in zip(picked, np.concatenate(shifts), strict=True)]


def _log_sums(rows: NDArray[np.float32]) -> NDArray[np.float64]:
    """Logarithms of the sums of the exponentials of some rows, which are overwritten; (r,)."""
    highest = rows.max(axis=1)
    rows -= highest[:, None]
    total = np.exp(rows, out=rows).sum(axis=1)
    found: NDArray[np.float64] = np.log(total.astype(np.float64)) + highest
    return found
