"""The GGUF writer: exact values, every key, bounded slabs, and nothing left of a file that could not be finished."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gguf import GGMLQuantizationType, GGUFReader
from gguf.quants import quantize as gguf_quantize
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from socrates_export.architectures.spec import Metadata
from socrates_export.source.base import open_base
from socrates_export.source.lora import load_adapter
from socrates_export.write.gguf_writer import OutputTensor, encode, write_gguf
from socrates_fast.errors import ExportError, ModelError, SocratesError
from tests.export.conftest import write_model

Factory = Callable[..., Path]
METADATA: Metadata = {"general.architecture": "qwen2", "general.name": "x"}


def whole(values: NDArray[np.float32], name: str = "blk.0.w") -> OutputTensor:
    def slabs() -> Iterator[NDArray[np.float32]]:
        yield values

    return OutputTensor(name, values.shape, slabs)


@given(hnp.arrays(np.float32, st.integers(1, 50), elements=st.floats(-(2.0**127), 2.0**127, width=32)))
def test_bfloat16_is_that_of_the_gguf_package(values: NDArray[np.float32]) -> None:
    expected = gguf_quantize(values[None], GGMLQuantizationType.BF16).view(np.uint16)[0]
    np.testing.assert_array_equal(encode(values, "bf16", "x"), expected)


@given(hnp.arrays(np.float32, st.integers(1, 50), elements=st.floats(-65519, 65519, width=32)))
def test_float16_stays_finite_below_the_limit(values: NDArray[np.float32]) -> None:
    assert np.isfinite(encode(values, "f16", "x")).all()


def test_too_large_for_float16_names_the_tensor_and_the_remedy() -> None:
    values = np.array([1.0, -65520.0], np.float32)
    with pytest.raises(ExportError, match=r"tensor blk\.0\.w reaches 6\.552e\+04, too large for f16.*bf16"):
        encode(values, "f16", "blk.0.w")
    assert encode(values, "bf16", "x").tolist() == [0x3F80, 0xC780]


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("kind", ["f32", "f16", "bf16"])
def test_not_a_number_names_the_tensor(bad: float, kind: str, tmp_path: Path) -> None:
    tensors = [whole(np.ones((2, 4), np.float32), "good"), whole(np.array([[1, bad]], np.float32), "bad")]
    with pytest.raises(ModelError, match="tensor bad holds NaN or infinity"):
        write_gguf(tmp_path / "x.gguf", METADATA, tensors, kind)
    assert not list(tmp_path.iterdir())


def merged_by_numpy(base: Path, adapter: Path) -> dict[str, NDArray[np.float32]]:
    """GGUF name -> W + scale * B @ A of whole tensors, from the safetensors library."""
    from safetensors.torch import load_file

    weights = load_file(base / "model.safetensors")
    pairs = load_adapter(adapter).pairs
    merged = {}
    for spec in open_base(base).specs:
        merged[spec.target] = weights[spec.source].float().numpy()
        if spec.source in pairs:
            pair = pairs[spec.source]
            merged[spec.target] = merged[spec.target] + (pair.b @ pair.a) * np.float32(pair.scale)
    return merged


def test_float16_is_the_float32_merge_rounded_once(base: Path, adapter: Path, tmp_path: Path) -> None:
    path = tmp_path / "x.gguf"
    write_model(path, base, adapter, "f16", "x")
    expected = merged_by_numpy(base, adapter)
    tensors = GGUFReader(path).tensors
    assert [tensor.name for tensor in tensors] == list(expected)
    for tensor in tensors:
        exact = expected[tensor.name]
        kind = np.float16 if exact.ndim == 2 else np.float32
        assert tensor.data.dtype == kind
        np.testing.assert_array_equal(tensor.data, exact.astype(kind))


def test_every_mandatory_key_is_there(base: Path, tmp_path: Path) -> None:
    path = tmp_path / "x.gguf"
    write_model(path, base, None, "f16", "a name")
    fields = GGUFReader(path).fields
    expected: dict[str, Any] = {
        "general.architecture": "qwen2",
        "general.type": "model",
        "general.name": "a name",
        "general.file_type": 1,
        "general.quantization_version": 2,
        "qwen2.rope.freq_base": 50_000.0,
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": "qwen2",
        "tokenizer.ggml.add_bos_token": False,
    }
    assert {key: fields[key].contents() for key in expected} == expected
    present = {key for key in fields if not key.startswith("GGUF.")}
    assert present - expected.keys() == {
        "qwen2.block_count",
        "qwen2.context_length",
        "qwen2.embedding_length",
        "qwen2.feed_forward_length",
        "qwen2.attention.head_count",
        "qwen2.attention.head_count_kv",
        "qwen2.attention.layer_norm_rms_epsilon",
        "tokenizer.ggml.tokens",
        "tokenizer.ggml.token_type",
        "tokenizer.ggml.merges",
        "tokenizer.ggml.eos_token_id",
        "tokenizer.ggml.eot_token_id",
        "tokenizer.ggml.padding_token_id",
        "tokenizer.ggml.add_eos_token",
        "tokenizer.ggml.add_space_prefix",
        "tokenizer.chat_template",
    }


def test_the_file_does_not_depend_on_the_slabs(
    base: Path, adapter: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_model(tmp_path / "large.gguf", base, adapter, "f32")
    monkeypatch.setattr("socrates_export.write.files.SLAB_BYTES", 5000)
    write_model(tmp_path / "small.gguf", base, adapter, "f32")
    large, small = (GGUFReader(tmp_path / f"{name}.gguf").tensors for name in ("large", "small"))
    for one, other in zip(large, small, strict=True):
        # BLAS may sum in another order for another number of rows.
        np.testing.assert_allclose(one.data, other.data, rtol=1e-6, atol=1e-7)


def test_a_tensor_that_is_shorter_than_announced(tmp_path: Path) -> None:
    tensor = OutputTensor("w", (3, 4), whole(np.ones((2, 4), np.float32)).slabs)
    with pytest.raises(ExportError, match="tensor w: 32 bytes instead of 48"):
        write_gguf(tmp_path / "x.gguf", METADATA, [tensor], "f32")
    assert not list(tmp_path.iterdir())


LIMITED = """
import resource, sys
from pathlib import Path
from socrates_export.source.base import open_base
from tests.export.conftest import write_model
from socrates_fast.errors import SocratesError
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
try:
    write_model(Path(sys.argv[2]), Path(sys.argv[1]), None, "f16", "x")
except SocratesError as error:
    print(error)
"""


def test_a_file_that_grows_too_large_is_not_left(base: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-c", LIMITED, str(base), str(tmp_path / "out" / "x.gguf")]
    environment = {"PYTHONPATH": ":".join(sys.path)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.startswith(f"cannot write {tmp_path / 'out' / 'x.gguf'}: File too large")
    assert not list((tmp_path / "out").iterdir())


def test_a_full_disk(base: Path, small_disk: Path) -> None:
    with pytest.raises(SocratesError, match=r"cannot write .*x\.gguf: No space left on device"):
        write_model(small_disk / "x.gguf", base, None, "f16", "x")
    assert not list(small_disk.iterdir())
