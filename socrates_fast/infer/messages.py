"""What the scoring worker and its parent say to each other: length-prefixed pickles over two pipes."""

import pickle
import struct
from dataclasses import dataclass
from typing import BinaryIO

from socrates_fast.infer.predictor import AnswerDistribution
from socrates_fast.prompt import Prompt

_LENGTH = struct.Struct("<Q")


@dataclass(frozen=True)
class Settings:
    """How to load a GGUF.

    Attributes:
        path: the file.
        context: tokens that the KV cache holds, over all prompts in flight; also the longest prompt.
        batch: most tokens in one decode.
        threads: CPU threads.
        gpu_layers: layers on the GPU, where llama.cpp was built with one; -1 for all.
        exact: float32 KV cache and plain attention.
    """

    path: str
    context: int
    batch: int
    threads: int
    gpu_layers: int
    exact: bool


@dataclass(frozen=True)
class ModelInfo:
    """What was loaded: llama.cpp's description, sizes in tokens and bytes, and what llama.cpp was built with."""

    description: str
    n_params: int
    n_bytes: int
    vocabulary: int
    context: int
    trained_context: int
    threads: int
    system_info: str


@dataclass(frozen=True)
class Stats:
    """Work asked for and work done.

    Attributes:
        prompts: prompts scored.
        unique: different ones among them.
        tokens_asked: tokens of every prompt plus the steps into its answer trie, as if each were alone.
        tokens_computed: tokens that llama.cpp computed.
    """

    prompts: int = 0
    unique: int = 0
    tokens_asked: int = 0
    tokens_computed: int = 0

    def __add__(self, other: "Stats") -> "Stats":
        return Stats(
            self.prompts + other.prompts,
            self.unique + other.unique,
            self.tokens_asked + other.tokens_asked,
            self.tokens_computed + other.tokens_computed,
        )


@dataclass(frozen=True)
class Score:
    """A request: the prompts, and whether to share prefixes (False: each alone, the reference)."""

    prompts: tuple[Prompt, ...]
    shared: bool = True


@dataclass(frozen=True)
class Progress:
    """How far a request is.

    Attributes:
        prompts_done: prompts whose distribution is known.
        prompts: prompts in the request.
        tokens_computed: so far.
        tokens_asked: of the whole request (see Stats).
        current: numbers (from 0) of the prompts being decoded now; of identical ones, the first.
    """

    prompts_done: int
    prompts: int
    tokens_computed: int
    tokens_asked: int
    current: tuple[int, ...]


@dataclass(frozen=True)
class Scored:
    """A reply: one distribution per prompt, in order."""

    distributions: tuple[AnswerDistribution, ...]
    stats: Stats


@dataclass(frozen=True)
class Failed:
    """A reply: an error of ours by its class's name, or ("", traceback) of a bug."""

    kind: str
    message: str


def write_message(stream: BinaryIO, message: object) -> None:
    """Write one message and flush."""
    body = pickle.dumps(message, protocol=pickle.HIGHEST_PROTOCOL)
    stream.write(_LENGTH.pack(len(body)) + body)
    stream.flush()


def read_message(stream: BinaryIO) -> object | None:
    """The next message, or None when the other side has closed or died, be it in the middle of one."""
    prefix = stream.read(_LENGTH.size)
    if len(prefix) < _LENGTH.size:
        return None
    (length,) = _LENGTH.unpack(prefix)
    body = stream.read(length)
    if len(body) < length:
        return None
    message: object = pickle.loads(body)
    return message
