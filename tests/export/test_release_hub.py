"""Uploads with the real huggingface_hub, to a stand-in for the Hub on this machine."""

import os
import random
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from socrates_export.release.checksums import PARITY, write_sums
from tests.conftest import command_environment
from tests.export.hub_server import OWNER, TOKEN, Hub, front_matter, running_hub

REPOSITORY = f"{OWNER}/model"
CARD = "---\nlibrary_name: gguf\n---\n\n# model\n"

PUSH = """
import sys
from pathlib import Path
from socrates_export.release.hub import check_push, push
from socrates_fast.errors import ExportError
repository, public, folder = sys.argv[1:]
try:
    check_push(repository)
    print(push(Path(folder), repository, public == "public", lambda text: print(text, file=sys.stderr)))
except ExportError as error:
    sys.exit(f"refused: {error}")
"""

Push = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def hub() -> Iterator[Hub]:
    with running_hub() as hub:
        yield hub


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    """A release: two large files, some small ones, and beside them what is nobody's business."""
    folder = tmp_path / "out"
    folder.mkdir()
    content = {
        "m-q8_0.gguf": random.Random(1).randbytes(3_000_000),
        "m-f16.gguf": random.Random(2).randbytes(90_000),
        "README.md": CARD.encode(),
        "Modelfile": b"FROM ./m-q8_0.gguf\n",
        PARITY: b"{}\n",
    }
    made = []
    for name, data in content.items():
        (folder / name).write_bytes(data)
        made.append(folder / name)
    (folder / ".partial").mkdir()
    (folder / ".partial" / "secret").write_text("secret")
    (folder / "notes.txt").write_text("mine")
    return [*made, write_sums(folder, made, {})]


@pytest.fixture
def push(hub: Hub, files: list[Path], tmp_path: Path) -> Push:
    """``push(repository, visibility, **environment)`` in a process of its own, as huggingface_hub reads its settings once."""

    def run(
        repository: str = REPOSITORY, visibility: str = "private", **more: str
    ) -> subprocess.CompletedProcess[str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
        environment = {
            **kept, "PYTHONPATH": os.pathsep.join(sys.path), "HF_HOME": str(tmp_path / "home"), "HF_TOKEN": TOKEN,
            "HF_ENDPOINT": hub.endpoint, "HF_HUB_DISABLE_XET": "1", "HF_HUB_DISABLE_TELEMETRY": "1", **more,
        }  # fmt: skip
        command = [
            sys.executable,
            "-c",
            PUSH,
            repository,
            visibility,
            str(files[0].parent),
        ]
        return subprocess.run(
            command, env=environment, capture_output=True, text=True, check=False, timeout=100
        )

    return run


def refused(done: subprocess.CompletedProcess[str], *words: str) -> None:
    assert done.returncode == 1
    assert done.stderr.rpartition("refused: ")[1], done.stderr
    assert "Traceback" not in done.stderr
    for word in words:
        assert word in done.stderr.rpartition("refused: ")[2], done.stderr
    assert TOKEN not in done.stderr


def test_every_byte_arrives_and_nothing_else(hub: Hub, push: Push, files: list[Path]) -> None:
    done = push()
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == f"{hub.endpoint}/{REPOSITORY}/commit/{1:040x}"
    assert f"uploading {len(files)} files to {REPOSITORY} (private)" in done.stderr
    repository = hub.repositories[REPOSITORY]
    assert repository.private
    assert repository.files == {file.name: file.read_bytes() for file in files}
    assert front_matter(repository.files["README.md"].decode()) == {"library_name": "gguf"}
    assert hub.puts() == 2


def test_a_second_time_sends_no_large_file_again(hub: Hub, push: Push, files: list[Path]) -> None:
    assert push().returncode == 0
    (files[2]).write_text(CARD + "More.\n")
    write_sums(files[0].parent, files[:-1], {})
    assert push().returncode == 0
    assert hub.puts() == 2
    assert hub.repositories[REPOSITORY].files["README.md"].decode().endswith("More.\n")


def test_public_only_if_asked_for(hub: Hub, push: Push) -> None:
    assert push(visibility="public").returncode == 0
    assert not hub.repositories[REPOSITORY].private
    before = list(hub.requests)
    refused(push(), f"{REPOSITORY} is public; add --public")
    assert [path for method, path in hub.requests[len(before) :] if "commit" in path or method == "PUT"] == []


def test_a_connection_that_is_cut_once(hub: Hub, push: Push, files: list[Path]) -> None:
    hub.cuts = 1
    done = push()
    assert done.returncode == 0, done.stderr
    assert hub.puts() == 3
    assert hub.repositories[REPOSITORY].files == {file.name: file.read_bytes() for file in files}


def test_a_connection_that_is_always_cut_then_the_same_command(
    hub: Hub, push: Push, files: list[Path], tmp_path: Path
) -> None:
    hub.cuts = 1000
    impatient = tmp_path / "sitecustomize.py"  # huggingface_hub waits 1, 2, 4, 8, 8 seconds between its tries
    impatient.write_text("import time\ntime.sleep = lambda seconds: None\n")
    done = push(PYTHONPATH=os.pathsep.join([str(tmp_path), *sys.path]))
    refused(done, "the upload failed", "run the same command again")
    assert hub.repositories[REPOSITORY].files == {}
    hub.cuts = 0
    assert push().returncode == 0
    assert hub.repositories[REPOSITORY].files == {file.name: file.read_bytes() for file in files}


def test_no_hub_there(push: Push, tmp_path: Path) -> None:
    impatient = tmp_path / "sitecustomize.py"
    impatient.write_text("import time\ntime.sleep = lambda seconds: None\n")
    done = push(HF_ENDPOINT="http://127.0.0.1:9", PYTHONPATH=os.pathsep.join([str(tmp_path), *sys.path]))
    refused(done, "the upload failed", "Connection refused")


@pytest.mark.parametrize(
    ("repository", "more", "words"),
    [
        (REPOSITORY, {"HF_TOKEN": "hf_wrong"}, ["does not know this token", "hf auth login", "HF_TOKEN"]),
        ("bob/model", {}, ["may not write there", "repository of your own"]),
    ],
)
def test_who_may_not(hub: Hub, push: Push, repository: str, more: dict[str, str], words: list[str]) -> None:
    refused(push(repository, **more), repository, *words)
    assert hub.repositories == {}
    assert hub.objects == {}


@pytest.mark.parametrize(
    ("repository", "more", "words"),
    [
        ("model", {}, ["user/name"]),
        ("anna/a--b", {}, ["--push anna/a--b"]),
        ("anna/b/c", {}, ["--push anna/b/c"]),
        (REPOSITORY, {"HF_TOKEN": ""}, ["nobody is logged in", "hf auth login"]),
        (REPOSITORY, {"HF_HUB_OFFLINE": "1"}, ["HF_HUB_OFFLINE"]),
    ],
)
def test_what_is_known_before_anything_is_sent(
    hub: Hub, push: Push, repository: str, more: dict[str, str], words: list[str]
) -> None:
    refused(push(repository, **more), *words)
    assert hub.requests == []


@pytest.mark.parametrize(
    ("status", "words"), [(404, "no such user"), (413, "larger than"), (418, "refused (418)")]
)
def test_other_refusals(hub: Hub, push: Push, status: int, words: str) -> None:
    hub.status = status
    refused(push(), REPOSITORY, words)


def test_a_card_that_the_hub_refuses(hub: Hub, push: Push, files: list[Path]) -> None:
    files[2].write_text("---\na: [\n---\n")
    write_sums(files[0].parent, files[:-1], {})
    refused(push(), REPOSITORY, "README.md")
    assert hub.puts() == 0
    assert hub.repositories[REPOSITORY].files == {}


def command(
    hub: Hub, tmp_path: Path, *arguments: str | Path, **more: str
) -> subprocess.CompletedProcess[str]:
    """``socrates-fast export ARGUMENTS`` with the stand-in for a Hub."""
    environment = {
        **command_environment(tmp_path), "HF_HOME": str(tmp_path / "home"), "HF_TOKEN": TOKEN, "HF_HUB_OFFLINE": "0",
        "HF_ENDPOINT": hub.endpoint, "HF_HUB_DISABLE_XET": "1", **more,
    }  # fmt: skip
    return subprocess.run(
        [sys.executable, "-m", "socrates_fast", "export", *map(str, arguments)], env=environment, cwd=tmp_path,
        capture_output=True, text=True, check=False, timeout=200,
    )  # fmt: skip


def test_the_command_pushes_what_it_has_written(hub: Hub, base: Path, tmp_path: Path) -> None:
    asked: list[str | Path] = [
        "--base",
        base,
        "--quant",
        "q8_0",
        "--out",
        "out",
        "--set",
        "export.parity.logits=false",
    ]
    done = command(hub, tmp_path, *asked, "--push", REPOSITORY)
    assert done.returncode == 0, done.stderr
    *written, address = done.stdout.split()
    assert address == f"{hub.endpoint}/{REPOSITORY}/commit/{1:040x}"
    delivered = {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    assert hub.repositories[REPOSITORY].files == delivered
    assert {Path(name).name for name in written} == delivered.keys()
    assert delivered.keys() >= {"README.md", "Modelfile", "SHA256SUMS", PARITY}


@pytest.mark.long
def test_a_gate_that_fails_uploads_nothing(hub: Hub, base: Path, tmp_path: Path) -> None:
    bound = "export.parity.bounds={f16: {nmse: 1.0e-30}}"
    asked: list[str | Path] = [
        "--base",
        base,
        "--quant",
        "f16",
        "--out",
        "out",
        "--set",
        bound,
        "--set",
        "export.parity.answers=0",
    ]
    done = command(hub, tmp_path, *asked, "--push", REPOSITORY)
    assert done.returncode == 2
    assert "is not the model that was trained" in done.stderr
    assert hub.requests == []
    assert not (tmp_path / "out").exists()


def test_the_command_asks_who_pushes_before_it_works(hub: Hub, base: Path, tmp_path: Path) -> None:
    done = command(hub, tmp_path, "--base", base, "--out", "out", "--push", REPOSITORY, HF_TOKEN="")
    assert done.returncode == 2
    assert "nobody is logged in" in done.stderr
    assert not (tmp_path / "out").exists()


def test_only_a_whole_release(hub: Hub, push: Push, files: list[Path]) -> None:
    files[0].unlink()
    refused(push(), "not a whole export (m-q8_0.gguf)")
    files[-1].unlink()
    refused(push(), "not a whole export (SHA256SUMS)")
    assert hub.requests == []
