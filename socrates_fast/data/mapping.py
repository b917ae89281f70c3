"""Splits that a file prescribes: the authors' ``metadata/*_mapping.json``, or one's own in their two shapes.

``{"seen": [study, ...], "unseen": [study, ...]}`` holds out studies (the authors call this file
``participant_mapping.json``). ``{study: {"train": [sample id, ...], "eval": [sample id, ...]}}`` holds out rows of each
study: conditions in ``condition_mapping.json``, tasks in ``task_mapping.json``.
"""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import polars as pl

from socrates_fast.errors import DataError

SIDES = ("train", "validation", "test")
"""The sides of a split, in the order of the files."""
SIDE = pl.Enum(SIDES)

_SHAPES = 'expected {"seen": [studies], "unseen": [studies]}, or {study: {"train": [sample ids], "eval": [sample ids]}, ...}'
_NAMED = 5
"""Examples in a message."""
_WHOLE = {"conditions": "condition_num", "tasks": "task_num"}


@dataclass(frozen=True)
class Mapping:
    """A split that a file prescribes.

    Attributes:
        path: the file.
        kind: ``study``: whole studies are held out; ``row``: rows within studies.
        table: ``study_id``, for kind ``row`` also ``sample_id``, and ``side`` (train or test), each key once.
        repeated: entries that repeat an earlier one of the same list.
    """

    path: Path
    kind: Literal["study", "row"]
    table: pl.DataFrame
    repeated: int

    def sides(self, keys: pl.DataFrame) -> pl.Series:
        """The side of every row, null where the file does not say, shape (n,)."""
        # Numbers instead of names, for a join of millions of rows.
        studies = pl.Enum(self.table["study_id"].unique().sort())
        code = pl.col("study_id").cast(pl.String).cast(studies, strict=False)
        on = self.table.columns[:-1]
        asked, table = keys.select(on).with_columns(code), self.table.with_columns(code)
        return asked.join(table, on=on, how="left", maintain_order="left")["side"]


def read_mapping(path: Path) -> Mapping:
    """Read and check a mapping.

    Raises:
        DataError: no such file, not JSON, of neither shape, an entry that is no id, or an id on both sides.
    """
    content = _read_json(path)
    if not isinstance(content, dict) or not content:
        raise DataError(f"{path}: {_SHAPES}; found {_described(content)}")
    if set(content) == {"seen", "unseen"} and all(isinstance(ids, list) for ids in content.values()):
        lists = {"": (content["seen"], content["unseen"])}
        return _mapping(path, "study", lists)
    _check_shape(path, content)
    return _mapping(path, "row", {study: (sides["train"], sides["eval"]) for study, sides in content.items()})


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"), object_pairs_hook=_once(path))
    except OSError as error:
        raise DataError(f"{path}: the mapping cannot be read: {error.strerror or error}") from None
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not UTF-8: {error.reason} at byte {error.start}") from None
    except json.JSONDecodeError as error:
        raise DataError(f"{path}: line {error.lineno}, column {error.colno}: not JSON: {error.msg}") from None


def _once(path: Path) -> Any:
    """A reader of JSON objects that refuses a key that stands twice, where ``json`` would silently take the last."""

    def read(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        twice = [key for key, count in Counter(key for key, _ in pairs).items() if count > 1]
        if twice:
            raise DataError(f"{path}: {_examples(twice)} stands twice in the same object")
        return dict(pairs)

    return read


def _check_shape(path: Path, content: dict[str, Any]) -> None:
    wrong = [
        f"{study!r}: {_described(sides)}"
        for study, sides in content.items()
        if not isinstance(sides, dict)
        or set(sides) != {"train", "eval"}
        or not all(isinstance(ids, list) for ids in sides.values())
    ]
    if wrong:
        raise DataError(f"{path}: {_SHAPES}; {len(wrong)} entries are not so: {_examples(wrong)}")


def _described(value: Any) -> str:
    if isinstance(value, dict):
        inside = ", ".join(f"{key!r}: {type(item).__name__}" for key, item in list(value.items())[:_NAMED])
        return f"an object of {len(value)} ({inside})"
    return f"a {type(value).__name__}"


def _mapping(
    path: Path, kind: Literal["study", "row"], lists: dict[str, tuple[list[Any], list[Any]]]
) -> Mapping:
    """Check every id of ``lists`` (study to its two lists; for kind ``study`` one nameless entry) and tabulate them."""
    faults: list[str] = []
    parts: list[pl.DataFrame] = []
    repeated = 0
    for study, entries in lists.items():
        numbered = [_ids(kind, study, ids, faults) for ids in entries]
        train, test = map(set, numbered)
        faults += [f"{_id_text(study, one)} stands on both sides" for one in sorted(train & test, key=str)]
        repeated += sum(map(len, numbered)) - len(train) - len(test)
        parts += [_part(kind, study, ids, side) for ids, side in ((train, "train"), (test, "test"))]
    if faults:
        raise DataError(f"{path}: {len(faults)} faults: {_examples(faults, '; ')}")
    return Mapping(path, kind, pl.concat(parts), repeated)


def _part(kind: str, study: str, ids: set[Any], side: str) -> pl.DataFrame:
    if kind == "study":
        part = pl.DataFrame({"study_id": pl.Series(sorted(ids), dtype=pl.String)})
    else:
        rows = pl.DataFrame({"sample_id": pl.Series(sorted(ids), dtype=pl.Int64)})
        part = rows.select(pl.lit(study).alias("study_id"), "sample_id")
    return part.with_columns(side=pl.lit(side, dtype=SIDE))


def _ids(kind: str, study: str, entries: list[Any], faults: list[str]) -> list[Any]:
    """The entries that are ids; what is wrong with the others goes to ``faults``."""
    good: list[Any] = []
    for entry in entries:
        if (kind == "study" and isinstance(entry, str) and entry) or (
            kind == "row" and isinstance(entry, int) and not isinstance(entry, bool) and abs(entry) < 2**63
        ):
            good.append(entry)
        else:
            what = (
                "the name of a study"
                if kind == "study"
                else f"a sample id (a whole number), in study {study}"
            )
            faults.append(f"{json.dumps(entry)[:40]} is not {what}")
    return good


def _id_text(study: str, one: Any) -> str:
    return f"study {study} sample {one}" if study else f"study {one}"


def mapping_report(keys: pl.DataFrame, mapping: Mapping) -> dict[str, Any]:
    """How a mapping fits usable rows.

    Args:
        keys: ``study_id``, ``sample_id``, ``condition_num`` and ``task_num`` of the usable rows.

    Returns:
        ``kind``, ``repeated``; ``rows_without_side`` and of these ``studies_not_listed`` and ``rows_not_listed`` (of listed
        studies); ``ids_without_row`` and ``studies_without_row`` (named by the file, no usable row has them); for kind
        ``row`` also ``split_conditions`` and ``split_tasks``. Each is ``{"count", "examples"}``, some with ``rows``, the
        last two with ``of``. ``notes`` says in words what a reader of the split should know.
    """
    rows = keys.select(pl.col("study_id").cast(pl.String), "sample_id", *_WHOLE.values())
    rows = rows.with_columns(mapping.sides(rows).alias("side"))
    listed = mapping.table["study_id"].unique()
    outside = rows.filter(pl.col("side").is_null())
    missing = mapping.table.join(rows, on=mapping.table.columns[:-1], how="anti")
    unlisted = outside.filter(~pl.col("study_id").is_in(listed.implode()))
    studies_missing = listed.filter(~listed.is_in(rows["study_id"].unique().implode())).sort()
    report: dict[str, Any] = {
        "file": mapping.path.name,
        "kind": mapping.kind,
        "repeated": mapping.repeated,
        "rows_without_side": outside.height,
        "studies_not_listed": {**_counted(unlisted.select("study_id").unique()), "rows": unlisted.height},
        "studies_without_row": _counted(studies_missing.to_frame()),
    }
    if mapping.kind == "row":
        left = outside.filter(pl.col("study_id").is_in(listed.implode()))
        report["rows_not_listed"] = _counted(left.select("study_id", "sample_id"))
        report["ids_without_row"] = _counted(missing.select("study_id", "sample_id"))
        report |= {f"split_{name}": _split_groups(rows, column) for name, column in _WHOLE.items()}
    return report | {"notes": _notes(report, rows.height)}


def _split_groups(rows: pl.DataFrame, column: str) -> dict[str, Any]:
    """Groups of which the mapping puts rows on both sides."""
    groups = (
        rows.filter(pl.col("side").is_not_null()).group_by("study_id", column).agg(pl.col("side").n_unique())
    )
    return {**_counted(groups.filter(pl.col("side") > 1).drop("side")), "of": groups.height}


def _counted(found: pl.DataFrame) -> dict[str, Any]:
    """How many there are, and the first."""
    first = found.sort(found.columns).head(_NAMED)
    words = [" ".join([str(study), *map(str, rest)]) for study, *rest in first.iter_rows()]
    return {"count": found.height, "examples": words}


def _notes(report: dict[str, Any], rows: int) -> list[str]:
    notes = []

    def note(name: str, text: str) -> None:
        found = report.get(name, {"count": 0})
        if found["count"]:
            notes.append(
                text.format(**{"rows": 0, "of": 0, **found, "examples": ", ".join(found["examples"])})
            )

    note(
        "studies_not_listed",
        "{count} studies ({rows} rows) are not in the mapping and are left out: {examples}",
    )
    note(
        "rows_not_listed",
        "{count} rows of listed studies are not in the mapping and are left out (study, sample): {examples}",
    )
    note("studies_without_row", "{count} studies of the mapping have no usable row: {examples}")
    note(
        "ids_without_row", "{count} sample ids of the mapping have no usable row (study, sample): {examples}"
    )
    if report["repeated"]:
        notes.append(f"{report['repeated']} entries of the mapping repeat an earlier one")
    if report["kind"] == "row":
        whole = held_out(report)
        notes.append(f"the mapping holds out {whole}: {report[f'split_{whole}']['of']} of them in the data")
        note(
            f"split_{whole}", f"{{count}} of {{of}} {whole} stand on both sides (study, number): {{examples}}"
        )
    if report["rows_without_side"] == rows:
        notes.append("the mapping names no usable row at all: is it the mapping of another dataset?")
    return notes


def held_out(report: dict[str, Any]) -> Literal["conditions", "tasks"]:
    """What a mapping of kind ``row`` keeps whole, or nearest to it: the groups of which it splits the smaller share."""
    shares = {
        name: report[f"split_{name}"]["count"] / max(1, report[f"split_{name}"]["of"]) for name in _WHOLE
    }
    return "tasks" if shares["tasks"] < shares["conditions"] else "conditions"


def _examples(found: Sequence[str], separator: str = ", ") -> str:
    more = len(found) - _NAMED
    return separator.join(found[:_NAMED]) + (f"{separator}and {more} more" if more > 0 else "")
