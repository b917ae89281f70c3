"""Files appear whole or not at all; a stage is complete only while its files are what they were."""

import os
from pathlib import Path

import pytest

from socrates_fast.errors import SocratesError
from socrates_fast.runs import Run, atomic_folder, atomic_path, fingerprint, write_json, write_text


def test_atomic_path_leaves_nothing_after_a_failure(tmp_path: Path) -> None:
    target = tmp_path / "deep" / "file.txt"
    write_text(target, "old")
    with pytest.raises(ValueError, match="half way"), atomic_path(target) as partial:
        partial.write_text("new", encoding="utf-8")
        raise ValueError("half way")
    assert target.read_text(encoding="utf-8") == "old"
    assert os.listdir(target.parent) == ["file.txt"]


def test_atomic_folder_replaces_the_whole(tmp_path: Path) -> None:
    target = tmp_path / "folder"
    for name in ("a", "b"):
        with atomic_folder(target) as partial:
            (partial / name).touch()
    assert os.listdir(target) == ["b"]
    with pytest.raises(ValueError, match="x"), atomic_folder(target) as partial:
        raise ValueError("x")
    assert os.listdir(tmp_path) == ["folder"]


def test_full_disk_is_a_message(tmp_path: Path) -> None:
    with (
        pytest.raises(SocratesError, match=r"cannot write .*file: No space left"),
        atomic_path(tmp_path / "file"),
    ):
        raise OSError(28, "No space left on device")


def test_stage_is_complete_until_something_changes(tmp_path: Path) -> None:
    run = Run(tmp_path)
    file = tmp_path / "out.txt"
    write_text(file, "result")
    assert not run.is_complete("data", "k")
    run.close("data", "k", [file], 1.0)
    assert run.is_complete("data", "k")
    assert not run.is_complete("data", "other")
    write_text(file, "resulT")
    assert not run.is_complete("data", "k")
    file.unlink()
    assert not run.is_complete("data", "k")


def test_damaged_manifest_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text("{", encoding="utf-8")
    with pytest.raises(SocratesError, match="delete it"):
        Run(tmp_path).is_complete("data", "k")


def test_fingerprint_ignores_key_order_and_sees_values() -> None:
    assert fingerprint({"a": 1, "b": 2}) == fingerprint({"b": 2, "a": 1})
    assert fingerprint({"a": 1}) != fingerprint({"a": 2})


def test_json_refuses_numbers_that_are_not(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="JSON"):
        write_json(tmp_path / "x.json", float("nan"))
    assert not list(tmp_path.iterdir())
