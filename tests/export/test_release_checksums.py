"""SHA256SUMS as sha256sum reads it, and a release that takes its place without taking anybody's text."""

import subprocess
from pathlib import Path

import pytest

from socrates_export.release.checksums import PARITY, SUMS, check_free, deliver, read_sums, write_sums
from socrates_fast.errors import ExportError
from socrates_fast.runs import sha256_file

TEXTS = ["Modelfile", "README.md", "LICENSE"]
NAMES = ["m-q8_0.gguf", PARITY, *TEXTS]


def made(folder: Path, text: str, names: list[str] = NAMES) -> list[Path]:
    """A release in ``folder`` whose files all hold ``text``."""
    folder.mkdir(exist_ok=True)
    files = [folder / name for name in names]
    for file in files:
        file.write_text(f"{text} of {file.name}", encoding="utf-8")
    return [*files, write_sums(folder, files, {})]


def sha256sum(folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["sha256sum", "-c", "--strict", SUMS], cwd=folder, capture_output=True, text=True, check=False,
        env={"LC_ALL": "C"},
    )  # fmt: skip


def test_sha256sum_checks_it(tmp_path: Path) -> None:
    names = [*NAMES, "a space.txt", "back\\slash", "two\nlines", "naïve 🚀", " -x"]
    made(tmp_path, "text", names)
    done = sha256sum(tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count(": OK") == len(names)
    assert read_sums(tmp_path) == {name: sha256_file(tmp_path / name) for name in names}
    (tmp_path / "README.md").write_text("changed", encoding="utf-8")
    assert sha256sum(tmp_path).returncode == 1


def test_it_is_what_sha256sum_writes(tmp_path: Path) -> None:
    names = [*NAMES, "back\\slash", "two\nlines"]
    made(tmp_path, "text", names)
    theirs = subprocess.run(["sha256sum", *names], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert sorted(theirs.stdout.splitlines()) == sorted((tmp_path / SUMS).read_text().splitlines())


def test_hashes_that_are_known_are_not_computed_again(tmp_path: Path) -> None:
    files = made(tmp_path, "text")[:-1]
    write_sums(tmp_path, files, {"m-q8_0.gguf": "0" * 64})
    assert read_sums(tmp_path)["m-q8_0.gguf"] == "0" * 64
    assert sha256sum(tmp_path).returncode == 1


@pytest.mark.parametrize("text", ["", "notes\n", f"{'0' * 64}  some other file\n", "\xff\xfe"])
def test_another_list_says_nothing(tmp_path: Path, text: str) -> None:
    (tmp_path / SUMS).write_text(text, encoding="latin-1")
    assert read_sums(tmp_path) == {}
    with pytest.raises(ExportError, match=SUMS):
        check_free(tmp_path, [])


def test_a_release_replaces_a_release(tmp_path: Path) -> None:
    out = tmp_path / "out"
    made(out, "old", [*NAMES, "NOTICE", "m-f16.gguf"])
    (out / "mine.txt").write_text("mine", encoding="utf-8")
    check_free(out, TEXTS)
    files = deliver(tmp_path / "new", out, made(tmp_path / "new", "new"))
    assert {file.name for file in files} == {*NAMES, SUMS}
    assert all((out / name).read_text(encoding="utf-8") == f"new of {name}" for name in NAMES)
    # NOTICE was the old base's; a GGUF of another type and what was never an export's stay.
    assert {path.name for path in out.iterdir()} == {*NAMES, SUMS, "m-f16.gguf", "mine.txt"}
    assert sha256sum(out).returncode == 0


@pytest.mark.parametrize("name", ["README.md", "Modelfile", "LICENSE"])
@pytest.mark.parametrize("exported", [False, True])
def test_a_persons_own_text_is_not_replaced(tmp_path: Path, name: str, exported: bool) -> None:
    if exported:
        made(tmp_path, "old")
    (tmp_path / name).write_text("my own words", encoding="utf-8")
    with pytest.raises(
        ExportError, match=rf"{name} would be replaced, .* move it away or name another folder"
    ):
        check_free(tmp_path, TEXTS)
    assert (tmp_path / name).read_text(encoding="utf-8") == "my own words"


def test_a_folder_in_a_texts_place_is_refused(tmp_path: Path) -> None:
    (tmp_path / "README.md").mkdir()
    with pytest.raises(ExportError, match="would be replaced"):
        check_free(tmp_path, TEXTS)


class Killed(BaseException):
    """Stands for the end of the process: nothing handles it."""


@pytest.mark.parametrize("moves", range(len(NAMES) + 1))
def test_killed_while_moving_and_then_again(
    tmp_path: Path, moves: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    done: list[Path] = []
    made(out, "old", [*NAMES, "NOTICE"])
    real = Path.replace

    def replace(self: Path, target: Path) -> Path:
        if len(done) == moves:
            raise Killed
        done.append(self)
        return real(self, target)

    files = made(tmp_path / "new", "new")
    with monkeypatch.context() as patched, pytest.raises(Killed):
        patched.setattr(Path, "replace", replace)
        deliver(tmp_path / "new", out, files)
    assert sha256sum(out).returncode == 1
    # What is there now hides no text of a person's, and the next export may go on.
    check_free(out, [*TEXTS, "NOTICE"])
    deliver(tmp_path / "again", out, made(tmp_path / "again", "again"))
    assert sha256sum(out).returncode == 0
