"""The tensors of a file: rounding passes in every type, and nothing else does."""

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gguf import GGMLQuantizationType, GGUFReader, dequantize
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from socrates_export.architectures.spec import TensorSpec
from socrates_export.proof.tensors import LARGEST_ERROR, TensorComparison, compare_tensors, read_rows
from socrates_export.source.lora_config import CONFIG
from socrates_export.source.merged import MergedModel, open_merged
from socrates_export.write.files import model_metadata, write_files
from socrates_export.write.ggml import Encoder, peak_of
from socrates_export.write.types import FILE_TYPES
from socrates_fast.infer.header import read_header
from tests.export.conftest import write_model
from tests.export.models import KINDS, write_checkpoint
from tests.export.peft_models import write_adapter

Factory = Callable[..., Path]
Rows = NDArray[np.float32]
Change = Callable[[Rows], Rows]

WIDE = {"hidden_size": 256, "intermediate_size": 512}
"""Rows that divide into blocks of 256, so that every type is really used."""


@dataclass(frozen=True)
class Wrong(MergedModel):
    """A model one tensor of which is changed while it is written."""

    name: str = ""
    change: Change = np.array

    def slab(self, spec: TensorSpec, start: int, stop: int) -> Rows:
        if spec.target != self.name:
            return super().slab(spec, start, stop)
        return self.change(super().slab(spec, 0, spec.shape[0]))[start:stop]


@pytest.fixture(scope="module")
def wide(make_base: Factory) -> Path:
    return make_base(**WIDE)


@pytest.fixture(scope="module")
def faint(wide: Path, make_adapter: Factory, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An adapter that moves no weight by more than 2-bit rounding does: far below what a tensor's error shows."""
    return scaled(make_adapter(wide), 0.1, tmp_path_factory.mktemp("faint"))


def scaled(adapter: Path, factor: float, folder: Path) -> Path:
    shutil.copytree(adapter, folder, dirs_exist_ok=True)
    config = json.loads((folder / CONFIG).read_text())
    (folder / CONFIG).write_text(json.dumps({**config, "lora_alpha": config["lora_alpha"] * factor}))
    return folder


def written(model: MergedModel, folder: Path) -> dict[str, Path]:
    """``model`` in every type."""
    files = {kind: folder / f"{kind}.gguf" for kind in FILE_TYPES}
    write_files(model, model_metadata(model, "x"), files)
    return files


def compared(model: MergedModel, files: dict[str, Path]) -> dict[str, TensorComparison]:
    return {kind: compare_tensors(model, file) for kind, file in files.items()}


def test_rounding_passes_in_every_type(wide: Path, faint: Path, tmp_path: Path) -> None:
    model = open_merged(wide, faint)
    for kind, found in compared(model, written(model, tmp_path)).items():
        assert found.faults == [], kind
        assert found.errors.keys() == {spec.target for spec in model.specs}
        assert found.adapter == pytest.approx(1, abs=0.05) and found.adapter_error is not None
        assert found.summary()["worst_error"] == max(found.errors.values())


@pytest.mark.parametrize("kind", KINDS)
def test_every_architecture_passes(kind: str, tmp_path: Path) -> None:
    write_checkpoint(tmp_path / "base", KINDS[kind])
    model = open_merged(tmp_path / "base", None)
    files = {name: tmp_path / f"{name}.gguf" for name in ("f32", "q8_0", "q2_k")}
    write_files(
        model,
        {
            "general.architecture": model.base.architecture.name,
            **model.base.architecture.metadata(model.config),
        },
        files,
    )
    for found in compared(model, files).values():
        assert found.faults == [] and found.adapter is None


@pytest.mark.parametrize(("name", "change"), [
    ("blk.1.attn_q.weight", lambda rows: np.ascontiguousarray(rows.T)),
    ("blk.0.ffn_gate.weight", lambda rows: rows[::-1]),
    ("blk.0.attn_k.weight", lambda rows: np.roll(rows, 1, axis=1)),
    ("token_embd.weight", np.zeros_like),
    ("output_norm.weight", np.ones_like),
    ("blk.0.ffn_norm.weight", lambda rows: rows + 1),
    ("blk.1.attn_v.bias", np.zeros_like),
], ids=lambda value: value if isinstance(value, str) else "")  # fmt: skip
def test_one_wrong_tensor_is_named_in_every_type(
    wide: Path, faint: Path, tmp_path: Path, name: str, change: Change
) -> None:
    model = open_merged(wide, faint)
    for kind, found in compared(
        model, written(Wrong(**vars(model), name=name, change=change), tmp_path)
    ).items():
        assert any(fault.startswith(f"{name} is ") for fault in found.faults), kind


@pytest.mark.parametrize(("what", "share"), [("lost", 0.0), ("half", 0.5), ("twice", 2.0), ("another", None)])
def test_another_share_of_the_adapter_is_found_in_every_type(
    wide: Path,
    faint: Path,
    make_base: Factory,
    make_adapter: Factory,
    tmp_path: Path,
    what: str,
    share: float | None,
) -> None:
    adapters: dict[str, Callable[[], Path | None]] = {
        "lost": lambda: None,
        "half": lambda: scaled(faint, 0.5, tmp_path / "half"),
        "twice": lambda: scaled(faint, 2, tmp_path / "twice"),
        "another": lambda: make_adapter(make_base(num_hidden_layers=2, **WIDE), r=4),
    }
    model = open_merged(wide, faint)
    for kind, found in compared(model, written(open_merged(wide, adapters[what]()), tmp_path)).items():
        assert found.faults and "the adapter is in it" in found.faults[0], kind
        if share is not None:
            assert found.adapter == pytest.approx(share, abs=0.06), kind
            # Of most types nothing else would have shown it: the tensors moved by less than rounding may.
            assert kind in ("f32", "f16", "bf16", "q8_0", "q6_k") or what == "twice" or len(found.faults) == 1


def test_an_adapter_that_should_not_be_there_shows_where_rounding_is_less(
    wide: Path, faint: Path, tmp_path: Path
) -> None:
    found = compared(open_merged(wide, None), written(open_merged(wide, faint), tmp_path))
    assert all(found[kind].faults for kind in ("f32", "f16", "bf16", "q8_0"))


@pytest.mark.parametrize("form", [
    {"use_dora": True},
    {"use_dora": True, "target_modules": ["embed_tokens", "o_proj"]},
    {"target_modules": ["lm_head", "q_proj"]},
    {"modules_to_save": ["lm_head"], "bias": "all"},
    {"modules_to_save": ["embed_tokens", "norm"]},
], ids=str)  # fmt: skip
@pytest.mark.parametrize("merge_base", ["original", "nf4"])
def test_every_form_of_adapter_is_in_it_once(
    base: Path, tmp_path: Path, form: dict[str, Any], merge_base: str
) -> None:
    adapter = write_adapter(tmp_path / "adapter", base, **form)
    model = open_merged(base, adapter, merge_base)
    files = {kind: tmp_path / f"{kind}.gguf" for kind in ("f16", "q8_0", "q4_k_m")}
    write_files(model, model_metadata(model, "x"), files)
    for found in compared(model, files).values():
        assert found.faults == [] and found.adapter == pytest.approx(1, abs=0.05)


def test_a_model_of_another_shape_does_not_fit(base: Path, make_base: Factory, tmp_path: Path) -> None:
    write_model(tmp_path / "x.gguf", make_base(num_hidden_layers=1, intermediate_size=96), None, "f16")
    found = compare_tensors(open_merged(base, None), tmp_path / "x.gguf")
    assert found.misfits and len(found.faults) == 5
    assert "blk.0.ffn_gate.weight has shape [96, 64] instead of [160, 64]" in found.faults
    assert found.faults[-1].startswith("and ")


def test_another_architecture_does_not_fit(base: Path, tmp_path: Path) -> None:
    write_checkpoint(tmp_path / "llama", KINDS["llama2"])
    llama = open_merged(tmp_path / "llama", None)
    metadata = {"general.architecture": "llama", **llama.base.architecture.metadata(llama.config)}
    write_files(llama, metadata, {"f16": tmp_path / "x.gguf"})
    found = compare_tensors(open_merged(base, None), tmp_path / "x.gguf")
    assert found.misfits
    assert found.faults[0] == "it is of architecture 'llama', the base of 'qwen2'"


def test_numbers_that_are_none_are_a_fault(base: Path, tmp_path: Path) -> None:
    file = tmp_path / "x.gguf"
    write_model(file, base, None, "q8_0")
    tensor = next(t for t in GGUFReader(file).tensors if t.name == "blk.0.attn_q.weight")
    with file.open("r+b") as handle:
        handle.seek(int(tensor.data_offset))
        handle.write(np.array([np.nan], np.float16).tobytes())
    found = compare_tensors(open_merged(base, None), file)
    assert [fault.split(" is ")[0] for fault in found.faults] == ["blk.0.attn_q.weight"]


def test_rows_are_those_of_the_gguf_package(wide: Path, tmp_path: Path) -> None:
    for file in written(open_merged(wide, None), tmp_path).values():
        header, reader = read_header(file), {tensor.name: tensor for tensor in GGUFReader(file).tensors}
        for tensor in header.tensors:
            theirs = reader[tensor.name]
            whole = dequantize(theirs.data, theirs.tensor_type)
            rows = len(whole)
            for start, stop in ((0, rows), (rows // 3, rows // 2)):
                np.testing.assert_array_equal(read_rows(header, tensor, start, stop), whole[start:stop])


@settings(deadline=None, max_examples=12)
@given(st.integers(0, 10**6), st.sampled_from(["normal", "laplace", "t3", "rows", "outliers"]))
def test_rounding_explains_what_is_said_and_no_permutation(seed: int, shape: str) -> None:
    rng = np.random.default_rng(seed)
    made = {
        "normal": lambda: rng.normal(size=(24, 512)),
        "laplace": lambda: rng.laplace(size=(24, 512)),
        "t3": lambda: rng.standard_t(3, size=(24, 512)),
        "rows": lambda: rng.normal(size=(24, 512)) * np.exp(2 * rng.normal(size=(24, 1))),
        "outliers": lambda: rng.normal(size=(24, 512)) * np.where(np.arange(512) % 64 == 0, 30, 1),
    }
    rows: Rows = np.ascontiguousarray(made[shape]() * 0.02, np.float32)
    importance = np.exp(rng.normal(size=512)).astype(np.float32)
    for name, most in LARGEST_ERROR.items():
        for weights in (None, importance):
            stored = Encoder.of("x", name, weights).encode(rows, peak_of(rows, "x"))
            rounded = dequantize(stored, GGMLQuantizationType[name])
            assert np.linalg.norm(rounded - rows) <= 0.8 * most * np.linalg.norm(rows), name
        assert np.linalg.norm(rows[:, ::-1] - rows) > most * np.linalg.norm(rows)
