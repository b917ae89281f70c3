"""What is remembered of a dataset of the Hub, so that it is neither listed nor hashed anew at every start."""

import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from socrates_fast.data.hub_files import Dataset, Stated
from socrates_fast.errors import DataError, SocratesError
from socrates_fast.runs import cache_folder, write_json


class Memory:
    """What is remembered of a dataset at a commit, in our own cache: what the Hub stated, and what was checked.

    A file that was checked is known again by its size and time of change. Losing the memory, or not being able to write
    it, costs a listing and a hashing.
    """

    def __init__(self, dataset: Dataset) -> None:
        self._dataset = dataset
        self._path = cache_folder() / "hub" / dataset.folder.name / f"{dataset.revision}.json"
        self._files: dict[str, Stated] = {}
        self._checked: dict[str, list[Any]] = {}
        with suppress(OSError, ValueError, KeyError, TypeError):  # not there, or of another version
            known = json.loads(self._path.read_text(encoding="utf-8"))
            self._files = {entry["name"]: Stated(**entry) for entry in known["files"]}
            self._checked = dict(known["checked"])

    def stated(self, choose: Callable[[dict[str, Stated]], list[Stated]]) -> list[Stated]:
        """What the Hub states of the files that ``choose`` takes; asked of it only if it is not known here."""
        for known in (self._files, self._dataset.cached()):
            with suppress(DataError):
                return choose(known)
        self._files = self._dataset.listing()[1]
        self._save()
        return choose(self._files)

    def checked(self, file: Stated, path: Path) -> bool:
        """Whether ``path`` was once found to be ``file``, and has not changed."""
        return path.exists() and self._checked.get(file.name) == _stamp(file, path)

    def remember(self, file: Stated, path: Path) -> None:
        """``path`` was found to be ``file``."""
        self._checked[file.name] = _stamp(file, path)
        self._save()

    def _save(self) -> None:
        files = [asdict(file) for file in self._files.values()]
        with suppress(SocratesError):
            write_json(self._path, {"files": files, "checked": self._checked})


def _stamp(file: Stated, path: Path) -> list[Any]:
    facts = path.stat()
    return [file.hash, facts.st_size, facts.st_mtime_ns]
