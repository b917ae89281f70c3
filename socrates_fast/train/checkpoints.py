"""Checkpoints of a training that may be interrupted, and what a full disk looks like."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from socrates_fast.errors import TrainingError
from socrates_fast.runs import Run, atomic_folder, write_text

LAST_GOOD = "adapter-before-nan"
"""Folder of a run that keeps the adapter of the last checkpoint before the loss was no number."""

COMPLETE = "complete"
"""Empty file that closes a checkpoint, written after the files of all processes."""


def checkpoint_folder(run: Run, key: str, processes: int = 1) -> Path:
    """The folder of checkpoints; emptied if they were made with another key.

    Args:
        processes: how many train together. Rows are dealt out to them, so others cannot go on.

    Raises:
        TrainingError: the checkpoints are of another number of processes.
    """
    folder = run.folder / "checkpoints"
    mark = f"{key} {processes}"
    found = (folder / "key").read_text(encoding="utf-8") if (folder / "key").is_file() else ""
    if found == mark:
        return folder
    if found.startswith(f"{key} ") and newest_checkpoint(folder):
        raise TrainingError(
            f"{folder}: made by {found.split()[1]} processes, this is {processes}; resume with as many, or delete that "
            "folder to begin anew"
        )
    shutil.rmtree(folder, ignore_errors=True)
    write_text(folder / "key", mark)
    return folder


def close_checkpoint(folder: Path, step: int) -> None:
    """Say that the checkpoint of ``step`` is complete."""
    write_text(folder / f"checkpoint-{step}" / COMPLETE, "")


def newest_checkpoint(folder: Path) -> Path | None:
    """The newest complete checkpoint; one that was cut short while being written is deleted."""
    found = sorted(folder.glob("checkpoint-*"), key=lambda path: int(path.name.split("-")[1]))
    while found:
        newest = found.pop()
        if (newest / COMPLETE).is_file():
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
