"""``bench decode``: what its lines hold and how they hang together. Speeds themselves are not asserted."""

import json
import math
import statistics
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from socrates_bench.decode import bench
from socrates_bench.decode.ceilings import bytes_per_token, is_dense, operations_per_token
from socrates_bench.decode.contest import OURS, Contest
from socrates_bench.decode.machine import MOST_BYTES, array_bytes
from socrates_bench.decode.subject import subject_of
from socrates_bench.llama_bench import statistics_of
from socrates_bench.peers.known import Peer, chosen, reason_to_skip
from socrates_bench.random_model import random_base, random_gguf
from socrates_bench.record import Measurement
from socrates_fast.errors import ModelError, SocratesError
from socrates_fast.infer.header import Header, TensorInfo, read_header
from tests.conftest import Command

LLAMA = "Llama of llama-cpp-python"


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random base of the tiny shape, and beside it its GGUF."""
    base = random_base(tmp_path_factory.mktemp("decode") / "base", "tiny")
    random_gguf(base, base.parent / "tiny.gguf", "q8_0")
    return base.parent


@pytest.fixture
def no_transformers(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "transformers", None)
        yield


def by(lines: list[Measurement], name: str, who: str = OURS) -> Measurement:
    (found,) = (line for line in lines if line.name == name and line.settings["by"] == who)
    return found


@pytest.mark.long
def test_the_lines(tiny: Path, no_transformers: None, capfd: pytest.CaptureFixture[str]) -> None:
    plan = bench.plan_of([tiny / "tiny.gguf"], [], ["q8_0"], 32, 4, 2, 2, 1, 0, ["llama", "transformers"])
    lines = list(bench.measure(plan))

    assert [line.name for line in lines if line.settings["by"] == LLAMA] == [
        "time to first token, cold", "pp32", "tg4", "time to first token, warm", "rows per second", "peak memory",
    ]  # fmt: skip
    for name, tokens in (("pp32", 32), ("tg4", 4)):
        for line in (by(lines, name), by(lines, name, LLAMA)):
            facts: Any = line.details
            assert facts["samples_ts"] == [1e9 * tokens / sample for sample in facts["samples_ns"]]
            assert facts["avg_ts"] == pytest.approx(sum(facts["samples_ts"]) / 2)
            assert line.figure.all == tuple(facts["samples_ts"]) and line.figure.warm_up == 1
        ours = by(lines, name)
        assert ours.ceiling is not None and ours.share == ours.figure.median / ours.ceiling.value
        assert ours.details is not None and ours.details["n_batch"] == 2048
        assert ours.details["model_n_params"] == ours.model.parameters  # type: ignore[union-attr]

    rows = by(lines, "rows per second", "socrates-fast")
    assert (rows.settings["people"], rows.settings["rows_each"], rows.figure.n) == (2, 10, 2)
    assert rows.ceiling is not None and rows.peak_memory is not None
    computed: Any = (rows.details or {})["tokens_computed"]
    assert rows.ceiling.value == pytest.approx(20 * by(lines, "pp32").figure.median / sum(computed))
    assert by(lines, "peak memory").figure.median > (tiny / "tiny.gguf").stat().st_size

    assert (
        "skipped Transformers, float32: transformers is not installed (pip install" in capfd.readouterr().err
    )
    skipped: Any = [(line.details or {})["skipped"] for line in lines]
    assert all(list(one) == ["Transformers, float32"] for one in skipped)


@pytest.mark.long
def test_ratios_are_of_pairs(tiny: Path) -> None:
    plan = bench.plan_of([tiny / "tiny.gguf"], [], ["q8_0"], 16, 0, 3, 0, 1, 0, ["llama"])
    lines = list(bench.measure(plan))
    ours, theirs = (by(lines, "pp16", who).figure.all or () for who in (OURS, LLAMA))
    ratio = by(lines, "pp16, times as fast")
    assert ratio.settings["over"] == LLAMA and ratio.figure.unit == "x"
    assert ratio.figure.all == tuple(one / other for one, other in zip(ours, theirs, strict=True))
    assert {line.name for line in lines} == {"pp16", "pp16, times as fast", "peak memory"}


@pytest.mark.long
def test_everyone_reads_the_same_model(tiny: Path) -> None:
    """The first token after the same prompt, by our calls of llama.cpp, by Llama and by Transformers."""
    pytest.importorskip("transformers")
    path = random_gguf(tiny / "base", tiny / "tiny-f32.gguf", "f32")
    with Contest.of(
        subject_of(path, "tiny", tiny / "base"), chosen(["llama", "transformers"]), 64, 1, 0
    ) as all_:
        all_.gather()
        assert len(all_.children) == 3 and not all_.skipped
        for start in (0, 100, 2000):
            ids = list(range(start, start + 40))
            tokens = {who: child.ask(do="first", ids=ids)["token"] for who, child in all_.children.items()}
            assert len(set(tokens.values())) == 1, tokens


def test_a_peer_that_cannot_start_is_skipped(tiny: Path, capfd: pytest.CaptureFixture[str]) -> None:
    broken = Peer("broken", "Broken", "socrates_bench.peers.nowhere", {})
    with Contest.of(subject_of(tiny / "tiny.gguf"), [broken], 64, 1, 0) as contest:
        contest.gather()
        assert list(contest.children) == [OURS]
        assert "No module named" in contest.skipped["Broken"]
    assert "skipped Broken: " in capfd.readouterr().err


def test_a_peer_that_dies_is_left_out(tiny: Path) -> None:
    with Contest.of(subject_of(tiny / "tiny.gguf"), chosen(["llama"]), 64, 1, 0) as contest:
        contest.gather()

        def ask(who: str, turn: int) -> dict[str, Any]:
            child = contest.children[who]
            if who == LLAMA and turn == 1:
                child._process.kill()
            return child.ask(do="first", ids=[1, 2, 3])

        found = contest.turns(ask, 3)
        assert [len(answers) for answers in found.values()] == [3] and list(found) == [OURS]
        assert "ended with code -9" in contest.skipped[LLAMA]


def test_a_peer_without_its_folder() -> None:
    pytest.importorskip("transformers")
    (peer,) = chosen(["transformers"])
    assert "--shape" in (reason_to_skip(peer, None, False) or "")
    assert reason_to_skip(peer, Path("base"), False) is None
    assert "--gpu-layers 0" in (reason_to_skip(peer, Path("base"), True) or "")


@pytest.mark.long
def test_the_command(command: Command) -> None:
    outcome = command("bench", "decode", "--shape", "tiny", "--prompt", 0, "--generate", 2, "--repeats", 2,
                      "--people", 0, "--threads", 1, "--json", "--out", "kept.jsonl")  # fmt: skip
    assert outcome.code == 0, outcome.err
    lines = [json.loads(line) for line in outcome.out.splitlines()]
    assert [line["name"] for line in lines] == ["tg2", "peak memory"]
    assert (
        lines[0]["model"]["shape"] == "tiny"
        and lines[0]["where"]["llama"]
        and lines[0]["where"]["threads"] == 1
    )
    assert lines[0]["share"] == lines[0]["figure"]["median"] / lines[0]["ceiling"]["value"]


def test_what_is_wrong_is_said_first(command: Command, tmp_path: Path) -> None:
    (tmp_path / "notes.gguf").write_text("some notes", encoding="utf-8")
    outcome = command("bench", "decode", "notes.gguf")
    assert outcome.code == 2 and "not a GGUF file" in outcome.err and "socrates-fast export" in outcome.err
    for bad, message in (
        ({"shapes": ["9b"]}, "no shape 9b; choose from tiny"),
        ({"peers": ["vllm"]}, "no peer vllm; choose from llama"),
        ({"types": ["q9"]}, "cannot export to q9"),
        ({"models": [tmp_path / "no.gguf"]}, "no such file"),
    ):
        usual: dict[str, Any] = {"models": [], "shapes": ["tiny"], "types": ["q8_0"], "prompt": 8, "generate": 8,
                                 "repeats": 1, "people": 1, "threads": 1, "gpu_layers": 0, "peers": []}  # fmt: skip
        with pytest.raises(SocratesError, match=message):
            bench.plan_of(**{**usual, **bad})


def test_a_model_that_llama_cpp_refuses(tiny: Path, tmp_path: Path) -> None:
    content = (tiny / "tiny.gguf").read_bytes().replace(b"qwen2.block_count", b"qwen2.block_kount")
    (tmp_path / "odd.gguf").write_bytes(content)
    with (
        Contest.of(subject_of(tmp_path / "odd.gguf"), [], 64, 1, 0) as contest,
        pytest.raises(SocratesError, match="odd.gguf: llama.cpp cannot load it"),
    ):
        contest.gather()


@given(st.lists(st.integers(10**6, 10**10), min_size=1, max_size=9), st.integers(1, 600))
def test_statistics_are_llama_benchs(samples: list[int], tokens: int) -> None:
    found = statistics_of(samples, tokens)
    speeds = found["samples_ts"]
    mean, n = sum(speeds) / len(speeds), len(speeds)
    squares = math.fsum(speed * speed for speed in speeds)
    # stdev() of llama-bench.cpp
    spread = math.sqrt(max(0, squares / (n - 1) - mean * mean * n / (n - 1))) if n > 1 else 0
    assert found["avg_ts"] == pytest.approx(mean)
    assert found["stddev_ts"] == pytest.approx(spread, rel=1e-3, abs=1e-5 * mean)
    assert min(speeds) <= statistics.median(speeds) <= max(speeds)


def test_what_a_token_costs(tiny: Path) -> None:
    header = read_header(tiny / "tiny.gguf")
    hidden, wide, layers, vocabulary, kv = 256, 512, 4, 8192, 128
    block = hidden * hidden * 2 + 2 * hidden * kv + 3 * hidden * wide
    assert operations_per_token(header, 10) == 2 * (layers * block + vocabulary * hidden / 10)
    # The tied embedding is read whole as the output matrix: all of the file's data, and 2 bytes a cached number.
    data = header.path.stat().st_size - header.data_start
    cache = 2 * 2 * kv * layers
    assert bytes_per_token(header, 1) == data + cache
    assert bytes_per_token(header, 3) == data + 2 * cache
    assert is_dense(header)


def test_an_untied_embedding_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(bytes(1000))
    tensors = (TensorInfo("token_embd.weight", (4, 50), 0, 0), TensorInfo("output.weight", (4, 50), 0, 800))
    header = Header(path, 3, {"general.architecture": "a", "a.expert_count": 8}, tensors, 0)
    assert bytes_per_token(header, 1) == 200
    assert not is_dense(header)


def test_the_array_fits_the_memory(tmp_path: Path) -> None:
    file = tmp_path / "meminfo"
    file.write_text("MemTotal: 9 kB\nMemAvailable:     4096 kB\n", encoding="ascii")
    assert array_bytes(file) == 2**20
    assert array_bytes(tmp_path / "none") == MOST_BYTES


def test_an_empty_file_is_no_model(tmp_path: Path) -> None:
    (tmp_path / "empty.gguf").touch()
    with pytest.raises(ModelError, match="the file is empty"):
        subject_of(tmp_path / "empty.gguf")
