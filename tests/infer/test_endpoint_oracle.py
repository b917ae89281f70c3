"""The endpoint predictor with a real server: llama-cpp-python's own, which needs its extra "server"."""

import importlib.util
import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from safetensors.numpy import load_file, save_file

from socrates_fast.infer.endpoint import EndpointPredictor
from socrates_fast.infer.gguf_model import GgufPredictor
from socrates_fast.infer.predictor import AnswerDistribution
from tests.infer.conftest import write_gguf
from tests.infer.prompts import SCALES, make_prompts

NEEDS = ("uvicorn", "fastapi", "sse_starlette", "starlette_context", "pydantic_settings")
pytestmark = [
    pytest.mark.oracle,
    pytest.mark.skipif(
        not all(map(importlib.util.find_spec, NEEDS)), reason='needs pip install "llama-cpp-python[server]"'
    ),
]


@pytest.fixture(scope="module")
def model(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny model with larger logits for digits, so that they are among the likeliest tokens."""
    changed = tmp_path_factory.mktemp("digits") / "model"
    shutil.copytree(folder, changed)
    vocabulary = json.loads((changed / "tokenizer.json").read_text())["model"]["vocab"]
    tensors = load_file(changed / "model.safetensors")
    tensors["lm_head.weight"][[vocabulary[str(digit)] for digit in range(10)]] *= 8
    save_file(tensors, changed / "model.safetensors")
    write_gguf(changed, changed / "digits.gguf")
    return changed / "digits.gguf"


@pytest.fixture(scope="module")
def server(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of the tiny model, served in float32; the server shows log-probabilities only with logits_all."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    log = tmp_path_factory.mktemp("server") / "log.txt"
    options = {"model": model, "host": "127.0.0.1", "port": port, "n_ctx": 1024, "n_threads": 1,
               "logits_all": "true", "type_k": 0, "type_v": 0}  # fmt: skip
    words = [word for name, value in options.items() for word in (f"--{name}", str(value))]
    with log.open("wb") as stream:
        process = subprocess.Popen(
            [sys.executable, "-m", "llama_cpp.server", *words],
            stdout=stream, stderr=stream, env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        )  # fmt: skip
    try:
        url = f"http://127.0.0.1:{port}/v1"
        for _ in range(600):
            assert process.poll() is None, log.read_text()
            try:
                urllib.request.urlopen(f"{url}/models").close()
                break
            except OSError:
                time.sleep(0.1)
        yield url
    finally:
        process.terminate()
        process.wait()


def mass(found: AnswerDistribution) -> dict[int, float]:
    """Each answer's probability before renormalising."""
    pairs = zip(found.values.tolist(), (found.probabilities * found.answer_mass).tolist(), strict=True)
    return dict(pairs)


def test_log_probabilities_are_those_of_the_file(server: str, model: Path) -> None:
    """An answer among the 20 likeliest tokens has the file's probability; another is less likely than what is shown."""
    prompts = make_prompts(SCALES["1-7"])
    with EndpointPredictor(server, concurrency=2) as endpoint:
        results = dict(endpoint.stream(prompts))
        assert endpoint.notes == []
    with GgufPredictor(model, context=1024, batch=128, threads=1, exact=True) as predictor:
        exactly = predictor.predict(prompts)
    compared, furthest = 0, 0.0
    for number, expected in enumerate(exactly):
        found = results[number]
        shown = mass(found) if isinstance(found, AnswerDistribution) else dict.fromkeys(range(1, 8), 0.0)
        exact = mass(expected)
        for value, probability in shown.items():
            if probability:
                furthest = max(furthest, abs(probability / exact[value] - 1))
                compared += 1
            elif isinstance(found, AnswerDistribution):
                assert exact[value] <= found.unexplored + 1e-6
    print(f"{compared} probabilities compared, the furthest {furthest:.1e} away")
    assert compared >= 20 and furthest < 1e-4
