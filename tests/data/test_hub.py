"""SocSci210 from a stand-in for the Hub on this machine, by the real huggingface_hub: downloads, their cache, their resuming."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import polars as pl
import pytest

from socrates_fast.data import hub as module
from socrates_fast.data import hub_files
from socrates_fast.data.hub import mapping_file, shards, source_key
from socrates_fast.data.hub_files import Stated
from socrates_fast.data.sources import open_source
from socrates_fast.errors import DataError, RecipeError
from socrates_fast.recipe import Data
from tests.data.hub_cases import (
    FIRST,
    NAMES,
    OPTIONS,
    environment,
    forget,
    offline,
    partial,
    refused,
    right,
    unreachable,
)
from tests.data.hub_server import COMMIT, REPOSITORY, TOKEN, Hub


def test_every_shard_arrives_once_in_order(
    hub: Hub, hub_rows: pl.DataFrame, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    hub.closed = "gated"
    hub.files = dict(reversed(hub.files.items()))
    said: list[str] = []
    found = shards(OPTIONS, said.append)
    assert right(found, hub)
    assert (found.revision, found.rows) == (COMMIT, len(hub_rows))
    assert pl.concat(map(pl.read_parquet, found.files)).equals(hub_rows)
    assert hub.transfers() == [(name, 0) for name in NAMES]
    for _, path, headers in hub.requests:  # the token is for the Hub, not for the store that it names
        assert headers["Authorization"] == (None if path.startswith("/store/") else f"Bearer {TOKEN}")
    assert said[0].startswith(f"downloading 3 files of {REPOSITORY}, ")
    assert hub.endpoint in said[0]
    assert said[-1].startswith("downloaded and checked ")
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("forgotten", [False, True])
@pytest.mark.parametrize("without", [unreachable, offline])
def test_what_is_cached_needs_no_network(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, forgotten: bool, without: object
) -> None:
    assert callable(without)
    first = shards(OPTIONS)
    before = len(hub.requests)
    if forgotten:
        forget(tmp_path)
    without(monkeypatch)
    said: list[str] = []
    assert shards(OPTIONS, said.append) == first
    assert source_key(OPTIONS)["sha256"] == first.sha256
    assert len(hub.requests) == before
    assert [line[:9] for line in said] == (["checking "] if forgotten else [])


def test_files_are_hashed_once(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    hashed: list[str] = []
    digest = Stated.digest

    def noted(self: Stated, path: Path) -> str:
        hashed.append(self.name)
        return digest(self, path)

    monkeypatch.setattr(Stated, "digest", noted)
    first = shards(OPTIONS)
    assert hashed == NAMES
    assert shards(OPTIONS) == first
    assert hashed == NAMES


def test_the_key_is_known_before_a_download(hub: Hub) -> None:
    key = source_key(OPTIONS)
    assert hub.transfers() == []
    found = shards(OPTIONS)
    assert (
        key == {"repository": REPOSITORY, "revision": COMMIT, "sha256": found.sha256} == source_key(OPTIONS)
    )
    assert len([path for _, path, _ in hub.requests if "/api/" in path]) == 1


def test_huggingface_hub_finds_them(hub: Hub, tmp_path: Path) -> None:
    from huggingface_hub import hf_hub_download

    for name, file in zip(NAMES, shards(OPTIONS).files, strict=True):
        found = hf_hub_download(
            REPOSITORY, name, repo_type="dataset", revision=COMMIT, cache_dir=tmp_path / "hub", local_files_only=True,
        )  # fmt: skip
        assert Path(found) == file


def test_what_huggingface_hub_has_is_not_asked_for(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub import constants, hf_hub_download

    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)  # the stand-in has no Xet store
    for name in NAMES[:2]:
        hf_hub_download(
            REPOSITORY, name, repo_type="dataset", revision=COMMIT, cache_dir=tmp_path / "hub", endpoint=hub.endpoint,
        )  # fmt: skip
    hub.requests.clear()
    assert right(shards(OPTIONS), hub)
    assert hub.transfers() == [(NAMES[2], 0)]


def test_a_cut_connection_is_resumed(hub: Hub) -> None:
    hub.cuts = [None, 5000, 1000, 0, None]
    assert right(shards(OPTIONS), hub)
    second = NAMES[1]
    assert hub.transfers() == [
        (FIRST, 0),
        (second, 0),
        (second, 5000),
        (second, 6000),
        (second, 6000),
        (NAMES[2], 0),
    ]


def test_a_connection_that_stays_cut_then_the_next_call_goes_on(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.cuts = [None, 5000, *[0] * 9]
    refused(NAMES[1], "the connection failed", "the same command goes on where this one stopped")
    assert len(hub.transfers()) == 2 + len(hub_files.WAITS)
    assert partial(tmp_path).stat().st_size == 5000
    unreachable(monkeypatch)
    refused("the connection failed", "Connection refused", "the same command goes on")
    monkeypatch.setenv("HF_ENDPOINT", hub.endpoint)
    hub.cuts = []
    hub.requests.clear()
    said: list[str] = []
    assert right(shards(OPTIONS, said.append), hub)
    assert hub.transfers() == [(NAMES[1], 5000), (NAMES[2], 0)]
    assert "(5 kB of it are here)" in said[0]


def test_a_killed_process_has_left_what_it_had(hub: Hub, tmp_path: Path) -> None:
    hub.stalls = [None, 5000]
    code = (
        "from socrates_fast.data.hub import shards\nfrom socrates_fast.recipe import SocSci210\n"
        f"shards(SocSci210(repository={REPOSITORY!r}, revision={COMMIT!r}))"
    )
    kept = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
    process = subprocess.Popen(
        [sys.executable, "-c", code], env={**kept, **environment(hub, tmp_path), "PYTHONPATH": os.pathsep.join(sys.path)}
    )  # fmt: skip
    deadline = time.monotonic() + 30
    while not (len(hub.transfers()) == 2 and partial(tmp_path).stat().st_size):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    size = partial(tmp_path).stat().st_size
    hub.requests.clear()
    assert right(shards(OPTIONS), hub)
    assert hub.transfers() == [(NAMES[1], size), (NAMES[2], 0)]


@pytest.mark.parametrize("name", ["participant_mapping", "task_mapping"])
def test_mapping_files(hub: Hub, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    wanted = f"metadata/{name}.json"
    content = hub.files[wanted]
    hub.kept[wanted] = content.replace(b"{", b"[")
    with pytest.raises(DataError, match=wanted):
        mapping_file(OPTIONS, name)
    hub.kept = {}
    found = mapping_file(OPTIONS, name)
    assert found.read_bytes() == content
    unreachable(monkeypatch)
    assert mapping_file(OPTIONS, name) == found


def test_mapping_files_that_are_not_there(hub: Hub) -> None:
    with pytest.raises(
        DataError, match=r"no metadata/condition_mapping\.json; there are: README\.md, data/train-00000"
    ):
        mapping_file(OPTIONS, "condition_mapping")
    with pytest.raises(
        RecipeError, match=r"data\.split\.mapping: people is none of .* participant_mapping, "
    ):
        mapping_file(OPTIONS, "people")


def test_a_branch_is_no_revision(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    moving = OPTIONS.model_copy(update={"revision": "main"})
    refused("data.socsci210.revision is main", f"now it is {COMMIT}", "pin a commit", options=moving)
    assert hub.transfers() == []
    offline(monkeypatch)
    assert "now it is" not in refused("data.socsci210.revision is main", "pin a commit", options=moving)


def test_two_at_once_download_once(hub: Hub) -> None:
    hub.stalls = [1000]
    said: list[list[str]] = [[], []]
    threads = [threading.Thread(target=shards, args=(OPTIONS, line.append)) for line in said]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(set(hub.transfers())) == sorted([*((name, 0) for name in NAMES), (FIRST, 1000)])
    assert len(hub.transfers()) == 4
    assert sum("waiting for it" in line for lines in said for line in lines) == 1
    assert right(shards(OPTIONS), hub)


def test_progress_is_told(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SPEAK_SECONDS", 0.0)
    said: list[str] = []
    shards(OPTIONS, said.append)
    total = sum(len(hub.files[name]) for name in NAMES)
    last = [line for line in said if " left" in line][-1]
    assert last.startswith(f"{NAMES[2]}: {hub_files.amount(total)} of {hub_files.amount(total)}, ")
    assert last.endswith(" a second, 0:00:00 left")


def test_the_source_reads_them(hub: Hub, hub_rows: pl.DataFrame) -> None:
    study = hub_rows["study_id"][-1]
    options = OPTIONS.model_copy(update={"studies": (study,)})
    source = open_source(Data(source="socsci210", socsci210=options))
    wanted = hub_rows.filter(pl.col("study_id") == study).select(
        "study_id", "sample_id", "response", "stimuli"
    )
    assert source.read().select(wanted.columns).equals(wanted)
