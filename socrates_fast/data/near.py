"""Stimuli on two sides of a split that are nearly the same text: what was held out by name, but not by content.

Two texts are compared as sets of *shingles*, runs of three words in a row: the Jaccard similarity is the share of their
shingles that both have. Single words would make any two questionnaires alike, since all are made of the same few hundred;
longer runs would punish one changed word too much. In a text of 100 words one changed word costs three shingles and leaves
0.94, five scattered ones 0.73; in a question of 12 words one leaves 0.54. Before that, case, punctuation, quotes and spaces are
evened out, and the answer instruction ("Only return an integer from 1 to 7, ... nothing else.") is cut, for it is the same in
thousands of short stimuli that have nothing else in common. Numbers stay: an amount is often all that an arm changes.

MinHash (Broder 1997) shortens each set to 128 numbers, of which two texts share as large a part, in expectation, as of their
shingles; all texts of the one side are compared with all of the other by these, and those that come near enough are compared
by their shingles. So what is named is exact, and what is missed is what MinHash underestimates by more than ``MARGIN``.
"""

import hashlib
import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from socrates_fast.data.columns import CELL
from socrates_fast.data.instructions import instruction_of

SHINGLE = 3
"""Words of a shingle."""
PERMUTATIONS = 128
MARGIN = 0.12
"""How far below the threshold an estimate may lie. With a threshold of 0.8 this misses one in 1,000 pairs of 0.8 exactly, and none
in a billion of 0.9."""
MOST_TEXTS = 20_000
"""Texts that are looked at: of each cell and side one, then of each a second, and so on, chosen by hash."""
MOST_WITHIN = 20
"""Pairs of one study that are named."""
SHOWN = 160
"""Characters of a text that are shown."""

_ENDS = re.compile(r"\bnothing else\b", re.IGNORECASE)
_WORD = re.compile(r"[^\W_]+(?:'[^\W_]+)*")
_QUOTES = str.maketrans({"\u2018": "'", "\u2019": "'", "\u02bc": "'"})
_BLOCK, _ROWS = 256, 4096


@dataclass(frozen=True)
class NearDuplicates:
    """Pairs of stimuli, one that trains (or validates) and one that tests, that are nearly the same.

    Attributes:
        threshold: Jaccard similarity from which a pair counts.
        texts: distinct texts by cell and side that there are.
        looked_at: how many of them were compared.
        per_cell: at most so many of a cell and side were among these.
        pairs: the most similar pairs across different studies. Columns: ``study_id``, ``condition_num``, ``task_num``,
            ``side`` of the first text that trains or validates and of the cells on its side that have it ``cells``, the
            number; the same with ``test_`` before; ``jaccard``, exact; ``estimate``, MinHash's; ``text`` and ``test_text``,
            the beginnings. Most similar first.
        count: pairs across different studies in all.
        within: the same of pairs inside one study, where arms and questions are alike by design.
        count_within: how many there are.
    """

    threshold: float
    texts: int
    looked_at: int
    per_cell: int
    pairs: pl.DataFrame
    count: int
    within: pl.DataFrame
    count_within: int

    @property
    def beyond(self) -> int:
        """Pairs across studies that are not named."""
        return self.count - self.pairs.height

    def as_json(self) -> dict[str, Any]:
        """All of it, for the data card."""
        return {
            "threshold": self.threshold, "texts": self.texts, "looked_at": self.looked_at,
            "per_cell": self.per_cell, "count": self.count, "beyond": self.beyond, "pairs": self.pairs.to_dicts(),
            "count_within": self.count_within, "within": self.within.to_dicts(),
        }  # fmt: skip


def words(stimulus: str) -> list[str]:
    """The words that are compared: lower case, without punctuation and without the answer instruction.

    A stimulus that is nothing but an instruction keeps it.
    """
    instruction = instruction_of(stimulus) or ""
    ends = _ENDS.search(instruction)
    rest = stimulus[: len(stimulus) - len(instruction)] + (instruction[ends.end() :] if ends else "")
    return _words(rest) or _words(stimulus)


def _words(text: str) -> list[str]:
    return _WORD.findall(unicodedata.normalize("NFKC", text).translate(_QUOTES).casefold())


class _Shingler:
    """Texts to sets of shingles, each a number of 64 bits made of the hashes of its words."""

    def __init__(self) -> None:
        self._hashes: dict[str, int] = {}

    def _hash(self, word: str) -> int:
        found = self._hashes.get(word)
        if found is None:
            digest = hashlib.blake2b(word.encode("utf-8", "replace"), digest_size=8).digest()
            found = self._hashes[word] = int.from_bytes(digest, "little")
        return found

    def __call__(self, found: list[str]) -> NDArray[np.uint64]:
        """The distinct shingles in ascending order; a text of fewer words than a shingle is one."""
        padded = found + [""] * (SHINGLE - len(found))
        hashes = np.array([self._hash(word) for word in padded], np.uint64)
        count = len(hashes) - SHINGLE + 1
        # An odd multiplier keeps all 64 bits, and makes the order of the words count.
        shingles = np.zeros(count, np.uint64)
        for place in range(SHINGLE):
            shingles = shingles * np.uint64(0x9E3779B97F4A7C15) + hashes[place : place + count]
        return np.unique(shingles)


def near_duplicates(stimuli: pl.DataFrame, threshold: float, most: int = 200) -> NearDuplicates:
    """Pairs of texts of at least ``threshold`` similarity, one on the test side, one on another.

    For splits by condition, task, study and by mapping; where people are held out, every text is on all sides.

    Args:
        stimuli: ``schema.CELL``, ``side`` and ``stimuli``, distinct, shape (n,); order does not matter.
        threshold: Jaccard similarity of the shingles, in (0, 1].
        most: pairs across studies that are named.
    """
    chosen, per_cell = _chosen(stimuli)
    texts = _distinct(chosen)
    shingler = _Shingler()
    sets = [shingler(found.split(" ")) for found in texts["words"]]
    tests = np.flatnonzero((texts["side"] == "test").to_numpy())
    others = np.flatnonzero((texts["side"] != "test").to_numpy())
    study = texts["study_id"].rank("dense").to_numpy()
    across, within = _Closest(most), _Closest(MOST_WITHIN)
    for found in _pairs(sets, others, tests, threshold):
        same = study[found[:, 0].astype(int)] == study[found[:, 1].astype(int)]
        across.add(found[~same])
        within.add(found[same])
    return NearDuplicates(
        threshold, stimuli.height, chosen.height, per_cell,
        _named(texts, across), across.count, _named(texts, within), within.count,
    )  # fmt: skip


def _chosen(stimuli: pl.DataFrame) -> tuple[pl.DataFrame, int]:
    """At most ``MOST_TEXTS`` rows, as many of each cell and side as of any other, and how many that is at most."""
    rows = stimuli.select(pl.col("study_id", "side", "stimuli").cast(pl.String), *CELL[1:]).drop_nulls()
    if rows.height > MOST_TEXTS:
        digests = [
            hashlib.blake2b(text.encode("utf-8", "replace"), digest_size=8).digest()
            for text in rows["stimuli"]
        ]
        place = pl.Series(np.frombuffer(b"".join(digests), ">u8").astype(np.uint64))
        rows = rows.with_columns(place=place)
        rows = rows.with_columns(turn=pl.col("place").rank("ordinal").over(*CELL, "side"))
        rows = rows.sort("turn", "place", *CELL, "side").head(MOST_TEXTS)
    per_cell = rows.group_by(*CELL, "side").len()["len"].max() if rows.height else 0
    assert isinstance(per_cell, int)
    return rows.select(*CELL, "side", "stimuli"), per_cell


def _distinct(rows: pl.DataFrame) -> pl.DataFrame:
    """One line for each study, side (test or not) and text: its first cell, and in how many it stands."""
    texts = rows.with_columns(
        words=pl.Series([" ".join(words(text)) for text in rows["stimuli"]], dtype=pl.String),
        tests=pl.col("side") == "test",
    )
    ordered = texts.sort(*CELL, "side", "stimuli")
    return (
        ordered.group_by("study_id", "tests", "words", maintain_order=True)
        .agg(pl.col("condition_num", "task_num", "side", "stimuli").first(), cells=pl.struct(CELL).n_unique())
        .sort("study_id", "condition_num", "task_num", "side", "words")
    )


def _signatures(sets: list[NDArray[np.uint64]]) -> NDArray[np.uint32]:
    """MinHash of each set, shape (texts, permutations)."""
    from datasketch import MinHash

    # The library takes 32 bits; the upper half of a shingle's 64 is as even as the whole.
    short = ((shingles >> np.uint64(32)).tolist() for shingles in sets)
    sketches = MinHash.generator(short, num_perm=PERMUTATIONS, seed=1, hashfunc=int, scheme="affine32")
    rows = np.empty((len(sets), PERMUTATIONS), np.uint32)
    for row, sketch in zip(rows, sketches, strict=True):
        row[:] = sketch.hashvalues
    return rows


def _pairs(
    sets: list[NDArray[np.uint64]], others: NDArray[np.int64], tests: NDArray[np.int64], threshold: float
) -> Iterator[NDArray[np.float64]]:
    """Pairs of at least ``threshold``: other text, test text, Jaccard similarity and estimate, shape (pairs, 4)."""
    if not len(others) or not len(tests):
        return
    signatures, compare = _signatures(sets), _Exact(sets)
    # One permutation's values in a row, so that a block is compared at the speed of memory.
    of_tests, of_others = (np.ascontiguousarray(signatures[some].T) for some in (tests, others))
    least = max(1, int(np.ceil((threshold - MARGIN) * PERMUTATIONS)))
    for first in range(0, len(tests), _BLOCK):
        for start in range(0, len(others), _ROWS):
            agree = _agreements(of_tests[:, first : first + _BLOCK], of_others[:, start : start + _ROWS])
            for row in np.flatnonzero((agree >= least).any(axis=1)):
                near = np.flatnonzero(agree[row] >= least)
                test, rest = tests[first + row], others[start + near]
                exact = compare(test, rest)
                found = np.column_stack(
                    [rest, np.full(len(rest), test), exact, agree[row, near] / PERMUTATIONS]
                )
                yield found[exact >= threshold]


def _agreements(one: NDArray[np.uint32], other: NDArray[np.uint32]) -> NDArray[np.uint8]:
    """In how many permutations the signatures agree, shape (texts of one, texts of other)."""
    count = np.zeros((one.shape[1], other.shape[1]), np.uint8)
    equal = np.empty(count.shape, np.bool_)
    for left, right in zip(one, other, strict=True):
        np.equal(left[:, None], right[None, :], out=equal)
        np.add(count, equal.view(np.uint8), out=count)
    return count


class _Exact:
    """Jaccard similarities of one text with many, from their shingles."""

    def __init__(self, sets: list[NDArray[np.uint64]]) -> None:
        from scipy.sparse import csr_array

        self._sizes = np.array([len(one) for one in sets])
        merged = np.sort(np.concatenate(sets))  # np.unique hashes, which is slow for millions
        distinct = merged[np.concatenate([[True], merged[1:] != merged[:-1]])]
        column = np.concatenate([np.searchsorted(distinct, one).astype(np.int32) for one in sets])
        starts = np.concatenate([[0], np.cumsum(self._sizes)])
        ones = np.ones(len(column), np.int32)
        self._has = csr_array((ones, column, starts), shape=(len(sets), len(distinct)))
        self._marked = np.zeros(len(distinct), np.int32)

    def __call__(self, one: int, many: NDArray[np.int64]) -> NDArray[np.float64]:
        """Similarities of text ``one`` with texts ``many``, shape (many,)."""
        own = self._has.indices[self._has.indptr[one] : self._has.indptr[one + 1]]
        self._marked[own] = 1
        both = self._has[many] @ self._marked
        self._marked[own] = 0
        result: NDArray[np.float64] = both / (self._sizes[many] + self._sizes[one] - both)
        return result


class _Closest:
    """The most similar of all pairs that it is shown, and how many these were."""

    def __init__(self, most: int) -> None:
        self.count = 0
        self._most = most
        self._parts: list[NDArray[np.float64]] = []
        self._held = 0

    def add(self, pairs: NDArray[np.float64]) -> None:
        """Take pairs (see ``_pairs``)."""
        self.count += len(pairs)
        self._held += len(pairs)
        self._parts.append(pairs)
        if self._held > 100_000 + self._most:
            self._parts = [self.best()]
            self._held = len(self._parts[0])

    def best(self) -> NDArray[np.float64]:
        """The most similar first; of equals the one whose cells come first."""
        pairs = np.concatenate([np.empty((0, 4)), *self._parts])
        order = np.lexsort((pairs[:, 1], pairs[:, 0], -pairs[:, 2]))
        return pairs[order[: self._most]]


def _named(texts: pl.DataFrame, closest: _Closest) -> pl.DataFrame:
    best = closest.best()
    shown = texts.select(*CELL, "side", "cells", text=pl.col("stimuli").str.slice(0, SHOWN))
    left, right = shown[best[:, 0].astype(np.uint32)], shown[best[:, 1].astype(np.uint32)]
    return pl.concat([left, right.rename(lambda name: f"test_{name}")], how="horizontal").with_columns(
        jaccard=best[:, 2], estimate=best[:, 3]
    )
