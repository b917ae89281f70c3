"""A run's folder: atomic files, a log, and a manifest that says which stages are complete.

A stage is complete when the manifest holds its key (a hash of everything it depends on) and every file it
named is still there with the same size and sha256. A stage that is complete is not done again.
"""

import hashlib
import io
import json
import os
import platform
import shutil
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from socrates_fast import __version__
from socrates_fast.errors import SocratesError

if TYPE_CHECKING:
    import polars as pl

PACKAGES = (
    "torch", "unsloth", "unsloth_zoo", "trl", "transformers", "peft", "bitsandbytes", "datasets",
    "tokenizers", "gguf", "llama-cpp-python", "numpy", "scipy", "polars",
)  # fmt: skip

LOG = "log.jsonl"
"""A run's log: a JSON document a line."""


def cache_folder() -> Path:
    """Where what can be made or had again is kept: ``SOCRATES_FAST_CACHE``, else the user's cache folder."""
    default = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "socrates-fast"
    return Path(os.environ.get("SOCRATES_FAST_CACHE") or default)


@contextmanager
def folder_for(folder: Path) -> Iterator[None]:
    """Make ``folder`` for what the block writes; a new one in which nothing came to lie is gone at the end."""
    new = not folder.exists()
    folder.mkdir(parents=True, exist_ok=True)
    try:
        yield
    finally:
        if new:
            with suppress(OSError):  # there is something in it
                folder.rmdir()


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside ``path``; rename it to ``path`` if the block succeeds, else delete it.

    Raises:
        SocratesError: the disk is full or the folder cannot be written.
    """
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        with folder_for(path.parent):
            try:
                yield partial
                partial.replace(path)
            finally:
                with suppress(OSError):  # where nothing could be written there is nothing to remove
                    partial.unlink()
    except OSError as error:
        raise SocratesError(f"cannot write {path}: {error.strerror or error}") from error


@contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """Yield a temporary folder; it takes the place of ``path`` if the block succeeds, else it is deleted."""
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir()
        try:
            yield partial
        except SocratesError as error:  # a person knows the folder, not its temporary name
            raise type(error)(str(error).replace(str(partial), str(path))) from error
        if path.exists():
            shutil.rmtree(path)
        partial.replace(path)
    except OSError as error:
        raise SocratesError(f"cannot write {path}: {error.strerror or error}") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def write_text(path: Path, text: str) -> None:
    """Write ``text`` to ``path`` as UTF-8, whole or not at all."""
    with atomic_path(path) as partial:
        partial.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any) -> None:
    """Write ``value`` to ``path`` as indented JSON, whole or not at all."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def write_parquet(path: Path, frame: "pl.DataFrame") -> None:
    """Write ``frame`` to ``path`` as parquet, whole or not at all."""
    # Through memory: on a full disk polars raises an error of its own, in which the reason is lost.
    buffer = io.BytesIO()
    frame.write_parquet(buffer)
    with atomic_path(path) as partial:
        partial.write_bytes(buffer.getbuffer())


def sha256_file(path: Path) -> str:
    """Hexadecimal sha256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def fingerprint(value: Any) -> str:
    """Hexadecimal sha256 of a JSON-able value, independent of key order."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()


def environment() -> dict[str, Any]:
    """Versions of what computes: Python, platform, CPU count and the packages of ``PACKAGES`` that are installed."""
    packages = {}
    for name in PACKAGES:
        try:
            packages[name] = version(name)
        except PackageNotFoundError:
            continue
    return {
        "socrates_fast": __version__,
        "python": platform.python_version(),
        "platform": f"{platform.system()} {platform.machine()}",
        "cpus": os.cpu_count(),
        "packages": packages,
    }


class Run:
    """A run's folder.

    Args:
        folder: made if it does not exist.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise SocratesError(
                f"cannot make the folder {folder} ({error.strerror}); name another with --out"
            ) from error

    @property
    def manifest(self) -> dict[str, Any]:
        """The complete stages by name: their key, files (with bytes and sha256) and seconds."""
        path = self.folder / "manifest.json"
        if not path.exists():
            return {}
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise SocratesError(f"{path}: not JSON ({error}); delete it to do all stages again") from error
        return dict(content)

    def is_complete(self, stage: str, key: str) -> bool:
        """Whether ``stage`` was closed with this ``key`` and its files are unchanged."""
        entry = self.manifest.get(stage)
        if entry is None or entry["key"] != key:
            return False
        return all(self._unchanged(name, facts) for name, facts in entry["files"].items())

    def _unchanged(self, name: str, facts: dict[str, Any]) -> bool:
        path = self.folder / name
        if not path.is_file() or path.stat().st_size != facts["bytes"]:
            return False
        return sha256_file(path) == str(facts["sha256"])

    def close(self, stage: str, key: str, files: Iterable[Path], seconds: float) -> None:
        """Record that ``stage`` is complete and wrote ``files`` (inside the folder).

        Files of an earlier completion that this one did not write are deleted: they are of another recipe.
        """
        facts = {
            str(path.relative_to(self.folder)): {
                "bytes": path.stat().st_size,
                "sha256": sha256_file(path),
            }
            for path in sorted(files)
        }
        for stale in set(self.manifest.get(stage, {}).get("files", {})) - set(facts):
            (self.folder / stale).unlink(missing_ok=True)
        entry = {"key": key, "seconds": round(seconds, 3), "files": facts}
        write_json(self.folder / "manifest.json", {**self.manifest, stage: entry})

    def sweep(self) -> None:
        """Remove what a killed process left half-written; only while the folder is held alone."""
        for partial in list(self.folder.rglob(".*.partial")):
            if partial.is_dir():
                shutil.rmtree(partial)
            else:
                partial.unlink()

    def log(self, event: str, **values: Any) -> None:
        """Append one line to ``log.jsonl``: time (seconds since the epoch), event, values."""
        line = json.dumps({"time": round(time.time(), 3), "event": event, **values})
        with (self.folder / LOG).open("a", encoding="utf-8") as file:
            file.write(line + "\n")
