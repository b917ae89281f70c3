"""SocSci210 from the Hugging Face Hub, at a pinned commit: its shards and the authors' mapping files.

What is here and was found to be what the Hub states is remembered, so that 1.4 GB are hashed once and not at every start,
and nothing is asked of the network once all files are in the cache.
"""

import re
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from socrates_fast.data.hub_files import Dataset, Stated, amount
from socrates_fast.data.hub_memory import Memory
from socrates_fast.errors import DataError, RecipeError
from socrates_fast.recipe import SocSci210

Announce = Callable[[str], None]

SPEAK_SECONDS = 10.0
"""Between two messages about a download."""

MAPPINGS = ("participant_mapping", "condition_mapping", "task_mapping")
"""The authors' splits, in ``metadata/``."""

_COMMIT = re.compile(r"[0-9a-f]{40}")
_SHARD = re.compile(r"data/train-(\d{5})-of-(\d{5})\.parquet")
_NEEDED = (
    "sample_id", "participant", "demographic", "stimuli", "response", "condition_num", "task_num", "study_id",
)  # fmt: skip


@dataclass(frozen=True)
class Shards:
    """A dataset's shards on this machine.

    Attributes:
        files: parquet files in order.
        revision: the commit.
        sha256: of each file by its name in the repository, as the Hub states it and as it was found to be.
        rows: of all files together, as their footers say.
    """

    files: tuple[Path, ...]
    revision: str
    sha256: dict[str, str]
    rows: int


def shards(options: SocSci210, announce: Announce = lambda _: None) -> Shards:
    """The dataset's shards: from the cache, else from the Hub (resumed where an earlier download stopped).

    Args:
        options: which dataset.
        announce: told in words of what takes long.

    Raises:
        DataError: they cannot be had, are not what the Hub states, or lack columns.
        RecipeError: the revision is not a commit.
    """
    dataset = _dataset(options)
    memory = Memory(dataset)
    stated = memory.stated(lambda files: _numbered(files, options))
    rows: dict[str, int] = {}

    def check(file: Stated, path: Path) -> None:
        rows[file.name] = _rows(path, f"{options.repository}: {file.name}")

    paths = _obtain(dataset, memory, stated, check, announce)
    hashes = {file.name: file.hash for file in stated}
    return Shards(tuple(paths), dataset.revision, hashes, sum(rows.values()))


def mapping_file(options: SocSci210, name: str, announce: Announce = lambda _: None) -> Path:
    """One of the authors' mapping files, from the cache or from the Hub.

    Args:
        options: which dataset.
        name: one of ``MAPPINGS``.
        announce: told in words of what takes long.

    Raises:
        DataError: it cannot be had.
        RecipeError: the revision is not a commit, or there is no such mapping.
    """
    if name not in MAPPINGS:
        raise RecipeError(
            f"data.split.mapping: {name} is none of the authors' mappings: {', '.join(MAPPINGS)}"
        )
    dataset = _dataset(options)
    memory = Memory(dataset)
    wanted = f"metadata/{name}.json"

    def choose(files: dict[str, Stated]) -> list[Stated]:
        if wanted not in files:
            raise DataError(
                f"{options.repository} at {options.revision} has no {wanted}; there are: {_some(files)}"
            )
        return [files[wanted]]

    return _obtain(dataset, memory, memory.stated(choose), _unchecked, announce)[0]


def source_key(options: SocSci210) -> dict[str, Any]:
    """What tells the shards from any others, to the byte, without having them: repository, revision, sha256 by name.

    Raises:
        DataError: the Hub must be asked and cannot be.
        RecipeError: the revision is not a commit.
    """
    dataset = _dataset(options)
    stated = Memory(dataset).stated(lambda files: _numbered(files, options))
    hashes = {file.name: file.hash for file in stated}
    return {"repository": options.repository, "revision": dataset.revision, "sha256": hashes}


def _dataset(options: SocSci210) -> Dataset:
    dataset = Dataset(options.repository, options.revision)
    if _COMMIT.fullmatch(options.revision) is None:
        now = ""
        with suppress(DataError):
            now = f"; now it is {dataset.listing()[0]}"
        raise RecipeError(
            f"data.socsci210.revision is {options.revision}, which may become another tomorrow{now}; pin a commit (40 "
            "digits), so that the run can be repeated"
        )
    return dataset


def _numbered(files: dict[str, Stated], options: SocSci210) -> list[Stated]:
    """The shards among ``files``, in order; all that their numbering promises."""
    found = {match.groups(): files[name] for name in files if (match := _SHARD.fullmatch(name))}
    where = f"{options.repository} at {options.revision}"
    if not found:
        raise DataError(f"{where} has no data/train-NNNNN-of-NNNNN.parquet; there are: {_some(files)}")
    totals = sorted({total for _, total in found})
    if len(totals) > 1:
        raise DataError(f"{where}: shards of several numberings: of {', of '.join(totals)}")
    numbers = [f"{number:05d}" for number in range(int(totals[0]))]
    missing = [
        f"data/train-{number}-of-{totals[0]}.parquet"
        for number in numbers
        if (number, totals[0]) not in found
    ]
    if missing or len(found) != len(numbers):
        raise DataError(
            f"{where}: {len(found)} of {len(numbers)} shards are there; missing: {', '.join(missing)}"
        )
    chosen = [found[number, totals[0]] for number in numbers]
    small = [file.name for file in chosen if len(file.hash) != 64]
    if small:
        raise DataError(f"{where}: no sha256 is stated for {', '.join(small)} (not in large-file storage)")
    return chosen


def _some(files: dict[str, Stated]) -> str:
    names = sorted(files)
    return ", ".join(names[:10]) + (f" and {len(names) - 10} more" if len(names) > 10 else "") or "no files"


def _rows(path: Path, what: str) -> int:
    """Rows of a shard, from its footer."""
    from pyarrow import ArrowException
    from pyarrow.parquet import read_metadata

    try:
        footer = read_metadata(path)
    except (ArrowException, OSError) as error:
        raise DataError(f"{what} is not a parquet file ({error}); check data.socsci210.repository") from error
    columns = footer.schema.to_arrow_schema().names
    missing = [name for name in _NEEDED if name not in columns]
    if missing:
        raise DataError(
            f"{what} lacks the columns {', '.join(missing)} (it has: {', '.join(columns)}); check data.socsci210.repository"
        )
    return int(footer.num_rows)


Check = Callable[[Stated, Path], None]


def _unchecked(file: Stated, path: Path) -> None:
    """Nothing more is known of what a file must be."""


def _obtain(
    dataset: Dataset, memory: Memory, files: list[Stated], check: Check, announce: Announce
) -> list[Path]:
    """The files in order: those of the cache that are right, the others downloaded."""

    def arrived(file: Stated) -> None:
        memory.remember(file, dataset.pointer(file.name))
        check(file, dataset.pointer(file.name))

    missing = _wrong(dataset, memory, files, announce)
    for file in files:
        if file not in missing:
            check(file, dataset.pointer(file.name))
    if missing:
        with dataset.locked(announce):
            absent = [file for file in missing if not dataset.adopt(file)]
            for file in missing:
                if file not in absent:
                    arrived(file)
            if absent:
                _download(dataset, absent, arrived, announce)
    return [dataset.pointer(file.name) for file in files]


def _download(
    dataset: Dataset, files: list[Stated], arrived: Callable[[Stated], None], announce: Announce
) -> None:
    dataset.check_space(files)
    progress = _Progress(announce, dataset, files)
    for file in files:
        dataset.fetch(file, progress, announce)
        arrived(file)
    progress.end()


def _wrong(dataset: Dataset, memory: Memory, files: list[Stated], announce: Announce) -> list[Stated]:
    """The files that are not in the cache or not what the Hub states."""
    there = [file for file in files if dataset.pointer(file.name).exists()]
    unknown = [file for file in there if not memory.checked(file, dataset.pointer(file.name))]
    if unknown:
        announce(
            f"checking {amount(sum(file.size for file in unknown))} of {dataset.repository} in the cache (once)"
        )
    wrong = [file for file in files if file not in there]
    for file in unknown:
        path = dataset.pointer(file.name)
        if file.digest(path) == file.hash:
            memory.remember(file, path)
        else:
            announce(
                f"{file.name}: the file in the cache is damaged (its {file.kind} is wrong): it is downloaded again"
            )
            wrong.append(file)
    return wrong


class _Progress:
    """Says how far a download is: at its beginning, every ``SPEAK_SECONDS``, and at its end."""

    def __init__(self, announce: Announce, dataset: Dataset, files: list[Stated]) -> None:
        self._announce = announce
        self._have = {file.name: dataset.arrived(file) for file in files}
        self._total = sum(file.size for file in files)
        self._before = sum(self._have.values())
        self._began = self._spoke = time.monotonic()
        here = f" ({amount(self._before)} of it are here)" if self._before else ""
        count = f"{len(files)} files" if len(files) > 1 else files[0].name
        announce(
            f"downloading {count} of {dataset.repository}, {amount(self._total)}{here}, from {dataset.endpoint}"
        )

    def __call__(self, file: Stated, size: int) -> None:
        self._have[file.name] = size
        now = time.monotonic()
        if now - self._spoke >= SPEAK_SECONDS:
            self._spoke = now
            have = sum(self._have.values())
            speed = max(have - self._before, 1) / (now - self._began)
            left = timedelta(seconds=round((self._total - have) / speed))
            self._announce(
                f"{file.name}: {amount(have)} of {amount(self._total)}, {amount(speed)} a second, {left} left"
            )

    def end(self) -> None:
        """Say that all has arrived."""
        seconds = round(time.monotonic() - self._began)
        self._announce(f"downloaded and checked {amount(self._total)} in {timedelta(seconds=seconds)}")
