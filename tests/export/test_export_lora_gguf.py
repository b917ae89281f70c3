"""A LoRA GGUF on the base's GGUF computes what the merged GGUF computes; what it cannot hold is refused."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gguf import GGUFReader

from socrates_export.child import run_task
from socrates_export.source.merged import open_merged
from socrates_export.write.lora_gguf import write_lora
from socrates_fast.errors import ExportError, SocratesError
from tests.export.conftest import EVERY_LINEAR, write_model, write_tokenizer
from tests.export.models import KINDS, write_checkpoint
from tests.export.peft_models import llama_logits, peft_logits, write_adapter

Factory = Callable[..., Path]
FEW = ["q_proj", "v_proj", "down_proj"]
FORMS: dict[str, dict[str, Any]] = {
    "plain": {"target_modules": EVERY_LINEAR},
    "rslora": {"target_modules": EVERY_LINEAR, "use_rslora": True},
    "patterns": {
        "use_rslora": True,
        "rank_pattern": {"q_proj": 3, "layers.1.mlp.down_proj": 5},
        "alpha_pattern": {"v_proj": 40},
    },
    "embeddings": {"target_modules": [*FEW, "embed_tokens", "lm_head"]},
}


@pytest.fixture(scope="module")
def base(make_base: Factory) -> Path:
    return make_base(tied=False, dtype="float32", hidden_size=32, intermediate_size=48)


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    def make(kind: str) -> Path:
        folder = tmp_path_factory.mktemp(kind)
        write_checkpoint(folder, KINDS[kind])
        write_tokenizer(folder)
        return folder

    return make


def both(base: Path, adapter: Path, folder: Path) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Logits of the merged file, and of the base's file with the LoRA file."""
    write_model(folder / "merged.gguf", base, adapter, "f32")
    write_model(folder / "base.gguf", base, None, "f32")
    write_lora(folder / "lora.gguf", open_merged(base, adapter), "x")
    applied = llama_logits(folder / "base.gguf", lora=folder / "lora.gguf")
    assert np.abs(applied - llama_logits(folder / "base.gguf")).max() > 0.1
    return llama_logits(folder / "merged.gguf"), applied


@pytest.mark.parametrize("form", FORMS)
def test_applied_to_the_base_it_is_the_merged_model(form: str, base: Path, tmp_path: Path) -> None:
    adapter = write_adapter(tmp_path / "adapter", base, **FORMS[form])
    merged, applied = both(base, adapter, tmp_path)
    np.testing.assert_allclose(applied, merged, rtol=0, atol=1e-5)
    np.testing.assert_allclose(applied, peft_logits(base, adapter), rtol=0, atol=1e-5)


@pytest.mark.parametrize("kind", ["llama3-old", "phi3"])
def test_rows_of_b_are_in_the_order_of_the_base(
    kind: str, checkpoints: Callable[[str], Path], tmp_path: Path
) -> None:
    folder = checkpoints(kind)
    targets = ["qkv_proj", "down_proj"] if kind == "phi3" else ["q_proj", "k_proj", "o_proj"]
    merged, applied = both(folder, write_adapter(tmp_path / "a", folder, target_modules=targets), tmp_path)
    np.testing.assert_allclose(applied, merged, rtol=0, atol=2e-5 * np.abs(merged).max())


def test_what_it_says_of_itself(base: Path, tmp_path: Path) -> None:
    adapter = write_adapter(tmp_path / "adapter", base)
    write_lora(tmp_path / "lora.gguf", open_merged(base, adapter), "my study")
    reader = GGUFReader(tmp_path / "lora.gguf")
    found = {key: field.contents() for key, field in reader.fields.items() if not key.startswith("GGUF.")}
    assert found == {
        "general.type": "adapter",
        "general.architecture": "qwen2",
        "general.name": "my study",
        "adapter.type": "lora",
    }
    assert len(reader.tensors) == 2 * 2 * 3


@pytest.mark.parametrize(
    ("arguments", "tied", "reason"),
    [
        ({"use_dora": True}, False, "DoRA"),
        ({"target_modules": ["q_proj"], "lora_bias": True}, False, "lora_bias"),
        ({"bias": "all"}, False, r"\.bias, which was trained in full"),
        ({"modules_to_save": ["lm_head"]}, False, r"lm_head\.weight, which was trained in full"),
        ({"modules_to_save": ["lm_head"]}, True, r"lm_head\.weight, which was trained in full"),
        ({"trainable_token_indices": [3]}, False, "tokens trained alone"),
        (
            {"target_modules": [*FEW, "lm_head"]},
            True,
            r"lm_head\.weight, which the base ties to its embedding",
        ),
        ({"target_modules": [*FEW, "embed_tokens"]}, True, "which the base ties to its output"),
    ],
)
def test_what_it_cannot_hold_is_refused(
    arguments: dict[str, Any], tied: bool, reason: str, make_base: Factory, tmp_path: Path
) -> None:
    base = make_base(tied=tied, dtype="float32", hidden_size=32, intermediate_size=48)
    model = open_merged(base, write_adapter(tmp_path / "adapter", base, **arguments))
    with pytest.raises(ExportError, match=f"{reason}.*; export it merged instead"):
        write_lora(tmp_path / "lora.gguf", model, "x")
    assert not (tmp_path / "lora.gguf").exists()


def test_a_child_process_writes_the_same_file(base: Path, tmp_path: Path) -> None:
    adapter = write_adapter(tmp_path / "adapter", base)
    write_lora(tmp_path / "lora.gguf", open_merged(base, adapter), "x")
    out = tmp_path / "folder" / "lora.gguf"
    run_task("lora", {"base": str(base), "adapter": str(adapter), "name": "x", "out": str(out)}, "writing")
    assert out.read_bytes() == (tmp_path / "lora.gguf").read_bytes()


def test_a_base_alone(base: Path, tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="needs an adapter"):
        write_lora(tmp_path / "lora.gguf", open_merged(base, None), "x")


def test_an_adapter_of_another_model_is_refused_by_llama_cpp(
    base: Path, make_base: Factory, tmp_path: Path
) -> None:
    other = make_base(dtype="float32")
    write_lora(tmp_path / "lora.gguf", open_merged(base, write_adapter(tmp_path / "a", base)), "x")
    write_model(tmp_path / "other.gguf", other, None, "f32")
    with pytest.raises(ExportError, match=r"llama\.cpp cannot apply .*lora\.gguf to this model"):
        llama_logits(tmp_path / "other.gguf", lora=tmp_path / "lora.gguf")


def test_a_folder_that_cannot_be_written(base: Path, tmp_path: Path) -> None:
    model = open_merged(base, write_adapter(tmp_path / "adapter", base))
    (tmp_path / "file").touch()
    with pytest.raises(SocratesError):
        write_lora(tmp_path / "file" / "lora.gguf", model, "x")


@pytest.mark.oracle
@pytest.mark.parametrize("kind", ["qwen2", "llama3-old"])
def test_tensors_are_those_of_the_official_converter(
    kind: str, checkpoints: Callable[[str], Path], llama_cpp: Path, tmp_path: Path
) -> None:
    folder = checkpoints(kind)
    adapter = write_adapter(tmp_path / "adapter", folder, target_modules=EVERY_LINEAR, r=8, lora_alpha=20)
    theirs = tmp_path / "theirs.gguf"
    script = llama_cpp / "convert_lora_to_gguf.py"
    options = ["--base", str(folder), "--outfile", str(theirs), "--outtype", "f32", str(adapter)]
    done = subprocess.run(
        [sys.executable, str(script), *options], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    write_lora(tmp_path / "ours.gguf", open_merged(folder, adapter), "x")
    ours, official = (
        {tensor.name: tensor for tensor in GGUFReader(path).tensors}
        for path in (tmp_path / "ours.gguf", theirs)
    )
    assert ours.keys() == official.keys()
    for name, tensor in ours.items():
        scale = np.float32(2.5 if name.endswith(".lora_b") else 1)
        np.testing.assert_array_equal(tensor.data, official[name].data * scale)
