"""Open numeric answers (dollars, hours): the likeliest integers first, until a stated share of the mass is covered.

The canonical token paths of the integers between two bounds form a trie too large to read. It is expanded best first:
the likeliest path not yet read is read next, which settles the probability of the integer that ends there (by the end
token) and bounds that of all integers which go on from it. An integer whose tokens begin no other's within the bounds is
settled by its own last token, as in ``trie``. What was not expanded is known too: at most the probability of the paths not read.
"""

import heapq
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from socrates_fast.errors import ScoringError
from socrates_fast.infer.messages import OpenOptions
from socrates_fast.infer.predictor import AnswerDistribution
from socrates_fast.infer.trie import NOT_NUMBERS, TokenPath

AT_ONCE = 16
"""Most token paths that are read together."""

_NUMERAL = re.compile(r"-?[0-9]*")
_INTEGER = re.compile(r"0|-?[1-9][0-9]*")


@dataclass(frozen=True)
class Child:
    """A token path one token longer: where its probability is read, the text so far, and what it is.

    Attributes:
        path: token ids after the prompt.
        column: its place among the columns.
        value: the integer that the text is, if that is within the bounds.
        goes_on: whether longer integers within the bounds begin with the text, be it with other tokens.
    """

    path: TokenPath
    column: int
    value: int | None
    goes_on: bool


class Numerals:
    """The integers from ``low`` to ``high`` as token paths of one tokenizer.

    Args:
        low: smallest integer.
        high: largest integer.
        texts: of all tokens that hold nothing but digits or a minus sign, by id.
        tokenize: a text to token ids.
        end_id: the token that ends an answer.

    Raises:
        ScoringError: there is no such token, or no integer between the bounds.
    """

    def __init__(
        self,
        low: int,
        high: int,
        texts: Mapping[int, str],
        tokenize: Callable[[str], Sequence[int]],
        end_id: int,
    ) -> None:
        if low > high:
            raise ScoringError(f"the scale allows no answer at all ({low} to {high})")
        self._low, self._high, self._tokenize = low, high, tokenize
        # What stands before every number: the space that some tokenizers put before each text.
        self.lead = _common_start([tuple(tokenize(str(digit))) for digit in (1, 5, 7)])
        self._texts = dict(texts)
        self._longest = max(len(str(low)), len(str(high)))
        self._by_length = sorted((len(text), token, text) for token, text in self._texts.items())
        if not self._texts:
            raise ScoringError("the vocabulary has no tokens of digits")
        self.columns: NDArray[np.int64] = np.array(
            [*sorted({*self._texts, *self.lead}), end_id], dtype=np.int64
        )
        """Token ids that are read after each path; the last is the end token."""
        self.children = lru_cache(maxsize=4096)(self._children)
        """The paths one token longer than one, of numerals that lead to allowed integers."""

    def text(self, path: TokenPath) -> str:
        """The numeral so far."""
        return "".join(self._texts[token] for token in path[len(self.lead) :])

    def _children(self, path: TokenPath) -> list[Child]:
        if len(path) < len(self.lead):
            token = self.lead[len(path)]
            return [Child((*path, token), self._column(token), None, True)]
        text, found = self.text(path), []
        for length, token, more in self._by_length:
            if len(text) + length > self._longest:
                break
            value, goes_on = self._meaning(text + more)
            # Of all ways to write a number in tokens the tokenizer knows one; a model was trained on no other.
            if (value is not None or goes_on) and self._is_canonical((*path, token), text + more):
                found.append(Child((*path, token), self._column(token), value, goes_on))
        return found

    def _is_canonical(self, path: TokenPath, text: str) -> bool:
        return tuple(self._tokenize(text)) == path

    def _column(self, token: int) -> int:
        return int(np.searchsorted(self.columns[:-1], token))

    def _meaning(self, text: str) -> tuple[int | None, bool]:
        """The integer within the bounds that a numeral is, if any, and whether longer ones within them begin with it."""
        if text == "-":
            return None, self._low < 0
        if not _INTEGER.fullmatch(text):
            return None, False
        number = int(text)
        value = number if self._low <= number <= self._high else None
        return value, number != 0 and self._continued(number)

    def _continued(self, number: int) -> bool:
        """Whether some integer within the bounds is ``number`` with digits after it."""
        low, high = (self._low, self._high) if number > 0 else (-self._high, -self._low)
        first = last = abs(number)
        while first <= high:
            first, last = first * 10, last * 10 + 9
            if first <= high and last >= low:
                return True
        return False


def _common_start(paths: Sequence[TokenPath]) -> TokenPath:
    shortest = min(map(len, paths))
    same = [len({path[at] for path in paths}) == 1 for at in range(shortest)]
    return paths[0][: same.index(False) if False in same else shortest]


class Expansion:
    """The expansion of one prompt's answers.

    Args:
        numerals: the allowed integers.
        options: when to stop.
    """

    def __init__(self, numerals: Numerals, options: OpenOptions) -> None:
        self._numerals, self._options = numerals, options
        self._frontier: list[tuple[float, TokenPath]] = [
            (0.0, ())
        ]  # minus the log probability of reaching it
        self._found: dict[int, float] = {}
        self._values: dict[TokenPath, int] = {}  # of paths that are integers and go on
        self._read = 0

    @property
    def found(self) -> float:
        """Probability of the integers that are settled."""
        return float(sum(self._found.values()))

    @property
    def possible(self) -> float:
        """Most probability of those that are not."""
        return float(sum(np.exp(-cost) for cost, _ in self._frontier))

    def next_paths(self) -> dict[TokenPath, float]:
        """The token paths to read next with their log probabilities; none when enough is known."""
        chosen: dict[TokenPath, float] = {}
        most = min(AT_ONCE, self._options.budget - self._read)
        possible = self.possible
        enough = (1 - self._options.share) * (self.found + possible)
        while self._frontier and len(chosen) < most and possible > enough:
            cost, path = heapq.heappop(self._frontier)
            possible -= float(np.exp(-cost))
            if self._numerals.children(path):
                chosen[path] = -cost
            elif path in self._values:  # longer integers have other tokens: 12 beside 123
                self._found[self._values[path]] = float(np.exp(-cost))
        self._read += len(chosen)
        return chosen

    def take(self, path: TokenPath, reach: float, logs: NDArray[np.float64]) -> None:
        """Account for what was read after ``path``.

        Args:
            path: one of ``next_paths``.
            reach: its log probability.
            logs: log probabilities of the numerals' columns after it.

        Raises:
            ScoringError: they are not numbers.
        """
        if np.isnan(logs).any():
            raise ScoringError(NOT_NUMBERS)
        if path in self._values:
            self._found[self._values[path]] = float(np.exp(reach + logs[-1]))
        for child in self._numerals.children(path):
            log = reach + float(logs[child.column])
            if not child.goes_on and child.value is not None:
                self._found[child.value] = float(np.exp(log))
            elif log > -np.inf:
                heapq.heappush(self._frontier, (-log, child.path))
                if child.value is not None:
                    self._values[child.path] = child.value

    def distribution(self, values: Sequence[int] | None) -> AnswerDistribution:
        """What was found.

        Args:
            values: all allowed answers of a closed scale, of which those not found get no probability; None gives
                those found, ascending.

        Raises:
            ScoringError: nothing was.
        """
        mass = self.found
        if not mass > 0:
            raise ScoringError(
                f"none of the {self._read} likeliest beginnings of an answer is a number with any probability"
            )
        chosen = np.array(sorted(self._found) if values is None else values, dtype=np.int64)
        weights = np.array([self._found.get(value, 0.0) for value in chosen.tolist()])
        return AnswerDistribution(chosen, weights / mass, min(mass, 1.0), self.possible)


def is_numeral(text: str) -> bool:
    """Whether a token's text can be part of an integer: digits, a minus sign, or one before digits."""
    return bool(text) and _NUMERAL.fullmatch(text) is not None
