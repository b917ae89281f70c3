"""What the scoring worker and its parent say to each other: length-prefixed pickles over two pipes."""

import pickle
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import BinaryIO, Self

import numpy as np
from numpy.typing import NDArray

from socrates_fast.errors import ScoringError
from socrates_fast.infer.predictor import AnswerDistribution, Result
from socrates_fast.prompt import Prompt

_LENGTH = struct.Struct("<Q")


@dataclass(frozen=True)
class Settings:
    """How to load a GGUF.

    Attributes:
        path: the file.
        context: tokens that the KV cache holds, over all prompts in flight; also the longest prompt.
        batch: most tokens in one decode; None to choose by a short probe.
        threads: CPU threads; None to choose by a short probe.
        gpu_layers: layers on the GPU, where llama.cpp was built with one; -1 for all, None for as many as fit.
        exact: float32 KV cache and plain attention.
        deterministic: a prompt's result does not depend on the others.
    """

    path: str
    context: int
    batch: int | None
    threads: int | None
    gpu_layers: int | None
    exact: bool
    deterministic: bool = False


@dataclass(frozen=True)
class ModelInfo:
    """What was loaded: llama.cpp's description, sizes in tokens and bytes, settings, what llama.cpp was built with."""

    description: str
    n_params: int
    n_bytes: int
    vocabulary: int
    context: int
    trained_context: int
    threads: int
    batch: int
    gpu_layers: int
    system_info: str


@dataclass(frozen=True)
class Stats:
    """Work asked for and work done.

    Attributes:
        prompts: prompts scored.
        unique: different ones among them.
        tokens_asked: tokens of every prompt plus the steps into its answer trie, as if each were alone.
        tokens_computed: tokens that llama.cpp computed.
        decode_seconds: time inside llama.cpp's decoding.
    """

    prompts: int = 0
    unique: int = 0
    tokens_asked: int = 0
    tokens_computed: int = 0
    decode_seconds: float = 0.0

    def __add__(self, other: "Stats") -> "Stats":
        return Stats(
            self.prompts + other.prompts,
            self.unique + other.unique,
            self.tokens_asked + other.tokens_asked,
            self.tokens_computed + other.tokens_computed,
            self.decode_seconds + other.decode_seconds,
        )


@dataclass(frozen=True)
class OpenOptions:
    """When the expansion of an open or very wide scale ends, for one prompt.

    Attributes:
        share: of the probability of all allowed answers, found ones over found and possible ones.
        budget: most token paths that are read.
    """

    share: float = 0.99
    budget: int = 512


@dataclass(frozen=True)
class Score:
    """A request.

    Attributes:
        prompts: what to score.
        numbers: of the prompts, by which results and messages name them; ascending.
        total: prompts of the whole job, of which these may be the rest.
        shared: share prefixes; False scores each prompt alone, as a reference.
        strict: the first prompt that cannot be scored ends the request with its error.
        open: for open scales.
    """

    prompts: tuple[Prompt, ...]
    numbers: tuple[int, ...]
    total: int
    shared: bool = True
    strict: bool = True
    open: OpenOptions = OpenOptions()


@dataclass(frozen=True)
class Draws:
    """Answers that were drawn as free text.

    Attributes:
        texts: what the model wrote, as drawn.
        answers: the integer that each text is, on the scale; None where it is none.
    """

    texts: tuple[str, ...]
    answers: tuple[int | None, ...]


@dataclass(frozen=True)
class Sample:
    """A request for answers as free text.

    Attributes:
        prompts: what to ask.
        draws: answers to each.
        temperature: of the softmax, above 0.
        top_p: the likeliest tokens that have this share together are drawn from.
        seed: of the draws; they depend on it, the prompt and their number only.
        most: tokens of an answer at most; fewer where the context ends.
        numbers: of the prompts, by which draws and messages name them; None for their places.
        total: prompts of the whole job, of which these may be some; None for their number.
        strict: the first prompt that cannot be asked ends the request with its error.
        reserve: tokens of the context that are left for what is asked after the drawn text.
    """

    prompts: tuple[Prompt, ...]
    draws: int
    temperature: float
    top_p: float
    seed: int
    most: int
    numbers: tuple[int, ...] | None = None
    total: int | None = None
    strict: bool = True
    reserve: int = 0


@dataclass(frozen=True)
class Results:
    """Results by the numbers of their prompts, in a few arrays: a message of many small ones takes longer to write and read.

    Attributes:
        numbers: of the prompts that have a distribution; n of them.
        lengths: answers of each; n of them.
        values: of all, end to end.
        probabilities: of all, end to end.
        masses: answer mass, and what is unexplored, of each; n of them.
        others: prompts without a distribution, and what they have.
    """

    numbers: tuple[int, ...] = ()
    lengths: tuple[int, ...] = ()
    values: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))
    probabilities: NDArray[np.float64] = field(default_factory=lambda: np.empty(0))
    masses: tuple[tuple[float, float], ...] = ()
    others: tuple[tuple[int, ScoringError | Draws], ...] = ()

    @classmethod
    def of(cls, results: Sequence[tuple[int, Result | Draws]]) -> Self:
        """Some results."""
        found = [(number, one) for number, one in results if isinstance(one, AnswerDistribution)]
        others = tuple((number, one) for number, one in results if not isinstance(one, AnswerDistribution))
        if not found:
            return cls(others=others)
        return cls(
            tuple(number for number, _ in found),
            tuple(len(one.values) for _, one in found),
            np.concatenate([one.values for _, one in found]),
            np.concatenate([one.probabilities for _, one in found]),
            tuple((one.answer_mass, one.unexplored) for _, one in found),
            others,
        )

    def __len__(self) -> int:
        return len(self.numbers) + len(self.others)

    def __iter__(self) -> Iterator[tuple[int, Result | Draws]]:
        start = 0
        for number, length, (mass, unexplored) in zip(self.numbers, self.lengths, self.masses, strict=True):
            part = slice(start, start + length)
            yield (
                number,
                AnswerDistribution(self.values[part], self.probabilities[part], mass, unexplored),
            )
            start += length
        yield from self.others


@dataclass(frozen=True)
class Progress:
    """How far a request is.

    Attributes:
        prompts_done: prompts whose result is known.
        prompts: prompts of the whole job.
        tokens_computed: so far.
        tokens_asked: of the whole request (see Stats).
        current: numbers (from 0) of the prompts being decoded now; of identical ones, the first.
        results: what became known since the last report, by the prompt's number.
    """

    prompts_done: int
    prompts: int
    tokens_computed: int
    tokens_asked: int
    current: tuple[int, ...]
    results: Results = Results()


@dataclass(frozen=True)
class Scored:
    """The end of a request: all results were reported."""

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
