"""Writing GGUF files: every key, exact values, any slabs and threads, and nothing left of what was not finished."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gguf import GGMLQuantizationType, GGUFReader
from gguf.quants import quantize as gguf_quantize
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from socrates_export.architectures.spec import Metadata, TensorSpec
from socrates_export.source.merged import MergedModel, open_merged
from socrates_export.write.arrays import write_arrays
from socrates_export.write.files import write_files
from socrates_export.write.ggml import Encoder, peak_of
from socrates_export.write.types import FILE_TYPES, block_elements, row_bytes
from socrates_fast.errors import ExportError, ModelError, SocratesError
from tests.export.conftest import write_model

Factory = Callable[..., Path]
METADATA: Metadata = {
    "general.architecture": "qwen2",
    "qwen2.block_count": 1,
    "qwen2.attention.head_count": 4,
    "qwen2.attention.head_count_kv": 2,
}
ROWS = hnp.arrays(np.float32, (3, 64), elements=st.floats(-1e4, 1e4, width=32))

texts = st.text(max_size=12)
values = st.one_of(
    st.booleans(),
    st.integers(0, 2**32 - 1),
    st.floats(width=32, allow_nan=False),
    texts,
    st.lists(texts, min_size=1, max_size=5),
    st.lists(st.integers(-(2**31), 2**31 - 1), min_size=1, max_size=5),
    st.lists(st.floats(width=32, allow_nan=False), min_size=1, max_size=5),
)


@given(st.dictionaries(st.text(min_size=1, max_size=20), values, max_size=6), st.integers(1, 5))
@settings(max_examples=50, deadline=None)
def test_what_is_written_is_read_by_the_gguf_package(
    tmp_path_factory: pytest.TempPathFactory, metadata: Metadata, tensors: int
) -> None:
    path = tmp_path_factory.getbasetemp() / "any.gguf"
    rng = np.random.default_rng(tensors)
    arrays = {f"t{n}": rng.standard_normal((n + 1, 3), np.float32) for n in range(tensors)}
    metadata = {"general.architecture": "x", **metadata}
    write_arrays(path, metadata, arrays)
    reader = GGUFReader(path)
    found = {key: field.contents() for key, field in reader.fields.items() if not key.startswith("GGUF.")}
    assert found == {key: value for key, value in metadata.items() if not key.startswith("GGUF.")}
    for tensor in reader.tensors:
        np.testing.assert_array_equal(tensor.data, arrays.pop(tensor.name))
    assert not arrays


@pytest.mark.parametrize("kind", ["F32", "F16", "BF16"])
@given(ROWS)
@settings(max_examples=30, deadline=None)
def test_encoding_is_that_of_the_gguf_package(kind: str, rows: NDArray[np.float32]) -> None:
    expected = gguf_quantize(rows, GGMLQuantizationType[kind])
    found = Encoder.of("x", kind).encode(rows, peak_of(rows, "x"))
    assert found.tobytes() == expected.tobytes()


def test_row_sizes_are_those_of_ggml() -> None:
    from llama_cpp import llama_cpp as api

    for kind in {"Q4_1", "Q5_0", "Q5_1", *(file_type.tensor for file_type in FILE_TYPES.values())}:
        number = int(GGMLQuantizationType[kind])
        assert api._lib.ggml_row_size(number, 256) == row_bytes(kind, 256)
        assert api._lib.ggml_blck_size(number) == block_elements(kind)


@pytest.mark.parametrize(("kind", "value"), [("F16", 65520.0), ("Q8_0", 1e8), ("Q4_K", 1e9)])
def test_too_large_names_the_tensor_and_the_remedy(kind: str, value: float) -> None:
    rows = np.ones((2, 256), np.float32)
    rows[1, 7] = -value
    with pytest.raises(
        ExportError, match=rf"tensor blk\.0\.w reaches .*, too large for {kind} .*bf16 or f32"
    ):
        Encoder.of("blk.0.w", kind).encode(rows, peak_of(rows, "w"))
    assert Encoder.of("blk.0.w", "BF16").encode(rows, value).size


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_not_a_number_names_the_tensor(bad: float) -> None:
    rows = np.ones((2, 256), np.float32)
    rows[1, 255] = bad
    with pytest.raises(ModelError, match=r"tensor blk\.0\.w holds NaN or infinity"):
        peak_of(rows, "blk.0.w")


def test_rows_that_do_not_divide_into_blocks_do_not_reach_ggml() -> None:
    with pytest.raises(ExportError, match="rows of 40 do not divide into blocks of Q4_K"):
        Encoder.of("w", "Q4_K").encode(np.ones((1, 40), np.float32), 1.0)


def merged_by_numpy(base: Path, adapter: Path, specs: list[TensorSpec]) -> dict[str, NDArray[np.float32]]:
    """GGUF name -> W + B @ A * alpha / r of whole tensors, from the safetensors library."""
    from safetensors.torch import load_file

    weights, lora = (load_file(next(folder.glob("*.safetensors"))) for folder in (base, adapter))
    config = json.loads((adapter / "adapter_config.json").read_text())
    scale = np.float32(config["lora_alpha"] / config["r"])
    merged = {}
    for spec in specs:
        merged[spec.target] = weights[spec.source].float().numpy()
        key = f"base_model.model.{spec.source.removesuffix('.weight')}.lora_"
        if f"{key}A.weight" in lora:
            a, b = (lora[f"{key}{side}.weight"].numpy() for side in "AB")
            merged[spec.target] = merged[spec.target] + (b * scale) @ a
    return merged


def test_float16_is_the_float32_merge_rounded_once(base: Path, adapter: Path, tmp_path: Path) -> None:
    path = tmp_path / "x.gguf"
    write_model(path, base, adapter, "f16")
    expected = merged_by_numpy(base, adapter, open_merged(base, adapter).specs)
    tensors = GGUFReader(path).tensors
    assert {tensor.name for tensor in tensors} == expected.keys()
    for tensor in tensors:
        exact = expected[tensor.name]
        kind = np.float16 if exact.ndim == 2 else np.float32
        assert tensor.data.dtype == kind
        np.testing.assert_array_equal(tensor.data, exact.astype(kind))


def test_the_keys_of_the_model_and_its_type(base: Path, tmp_path: Path) -> None:
    path = tmp_path / "x.gguf"
    write_model(path, base, None, "q4_k_m", "a name")
    fields = GGUFReader(path).fields
    expected: dict[str, Any] = {
        "general.architecture": "qwen2",
        "general.type": "model",
        "general.name": "a name",
        "general.file_type": 15,
        "general.quantization_version": 2,
        "qwen2.rope.freq_base": 50_000.0,
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": "qwen2",
        "tokenizer.ggml.add_bos_token": False,
    }
    assert {key: fields[key].contents() for key in expected} == expected


@pytest.mark.parametrize(("slab", "threads"), [(600, 1), (5000, 3), (2**24, 2)])
def test_the_bytes_do_not_depend_on_slabs_or_threads(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, slab: int, threads: int
) -> None:
    model = open_merged(base, None)
    kinds = ("f16", "q8_0", "q5_k_m")
    write_files(model, METADATA, {kind: tmp_path / f"{kind}.gguf" for kind in kinds})
    monkeypatch.setattr("socrates_export.write.files.SLAB_BYTES", slab)
    told: list[tuple[int, int]] = []
    write_files(
        model, METADATA, {kind: tmp_path / f"other-{kind}.gguf" for kind in kinds}, None, threads,
        lambda *at: told.append(at),
    )  # fmt: skip
    for kind in kinds:
        assert (tmp_path / f"{kind}.gguf").read_bytes() == (tmp_path / f"other-{kind}.gguf").read_bytes()
    assert [done for done, _ in told] == sorted(done for done, _ in told)
    assert told[-1][0] <= told[-1][1] == sum((tmp_path / f"{kind}.gguf").stat().st_size for kind in kinds)


def test_one_type_alone_has_the_bytes_it_has_among_others(base: Path, adapter: Path, tmp_path: Path) -> None:
    model = open_merged(base, adapter)
    write_files(model, METADATA, {kind: tmp_path / f"{kind}.gguf" for kind in FILE_TYPES})
    for kind in ("bf16", "q4_0", "q2_k"):
        write_files(model, METADATA, {kind: tmp_path / "alone.gguf"})
        assert (tmp_path / "alone.gguf").read_bytes() == (tmp_path / f"{kind}.gguf").read_bytes()


def with_nan(model: MergedModel, name: str) -> MergedModel:
    """The model with one value of one computed tensor that is no number."""
    specs = [*model.specs, TensorSpec("", name, (4,), values=(1.0, float("nan"), 1.0, 1.0))]
    return MergedModel(**{**vars(model), "specs": specs})


def test_an_error_in_the_last_tensor_leaves_no_file(base: Path, tmp_path: Path) -> None:
    model = with_nan(open_merged(base, None), "rope_freqs.weight")
    files = {kind: tmp_path / f"{kind}.gguf" for kind in ("f16", "q8_0")}
    with pytest.raises(ModelError, match=r"tensor rope_freqs\.weight holds NaN"):
        write_files(model, METADATA, files)
    assert not list(tmp_path.iterdir())


LIMITED = """
import resource, sys
from pathlib import Path
from tests.export.conftest import write_model
from socrates_fast.errors import SocratesError
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
try:
    write_model(Path(sys.argv[2]), Path(sys.argv[1]), None, "f16")
except SocratesError as error:
    print(error)
"""


def test_a_file_that_grows_too_large_is_not_left(base: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-c", LIMITED, str(base), str(tmp_path / "out" / "x.gguf")]
    environment = {"PYTHONPATH": ":".join(sys.path)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.startswith(f"cannot write {tmp_path / 'out' / 'x.gguf'}: File too large")
    assert not (tmp_path / "out").exists()


def test_a_disk_too_small_is_told_before_a_byte_is_written(base: Path, small_disk: Path) -> None:
    with pytest.raises(
        ExportError, match=r"the disk is full: the files need .* GB, .* GB free; ask for fewer"
    ):
        write_model(small_disk / "deep" / "x.gguf", base, None, "f32")
    assert not list(small_disk.iterdir())


def test_a_disk_that_fills_while_it_is_written(
    base: Path, small_disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("socrates_export.write.files._check_space", lambda *_: None)
    with pytest.raises(SocratesError, match=r"cannot write .*x\.gguf: No space left on device"):
        write_model(small_disk / "x.gguf", base, None, "f32")
    assert not list(small_disk.iterdir())


def test_a_folder_that_cannot_be_written(base: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(SocratesError, match="cannot write"):
        write_model(tmp_path / "file" / "x.gguf", base, None, "f16")
    assert (tmp_path / "file").read_text() == "in the way"
