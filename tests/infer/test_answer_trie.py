"""The answer trie against brute force, without a model."""

import math
from collections.abc import Mapping, Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from socrates_fast.errors import ScoringError
from socrates_fast.infer.trie import AnswerTrie

VOCABULARY = 7
END = 0

answer_sets = st.lists(
    st.lists(st.integers(1, VOCABULARY - 1), min_size=1, max_size=4).map(tuple),
    min_size=1,
    max_size=12,
    unique=True,
)
Table = Mapping[tuple[int, ...], NDArray[np.float64]]


def random_table(nodes: Sequence[tuple[int, ...]], seed: int) -> Table:
    """Log probabilities of the whole vocabulary after each token path."""
    random = np.random.default_rng(seed)
    return {path: np.log(random.dirichlet(np.full(VOCABULARY, 0.5))) for path in nodes}


def brute_force(paths: Sequence[tuple[int, ...]], table: Table) -> list[float]:
    """Product of conditional probabilities, and of the end token's where another answer goes on."""
    found = []
    for path in paths:
        logs = [table[path[:depth]][token] for depth, token in enumerate(path)]
        if any(other != path and other[: len(path)] == path for other in paths):
            logs.append(table[path][END])
        found.append(math.exp(math.fsum(logs)))
    return found


@given(answer_sets, st.integers(0, 2**32 - 1))
def test_equals_brute_force_and_mass_is_at_most_one(paths: list[tuple[int, ...]], seed: int) -> None:
    trie = AnswerTrie(dict(enumerate(paths)), END)
    table = random_table(trie.nodes, seed)
    rows = [table[node][columns] for node, columns in zip(trie.nodes, trie.columns, strict=True)]
    found = np.exp(trie.log_probabilities(rows))
    np.testing.assert_allclose(found, brute_force(paths, table), rtol=1e-9)
    assert found.sum() <= 1 + 1e-9


@given(answer_sets)
def test_leaves_pass_every_node_once(paths: list[tuple[int, ...]]) -> None:
    trie = AnswerTrie(dict(enumerate(paths)), END)
    assert trie.nodes[0] == ()
    passed = [(node, leaf.path[:depth]) for leaf in trie.leaves for depth, node in leaf.nodes.items()]
    assert [node for node, _ in passed] == list(range(len(trie.nodes)))
    assert [path for _, path in passed] == trie.nodes
    assert set(trie.nodes) == {path[:depth] for path in paths for depth in range(len(path))}


def test_end_decides_only_where_an_answer_goes_on() -> None:
    trie = AnswerTrie({1: [11], 2: [12], 10: [11, 10], 100: [11, 10, 10]}, END)
    assert trie.nodes == [(), (11,), (11, 10)]
    assert [columns.tolist() for columns in trie.columns] == [[11, 12], [10, END], [10, END]]
    assert [leaf.path for leaf in trie.leaves] == [(11, 10)]
    assert trie.depth == 2


def test_single_token_answers_need_no_step() -> None:
    trie = AnswerTrie({value: [value + 10] for value in range(1, 8)}, END)
    assert trie.nodes == [()]
    assert trie.depth == 0


@pytest.mark.parametrize(
    ("answers", "words"),
    [
        ({}, "no answer"),
        ({3: []}, "no token of the answer 3"),
        ({1: [5, 6], 7: [5, 6]}, "of the answers 1 and 7"),
    ],
)
def test_refuses_what_cannot_be_told_apart(answers: dict[int, list[int]], words: str) -> None:
    with pytest.raises(ScoringError, match=words):
        AnswerTrie(answers, END)
