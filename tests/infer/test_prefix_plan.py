"""The plan against a simulated KV cache: right histories, within limits, no prefix twice."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from socrates_fast.infer.plan import Group, Limits, Path, chunks, plan, plan_apart

Tokens = tuple[int, ...]


def grow(steps: list[tuple[int, Tokens]]) -> list[Tokens]:
    """Paths that each begin as the one before and then go their own way."""
    paths: list[Tokens] = [()]
    for kept, tail in steps:
        paths.append((paths[-1][:kept] + tail)[:9])
    return paths[1:]


tails = st.lists(st.integers(0, 1), min_size=1, max_size=6).map(tuple)
token_lists = st.lists(st.tuples(st.integers(0, 8), tails), min_size=1, max_size=20).map(grow)
limit_sets = st.builds(
    Limits,
    sequences=st.integers(1, 9),
    cells=st.integers(9, 90),
    batch=st.integers(1, 60),
    outputs=st.integers(1, 5),
)


def make_paths(token_lists: Sequence[Tokens], outputs: Sequence[int]) -> list[Path]:
    """Paths that are read at their end, and some of them earlier as well."""
    return [
        Path(
            number,
            np.array(tokens, np.int32),
            dict.fromkeys({len(tokens) - 1, max(0, len(tokens) - 1 - extra)}, 0),
        )
        for number, (tokens, extra) in enumerate(zip(token_lists, outputs, strict=True))
    ]


class Cache:
    """What llama.cpp's unified KV cache would hold: cells of (token, position, owning sequences)."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.cells: list[tuple[int, int, set[int]]] = []
        self.last_sequence = 0
        self.computed = 0

    def history(self, sequence: int) -> Tokens:
        """The tokens that a token of ``sequence`` attends to, by position, which must be gapless."""
        owned = sorted((at, token) for token, at, owners in self.cells if sequence in owners)
        assert [at for at, _ in owned] == list(range(len(owned)))
        return tuple(token for _, token in owned)

    def begin(self, group: Group) -> None:
        """Keep the previous group's last path up to ``kept``, and copy it to the group's sequences."""
        self.cells = [
            (token, at, {s for s, length in enumerate(group.cached) if at < length or s == 0})
            for token, at, owners in self.cells
            if self.last_sequence in owners and at < group.kept
        ]
        self.last_sequence = len(group.cached) - 1

    def decode(self, group: Group, part: slice) -> None:
        """Add a chunk's tokens under llama.cpp's rules."""
        before = {s: len(self.history(s)) for s in range(len(group.cached))}
        numbers = range(part.start, part.stop)
        assert 0 < len(numbers) <= self.limits.batch
        assert sum(o.token in numbers for o in group.outputs) <= self.limits.outputs
        for number in numbers:
            owners = range(group.first[number], group.last[number] + 1)
            assert len({before[s] for s in owners}) == 1  # coupled sequences must not have diverged
            self.cells.append((int(group.tokens[number]), int(group.positions[number]), {*owners}))
            assert len(self.cells) <= self.limits.cells
        self.computed += len(numbers)


@settings(max_examples=400)
@given(token_lists, limit_sets, st.data())
def test_every_output_sees_its_own_path(tokens: list[Tokens], limits: Limits, data: st.DataObject) -> None:
    extra = data.draw(
        st.lists(st.sampled_from([0, 0, 0, 1, 9]), min_size=len(tokens), max_size=len(tokens))
    )  # unsorted and repeated on purpose: order may cost time, never a right result
    paths = make_paths(tokens, extra)
    cache = Cache(limits)
    read = []
    for group in plan(paths, limits):
        assert len(group.cached) <= limits.sequences
        cache.begin(group)
        for part in chunks(group, limits):
            cache.decode(group, part)
        for output in group.outputs:
            position = int(group.positions[output.token])
            seen = cache.history(int(group.first[output.token]))[: position + 1]
            assert seen == tokens[output.job][: position + 1]
            read.append((output.job, position))
    assert read == [(path.job, position) for path in paths for position in sorted(path.outputs)]


@settings(max_examples=200)
@given(token_lists, limit_sets, st.integers(1, 4), st.booleans(), st.data())
def test_apart_every_output_sees_its_own_path_too(
    tokens: list[Tokens], limits: Limits, block: int, shared: bool, data: st.DataObject
) -> None:
    """Prompts with some branches each; before each decode the cache holds the prompt's beginning and no more."""
    block = min(block, limits.batch)
    counts = data.draw(st.lists(st.integers(0, 3), min_size=len(tokens), max_size=len(tokens)))
    limits = replace(limits, cells=limits.cells + 3)
    branches = [
        (job, (*prompt, *tail))
        for job, (prompt, count) in enumerate(zip(tokens, counts, strict=True))
        for tail in [(), (7, 7), (7, 8), (9,)][: count + 1]
    ]
    paths = [
        Path(job, np.array(whole, np.int32), dict.fromkeys({len(tokens[job]) - 1, len(whole) - 1}, 0))
        for job, whole in branches
    ]
    cache = Cache(limits)
    read = []
    for group in plan_apart(paths, limits, block, shared=shared):
        cache.begin(group)
        (job,) = group.jobs
        assert cache.history(0) == tokens[job][: group.kept] or group.kept > len(tokens[job])
        for part in chunks(group, limits):
            cache.decode(group, part)
        for output in group.outputs:
            position = int(group.positions[output.token])
            seen = cache.history(int(group.first[output.token]))[: position + 1]
            read.append((output.job, seen))
    assert read == [
        (job, whole[: position + 1])
        for (job, whole), path in zip(branches, paths, strict=True)
        for position in sorted(path.outputs)
    ]


@given(token_lists, limit_sets)
def test_sorted_paths_compute_each_prefix_once(tokens: list[Tokens], limits: Limits) -> None:
    ordered = sorted(set(tokens))
    groups = list(plan(make_paths(ordered, [0] * len(ordered)), limits))
    prefixes = {path[:length] for path in ordered for length in range(1, len(path) + 1)}
    assert sum(len(group.tokens) for group in groups) == len(prefixes)


def test_a_group_is_one_decode_unless_a_path_is_longer() -> None:
    limits = Limits(sequences=8, cells=100, batch=10, outputs=8)
    paths = make_paths([(1,) * 23, (2, 2, 2), (3, 3, 3, 3), (4, 4, 4)], [0, 0, 0, 0])
    groups = list(plan(paths, limits))
    assert [len(group.tokens) for group in groups] == [30, 3]
    assert [part.stop - part.start for part in chunks(groups[0], limits)] == [10, 10, 10]
