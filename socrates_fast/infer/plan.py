"""The order of work that computes no prefix twice.

Token paths (a prompt plus the first tokens of its answers) are taken in sorted order, so that neighbours share
prefixes, and cut into *groups* that fit one decode. Within a group every shared token is decoded once, owned by
the sequences of all paths that run through it; between groups the common prefix of the last path and the next
one stays in the KV cache. Together the groups compute each node of the prefix tree once. Order matters for
speed only: any order gives right results.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Path:
    """Tokens to decode from the beginning, and where to read.

    Attributes:
        job: the prompt that it belongs to.
        tokens: shape (n,), int32; n >= 1.
        outputs: position in ``tokens`` to node of the job's answer trie; at least one.
    """

    job: int
    tokens: NDArray[np.int32]
    outputs: dict[int, int]


@dataclass(frozen=True)
class Output:
    """A row of next-token probabilities to read: the group's token number, the job, its trie's node."""

    token: int
    job: int
    node: int


@dataclass(frozen=True)
class Group:
    """Paths that are decoded together; path number i is sequence i.

    Attributes:
        kept: tokens of the previous group's last path that stay in the cache and begin path 0.
        cached: per path, how many of those it begins with; (k,).
        tokens: ids of the tokens to compute; (n,), int32.
        positions: their positions; (n,), int32.
        first: first sequence that a token belongs to; (n,), int32.
        last: last such sequence (they are consecutive); (n,), int32.
        outputs: rows to read, ascending by token.
        jobs: the jobs of its paths, ascending, once each.
    """

    kept: int
    cached: list[int]
    tokens: NDArray[np.int32]
    positions: NDArray[np.int32]
    first: NDArray[np.int32]
    last: NDArray[np.int32]
    outputs: list[Output]
    jobs: list[int]


@dataclass(frozen=True)
class Limits:
    """What the context can take: sequences, KV cells in all, tokens and output rows in one decode."""

    sequences: int
    cells: int
    batch: int
    outputs: int


def plan(paths: Iterable[Path], limits: Limits) -> Iterator[Group]:
    """Cut ``paths`` into groups that respect ``limits``; each path alone must fit into the cells."""
    members: list[tuple[Path, int]] = []
    previous: Path | None = None
    for path in paths:
        shared = shared_length(previous, path)
        if members and not _fits(members, path, shared, limits):
            yield group(members)
            members = []
        members.append((path, shared))
        previous = path
    if members:
        yield group(members)


def shared_length(previous: Path | None, path: Path) -> int:
    """Leading tokens that ``path`` need not compute after ``previous``; those it must read are computed."""
    if previous is None:
        return 0
    length = min(len(previous.tokens), *path.outputs)
    differs = np.flatnonzero(previous.tokens[:length] != path.tokens[:length])
    return int(differs[0]) if len(differs) else length


def _fits(members: list[tuple[Path, int]], path: Path, shared: int, limits: Limits) -> bool:
    """Whether ``path`` can join: one more sequence, enough cells, and no further decode."""
    new = [len(member.tokens) - length for member, length in members]
    total = sum(new) + len(path.tokens) - shared
    room = -(-new[0] // limits.batch) * limits.batch  # a long first path leaves its last decode unfilled
    kept = members[0][1]
    return len(members) < limits.sequences and total <= room and kept + total <= limits.cells


def group(members: list[tuple[Path, int]]) -> Group:
    """The group of some paths and how many leading tokens each shares with the one before it."""
    shared = [length for _, length in members]
    cached = np.minimum.accumulate(shared)
    fresh = [path.tokens[length:] for path, length in members]
    starts = np.cumsum([0, *map(len, fresh)])
    outputs = [
        Output(int(starts[number]) + position - length, path.job, node)
        for number, (path, length) in enumerate(members)
        for position, node in sorted(path.outputs.items())
    ]
    return Group(
        kept=shared[0],
        cached=cached.tolist(),
        tokens=np.concatenate(fresh),
        positions=np.concatenate([np.arange(n, len(path.tokens), dtype=np.int32) for path, n in members]),
        first=np.repeat(np.arange(len(members), dtype=np.int32), [len(ids) for ids in fresh]),
        last=np.concatenate([_last_owner(number, len(ids), shared) for number, ids in enumerate(fresh)]),
        outputs=outputs,
        jobs=sorted({path.job for path, _ in members}),
    )


def _last_owner(number: int, count: int, shared: list[int]) -> NDArray[np.int32]:
    """Last sequence that owns each of the ``count`` tokens which path ``number`` adds."""
    owner = np.full(count, number, dtype=np.int32)
    start, reach = shared[number], shared[number] + count
    for following in range(number + 1, len(shared)):
        reach = min(reach, shared[following])
        if reach <= start:
            break
        owner[: reach - start] = following
    return owner


def chunks(group: Group, limits: Limits) -> Iterator[slice]:
    """Consecutive token ranges of ``group``, each within the limits of one decode."""
    wanted = [output.token for output in group.outputs]
    start, read = 0, 0
    while start < len(group.tokens):
        stop = min(start + limits.batch, len(group.tokens))
        if read + limits.outputs < len(wanted):
            stop = min(stop, wanted[read + limits.outputs])
        yield slice(start, stop)
        read += sum(start <= token < stop for token in wanted[read : read + limits.outputs])
        start = stop
