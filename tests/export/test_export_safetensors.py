"""The safetensors reader gives what the safetensors library gives, slab by slab, and refuses damaged folders."""

import gc
import json
import os
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from socrates_export.source.base import open_base
from socrates_export.source.files import JSON_BYTES, OpenFile, read_json
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
    tensor = StoredTensor(OpenFile(path), "x", "F32", (rows, width), 0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("socrates_export.source.safetensors.SLAB_BYTES", slab)
        pieces = list(tensor.slabs())
    assert [start for start, _ in pieces] == list(np.cumsum([0, *(len(p) for _, p in pieces[:-1])]))
    np.testing.assert_array_equal(np.concatenate([piece for _, piece in pieces]), values)
    assert all(piece.nbytes <= max(slab, 4 * width) for _, piece in pieces)


def test_a_slab_of_a_large_tensor_is_bounded() -> None:
    # 152064 x 8192 bfloat16, 5 GB in float32: only its shape matters here.
    tensor = StoredTensor(OpenFile(Path("absent")), "embedding", "BF16", (152_064, 8192), 0)
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


def write_header(path: Path, header: bytes, data: bytes = b"") -> Path:
    path.write_bytes(len(header).to_bytes(8, "little") + header + data)
    return path


def entry(
    start: object = 0, stop: object = 4, shape: object = (1,), dtype: object = "F32"
) -> dict[str, object]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [start, stop]}


@pytest.mark.parametrize(
    ("header", "why"),
    [
        (b"[]", "no JSON object"),
        (b"3", "no JSON object"),
        (b"\xff" * 16, "utf"),
        (b"{", "Expecting"),
        (b"[" * 100_000, "recursion"),
        (b'{"x": 3}', "x is not described"),
        (b'{"x": {"dtype": "F32"}}', "x has no dtype, shape and data_offsets"),
        (b'{"x": {}, "x": {}}', "x is named twice"),
        (b'{"x": {"dtype": "F32", "dtype": "F32"}}', "dtype is named twice"),
        (b'{"\\ud800": {}}', "is no name of a tensor"),
        *(
            (json.dumps({"x": entry(**wrong)}).encode(), "x has no dtype, shape and data_offsets")
            for wrong in (
                {"start": -4, "stop": 0},
                {"start": 0.0},
                {"start": True},
                {"start": "0"},
                {"stop": 2**80},
                {"stop": None},
                {"shape": [-1]},
                {"shape": 1},
                {"shape": [1.0]},
                {"shape": [10**4000]},
                {"shape": [1] * 9},
                {"dtype": ["F32"]},
                {"dtype": None},
            )
        ),
    ],
    ids=lambda value: value[:40] if isinstance(value, bytes) else None,
)
def test_a_header_that_is_not_that_of_safetensors(tmp_path: Path, header: bytes, why: str) -> None:
    path = write_header(tmp_path / SINGLE, header, bytes(4))
    with pytest.raises(ModelError, match=f"its header is not that of a safetensors file: .*{why}"):
        read_header(path)


@pytest.mark.parametrize(
    ("header", "wrong"),
    [
        ({"x": entry(0, 8)}, "damaged: tensor x of type F32 has shape .*1.* but 8 bytes"),
        ({"x": entry(shape=[2**61, 2**61])}, "damaged: tensor x of type F32 has shape"),
        ({"x": entry(4, 0)}, "has shape .* but -4 bytes"),
        ({"x": entry(), "y": entry()}, "damaged: tensor y overlaps the tensor before it"),
        ({"x": entry(), "y": entry(2, 6)}, "damaged: tensor y overlaps the tensor before it"),
        ({"x": entry(), "y": entry(6, 10)}, "damaged: tensor y leaves a gap before it"),
        ({"x": entry(4, 8)}, "damaged: tensor x leaves a gap before it"),
        ({"x": entry(0, 2**61, [2**59])}, "truncated or damaged: its header describes 23058"),
        ({"x": entry(0, 0, [0])}, "truncated or damaged"),
    ],
)
def test_tensors_that_do_not_lie_one_after_another(
    tmp_path: Path, header: dict[str, object], wrong: str
) -> None:
    path = write_header(tmp_path / SINGLE, json.dumps(header).encode(), bytes(10))
    with pytest.raises(ModelError, match=wrong):
        read_header(path)


@pytest.mark.parametrize("length", [0, 1, 30, 10**6, 2**40, 2**63, 2**64 - 1])
def test_a_header_length_that_lies(base: Path, tmp_path: Path, length: int) -> None:
    folder = copy_of(base, tmp_path / "base")
    content = (folder / SINGLE).read_bytes()
    (folder / SINGLE).write_bytes(length.to_bytes(8, "little") + content[8:])
    with pytest.raises(ModelError, match=r"model\.safetensors: (truncated|its header)"):
        open_base(folder)


def test_what_is_no_file(tmp_path: Path) -> None:
    (tmp_path / SINGLE).mkdir()
    for read in (read_header, read_json):
        with pytest.raises(ModelError, match="not a file|cannot be read"):
            read(tmp_path / SINGLE)
        with pytest.raises(ModelError, match="cannot be read|is this the right folder"):
            read(tmp_path / "absent")


def test_json_that_is_none(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    for content in (b"", b"{", b"\xff", b"[" * 100_000, b"[]", b"3"):
        path.write_bytes(content)
        with pytest.raises(ModelError, match="not JSON|a JSON object was expected"):
            read_json(path)
    with path.open("wb") as file:
        file.truncate(JSON_BYTES + 1)
    with pytest.raises(ModelError, match="too many for a JSON file"):
        read_json(path)


def test_a_file_that_shrinks_after_it_was_opened(base: Path, tmp_path: Path) -> None:
    folder = copy_of(base, tmp_path / "base")
    last = max(folder_tensors(folder).values(), key=lambda tensor: tensor.offset)
    os.truncate(folder / SINGLE, last.offset + 2)
    with pytest.raises(ModelError, match=r"model\.safetensors: truncated: it ends at byte"):
        last.whole()


def test_a_file_that_vanishes_after_it_was_opened(base: Path, tmp_path: Path) -> None:
    folder = copy_of(base, tmp_path / "base")
    unread, read = (folder_tensors(folder)["model.norm.weight"] for _ in range(2))
    before = read.whole()
    (folder / SINGLE).unlink()
    np.testing.assert_array_equal(read.whole(), before)
    with pytest.raises(ModelError, match="cannot be read"):
        unread.whole()


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="no list of open files here")
def test_files_are_closed_when_nobody_needs_them(base: Path) -> None:
    def opened() -> int:
        return len(list(Path("/proc/self/fd").iterdir()))

    tensors = folder_tensors(base)
    before = opened()
    for tensor in tensors.values():
        tensor.rows(0, 1)
    assert opened() == before + 1
    del tensor, tensors
    gc.collect()
    assert opened() == before


def test_many_threads_may_read(base: Path) -> None:
    tensor = folder_tensors(base)["model.embed_tokens.weight"]
    expected = tensor.whole()
    with ThreadPoolExecutor(8) as pool:
        for row, found in enumerate(pool.map(lambda row: tensor.rows(row, row + 1), range(512))):
            np.testing.assert_array_equal(found[0], expected[row])


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


@pytest.mark.parametrize("file", ["../model-1.safetensors", "/etc/passwd", "", 3, None, ["x"], "a\0b", "."])
def test_an_index_that_names_no_file(make_base: Factory, tmp_path: Path, file: object) -> None:
    folder = copy_of(make_base(shard="50KB"), tmp_path / "base")
    index = json.loads((folder / INDEX).read_text())
    name = next(iter(index["weight_map"]))
    index["weight_map"][name] = file
    (folder / INDEX).write_text(json.dumps(index))
    with pytest.raises(ModelError, match="weight_map puts|are not there"):
        open_base(folder)


@pytest.mark.parametrize("content", [{}, {"weight_map": []}, {"weight_map": {}}, {"weight_map": None}])
def test_an_index_without_a_map(make_base: Factory, tmp_path: Path, content: object) -> None:
    folder = copy_of(make_base(shard="50KB"), tmp_path / "base")
    (folder / INDEX).write_text(json.dumps(content))
    with pytest.raises(ModelError, match="no weight_map in it"):
        open_base(folder)


def test_shards_that_changed_places(make_base: Factory, tmp_path: Path) -> None:
    folder = copy_of(make_base(shard="50KB"), tmp_path / "base")
    first, second, *_ = sorted(folder.glob("*.safetensors"))
    first.rename(folder / "x")
    second.rename(first)
    (folder / "x").rename(second)
    with pytest.raises(ModelError, match=r"disagrees with model-00001.*one download\?"):
        open_base(folder)


def test_a_shard_of_another_model(make_base: Factory, tmp_path: Path) -> None:
    folder = copy_of(make_base(shard="50KB"), tmp_path / "base")
    other = make_base(shard="50KB", hidden_size=56, num_attention_heads=4)
    shards = [
        json.loads((each / INDEX).read_text())["weight_map"]["model.norm.weight"] for each in (folder, other)
    ]
    shutil.copy(other / shards[1], folder / shards[0])
    with pytest.raises(ModelError, match=r"has shape \[.*config\.json says|disagrees with"):
        open_base(folder)


def test_a_truncated_shard(make_base: Factory, tmp_path: Path) -> None:
    folder = copy_of(make_base(shard="50KB"), tmp_path / "base")
    shard = sorted(folder.glob("*.safetensors"))[1]
    os.truncate(shard, shard.stat().st_size - 1)
    with pytest.raises(ModelError, match=f"{shard.name}: truncated"):
        open_base(folder)


def test_a_quantised_base(tmp_path: Path) -> None:
    header = json.dumps({"w": {"dtype": "U8", "shape": [4], "data_offsets": [0, 4]}}).encode()
    (tmp_path / SINGLE).write_bytes(len(header).to_bytes(8, "little") + header + bytes(4))
    with pytest.raises(ModelError, match=r"tensor w is stored as U8.*not a quantised copy"):
        open_base(tmp_path)
