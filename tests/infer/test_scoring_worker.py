"""The worker process: how it ends, and what its death is turned into."""

import os
import signal
import struct
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from socrates_fast.errors import MissingDependency, ModelError, ScoringError
from socrates_fast.infer.bindings import STRUCT_BYTES, check_sizes
from socrates_fast.infer.gguf_model import GgufPredictor
from socrates_fast.infer.header import read_header
from socrates_fast.infer.messages import Progress
from socrates_fast.infer.predictor import AnswerDistribution
from tests.infer.prompts import SCALES, make_prompts

PROMPTS = make_prompts(SCALES["0-100"])


def is_running(pid: int) -> bool:
    """Whether a process exists and is not a zombie."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def wait_until_gone(pid: int) -> bool:
    """Wait up to ten seconds for a process to end."""
    for _ in range(200):
        if not is_running(pid):
            return True
        time.sleep(0.05)
    return False


def test_a_killed_worker_is_started_again_and_goes_on(gguf_file: Path) -> None:
    def kill(now: Progress) -> None:
        if now.results and now.prompts_done < len(PROMPTS) and len(killed) < 2:
            killed.append(loaded.worker_pid)
            os.kill(loaded.worker_pid, signal.SIGKILL)

    killed: list[int] = []
    settings: dict[str, Any] = {"batch": 64, "threads": 1, "deterministic": True}
    with GgufPredictor(gguf_file, **settings, progress=kill) as loaded:
        numbers, results = zip(*loaded.stream(PROMPTS), strict=True)
        assert loaded.worker_pid not in killed
    assert len(set(killed)) == 2
    assert sorted(numbers) == list(range(len(PROMPTS)))  # none lost, none twice
    with GgufPredictor(gguf_file, **settings) as calm:
        expected = calm.predict(PROMPTS)
    for number, found in zip(numbers, results, strict=True):
        assert isinstance(found, AnswerDistribution)
        assert found.probabilities.tolist() == expected[number].probabilities.tolist()


def test_a_worker_that_dies_again_without_a_result_is_an_error(gguf_file: Path) -> None:
    def kill(_: Progress) -> None:
        if armed:
            os.kill(loaded.worker_pid, signal.SIGKILL)

    armed = [True]
    with GgufPredictor(gguf_file, batch=64, threads=1, progress=kill) as loaded:
        with pytest.raises(ScoringError) as caught:
            loaded.predict(PROMPTS)
        message = str(caught.value)
        assert "the llama.cpp worker died (signal 9" in message
        assert "while scoring prompt" in message
        assert f"of {len(PROMPTS)} with {gguf_file}" in message
        armed.clear()
        assert len(loaded.predict(PROMPTS[:2])) == 2


def test_abort_is_quoted(gguf_file: Path, tmp_path: Path) -> None:
    one = struct.pack("<Q", 1)
    path = tmp_path / "twice.gguf"
    path.write_bytes(patched(gguf_file, one + b"A" + one + b"B", one + b"A" + one + b"A"))
    with pytest.raises(ScoringError, match=r"died \(signal 6\) while loading .*GGML_ASSERT"):
        GgufPredictor(path)


def test_ctrl_c_ends_the_worker(gguf_file: Path) -> None:
    def interrupt(now: Progress) -> None:
        if now.prompts_done:
            os.kill(os.getpid(), signal.SIGINT)

    with GgufPredictor(gguf_file, batch=64, threads=1, progress=interrupt) as loaded:
        pid = loaded.worker_pid
        with pytest.raises(KeyboardInterrupt):
            loaded.predict(PROMPTS)
        assert not is_running(pid)


def test_ctrl_c_of_the_terminal_does_not_reach_the_worker(predictor: GgufPredictor) -> None:
    before = predictor.worker_pid
    os.kill(before, signal.SIGINT)
    os.kill(before, signal.SIGUSR1)  # what Linux sends when the thread that started it ends
    assert len(predictor.predict(PROMPTS[:2])) == 2
    assert predictor.worker_pid == before


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_worker_ends_when_its_parent_is_killed(gguf_file: Path) -> None:
    script = (
        "import os, signal, sys\n"
        "from socrates_fast.infer.gguf_model import GgufPredictor\n"
        "loaded = GgufPredictor(sys.argv[1], threads=1)\n"
        "print(loaded.worker_pid, flush=True)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    ended = subprocess.run(
        [sys.executable, "-c", script, str(gguf_file)],
        env=environment,
        stdout=subprocess.PIPE,
        check=False,
    )
    assert ended.returncode == -signal.SIGKILL
    assert wait_until_gone(int(ended.stdout))


def test_closing_ends_the_process(gguf_file: Path) -> None:
    with GgufPredictor(gguf_file, threads=1) as loaded:
        pid = loaded.worker_pid
        assert is_running(pid)
    assert not is_running(pid)
    loaded.close()
    with pytest.raises(ScoringError, match="is closed"):
        loaded.predict(PROMPTS)


def test_a_forgotten_predictor_ends_its_process(gguf_file: Path) -> None:
    loaded = GgufPredictor(gguf_file, threads=1)
    pid = loaded.worker_pid
    del loaded
    assert wait_until_gone(pid)


def test_info_says_what_was_loaded(predictor: GgufPredictor) -> None:
    info = predictor.info
    assert (info.context, info.trained_context, info.threads) == (1024, 2048, 1)
    assert info.n_params * 4 == info.n_bytes  # all float32
    assert "CPU" in info.system_info


def patched(gguf_file: Path, old: bytes, new: bytes) -> bytes:
    """The file's bytes with one occurrence replaced by as many."""
    content = gguf_file.read_bytes()
    assert len(old) == len(new)
    assert old in content
    return content.replace(old, new, 1)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        (b"tokenizer.chat_template", b"tokenizer.chat_templatX", "holds no chat template"),
        (b"qwen2", b"qwen9", "unknown model architecture: 'qwen9'"),
        (b"endfor %}{% if", b"endfor %}{% xf", "the chat template cannot be rendered"),
    ],
)
def test_a_model_that_cannot_be_used_is_named(
    gguf_file: Path, tmp_path: Path, old: bytes, new: bytes, words: str
) -> None:
    path = tmp_path / "broken.gguf"
    path.write_bytes(patched(gguf_file, old, new))
    with pytest.raises(ModelError, match=words) as caught:
        GgufPredictor(path)
    assert str(path) in str(caught.value)


def test_nan_weights_are_an_error_with_the_prompt(gguf_file: Path, tmp_path: Path) -> None:
    header = read_header(gguf_file)
    offset = next(t.offset for t in header.tensors if t.name == "output_norm.weight")
    content = bytearray(gguf_file.read_bytes())
    start = header.data_start + offset
    content[start : start + 4] = struct.pack("<f", float("nan"))
    path = tmp_path / "nan.gguf"
    path.write_bytes(content)
    with (
        GgufPredictor(path, threads=1) as loaded,
        pytest.raises(ScoringError, match=r"prompt \d+ of 18: .*NaN"),
    ):
        loaded.predict(PROMPTS)


def test_bad_files_never_reach_llama_cpp(tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    path.write_bytes(b"not a model")
    with pytest.raises(ModelError, match="not a GGUF file"):
        GgufPredictor(path)
    with pytest.raises(ModelError, match="no such file"):
        GgufPredictor(tmp_path / "missing.gguf")


def test_settings_that_make_no_sense(gguf_file: Path) -> None:
    with pytest.raises(ScoringError, match="context must be at least 1, not -5"):
        GgufPredictor(gguf_file, context=-5)


def test_other_bindings_are_refused() -> None:
    check_sizes(STRUCT_BYTES)
    with pytest.raises(MissingDependency, match=r"is not version 0\.3\.36"):
        check_sizes({**STRUCT_BYTES, "llama_context_params": 152})
