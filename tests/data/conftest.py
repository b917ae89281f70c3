"""Fixtures of the tests of data."""

import json
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest

from socrates_fast.data import hub_files
from socrates_fast.data.schema import SOCSCI210
from socrates_fast.data.synthetic import generate
from socrates_fast.recipe import Synthetic
from tests.data.hub_cases import NAMES, environment, parquet
from tests.data.hub_server import SMALL, Hub, running_hub


@pytest.fixture(scope="session")
def hub_rows() -> pl.DataFrame:
    made = generate(Synthetic(studies=3, people=30, tasks=2)).rows
    return made.with_columns(reasoning=pl.format("As one of {}, I say so.", "study_id")).select(
        pl.col(name).cast(kind) for name, kind in SOCSCI210.items()
    )


@pytest.fixture
def hub(hub_rows: pl.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """A Hub with three shards and two mappings (one small, one in large-file storage), and an environment that knows it."""
    from huggingface_hub import constants

    size = -(-len(hub_rows) // 3)
    files = {name: parquet(hub_rows.slice(number * size, size)) for number, name in enumerate(NAMES)}
    files["metadata/participant_mapping.json"] = b'{"seen": [], "unseen": []}'
    files["metadata/task_mapping.json"] = json.dumps({"abcde": {"train": list(range(SMALL))}}).encode()
    with running_hub({"README.md": b"# Survey\n", **files}) as hub:
        for name, value in environment(hub, tmp_path).items():
            monkeypatch.setenv(name, value)
        monkeypatch.delenv("HF_TOKEN", raising=False)
        monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "token"))
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr(hub_files, "WAITS", (0.0, 0.0, 0.0))
        yield hub
