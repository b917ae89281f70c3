"""The check of files in SocSci210's columns: millions of rows, batch by batch, with every fault's file and row."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import polars as pl

from socrates_fast.data import columns as why
from socrates_fast.data.check_columns import HINT, Sheet, check_prompts, checked_values, first_lines
from socrates_fast.data.check_readers import READERS
from socrates_fast.data.faults import Fault, Faults
from socrates_fast.data.instructions import instruction_of
from socrates_fast.data.scales import parse_scale
from socrates_fast.data.schema import CELL
from socrates_fast.data.sniff import mistaken
from socrates_fast.data.sources import Source
from socrates_fast.data.statistics_files import ENDINGS

_LONGEST = 160
"""Characters of an instruction that a message shows."""


def files_of(path: Path, notes: list[Fault], faults: list[Fault]) -> list[Path]:
    """The files of a folder that are read, or the file itself; notes what cannot be."""
    if not path.is_dir():
        wrong = mistaken(path)
        if wrong is None and path.suffix.lower() in ENDINGS:
            wrong = HINT
        elif wrong is None and path.suffix not in READERS:
            wrong = f"unknown format {path.suffix!r}; use {', '.join(READERS)}"
        if wrong is not None:
            faults.append(Fault(path, None, None, wrong))
        return [] if wrong is not None else [path]
    files = sorted(file for file in path.iterdir() if file.suffix in READERS)
    other = sorted(file.name for file in path.iterdir() if file.suffix not in READERS and file.is_file())
    if not files:
        faults.append(Fault(path, None, None, f"holds no {', '.join(READERS)} file"))
    elif other:
        notes.append(
            Fault(path, None, None, f"not read: {', '.join(other[:5])}{', ...' if len(other) > 5 else ''}")
        )
    if len({file.suffix for file in files}) > 1:
        endings = ", ".join(sorted({file.suffix for file in files}))
        notes.append(
            Fault(path, None, None, f"holds {endings} files and all are read; is one a copy of the other?")
        )
    return files


@dataclass(frozen=True)
class CheckedFiles(Source):
    """A source whose rows are looked at while they are read; those that cannot be read are noted and left out.

    Attributes:
        files: by name, which is what the column ``file`` holds.
        instructions: the answer instructions that occur, by a hash of the stimulus; holds for this process only.
        rows: rows read, by file.
    """

    files: dict[str, Path] = field(default_factory=dict)
    sheets: list[Sheet] = field(default_factory=list)
    instructions: dict[int, str] = field(default_factory=dict)
    rows: dict[str, int] = field(default_factory=dict)
    announce: Callable[[str], None] = lambda _: None

    def batches(self, columns: Sequence[str] | None = None) -> Iterator[pl.DataFrame]:
        """See ``Source.batches``; every row has all columns that a judgement needs."""
        names: dict[str, str] = {}
        for path in self.files.values():
            unit = self.unit(path.name)
            sheet = Sheet(path, Faults(path, unit), Faults(path, unit))
            self.sheets.append(sheet)
            self.announce(f"reading {path}")
            wrong = mistaken(path)
            if wrong is not None:
                sheet.faults.add(None, wrong)
                continue
            for frame in READERS[path.suffix](sheet):
                good = checked_values(sheet, frame)
                self._remember(good["stimuli"], names)
                self.rows[path.name] = self.rows.get(path.name, 0) + frame.height
                if good.height:
                    yield good.with_columns(file=pl.lit(path.name))
            check_prompts(sheet)

    def _remember(self, stimuli: pl.Series, names: dict[str, str]) -> None:
        texts = stimuli.drop_nulls().unique()
        for key, text in zip(texts.hash(), texts, strict=True):
            if key not in self.instructions:
                instruction = instruction_of(text) or text[-_LONGEST:]
                self.instructions[key] = names.setdefault(instruction, instruction)

    def scales(self) -> int:
        """Number of different scales that the instructions state."""
        read = (parse_scale(text) for text in set(self.instructions.values()))
        return len({(scale.low, scale.high, scale.values) for scale in read if scale is not None})

    def schemas(self) -> list[Fault]:
        """Files whose columns are not those of the first."""
        known = [sheet for sheet in self.sheets if sheet.kinds]
        faults = []
        for sheet in known[1:]:
            first = known[0]
            more, fewer = (
                sorted(set(sheet.kinds) - set(first.kinds)),
                sorted(set(first.kinds) - set(sheet.kinds)),
            )
            parts = [f"also has {', '.join(more)}"] * bool(more) + [f"lacks {', '.join(fewer)}"] * bool(fewer)
            parts += [
                f"column {name} holds {kind} here and {first.kinds[name]} there"
                for name, kind in sheet.kinds.items()
                if sheet.path.suffix == first.path.suffix
                and {kind, first.kinds.get(name, kind), "nothing"} > {kind, "nothing"}
            ]
            if parts:
                faults.append(
                    Fault(sheet.path, None, None, f"other columns than {first.path.name}: {'; '.join(parts)}")
                )
        return faults

    def unread(self, keys: pl.DataFrame) -> list[Fault]:
        """Instructions that were not understood, each with its first place and its count."""
        rows = keys.filter(pl.col("reason").cast(pl.String) == why.NO_SCALE)
        groups: dict[str, list[tuple[str, int, int]]] = {}
        for key, file, line, count in (
            rows.group_by("stimulus", maintain_order=True)
            .agg(pl.col("file").cast(pl.String).first(), pl.col("line").first(), pl.len())
            .iter_rows()
        ):
            groups.setdefault(self.instructions.get(key, ""), []).append((file, line, count))
        return [self._unread(text, places) for text, places in groups.items()]

    def _unread(self, text: str, places: list[tuple[str, int, int]]) -> Fault:
        file = places[0][0]
        lines = [line for name, line, _ in places if name == file]
        first, more = first_lines(lines)
        shown = " ".join(text.split())
        shown = shown if len(shown) <= _LONGEST else f"{shown[:_LONGEST]}..."
        message = f"the scale cannot be read from {shown!r}; declare it in data.scales"
        if not shown:
            message = "the stimulus is empty"
        count = sum(count for _, _, count in places)
        return Fault(self.files[file], first, "stimuli", message, self.unit(file), count, tuple(more))

    def unit(self, file: str) -> str:
        """What places in a file are counted in."""
        return "row" if self.files[file].suffix == ".parquet" else "line"

    def repeated(self, keys: pl.DataFrame) -> list[tuple[bool, Fault]]:
        """Rows with the id of an earlier one, by file and that one's file; whether both are the same answer."""
        found = keys.with_columns(pl.col("reason", "file").cast(pl.String))
        later = found.filter(pl.col("reason") == why.SAME_ID)
        if later.is_empty():
            return []
        identity = ["study_id", "sample_id"]
        same = ["participant", "condition_num", "task_num", "stimulus", "answer"]
        firsts = (
            found.filter(pl.col("reason").is_null())
            .join(later.select(identity).unique(), on=identity, how="semi")
            .unique(identity, keep="first", maintain_order=True)
            .select(*identity, *(pl.col(name).alias(f"first_{name}") for name in (*same, "file", "line")))
        )
        pairs = later.join(firsts, on=identity, how="left", maintain_order="left").with_columns(
            copy=pl.all_horizontal(pl.col(name).eq_missing(pl.col(f"first_{name}")) for name in same)
        )
        groups = pairs.group_by("file", "first_file", "copy", maintain_order=True).agg(
            pl.col("line").first(),
            pl.col("first_line", *identity).first(),
            pl.len(),
            pl.col("line").slice(1, 4).alias("more"),
        )
        return [(bool(row["copy"]), self._repeated(row)) for row in groups.iter_rows(named=True)]

    def _repeated(self, row: dict[str, object]) -> Fault:
        file, other = str(row["file"]), str(row["first_file"])
        place = f"{self.unit(other)} {row['first_line']}" + (f" of {other}" if other != file else "")
        what = "the same row" if row["copy"] else "another row"
        advice = "is it a copy?" if row["copy"] else "give every row of a study its own sample_id"
        message = f"study {row['study_id']}, sample_id {row['sample_id']} is also {what} on {place}; {advice}"
        line, count, more = row["line"], row["len"], row["more"]
        assert isinstance(line, int) and isinstance(count, int) and isinstance(more, list)
        return Fault(self.files[file], line, "sample_id", message, self.unit(file), count, tuple(more))

    def doubtful(self, keys: pl.DataFrame) -> Iterator[tuple[str, Fault]]:
        """The other reasons for which rows are left out, by cell, with their first place and answer."""
        told = (why.NO_SCALE, why.SAME_ID)
        rows = keys.with_columns(pl.col("reason", "file").cast(pl.String)).filter(
            pl.col("reason").is_not_null() & ~pl.col("reason").is_in(told)
        )
        groups = rows.group_by(*CELL, "reason", maintain_order=True).agg(
            pl.len(), pl.col("file", "line", "text").first(), pl.col("line").slice(1, 4).alias("more"),
            pl.col("file").slice(1, 4).alias("files"),
        )  # fmt: skip
        for row in groups.iter_rows(named=True):
            file = row["file"]
            more = tuple(line for name, line in zip(row["files"], row["more"], strict=True) if name == file)
            cell = f"study {row['study_id']} condition {row['condition_num']} task {row['task_num']}"
            answer = "" if row["text"] is None else f" (answer {row['text']})"
            message = f"{cell}: {row['reason']}{answer}"
            yield (
                row["reason"],
                Fault(self.files[file], row["line"], "response", message, self.unit(file), row["len"], more),
            )
