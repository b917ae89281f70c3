"""What a person is told, and what is left, when the Hub, the network, the disk or the dataset is not as it should be."""

import time
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from socrates_fast.data import hub as module
from socrates_fast.data import hub_files
from socrates_fast.data.hub import shards, source_key
from socrates_fast.data.hub_files import Stated
from socrates_fast.errors import DataError
from tests.data.hub_cases import (
    FIRST,
    NAMES,
    OPTIONS,
    forget,
    offline,
    parquet,
    partial,
    refused,
    right,
    unreachable,
)
from tests.data.hub_server import COMMIT, REPOSITORY, SMALL, TOKEN, Hub, sha256


def test_a_silent_connection_is_given_up_and_resumed(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_DOWNLOAD_TIMEOUT", 0.2)
    hub.stalls, hub.silence = [3000], 60
    began = time.monotonic()
    assert right(shards(OPTIONS), hub)
    assert time.monotonic() - began < 30
    assert hub.transfers()[:2] == [(FIRST, 0), (FIRST, 3000)]


def test_a_connection_that_gets_on_is_not_given_up(hub: Hub) -> None:
    hub.cuts = [1000] * (2 * len(hub_files.WAITS))
    assert right(shards(OPTIONS), hub)
    assert hub.transfers()[6] == (FIRST, 6000)


def test_a_cut_that_looks_like_an_end(hub: Hub) -> None:
    hub.cuts, hub.lengths = [5000], False
    assert right(shards(OPTIONS), hub)
    assert hub.transfers()[:2] == [(FIRST, 0), (FIRST, 5000)]


def test_a_store_without_ranges(hub: Hub) -> None:
    hub.cuts, hub.ranges = [5000], False
    assert right(shards(OPTIONS), hub)
    assert hub.transfers()[:2] == [(FIRST, 0), (FIRST, 5000)]


@pytest.mark.parametrize("left", [b"not the beginning of it", b"x" * 300_000])
def test_what_is_left_of_another_download_does_no_harm(hub: Hub, tmp_path: Path, left: bytes) -> None:
    hub.cuts = [100, *[0] * 9]
    refused(FIRST)
    partial(tmp_path).write_bytes(left)
    hub.cuts = []
    said: list[str] = []
    assert right(shards(OPTIONS, said.append), hub)
    assert any("downloading it once more" in line for line in said)


def test_a_wrong_checksum_twice(hub: Hub, tmp_path: Path) -> None:
    good = hub.files[FIRST]
    hub.kept[FIRST] = bad = good[:100] + bytes([good[100] ^ 1]) + good[101:]
    said = refused(
        REPOSITORY, FIRST, f"expected sha256 {sha256(good)}", f"found {sha256(bad)}", "it was deleted"
    )
    assert f"({len(good)} bytes)" in said
    assert hub.transfers() == [(FIRST, 0)] * 2
    assert [
        path for path in (tmp_path / "hub").rglob("*") if path.is_file() and ".locks" not in path.parts
    ] == []
    hub.kept = {}
    assert right(shards(OPTIONS), hub)


@pytest.mark.parametrize("size", [-1, 1])
def test_other_sizes_than_stated(hub: Hub, size: int) -> None:
    hub.kept[FIRST] = (hub.files[FIRST] + b"x")[: len(hub.files[FIRST]) + size]
    refused(FIRST, sha256(hub.files[FIRST]), f"({len(hub.files[FIRST])} bytes)")


@pytest.mark.parametrize("forgotten", [False, True])
def test_a_file_of_the_cache_that_has_changed_is_had_again(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, forgotten: bool
) -> None:
    damaged = shards(OPTIONS).files[1]
    content = bytearray(damaged.read_bytes())
    content[200] ^= 1
    damaged.write_bytes(content)
    if forgotten:
        forget(tmp_path)
    offline(monkeypatch)
    refused(NAMES[1], "HF_HUB_OFFLINE is set")
    offline(monkeypatch, switched=False)
    hub.requests.clear()
    said: list[str] = []
    assert right(shards(OPTIONS, said.append), hub)
    assert any(line.startswith(f"{NAMES[1]}: the file in the cache is damaged") for line in said)
    assert hub.transfers() == [(NAMES[1], 0)]


@pytest.mark.parametrize(
    ("status", "tries", "words"),
    [(503, 3, "answers 503; try again later"), (429, 3, "answers 429"), (418, 1, "answers 418")],
)
def test_a_hub_that_refuses_all(hub: Hub, status: int, tries: int, words: str) -> None:
    hub.statuses = [status] * 9
    refused(f"{REPOSITORY} at {COMMIT}", words)
    assert len(hub.requests) == tries


def test_a_hub_that_is_busy_for_a_while(hub: Hub) -> None:
    hub.statuses = [503, 429, 0, 500, 0, 502]
    assert right(shards(OPTIONS), hub)


def test_who_may_not(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.closed = "private"
    refused(REPOSITORY, "is not there, or it is not open to all", "hf auth login", "HF_TOKEN")
    hub.closed = "gated"
    refused(FIRST, f"access to {hub.endpoint}/datasets/{REPOSITORY} is restricted", "HF_TOKEN")
    monkeypatch.setenv("HF_TOKEN", "hf_wrong")
    refused("the token is missing or wrong (401)", "HF_TOKEN")


def test_what_is_not_there(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    other = OPTIONS.model_copy(update={"repository": "bob/survey"})
    refused("bob/survey is not there (404)", "data.socsci210.repository", options=other)
    nowhere = OPTIONS.model_copy(update={"revision": "d" * 40})
    refused("no such revision", "data.socsci210.revision", options=nowhere)
    refused("data.socsci210.repository", "a/b/c", options=OPTIONS.model_copy(update={"repository": "a/b/c"}))
    source_key(OPTIONS)
    del hub.files[NAMES[1]]
    refused(NAMES[1], "has no such file")


def test_no_hub_at_all(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.garbage = True
    refused(hub.endpoint, "does not answer as a Hub", "HF_ENDPOINT")
    unreachable(monkeypatch)
    refused(f"{REPOSITORY} at {COMMIT}", "the connection failed", "Connection refused")
    offline(monkeypatch)
    refused(f"{REPOSITORY} at {COMMIT}", "HF_HUB_OFFLINE is set")
    with pytest.raises(DataError, match="HF_HUB_OFFLINE is set"):
        source_key(OPTIONS)


def test_a_cache_that_cannot_be_written(hub: Hub, tmp_path: Path) -> None:
    (tmp_path / "hub").write_text("a file where a folder should be")
    refused(REPOSITORY, f"cannot write to {tmp_path / 'hub'}", "Not a directory")


def test_a_memory_that_is_damaged_or_cannot_be_kept(hub: Hub, tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file where a folder should be")
    assert right(shards(OPTIONS), hub)
    (tmp_path / "cache").unlink()
    found = shards(OPTIONS)
    memory = next((tmp_path / "cache").rglob("*.json"))
    memory.write_text(memory.read_text()[:100])
    assert shards(OPTIONS) == found
    assert len(hub.transfers()) == 3


def test_a_disk_that_is_too_small(hub: Hub, tmp_path: Path) -> None:
    hub.sizes[NAMES[2]] = 10**17
    refused("3 files of 1e+08 GB", str(tmp_path / "hub"), "free", "HF_HOME")
    assert hub.transfers() == []


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"PAR1" + b"x" * SMALL, ["is not a parquet file"]),
        (parquet(pl.DataFrame({"sample_id": range(5000)})), ["lacks the columns participant, demographic, stimuli"]),
    ],
)  # fmt: skip
def test_a_shard_that_is_none(hub: Hub, content: bytes, words: list[str]) -> None:
    hub.files[NAMES[1]] = content
    for _ in range(2):  # also when it lies in the cache, with the right checksum
        refused(NAMES[1], "data.socsci210.repository", *words)
    assert len(hub.transfers()) == 2


@given(st.integers(1, 20), st.data())
def test_numbering(total: int, data: st.DataObject) -> None:
    names = [f"data/train-{number:05d}-of-{total:05d}.parquet" for number in range(total)]
    kept = data.draw(st.lists(st.sampled_from(names), unique=True))
    files = {
        name: Stated(name, 1, "0" * 64) for name in [*kept, "README.md", "data/test-00000-of-00001.parquet"]
    }
    if len(kept) == total:
        assert [file.name for file in module._numbered(files, OPTIONS)] == names
        return
    with pytest.raises(DataError) as error:
        module._numbered(files, OPTIONS)
    expected = "missing: " + ", ".join(sorted(set(names) - set(kept))) if kept else "there are: README.md"
    assert expected in str(error.value)


def test_shards_of_two_numberings(hub: Hub) -> None:
    hub.files["data/train-00000-of-00001.parquet"] = hub.files[FIRST]
    refused(REPOSITORY, "several numberings: of 00001, of 00003")
