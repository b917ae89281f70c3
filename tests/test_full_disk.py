"""A disk that is full in each stage that writes: a message, nothing half-written, and afterwards the command works."""

import subprocess
from pathlib import Path

import pytest

from socrates_fast import recipes
from socrates_fast.data.prepare import prepare
from tests.conftest import Command
from tests.test_cli import content, refused


def grow(disk: Path) -> None:
    subprocess.run(["mount", "-o", "remount,size=16m", str(disk)], check=True)


def test_preparing_on_a_full_disk_leaves_nothing_and_then_works(command: Command, small_disk: Path) -> None:
    arguments = ("data", "prepare", "tiny", "--out", small_disk / "rows")
    refused(command(*arguments), str(small_disk / "rows"), "No space left on device")
    assert not [path for path in small_disk.rglob("*") if path.is_file()]
    grow(small_disk)
    again = command(*arguments)
    assert again.code == 0, again.err


def test_preparing_again_on_a_full_disk_keeps_the_old_split_whole(
    command: Command, small_disk: Path, tmp_path: Path
) -> None:
    """New training rows beside old test rows would put the same people on both sides."""
    grow(small_disk)
    rows = small_disk / "rows"
    prepare(recipes.load("tiny"), rows)
    before = content(rows)
    changes = ["data.synthetic.people=320", "data.split.seed=8", "data.split.test=0.6"]
    prepare(recipes.load("tiny", changes), tmp_path / "new")
    # Room for the new training rows, not for the new test rows as well.
    room = sum(map(kibibytes, rows.iterdir())) + kibibytes(tmp_path / "new/train.parquet") + 8
    subprocess.run(["mount", "-o", f"remount,size={room}k", str(small_disk)], check=True)
    options = [part for change in changes for part in ("--set", change)]
    refused(command("data", "prepare", "tiny", "--out", rows, *options), "No space left on device")
    assert content(rows) == before


def kibibytes(file: Path) -> int:
    """What a file takes on a tmpfs."""
    return -(-file.stat().st_size // 4096) * 4


def test_the_data_stage_on_a_full_disk(command: Command, small_disk: Path) -> None:
    """Recipe and versions fit, the rows do not."""
    outcome = command("train", "tiny", "--out", small_disk / "run")
    refused(outcome, str(small_disk / "run"), "No space left on device")
    assert not list(small_disk.rglob("*.parquet"))
    assert not list(small_disk.rglob("*partial*"))
    assert not (small_disk / "run/manifest.json").exists()


def test_exporting_to_a_full_disk(command: Command, micro_base: Path, small_disk: Path) -> None:
    quick = ["--set", "export.parity.logits=false", "--quant", "f16"]
    arguments = ("export", "--base", micro_base, "--out", small_disk / "gguf", *quick)
    refused(command(*arguments), "the disk is full: the files need", "ask for fewer types or another --out")
    assert not [path for path in small_disk.rglob("*") if path.is_file()]
    grow(small_disk)
    again = command(*arguments)
    assert again.code == 0, again.err
    assert {path.suffix for path in (small_disk / "gguf").iterdir()} == {".gguf", ".json", ".md", ""}


def test_exporting_to_a_disk_that_cannot_be_written(
    command: Command, micro_base: Path, small_disk: Path
) -> None:
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    outcome = command("export", "--base", micro_base, "--out", small_disk / "gguf", "--quant", "f16")
    refused(outcome, f"cannot write into {small_disk / 'gguf'}: Read-only file system")


@pytest.mark.long
def test_training_on_a_full_disk_then_resuming(
    command: Command, micro_recipe: Path, small_disk: Path
) -> None:
    """Room for the data, not for a checkpoint."""
    subprocess.run(["mount", "-o", "remount,size=240k", str(small_disk)], check=True)
    arguments = ("train", micro_recipe, "--out", small_disk / "run")
    refused(command(*arguments), "the disk is full", "the same command resumes")
    assert not (small_disk / "run/adapter").exists()
    grow(small_disk)
    again = command(*arguments)
    assert again.code == 0, again.err
    assert "data: already done" in again.err
