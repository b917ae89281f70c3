"""Damaged files: every reader either reads them or says in a ModelError what is wrong.

Never another exception, never a hang, never more memory than the file is worth.
"""

import json
import math
import struct
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gguf import GGUFWriter
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from socrates_export.source.base import open_base
from socrates_export.source.lora import CONFIG, WEIGHTS, load_adapter
from socrates_export.source.merged import open_merged
from socrates_export.source.safetensors import INDEX, SINGLE, read_header
from socrates_fast.errors import ModelError
from socrates_fast.infer.header import read_header as read_gguf
from tests.export.peft_models import write_adapter

Factory = Callable[..., Path]
Damage = Callable[[bytes], bytes]

MOST_MEMORY = 64 * 2**20
"""Bytes; the files have a few hundred thousand."""

FUZZ = settings(
    max_examples=60,
    deadline=timedelta(seconds=5),
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


@contextmanager
def reads_or_refuses() -> Iterator[None]:
    """Lets a ModelError pass, and fails on anything else, and on too much memory."""
    tracemalloc.reset_peak()
    try:
        yield
    except ModelError as error:
        assert str(error)
    assert tracemalloc.get_traced_memory()[1] < MOST_MEMORY


@pytest.fixture(autouse=True)
def _traced() -> Iterator[None]:
    tracemalloc.start()
    yield
    tracemalloc.stop()


ODD: st.SearchStrategy[Any] = st.one_of(
    st.sampled_from(
        [-1, 0, 1, 2**31, 2**53, 2**63, 2**64, -(2**70), 10**400, 1e308, float("nan"), float("inf")]
    ),
    st.sampled_from([None, True, "", "F32", "BF16", "U8", "\ud800", [], {}, [[]], [0, 4], [4, 0], [-4, 0]]),
    st.lists(st.integers(-5, 2**40), max_size=4),
    st.recursive(
        st.booleans(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=5
    ),
)
"""JSON values that do not belong."""


def flip(place: int, value: int) -> Damage:
    return lambda data: data[: place % len(data)] + bytes([value]) + data[place % len(data) + 1 :]


def cut(place: int) -> Damage:
    return lambda data: data[: place % len(data)]


def insert(place: int, piece: bytes) -> Damage:
    return lambda data: data[: place % len(data)] + piece + data[place % len(data) :]


def remove(place: int, count: int) -> Damage:
    return lambda data: data[: place % len(data)] + data[place % len(data) + count :]


def of_bytes(head: int) -> st.SearchStrategy[Damage]:
    """Damage to bytes, most of it among the first ``head``."""
    place = st.one_of(st.integers(0, head), st.integers(0, 2**20))
    number = st.sampled_from([0, 1, 2**16, 2**31, 2**32 - 1, 2**62, 2**63, 2**64 - 1])
    return st.one_of(
        st.builds(flip, place, st.integers(0, 255)),
        st.builds(cut, place),
        st.builds(insert, place, st.binary(max_size=40)),
        st.builds(remove, place, st.integers(1, 40)),
        st.builds(lambda at, to: lambda data: overwrite(data, at, to), place, number),
    )


def overwrite(data: bytes, place: int, number: int) -> bytes:
    """With ``number`` as eight bytes at ``place``."""
    at = place % len(data)
    return data[:at] + struct.pack("<Q", number) + data[at + 8 :]


def edited(data: bytes, edit: Callable[[dict[str, Any], str], None], which: int) -> bytes:
    """A safetensors file whose header ``edit`` has changed at one of its names, and its length made right again."""
    length = int.from_bytes(data[:8], "little")
    try:
        header = json.loads(data[8 : 8 + length])
        names = sorted(header.keys() - {"__metadata__"})
        edit(header, names[which % len(names)])
    except (ValueError, TypeError, AttributeError, LookupError, ArithmeticError, RecursionError):
        return data  # something else damaged it before
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data[8 + length :]


def reshaped(which: int, how: int) -> Damage:
    """A tensor of as many elements in another shape, which only the reader's caller can refuse."""

    def edit(header: dict[str, Any], name: str) -> None:
        shape = header[name]["shape"]
        count = math.prod(shape)
        shapes = [shape[::-1], [count], [1, *shape], [count, 1], [2, count // 2], [*shape, 1], [1, 1, count]]
        header[name]["shape"] = shapes[how % len(shapes)]

    return lambda data: edited(data, edit, which)


def renamed(which: int, other: int) -> Damage:
    """Two tensors with each other's names."""

    def edit(header: dict[str, Any], name: str) -> None:
        second = sorted(header)[other % len(header)]
        header[name], header[second] = header[second], header[name]

    return lambda data: edited(data, edit, which)


def spliced(which: int, key: str, value: Any) -> Damage:
    """A value of a safetensors header replaced."""

    def edit(header: dict[str, Any], name: str) -> None:
        header[name] = value if key == "whole" else {**header[name], key: value}

    return lambda data: edited(data, edit, which)


SPLICES: st.SearchStrategy[Damage] = st.builds(
    spliced,
    st.integers(0, 100),
    st.sampled_from(["dtype", "shape", "data_offsets", "whole", "more"]),
    ODD,
)
SWAPS = st.builds(reshaped, st.integers(0, 100), st.integers(0, 6)) | st.builds(
    renamed, st.integers(0, 100), st.integers(0, 100)
)
SAFETENSORS = st.lists(st.one_of(SPLICES, SWAPS, of_bytes(3000)), min_size=1, max_size=3)


def damaged(data: bytes, damages: list[Damage]) -> bytes:
    for damage in damages:
        data = damage(data) or b"\0"
    return data


@pytest.fixture(scope="module")
def base(make_base: Factory) -> Path:
    return make_base(hidden_size=16, intermediate_size=24, num_attention_heads=2)


@pytest.fixture(scope="module")
def adapters(base: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    forms: list[dict[str, Any]] = [
        {"use_dora": True, "modules_to_save": ["norm", "lm_head"]},
        {"target_modules": ["q_proj", "embed_tokens"], "bias": "all"},
        {"target_modules": ["q_proj"], "lora_bias": True, "trainable_token_indices": [3, 5]},
    ]
    folder = tmp_path_factory.mktemp("adapters")
    return [write_adapter(folder / str(number), base, **form) for number, form in enumerate(forms)]


def copied(source: Path, target: Path, name: str, content: bytes) -> Path:
    """``target``, a folder of links to ``source``'s files, but for ``name``, which has ``content``."""
    target.mkdir(exist_ok=True)
    for file in source.iterdir():
        if not (target / file.name).exists():
            (target / file.name).symlink_to(file)
    (target / name).unlink(missing_ok=True)
    (target / name).write_bytes(content)
    return target


@FUZZ
@given(damages=SAFETENSORS)
def test_a_damaged_base(base: Path, tmp_path: Path, damages: list[Damage]) -> None:
    content = damaged((base / SINGLE).read_bytes(), damages)
    folder = copied(base, tmp_path / "base", SINGLE, content)
    with reads_or_refuses():
        for tensor in read_header(folder / SINGLE).values():
            if tensor.shape:
                tensor.rows(0, min(1, tensor.shape[0]))
    with reads_or_refuses():
        open_base(folder)


@FUZZ
@given(which=st.integers(0, 2), damages=SAFETENSORS)
def test_a_damaged_adapter(
    base: Path, adapters: list[Path], tmp_path: Path, which: int, damages: list[Damage]
) -> None:
    content = damaged((adapters[which] / WEIGHTS).read_bytes(), damages)
    folder = copied(adapters[which], tmp_path / str(which), WEIGHTS, content)
    with reads_or_refuses():
        load_adapter(folder)
    with reads_or_refuses(), np.errstate(all="ignore"):
        model = open_merged(base, folder)
        for spec in model.specs:
            model.slab(spec, 0, spec.shape[0])


@pytest.mark.parametrize("which", [0, 1, 2])
def test_a_tensor_of_an_adapter_in_another_shape(
    base: Path, adapters: list[Path], tmp_path: Path, which: int
) -> None:
    content = (adapters[which] / WEIGHTS).read_bytes()
    tensors = read_header(adapters[which] / WEIGHTS)
    for number, (name, tensor) in enumerate(sorted(tensors.items())):
        for how in range(7):
            folder = copied(adapters[which], tmp_path / "x", WEIGHTS, reshaped(number, how)(content))
            if read_header(folder / WEIGHTS)[name].shape != tensor.shape:
                with pytest.raises(ModelError):
                    open_merged(base, folder)


@FUZZ
@given(key=st.integers(0, 100), value=ODD, damages=st.lists(of_bytes(1200), max_size=2))
def test_a_damaged_adapter_config(
    base: Path, adapters: list[Path], tmp_path: Path, key: int, value: Any, damages: list[Damage]
) -> None:
    config = json.loads((adapters[0] / CONFIG).read_text())
    config[sorted(config)[key % len(config)]] = value
    content = damaged(json.dumps(config).encode(), damages)
    folder = copied(adapters[0], tmp_path / "adapter", CONFIG, content)
    with reads_or_refuses(), np.errstate(all="ignore"):
        open_merged(base, folder)


@FUZZ
@given(name=st.integers(0, 100), value=ODD, damages=st.lists(of_bytes(1200), max_size=2))
def test_a_damaged_index(
    make_base: Factory, tmp_path: Path, name: int, value: Any, damages: list[Damage]
) -> None:
    source = make_base(shard="50KB")
    index = json.loads((source / INDEX).read_text())
    index["weight_map"][sorted(index["weight_map"])[name % len(index["weight_map"])]] = value
    content = damaged(json.dumps(index).encode(), damages)
    with reads_or_refuses():
        open_base(copied(source, tmp_path / "base", INDEX, content))


@pytest.fixture(scope="module")
def gguf(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("gguf") / "x.gguf"
    writer = GGUFWriter(path, "qwen2")
    writer.add_context_length(512)
    writer.add_file_type(0)
    writer.add_custom_alignment(64)
    writer.add_token_list([f"token {number}" for number in range(60)])
    writer.add_token_types([1] * 60)
    writer.add_bool("tokenizer.ggml.add_bos_token", False)
    writer.add_chat_template("{{ messages }}")
    writer.add_tensor("token_embd.weight", np.ones((60, 32), np.float32))
    writer.add_tensor("output_norm.weight", np.ones(32, np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path.read_bytes()


@FUZZ
@given(damages=st.lists(of_bytes(2200), min_size=1, max_size=4))
def test_a_damaged_gguf(gguf: bytes, tmp_path: Path, damages: list[Damage]) -> None:
    path = tmp_path / "x.gguf"
    path.write_bytes(damaged(gguf, damages))
    with reads_or_refuses():
        header = read_gguf(path)
        assert header.file_type is None or isinstance(header.file_type, int)
        assert header.context_length is None or isinstance(header.context_length, int)
        assert isinstance(header.name + header.architecture, str)


STRING, FLOAT, INT32 = struct.pack("<IQ3s", 8, 3, b"abc"), struct.pack("<If", 6, float("nan")), 5


@pytest.mark.parametrize(
    "value", [STRING, FLOAT, struct.pack("<Ii", INT32, -8), struct.pack("<Ii", INT32, 0)]
)
@pytest.mark.parametrize("key", [b"general.alignment", b"general.file_type", b".context_length"])
def test_a_gguf_with_values_of_other_types(tmp_path: Path, key: bytes, value: bytes) -> None:
    path = tmp_path / "x.gguf"
    path.write_bytes(struct.pack("<4sIQQQ", b"GGUF", 3, 0, 1, len(key)) + key + value)
    if key == b"general.alignment":
        with pytest.raises(ModelError, match="damaged: general.alignment is"):
            read_gguf(path)
    else:
        header = read_gguf(path)
        found = header.file_type if key == b"general.file_type" else header.context_length
        assert found == (None if value in (STRING, FLOAT) else struct.unpack("<i", value[4:])[0])


def test_a_gguf_of_arrays_in_arrays(tmp_path: Path) -> None:
    path = tmp_path / "x.gguf"
    nested = struct.pack("<IQ", 9, 1) * 100_000
    path.write_bytes(struct.pack("<4sIQQQ1sI", b"GGUF", 3, 0, 1, 1, b"k", 9) + nested)
    with pytest.raises(ModelError, match="damaged: unknown value type 9"):
        read_gguf(path)


def test_a_gguf_of_zeros_behind_a_number_that_lies(tmp_path: Path) -> None:
    """A file as large as a model whose directory goes on into zeros, of which each entry reads some."""
    path = tmp_path / "x.gguf"
    for head in (
        struct.pack("<4sIQQ", b"GGUF", 3, 2**50, 0),
        struct.pack("<4sIQQ", b"GGUF", 3, 0, 2**50),
        struct.pack("<4sIQQQ1sIIQ", b"GGUF", 3, 0, 1, 1, b"k", 9, 8, 2**50),
        struct.pack("<4sIQQQ1sIQ", b"GGUF", 3, 0, 1, 1, b"k", 8, 2**33),
        struct.pack("<4sIQQQI", b"GGUF", 3, 1, 0, 0, 2**31),
    ):
        path.write_bytes(head)
        with path.open("r+b") as file:
            file.truncate(16 * 2**30)  # sparse
        with pytest.raises(ModelError, match="truncated or damaged"), reads_or_refuses_raising():
            read_gguf(path)


@contextmanager
def reads_or_refuses_raising() -> Iterator[None]:
    """As ``reads_or_refuses``, and the ModelError goes on."""
    tracemalloc.reset_peak()
    try:
        yield
    finally:
        assert tracemalloc.get_traced_memory()[1] < MOST_MEMORY
