"""Quantising in a child process: whole files, the child's own words on failure, nothing left after a kill."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from gguf import GGUFReader, dequantize
from numpy.typing import NDArray

from socrates_export.child import run_task
from socrates_export.source.base import open_base
from socrates_export.write.gguf_writer import OutputTensor, write_gguf
from socrates_export.write.quantize import QUANTISED_TYPES, quantize
from socrates_fast.errors import ExportError
from tests.export.conftest import write_model


@pytest.fixture(scope="module")
def float_file(base: Path, adapter: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("float") / "x-f32.gguf"
    write_model(path, base, adapter, "f32", "x")
    return path


@pytest.mark.parametrize(("kind", "error"), [("q8_0", 0.01), ("q4_k_m", 0.1)])
def test_quantised_weights_are_near_the_float_ones(
    float_file: Path, tmp_path: Path, kind: str, error: float
) -> None:
    target = tmp_path / f"x-{kind}.gguf"
    quantize(float_file, target, kind)
    expected = {tensor.name: tensor.data for tensor in GGUFReader(float_file).tensors}
    reader = GGUFReader(target)
    assert reader.fields["general.file_type"].contents() == QUANTISED_TYPES[kind]
    assert expected.keys() == {tensor.name for tensor in reader.tensors}
    for tensor in reader.tensors:
        exact = np.asarray(expected[tensor.name])
        found = dequantize(tensor.data, tensor.tensor_type).reshape(exact.shape)
        assert np.sqrt(np.mean((found - exact) ** 2)) <= error * np.sqrt(np.mean(exact**2))
    assert target.stat().st_size < float_file.stat().st_size / 3


def test_an_unknown_type(float_file: Path, tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="q3_x is no quantisation; choose from q8_0"):
        quantize(float_file, tmp_path / "x.gguf", "q3_x")


def test_a_truncated_source_gives_llama_cpps_own_words(float_file: Path, tmp_path: Path) -> None:
    source = tmp_path / "short.gguf"
    source.write_bytes(float_file.read_bytes()[:-5000])
    with pytest.raises(
        ExportError, match=r"(?s)quantising short\.gguf to q8_0 failed:.*not within the file bounds"
    ):
        quantize(source, tmp_path / "x.gguf", "q8_0")
    assert list(tmp_path.iterdir()) == [source]


def test_a_full_disk(float_file: Path, small_disk: Path) -> None:
    with pytest.raises(ExportError, match=r"the disk is full: cannot write .*x-q8_0\.gguf"):
        quantize(float_file, small_disk / "x-q8_0.gguf", "q8_0")
    assert not list(small_disk.iterdir())


def test_a_source_that_is_not_a_gguf(tmp_path: Path) -> None:
    source = tmp_path / "text.gguf"
    source.write_text("not a model at all, only some words in a file")
    with pytest.raises(ExportError, match=r"(?s)quantising text\.gguf to q8_0 failed:.*invalid magic"):
        quantize(source, tmp_path / "x.gguf", "q8_0")
    assert list(tmp_path.iterdir()) == [source]


def test_an_abort_of_llama_cpp_is_an_error_here(base: Path, tmp_path: Path) -> None:
    # Two tokens of one text: llama.cpp aborts the process that loads them.
    path = tmp_path / "twins.gguf"
    metadata = {
        "general.architecture": "qwen2",
        **open_base(base).architecture.metadata(open_base(base).config),
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": "qwen2",
        "tokenizer.ggml.tokens": ["a", "a"],
        "tokenizer.ggml.token_type": [1, 1],
        "tokenizer.ggml.merges": ["a a"],
    }
    tensor = OutputTensor("w", (1, 1), lambda: iter([np.ones((1, 1), np.float32)]))
    write_gguf(path, metadata, [tensor], "f32")
    arguments = {"model": str(path), "cases": [], "out": str(tmp_path / "out.json")}
    with pytest.raises(
        ExportError, match=rf"(?s)was trying was killed by signal {signal.SIGABRT:d}:.*GGML_ASSERT"
    ):
        run_task("tokenize", arguments, "trying")


@pytest.fixture(scope="module")
def slow_file(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file whose quantisation to q4_k_m takes seconds."""
    rng = np.random.default_rng(0)
    rows: NDArray[np.float32] = rng.standard_normal((2048, 4096), np.float32)

    def slabs() -> Iterator[NDArray[np.float32]]:
        yield rows

    tensors = [OutputTensor(f"blk.{block}.ffn_up.weight", rows.shape, slabs) for block in range(8)]
    model = open_base(base)
    metadata = {"general.architecture": "qwen2", **model.architecture.metadata(model.config)}
    path = tmp_path_factory.mktemp("slow") / "slow.gguf"
    write_gguf(path, {**metadata, "qwen2.block_count": 8}, tensors, "f16")
    return path


INTERRUPTED = """
import json, sys
from pathlib import Path
from socrates_export.write.quantize import quantize
print("started", flush=True)
quantize(Path(sys.argv[1]), Path(sys.argv[2]), "q4_k_m", threads=1)
print("finished", flush=True)
"""


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_an_interrupted_quantisation_leaves_nothing(
    slow_file: Path, tmp_path: Path, how: signal.Signals
) -> None:
    command = [sys.executable, "-c", INTERRUPTED, str(slow_file), str(tmp_path / "x.gguf")]
    process = subprocess.Popen(
        command,
        env={**os.environ, "PYTHONPATH": ":".join(sys.path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    wait_for(lambda: any(path.stat().st_size > 0 for path in tmp_path.iterdir()))
    if how == signal.SIGINT:
        os.killpg(process.pid, how)  # as a terminal does: to parent and child
    else:
        process.send_signal(how)
    stdout, stderr = process.communicate(timeout=60)
    assert stdout == b"started\n", stderr
    assert process.returncode == -how
    wait_for(lambda: not list(tmp_path.iterdir()))
    wait_for(lambda: not group_members(process.pid))


def wait_for(condition: object, seconds: float = 60.0) -> None:
    assert callable(condition)
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)


def group_members(group: int) -> list[int]:
    """Processes of a process group that are still running (zombies are not)."""
    members = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, found = stat.read_text().rpartition(")")[2].split()[:3]
        except OSError:
            continue  # it ended while we were looking
        if int(found) == group and state != "Z":
            members.append(int(stat.parent.name))
    return members


def test_progress_tells_tensors(float_file: Path, tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    arguments = {
        "source": str(float_file),
        "target": str(tmp_path / "x.gguf"),
        "file_type": QUANTISED_TYPES["q8_0"],
        "threads": 1,
    }
    run_task("quantize", json.loads(json.dumps(arguments)), "quantising", None, lambda *at: seen.append(at))
    total = len(GGUFReader(float_file).tensors)
    assert seen == [(done, total) for done in range(1, total + 1)]
