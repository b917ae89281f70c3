"""What the tests of downloads from the Hub share."""

import io
from pathlib import Path

import polars as pl
import pytest

from socrates_fast.data.hub import Shards, shards
from socrates_fast.errors import SocratesError
from socrates_fast.recipe import SocSci210
from tests.data.hub_server import COMMIT, REPOSITORY, TOKEN, Hub, sha256

OPTIONS = SocSci210(repository=REPOSITORY, revision=COMMIT)
NAMES = [f"data/train-{number:05d}-of-00003.parquet" for number in range(3)]
FIRST = NAMES[0]


def parquet(frame: pl.DataFrame) -> bytes:
    buffer = io.BytesIO()
    frame.write_parquet(buffer)
    return buffer.getvalue()


def environment(hub: Hub, folder: Path) -> dict[str, str]:
    return {
        "HF_ENDPOINT": hub.endpoint,
        "HF_HUB_CACHE": str(folder / "hub"),
        "SOCRATES_FAST_CACHE": str(folder / "cache"),
    }


def unreachable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")


def offline(monkeypatch: pytest.MonkeyPatch, switched: bool = True) -> None:
    """What HF_HUB_OFFLINE=1 does at the start of a process."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", switched)


def forget(tmp_path: Path) -> None:
    """Lose what is remembered, not what was downloaded."""
    for file in (tmp_path / "cache").rglob("*.json"):
        file.unlink()


def partial(tmp_path: Path) -> Path:
    """What an interrupted download has left behind."""
    return next((tmp_path / "hub").rglob("*.incomplete"))


def right(found: Shards, hub: Hub) -> bool:
    """Whether it is what the Hub has, byte for byte, in order."""
    contents = [hub.files[name] for name in NAMES]
    hashes = dict(zip(NAMES, map(sha256, contents), strict=True))
    return [file.read_bytes() for file in found.files] == contents and found.sha256 == hashes


def refused(*words: str, options: SocSci210 = OPTIONS) -> str:
    """The error that ``shards`` ends with; it has all ``words`` and no token."""
    with pytest.raises(SocratesError) as error:
        shards(options)
    for word in words:
        assert word in str(error.value), str(error.value)
    assert TOKEN not in str(error.value)
    return str(error.value)
