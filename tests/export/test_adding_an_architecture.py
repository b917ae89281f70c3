"""The guide's example works: its code, entered in the table, exports a model that llama.cpp computes right."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from socrates_export.architectures import ARCHITECTURES, architecture_of
from socrates_fast.errors import ModelError
from tests.conftest import ROOT
from tests.export.conftest import write_model
from tests.export.models import KINDS, write_checkpoint
from tests.export.official import convert
from tests.export.real_vocabularies import read_keys
from tests.export.test_export_architectures import exported_logits, nmse, original_logits
from tests.export.vocabularies import FAMILIES, write_vocabulary

PAGE = ROOT / "docs" / "adding-an-architecture.md"
FACTORS: dict[str, Any] = {
    "attention_multiplier": 0.3,
    "embedding_multiplier": 3.0,
    "residual_multiplier": 0.5,
    "logits_scaling": 2.0,
}


@pytest.fixture
def granite(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A random Granite, when the guide's lines have been run."""
    table: dict[str, Any] = dict(ARCHITECTURES)
    names: dict[str, Any] = {"ARCHITECTURES": table}
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert len(blocks) == 2
    for block in blocks:
        exec(block, names)
    monkeypatch.setitem(ARCHITECTURES, "granite", table["granite"])
    folder = tmp_path / "base"
    folder.mkdir()
    write_checkpoint(folder, replace(KINDS["smollm2"], config="GraniteConfig"), **FACTORS)
    write_vocabulary(folder, FAMILIES["llama2"])
    return folder


def test_the_example_exports_a_model(granite: Path, tmp_path: Path) -> None:
    file = tmp_path / "x.gguf"
    write_model(file, granite, None, "f32")
    ids = [int(token) for token in np.random.default_rng(0).integers(3, 500, 40)]
    assert nmse(original_logits(granite, ids), exported_logits(file, ids, tmp_path / "logits.npz")) < 1e-9


def test_the_example_refuses(granite: Path) -> None:
    config = {"model_type": "granite", **FACTORS, "attention_multiplier": 0.0, "num_attention_heads": 2}
    with pytest.raises(ModelError, match="max_position_embeddings"):
        architecture_of(config, granite)
    known = {**config, "max_position_embeddings": 64}
    with pytest.raises(ModelError, match="attention_multiplier is 0"):
        architecture_of(known, granite)
    with pytest.raises(ModelError, match="scaled rope has not been tried"):
        architecture_of({**known, **FACTORS, "rope_scaling": {"type": "linear", "factor": 2.0}}, granite)
    with pytest.raises(ModelError, match="residual_multiplier is 0"):
        architecture_of({**known, **FACTORS, "residual_multiplier": 0}, granite)


@pytest.mark.oracle
def test_the_example_is_right(granite: Path, llama_cpp: Path, tmp_path: Path) -> None:
    write_model(tmp_path / "ours.gguf", granite, None, "f16")
    convert(llama_cpp, [(granite, "f16", tmp_path / "theirs.gguf")])
    ours, theirs = (read_keys(tmp_path / f"{name}.gguf") for name in ("ours", "theirs"))
    keys = [key for key in theirs if key.startswith("granite.")]
    assert len(keys) > 10
    assert {key: ours[key] for key in keys} == {key: theirs[key] for key in keys}
