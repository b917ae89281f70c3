"""The GGUF header: what it says, and every way in which a file can be damaged."""

import struct
from pathlib import Path

import pytest
from gguf import GGUFReader

from socrates_fast.errors import ModelError
from socrates_fast.infer.header import data_end, read_header


def test_says_what_the_gguf_package_says(gguf_file: Path) -> None:
    header = read_header(gguf_file)
    reader = GGUFReader(gguf_file)
    assert (header.architecture, header.name, header.file_type) == ("qwen2", "tiny", 0)
    assert header.context_length == 2048
    assert [tensor.name for tensor in header.tensors] == [tensor.name for tensor in reader.tensors]
    assert [header.data_start + tensor.offset for tensor in header.tensors] == [
        tensor.data_offset for tensor in reader.tensors
    ]
    last = reader.tensors[-1]
    assert data_end(header) == last.data_offset + last.n_bytes
    scalars = {name for name, field in reader.fields.items() if field.types[0].name != "ARRAY"}
    assert set(header.metadata) == {name for name in scalars if not name.startswith("GGUF.")}


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "the file is empty"),
        (b"PK\x03\x04 a zip file", "not a GGUF file"),
        (b"GG", "not a GGUF file"),
        (b"GGUF", "truncated"),
        (struct.pack("<4sIQQ", b"GGUF", 99, 0, 0), "GGUF version 99 is not known"),
        (struct.pack("<4sIQQ", b"GGUF", 3, 2**60, 2**60), "truncated"),
        (struct.pack("<4sIQQQ1sI", b"GGUF", 3, 0, 1, 1, b"k", 77), "unknown value type 77"),
        (struct.pack("<4sIQQQ1sIIQ", b"GGUF", 3, 0, 1, 1, b"k", 9, 4, 2**60), "truncated"),
        (struct.pack("<4sIQQQ1sIIQ", b"GGUF", 3, 0, 1, 1, b"k", 9, 77, 1), "unknown value type 77"),
        (struct.pack("<4sIQQQ", b"GGUF", 3, 0, 1, 2**62), "truncated"),
    ],
)
def test_refuses_what_is_not_a_whole_gguf(tmp_path: Path, content: bytes, words: str) -> None:
    path = tmp_path / "model.gguf"
    path.write_bytes(content)
    with pytest.raises(ModelError, match=words) as caught:
        read_header(path)
    assert str(path) in str(caught.value)


def test_refuses_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no such file"):
        read_header(tmp_path / "model.gguf")


def test_a_truncated_file_says_what_it_needs(gguf_file: Path, tmp_path: Path) -> None:
    content = gguf_file.read_bytes()
    whole = data_end(read_header(gguf_file))
    path = tmp_path / "cut.gguf"
    path.write_bytes(content[: whole - 1])
    with pytest.raises(ModelError, match=f"needs {whole} bytes, has {whole - 1}"):
        read_header(path)
    path.write_bytes(content[:1000])
    with pytest.raises(ModelError, match="1000 bytes end inside the header"):
        read_header(path)


def test_no_cut_gets_through(gguf_file: Path, tmp_path: Path) -> None:
    content = gguf_file.read_bytes()
    whole = data_end(read_header(gguf_file))
    path = tmp_path / "cut.gguf"
    for length in range(0, whole, whole // 97):
        path.write_bytes(content[:length])
        with pytest.raises(ModelError):
            read_header(path)
