"""The answer trie: exact probabilities of all allowed answers from a few rows of next-token probabilities.

Each allowed answer is a path of tokens; the paths form a trie. The probability of an answer is the product of
its tokens' conditional probabilities (softmax over the whole vocabulary), times P(end token | prompt, answer)
only where the answer is a proper prefix of another allowed answer: 1 beside 10 and 100. An answer that no
other continues is decided by its own last token. The answer mass is the sum over the scale, before
renormalising.

A *node* here is an internal node of the trie: a token path (the root's is empty) after which something must be
read, namely the probabilities of its children and, where the path itself is an answer, of the end token.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from socrates_fast.errors import ScoringError
from socrates_fast.infer.predictor import AnswerDistribution

TokenPath = tuple[int, ...]


@dataclass(frozen=True)
class Leaf:
    """A longest node: decoding its path after the prompt passes every node above it.

    Attributes:
        path: token ids after the prompt; () if all answers have one token.
        nodes: the nodes to read on the way that no earlier leaf passed: depth (0 after the prompt's last
            token) to node number.
    """

    path: TokenPath
    nodes: dict[int, int]


class AnswerTrie:
    """The trie of a scale's answers under one tokenizer.

    Args:
        answers: token ids of each allowed answer, by its value; the order is kept.
        end_id: the token that ends an answer.

    Raises:
        ScoringError: there is no answer, an answer has no tokens, or two have the same ones.
    """

    def __init__(self, answers: Mapping[int, Sequence[int]], end_id: int) -> None:
        self.values: NDArray[np.int64] = np.array(list(answers), dtype=np.int64)
        paths = _checked_paths(answers)
        self.nodes: list[TokenPath] = sorted({path[:depth] for path in paths for depth in range(len(path))})
        """Token paths of the nodes, parents before children; the root is number 0."""
        self._number = {path: number for number, path in enumerate(self.nodes)}
        self.columns = self._read_columns(paths, end_id)
        """Per node, the token ids whose probability decides: children ascending, then the end token."""
        self.leaves = self._find_leaves()
        self._factors = self._find_factors(paths)

    @property
    def depth(self) -> int:
        """Most tokens that are decoded after the prompt on one path."""
        return max(len(leaf.path) for leaf in self.leaves)

    def _read_columns(self, paths: Sequence[TokenPath], end_id: int) -> list[NDArray[np.int64]]:
        children: list[set[int]] = [set() for _ in self.nodes]
        for path in paths:
            for depth, token in enumerate(path):
                children[self._number[path[:depth]]].add(token)
        columns = [sorted(tokens) for tokens in children]
        for path in paths:
            if path in self._number:  # an answer that another one continues
                columns[self._number[path]].append(end_id)
        return [np.array(tokens, dtype=np.int64) for tokens in columns]

    def _find_leaves(self) -> list[Leaf]:
        leaves = []
        pending: dict[int, int] = {}
        for number, path in enumerate(self.nodes):
            pending[len(path)] = number
            following = self.nodes[number + 1] if number + 1 < len(self.nodes) else ()
            if len(following) <= len(path) or following[: len(path)] != path:
                leaves.append(Leaf(path, pending))
                pending = {}
        return leaves

    def _find_factors(self, paths: Sequence[TokenPath]) -> NDArray[np.int64]:
        """Per answer, where its factors stand in the nodes' rows put end to end; (k, most factors).

        Shorter lines are filled up with the number of all entries, where ``log_probabilities`` puts a zero.
        """
        starts = np.cumsum([0, *map(len, self.columns)]).tolist()
        place = {
            (*self.nodes[node], token): starts[node] + column
            for node, columns in enumerate(self.columns)
            for column, token in enumerate(columns.tolist())
        }
        factors = []
        for path in paths:
            line = [place[path[: depth + 1]] for depth in range(len(path))]
            node = self._number.get(path)
            factors.append(line if node is None else [*line, starts[node + 1] - 1])
        longest = max(map(len, factors))
        return np.array([line + [starts[-1]] * (longest - len(line)) for line in factors], dtype=np.int64)

    def log_probabilities(self, rows: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
        """Natural logarithms of the answers' probabilities, not renormalised; shape (k,), order of ``values``.

        Args:
            rows: per node, log probabilities of its ``columns`` given the prompt and the node's path.
        """
        entries = np.concatenate([*rows, _ZERO])
        if self._factors.shape[1] == 1:
            return entries[self._factors[:, 0]]
        found: NDArray[np.float64] = entries[self._factors].sum(axis=1)
        return found


_ZERO = np.zeros(1)
NOT_NUMBERS = "the model's probabilities are not numbers (NaN); the file is damaged, or its type or the backend's overflows"


def normalised(values: NDArray[np.int64], logs: NDArray[np.float64]) -> AnswerDistribution:
    """The distribution over ``values``, (k,), from log probabilities whose sum is the answer mass.

    Raises:
        ScoringError: the mass is zero or not a number.
    """
    highest = float(logs.max())
    if not math.isfinite(highest):
        raise ScoringError(
            "the model gives no probability at all to any answer on the scale"
            if highest == -math.inf
            else NOT_NUMBERS
        )
    weights = np.exp(logs - highest)
    total = float(weights.sum())
    weights /= total
    return AnswerDistribution(values, weights, min(total * math.exp(highest), 1.0))


def _checked_paths(answers: Mapping[int, Sequence[int]]) -> list[TokenPath]:
    if not answers:
        raise ScoringError("the scale allows no answer at all")
    owner: dict[TokenPath, int] = {}
    for value, ids in answers.items():
        path = tuple(ids)
        if not path:
            raise ScoringError(f"the tokenizer makes no token of the answer {value}")
        if path in owner:
            raise ScoringError(
                f"the tokenizer makes the same tokens {list(path)} of the answers {owner[path]} and "
                f"{value}, so that their probabilities cannot be told apart"
            )
        owner[path] = value
    return list(owner)
