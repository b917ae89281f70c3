"""The order of work that computes no prefix twice.

Token paths (a prompt plus the first tokens of its answers) are taken in sorted order, so that neighbours share
prefixes, and cut into *groups* that fit one decode. Within a group every shared token is decoded once, owned by
the sequences of all paths that run through it; between groups the common prefix of the last path and the next
one stays in the KV cache. Together the groups compute each node of the prefix tree once. Order matters for
speed only: any order gives right results.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, groupby
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

FEW = 32
"""Tokens that a group takes even when it has enough: a decode of their own would cost more."""
BLOCK = 64
"""Tokens of a block in the deterministic mode (see ``plan_apart``): small enough to share, large enough to be quick."""


@dataclass(frozen=True)
class Path:
    """Tokens to decode from the beginning, and where to read.

    Attributes:
        job: the prompt that it belongs to.
        tokens: shape (n,), int32; n >= 1.
        outputs: position in ``tokens`` to what is read there, by the job's own numbers (nodes of its answer trie).
        columns: by those numbers, the token ids whose log probabilities are read; None reads the whole vocabulary.
    """

    job: int
    tokens: NDArray[np.int32]
    outputs: dict[int, int]
    columns: Sequence[NDArray[np.int64] | None] = ()


class Output(NamedTuple):
    """A row of next-token probabilities to read: the group's token number, the job, its node and that node's columns."""

    token: int
    job: int
    node: int
    columns: NDArray[np.int64] | None = None


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
        end: tokens of its last path, which the next group may go on from.
    """

    kept: int
    cached: list[int]
    tokens: NDArray[np.int32]
    positions: NDArray[np.int32]
    first: NDArray[np.int32]
    last: NDArray[np.int32]
    outputs: list[Output]
    jobs: list[int]
    end: NDArray[np.int32]


@dataclass(frozen=True)
class Limits:
    """What the context can take, and what it is best given.

    Attributes:
        sequences: most paths in a group.
        cells: KV cells in all.
        batch: most tokens in one decode.
        outputs: most output rows in one decode.
        enough: tokens at which a group takes no further path but such as add few tokens.
    """

    sequences: int
    cells: int
    batch: int
    outputs: int
    enough: int = 2**31


def plan(paths: Iterable[Path], limits: Limits, cached: NDArray[np.int32] | None = None) -> Iterator[Group]:
    """Cut ``paths`` into groups that respect ``limits``; each path alone must fit into the cells.

    Args:
        paths: what to read, best in sorted order.
        limits: of the context.
        cached: tokens of the path that the cache holds; None for an empty cache.
    """
    members: list[tuple[Path, int]] = []
    new = 0
    for path in paths:
        shared = shared_length(cached, path)
        added = len(path.tokens) - shared
        if members and not _fits(members, added, new + added, limits):
            yield group(members)
            members, new = [], 0
        members.append((path, shared))
        new += added
        cached = path.tokens
    if members:
        yield group(members)


def plan_apart(
    paths: Iterable[Path],
    limits: Limits,
    block: int,
    cached: NDArray[np.int32] | None = None,
    shared: bool = True,
) -> Iterator[Group]:
    """Groups in which what a job computes does not depend on the other jobs, down to the shapes of its decodes.

    A prompt is decoded in blocks of ``block`` tokens, counted from its beginning, one decode each; the rest of it
    goes with its answers' steps, in decodes of their own. Before each decode the cache holds exactly the tokens of the
    prompt before it. Jobs share whole blocks only, so whether one was computed now or for an earlier job cannot be seen.

    Args:
        paths: what to read, all paths of a job one after the other, which begin with the same prompt.
        limits: of the context.
        block: tokens; at most ``limits.batch``.
        cached: tokens of the path that the cache holds; None for an empty cache.
        shared: go on from what the cache holds; False computes each job from nothing.
    """
    for _, job_paths in groupby(paths, key=lambda path: path.job):
        job = list(job_paths)
        blocks = (
            min(job[0].outputs) // block * block
        )  # the last token of a prompt is read, so never in a block
        known = shared_length(cached, job[0]) // block * block if shared else 0
        for start in range(min(known, blocks), blocks, block):
            yield group([(Path(job[0].job, job[0].tokens[: start + block], {}), start)])
        yield from plan(job, limits, job[0].tokens[:blocks])
        cached = job[-1].tokens


def shared_length(cached: NDArray[np.int32] | None, path: Path) -> int:
    """Leading tokens that ``path`` need not compute after ``cached``; those it must read are computed."""
    if cached is None:
        return 0
    length = min(len(cached), *path.outputs)
    differs = cached[:length] != path.tokens[:length]
    first = int(differs.argmax()) if length else 0
    return first if length and differs[first] else length


def _fits(members: list[tuple[Path, int]], added: int, new: int, limits: Limits) -> bool:
    """Whether one path more can join, which adds ``added`` tokens to make ``new``: a sequence, cells, no further decode."""
    path, kept = members[0]
    first = len(path.tokens) - kept
    room = -(-first // limits.batch) * limits.batch  # a long first path leaves its last decode unfilled
    if added > FEW:
        room = min(room, limits.enough)
    return len(members) < limits.sequences and new <= room and kept + new <= limits.cells


def group(members: list[tuple[Path, int]]) -> Group:
    """The group of some paths and how many leading tokens each shares with the one before it."""
    shared = [length for _, length in members]
    added = [len(path.tokens) - length for path, length in members]
    starts = [0, *accumulate(added)]
    owner = np.repeat(np.arange(len(members), dtype=np.int32), added)
    offsets = np.array(shared, np.int32) - np.array(starts[:-1], np.int32)
    last = owner.copy()
    outputs = []
    for number, (path, length) in enumerate(members):
        _give_to_followers(last[starts[number] : starts[number + 1]], number, shared)
        for position, node in sorted(path.outputs.items()):
            columns = path.columns[node] if path.columns else None
            outputs.append(Output(starts[number] + position - length, path.job, node, columns))
    return Group(
        kept=shared[0],
        cached=list(accumulate(shared, min)),
        tokens=np.concatenate([path.tokens[length:] for path, length in members]),
        positions=np.arange(starts[-1], dtype=np.int32) + np.repeat(offsets, added),
        first=owner,
        last=last,
        outputs=outputs,
        jobs=sorted({path.job for path, _ in members}),
        end=members[-1][0].tokens,
    )


def _give_to_followers(owner: NDArray[np.int32], number: int, shared: list[int]) -> None:
    """Set the last sequence that owns each of the tokens which path ``number`` adds."""
    start, reach = shared[number], shared[number] + len(owner)
    for following in range(number + 1, len(shared)):
        reach = min(reach, shared[following])
        if reach <= start:
            break
        owner[: reach - start] = following


def chunks(group: Group, limits: Limits) -> Iterator[slice]:
    """Consecutive token ranges of ``group``, each within the limits of one decode."""
    wanted = [output.token for output in group.outputs]
    start, read = 0, 0
    while start < len(group.tokens):
        stop = min(start + limits.batch, len(group.tokens))
        if read + limits.outputs < len(wanted):
            stop = min(stop, wanted[read + limits.outputs])
        yield slice(start, stop)
        read += sum(token < stop for token in wanted[read : read + limits.outputs])
        start = stop
