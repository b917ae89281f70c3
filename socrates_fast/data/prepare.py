"""From a source to a prepared folder: train, validation and test parquet, and a data card.

The source is read twice in batches: once for the keys on which every row's fate is decided (``keys.py``), once to write
the rows. Every row that is left out is counted by cell and reason and named in the card; nothing is dropped in silence.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from socrates_fast import __version__
from socrates_fast.data.card import card, card_text
from socrates_fast.data.facts import Facts
from socrates_fast.data.judge import judged
from socrates_fast.data.keys import Decided, collect_keys, decide
from socrates_fast.data.lengths import lengths
from socrates_fast.data.mapping import Mapping, read_mapping
from socrates_fast.data.near import near_duplicates
from socrates_fast.data.pairs import write_pairs
from socrates_fast.data.plots import draw
from socrates_fast.data.prepared import Prepared, prepared_columns
from socrates_fast.data.schema import CELL, PREPARED
from socrates_fast.data.sources import Source, identity, open_source
from socrates_fast.data.splits import SIDES, sides_warning
from socrates_fast.errors import DataError
from socrates_fast.recipe import Data, Recipe
from socrates_fast.runs import Run, atomic_folder, fingerprint, write_json, write_text

if TYPE_CHECKING:
    from socrates_fast.prompt import ChatRenderer

ROWS = tuple(f"{side}.parquet" for side in SIDES)
CARD = ("card.json", "card.md", "scales.png", "lengths.png")
PAIRS, FACTS, MANIFEST = "pairs.parquet", "facts.json", "manifest.json"
FILES = (*ROWS, PAIRS, FACTS, *CARD, MANIFEST)
"""What a prepared folder may hold."""

Announce = Callable[[str], None]
Advance = Callable[[int, int, str], None]
"""``advance(step, steps, text)``."""


def rows_key(data: Data) -> str:
    """Hash of all that the rows of a prepared folder depend on: the recipe's data, the source's content, this version."""
    return fingerprint([__version__, data.model_dump(mode="json"), identity(data)])


def prepare(
    recipe: Recipe,
    out: Path,
    announce: Announce = lambda _: None,
    advance: Advance = lambda *_: None,
    renderer: "ChatRenderer | None" = None,
) -> list[Path]:
    """Write the prepared folder, its rows and its card; the arguments of both, and the folder's files."""
    write_rows(recipe, out, announce, advance)
    write_card(recipe, out, renderer, announce)
    return [out / name for name in FILES if (out / name).is_file()]


def write_rows(
    recipe: Recipe,
    out: Path,
    announce: Announce = lambda _: None,
    advance: Advance = lambda *_: None,
) -> list[Path]:
    """Write the rows by side, whole or not at all; what is there already and unchanged is not done again.

    Args:
        announce: told in words what was left out, and what else a person should know.
        advance: told how far it is.

    Returns:
        The files written.

    Raises:
        DataError: the source cannot be read, a side is empty, the recipe refuses rows, or ``out`` holds other files,
            which would be lost.
    """
    foreign = sorted(path.name for path in out.iterdir() if path.name not in FILES) if out.is_dir() else []
    if foreign:
        raise DataError(f"{out} holds other files ({', '.join(foreign[:3])}); name a new or empty folder")
    key = rows_key(recipe.data)
    if not (out / MANIFEST).is_file() or not Run(out).is_complete("rows", key):
        with atomic_folder(out) as partial:
            _write_stage(recipe, partial, key, announce, advance)
        _tell(Facts.read(out / FACTS), out, announce)
    else:
        announce(f"{out}: unchanged; these rows were prepared from the same data and options")
    return [out / name for name in (*ROWS, PAIRS, FACTS) if (out / name).is_file()]


def _tell(facts: Facts, out: Path, announce: Announce) -> None:
    for warning in facts.warnings:
        announce(f"warning: {warning}")
    left = int(facts.dropped["rows"].sum())
    if left:
        announce(f"{left} rows were left out; {out / 'card.md'} says which and why")


def _write_stage(recipe: Recipe, folder: Path, key: str, announce: Announce, advance: Advance) -> None:
    """Rows by side, preference pairs, and the facts that only this pass knows."""
    data = recipe.data
    source = open_source(data, announce)
    total, mapping = source.count(), _mapping(data, announce)
    keys = collect_keys(source, data, lambda row: advance(row, 2 * total, "reading"))
    decided = decide(keys, data, source.name, mapping)
    del keys
    done = 0
    with ExitStack() as stack:
        writers = {side: stack.enter_context(_Writer(folder / f"{side}.parquet")) for side in SIDES}
        for height, side, rows in _sided(source, data, decided):
            writers[side].write(rows)
            done += height
            advance(total + done, 2 * total, "writing")
    if data.pairs:
        write_pairs(folder / "train.parquet", folder / PAIRS, data.split.seed)
    facts = _facts(recipe, source, decided, folder, total)
    write_json(folder / FACTS, facts.as_json())
    files = [folder / name for name in (*ROWS, FACTS, PAIRS) if (folder / name).is_file()]
    Run(folder).close("rows", key, files, 0.0)


def _sided(source: Source, data: Data, decided: Decided) -> Iterator[tuple[int, str, pl.DataFrame]]:
    """The rows that are used, by batch and side, in the prepared columns; with the rows read since the last."""
    start = 0
    for batch in source.batches():
        side = decided.side.slice(start, batch.height)
        start, height = start + batch.height, batch.height
        if side.null_count() == height:
            continue
        rows = judged(batch.with_columns(side=side).filter(side.is_not_null()), data)
        for name in SIDES:
            part = rows.filter(pl.col("side") == name)
            if part.height:
                yield height, name, prepared_columns(part, data.reasoning)
                height = 0


class _Writer:
    """A parquet file that rows are appended to; one without a row holds the columns alone."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._writer: Any = None

    def __enter__(self) -> "_Writer":
        return self

    def write(self, rows: pl.DataFrame) -> None:
        """Append rows."""
        import pyarrow.parquet as pq

        table = rows.to_arrow(compat_level=pl.CompatLevel.oldest())
        if self._writer is None:
            self._writer = pq.ParquetWriter(self._path, table.schema, compression="zstd")
        self._writer.write_table(table)

    def __exit__(self, kind: object, *_: object) -> None:
        if self._writer is not None:
            self._writer.close()
        elif kind is None:
            pl.DataFrame(schema=PREPARED).write_parquet(self._path)


def prepare_rows(data: Data) -> tuple[dict[str, pl.DataFrame], Prepared]:
    """The rows of a recipe's data by side, in memory, and what was left out.

    Raises:
        DataError: see ``prepare``.
    """
    source = open_source(data)
    decided = decide(collect_keys(source, data), data, source.name, _mapping(data))
    parts: dict[str, list[pl.DataFrame]] = {side: [] for side in SIDES}
    for _, side, rows in _sided(source, data, decided):
        parts[side].append(rows)
    filled = next(part[0] for part in parts.values() if part)
    sides = {side: pl.concat(part) if part else filled.clear() for side, part in parts.items()}
    return sides, Prepared(pl.concat(sides.values()), decided.dropped)


def _mapping(data: Data, announce: Announce = lambda _: None) -> Mapping | None:
    """The split that a file prescribes, if the recipe names one."""
    if data.split.mapping is None:
        return None
    if data.source == "socsci210" and not data.split.mapping.endswith(".json"):
        from socrates_fast.data.hub import mapping_file

        return read_mapping(mapping_file(data.socsci210, data.split.mapping, announce))
    return read_mapping(Path(data.split.mapping))


def _facts(recipe: Recipe, source: Source, decided: Decided, folder: Path, total: int) -> Facts:
    """What the card cannot read from the written rows."""
    split = recipe.data.split
    warnings = sides_warning(split, decided.overlap)
    if decided.mapping:
        warnings += decided.mapping["notes"]
    near = None
    if split.near_duplicates is not None and split.by not in ("participant", "random"):
        near = near_duplicates(_stimuli(folder), split.near_duplicates).as_json()
        if near["count"]:
            warnings.append(
                f"{near['count']} pairs of stimuli from different studies, one that trains and one that tests, are nearly "
                f"the same (Jaccard {split.near_duplicates} or more); the card names them"
            )
    return Facts(
        source=source.name,
        identity=identity(recipe.data),
        rows_read=total,
        dropped=decided.dropped,
        kept_anyway=decided.kept,
        unused=decided.unused,
        conditions=source.conditions,
        overlap=decided.overlap,
        near_duplicates=near,
        warnings=warnings,
    )


def _stimuli(folder: Path) -> pl.DataFrame:
    """Every distinct text of every cell and side."""
    parts = [
        pl.scan_parquet(folder / name).select(*CELL, "stimuli").unique().with_columns(side=pl.lit(side))
        for side, name in zip(SIDES, ROWS, strict=True)
    ]
    return pl.concat(parts).collect(engine="streaming")


def write_card(
    recipe: Recipe,
    out: Path,
    renderer: "ChatRenderer | None" = None,
    announce: Announce = lambda _: None,
) -> list[Path]:
    """Write the card of a prepared folder: what its rows are, and how long the recipe's prompts of them get.

    Args:
        renderer: of the recipe's model, for lengths in tokens; None: they are in characters.
        announce: told of rows that are too long to train on.

    Returns:
        The files written, or there already and unchanged.
    """
    run, files = Run(out), [out / name for name in CARD]
    rows = run.manifest["rows"]["key"]
    shown = [part.model_dump(mode="json") for part in (recipe.prompt, recipe.model)]
    key = fingerprint([rows, recipe.name, *shown, renderer is not None])
    if not run.is_complete("card", key):
        measured = lengths(out, recipe, renderer)
        if measured["beyond"]:
            announce(
                f"warning: {measured['beyond']} of {measured['measured']} rows that were measured are longer than "
                f"model.max_length ({measured['max_length']} tokens; the longest has {measured['max']}); training refuses them"
            )
        found = card(out, recipe, Facts.read(out / FACTS), measured)
        write_json(out / "card.json", found)
        write_text(out / "card.md", card_text(found))
        draw(found, out)
        run.close("card", key, files, 0.0)
    return files
