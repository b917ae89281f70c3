"""Numbers in place of keys: millions of rows are told apart by one integer each, not by several columns.

A hash table of five columns of 2.9 million rows takes half a gigabyte; their integers take 23 MiB and are sorted in a
tenth of a second.
"""

from collections.abc import Sequence

import numpy as np
import polars as pl

from socrates_fast.evaluate.ragged import Bools, Ints

_MOST = 2**62
"""Numbers stay below this."""


def key_of(rows: pl.DataFrame, names: Sequence[str]) -> Ints:
    """A number for each row: the same where rows agree in some columns, ascending in the order of those; (n,).

    Args:
        rows: what is numbered.
        names: columns of text or integers; null is a value like others, and the smallest.
    """
    key, size = np.zeros(rows.height, np.int64), 1
    for name in names:
        code, count = _code(rows[name])
        if size * count >= _MOST:
            key, size = _dense(key)
            code, count = _dense(code)
        key *= count
        key += code
        size *= count
    return key


def _code(column: pl.Series) -> tuple[Ints, int]:
    """A column as integers from 0, and a bound that they do not reach."""
    if column.dtype == pl.String:
        words = column.drop_nulls().unique().sort()
        return _from(column.cast(pl.Enum(words)).to_physical(), -1), len(words) + 1
    if not column.dtype.is_integer():
        return _dense(_from(column.rank("dense"), 0))
    known = column.drop_nulls().to_numpy()
    low, high = (int(known.min()), int(known.max())) if len(known) else (0, 0)
    if high - low >= _MOST // 4:
        return _dense(_from(column.rank("dense"), 0))
    return _from(column, low - 1), high - low + 2


def _from(column: pl.Series, null: int) -> Ints:
    """How far integers are above ``null``, which stands for null."""
    column = column.cast(pl.Int64)
    code = (column.fill_null(null) if column.null_count() else column).to_numpy(writable=True)
    code -= null
    return code


def _dense(key: Ints) -> tuple[Ints, int]:
    found, dense = np.unique(key, return_inverse=True)
    return dense.astype(np.int64, copy=False), len(found)


def numbered(key: Ints) -> tuple[Ints, Ints]:
    """The place of each row's key among the different ones, (n,), and the first row that has each of them, (keys,)."""
    if not len(key):
        return key, key
    low, size = int(key.min()), int(key.max()) - int(key.min()) + 1
    if size > 4 * len(key) + 2**20:
        _, first, number = np.unique(key, return_index=True, return_inverse=True)
        return number.astype(np.int64, copy=False), first
    there = np.zeros(size, bool)  # keys lie close: a table is faster than sorting
    there[key - low] = True
    number = (np.cumsum(there) - 1)[key - low]
    first = np.empty(int(there.sum()), np.int64)
    first[number[::-1]] = np.arange(len(key))[::-1]  # what is assigned last stays
    return number, first


def any_twice(key: Ints) -> bool:
    """Whether two rows have the same key."""
    ordered = np.sort(key)
    return bool((ordered[1:] == ordered[:-1]).any())


def places(key: Ints, wanted: Ints) -> Ints | None:
    """Where in ``key`` each of ``wanted`` stands, (n,); None unless they are the same keys, each once."""
    if len(key) != len(wanted):
        return None
    order, other = np.argsort(key), np.argsort(wanted)
    ordered = key[order]
    if not np.array_equal(ordered, wanted[other]) or (ordered[1:] == ordered[:-1]).any():
        return None
    found = np.empty(len(key), np.int64)
    found[other] = order
    return found


def differs(column: pl.Series, number: Ints, first: Ints) -> Bools:
    """Of which groups of rows not all agree in a column; (groups,).

    Args:
        column: integers, or lists of them; shape (n,).
        number: the group of each row; shape (n,).
        first: the first row of each group; shape (groups,).
    """
    if isinstance(column.dtype, pl.List):
        listed = pl.DataFrame({"number": number, "list": column}).filter(pl.col("list").is_not_null())
        kinds = (
            listed.group_by("number", "list")
            .len("rows")
            .group_by("number")
            .agg(pl.len(), pl.col("rows").sum())
        )
        people = np.bincount(number, minlength=len(first))[kinds["number"].to_numpy()]
        found = np.zeros(len(first), bool)
        found[kinds["number"].to_numpy()] = (kinds["len"].to_numpy() > 1) | (
            kinds["rows"].to_numpy() != people
        )
        return found
    code = _code(column)[0]
    found = np.zeros(len(first), bool)
    found[number[code != code[first][number]]] = True
    return found
