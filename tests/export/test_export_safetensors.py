"""The safetensors reader gives what the safetensors library gives, slab by slab, and refuses damaged folders."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from socrates_export.source.base import open_base
from socrates_export.source.safetensors import (
    INDEX,
    SINGLE,
    SLAB_BYTES,
    StoredTensor,
    folder_tensors,
    read_header,
)
from socrates_fast.errors import ModelError

Factory = Callable[..., Path]


def copy_of(folder: Path, target: Path) -> Path:
    return Path(shutil.copytree(folder, target))


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_every_value_is_that_of_the_safetensors_library(make_base: Factory, dtype: str) -> None:
    from safetensors.torch import load_file

    folder = make_base(dtype=dtype)
    expected = load_file(folder / SINGLE)
    tensors = folder_tensors(folder)
    assert tensors.keys() == expected.keys()
    for name, tensor in tensors.items():
        np.testing.assert_array_equal(tensor.rows(0, tensor.shape[0]), expected[name].float().numpy())


def test_shards_hold_the_same_tensors_as_one_file(make_base: Factory) -> None:
    whole, sharded = make_base(), make_base(shard="50KB")
    assert len(list(sharded.glob("*.safetensors"))) > 2
    one, many = folder_tensors(whole), folder_tensors(sharded)
    assert one.keys() == many.keys()
    for name, tensor in one.items():
        other = many[name]
        np.testing.assert_array_equal(tensor.rows(0, tensor.shape[0]), other.rows(0, tensor.shape[0]))


@settings(max_examples=40, deadline=None)
@given(rows=st.integers(1, 40), width=st.integers(1, 9), slab=st.integers(1, 300))
def test_slabs_cover_the_tensor_in_order_and_stay_small(
    tmp_path_factory: pytest.TempPathFactory, rows: int, width: int, slab: int
) -> None:
    values = np.arange(rows * width, dtype=np.float32).reshape(rows, width)
    path = tmp_path_factory.mktemp("raw") / "tensor.bin"
    values.tofile(path)
    tensor = StoredTensor(path, "x", "F32", (rows, width), 0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("socrates_export.source.safetensors.SLAB_BYTES", slab)
        pieces = list(tensor.slabs())
    assert [start for start, _ in pieces] == list(np.cumsum([0, *(len(p) for _, p in pieces[:-1])]))
    np.testing.assert_array_equal(np.concatenate([piece for _, piece in pieces]), values)
    assert all(piece.nbytes <= max(slab, 4 * width) for _, piece in pieces)


def test_a_slab_of_a_large_tensor_is_bounded() -> None:
    # 152064 x 8192 bfloat16, 5 GB in float32: only its shape matters here.
    tensor = StoredTensor(Path("absent"), "embedding", "BF16", (152_064, 8192), 0)
    assert tensor.slab_rows * 8192 * 4 <= SLAB_BYTES == 16 * 2**20


def test_a_folder_without_safetensors(tmp_path: Path) -> None:
    (tmp_path / "pytorch_model.bin").touch()
    with pytest.raises(ModelError, match="a base folder without safetensors"):
        open_base(tmp_path)
    with pytest.raises(ModelError, match="no such folder"):
        open_base(tmp_path / "absent")


@pytest.mark.parametrize("keep", [0, 5, 40, -1])
def test_a_truncated_file(base: Path, tmp_path: Path, keep: int) -> None:
    folder = copy_of(base, tmp_path / "base")
    content = (folder / SINGLE).read_bytes()
    (folder / SINGLE).write_bytes(content[:keep])
    with pytest.raises(ModelError, match=r"model\.safetensors: truncated"):
        open_base(folder)


def test_a_file_that_is_not_safetensors(tmp_path: Path) -> None:
    path = tmp_path / SINGLE
    for header in (b"[]", b'{"x": {"dtype": "F32"}}', b"\xff" * 16, b'{"x": 3}'):
        path.write_bytes(len(header).to_bytes(8, "little") + header)
        with pytest.raises(ModelError, match="not that of a safetensors file"):
            read_header(path)


def test_a_missing_shard(make_base: Factory, tmp_path: Path) -> None:
    folder = copy_of(make_base(shard="50KB"), tmp_path / "base")
    shard = sorted(folder.glob("*.safetensors"))[1]
    shard.unlink()
    with pytest.raises(ModelError, match=f"not there: {shard.name}"):
        open_base(folder)


def test_an_index_that_disagrees(make_base: Factory, tmp_path: Path) -> None:
    folder = copy_of(make_base(shard="50KB"), tmp_path / "base")
    index = json.loads((folder / INDEX).read_text())
    shards = sorted(set(index["weight_map"].values()))
    name = next(name for name, shard in index["weight_map"].items() if shard == shards[0])
    index["weight_map"][name] = shards[1]
    (folder / INDEX).write_text(json.dumps(index))
    with pytest.raises(ModelError, match=f"disagrees with .* among them {name}"):
        open_base(folder)


def test_a_quantised_base(tmp_path: Path) -> None:
    header = json.dumps({"w": {"dtype": "U8", "shape": [4], "data_offsets": [0, 4]}}).encode()
    (tmp_path / SINGLE).write_bytes(len(header).to_bytes(8, "little") + header + bytes(4))
    with pytest.raises(ModelError, match=r"tensor w is stored as U8.*not a quantised copy"):
        open_base(tmp_path)
