"""Checkpoints of a training that may be interrupted, and what a full disk looks like."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from socrates_fast.errors import TrainingError
from socrates_fast.runs import Run, atomic_folder, write_text

LAST_GOOD = "adapter-before-nan"
"""Folder of a run that keeps the adapter of the last checkpoint before the loss was no number."""


def checkpoint_folder(run: Run, key: str) -> Path:
    """The folder of checkpoints; emptied if they were made with another key."""
    folder = run.folder / "checkpoints"
    if not (folder / "key").is_file() or (folder / "key").read_text(encoding="utf-8") != key:
        shutil.rmtree(folder, ignore_errors=True)
        write_text(folder / "key", key)
    return folder


def newest_checkpoint(folder: Path) -> Path | None:
    """The newest complete checkpoint; one that was cut short while being written is deleted."""
    found = sorted(folder.glob("checkpoint-*"), key=lambda path: int(path.name.split("-")[1]))
    while found:
        newest = found.pop()
        if (newest / "trainer_state.json").is_file():  # written last
            return newest
        shutil.rmtree(newest)
    return None


def keep_last_good(run: Run, checkpoints: Path) -> str:
    """Copy the newest checkpoint's adapter to ``LAST_GOOD``; what became of it, in words."""
    newest = newest_checkpoint(checkpoints)
    if newest is None:
        return "no checkpoint was written before"
    with atomic_folder(run.folder / LAST_GOOD) as partial:
        for name in ("adapter_config.json", "adapter_model.safetensors"):
            shutil.copyfile(newest / name, partial / name)
    return f"the adapter of step {newest.name.split('-')[1]} is kept in {run.folder / LAST_GOOD}"


@contextmanager
def full_disk_is_a_message(folder: Path) -> Iterator[None]:
    """Torch and safetensors each have an error of their own for a disk that is full."""
    from safetensors import SafetensorError

    try:
        yield
    except (SafetensorError, OSError, RuntimeError) as error:
        if "No space left" not in str(error) and shutil.disk_usage(folder).free > 2**20:
            raise
        raise TrainingError(
            f"{folder}: the disk is full ({error}); free some space, and the same command resumes"
        ) from error
