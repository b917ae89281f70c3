"""What all tests share: a small random base model, a small recipe, and the real command in a process of its own."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
if "PYTEST_XDIST_WORKER" in os.environ:  # each worker has a core; torch's threads would only fight for it
    os.environ.setdefault("OMP_NUM_THREADS", "1")
if (
    signal.getsignal(signal.SIGINT) == signal.SIG_IGN
):  # a shell starts what it puts in the background like this
    signal.signal(signal.SIGINT, signal.default_int_handler)

ROOT = Path(__file__).parents[1]
SHARED_DATA = ROOT.parent / "shared" / "data"


@dataclass(frozen=True)
class Outcome:
    """How a command ended."""

    code: int
    out: str
    err: str


Command = Callable[..., Outcome]


def command_environment(cache: Path) -> dict[str, str]:
    """The environment in which tests run the command: this checkout, a cache of its own, no hub."""
    paths = os.pathsep.join(str(ROOT / part) for part in (".", "export", "bench"))
    return {**os.environ, "PYTHONPATH": paths, "SOCRATES_FAST_CACHE": str(cache),
            "HF_HUB_OFFLINE": "1", "OMP_WAIT_POLICY": "PASSIVE", "COLUMNS": "160"}  # fmt: skip


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def command(cache: Path, tmp_path: Path) -> Command:
    """Runs ``socrates-fast ARGUMENTS`` in ``tmp_path``."""

    def run(*arguments: str | Path, **more: str) -> Outcome:
        done = subprocess.run(
            [sys.executable, "-m", "socrates_fast", *map(str, arguments)],
            cwd=tmp_path, env={**command_environment(cache), **more},
            capture_output=True, text=True, check=False, timeout=280,
        )  # fmt: skip
        return Outcome(done.returncode, done.stdout, done.stderr)

    return run


@pytest.fixture(scope="session")
def micro_base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Qwen2 of two layers with random weights and the built-in base's kind of tokenizer."""
    import torch
    from transformers import Qwen2Config, Qwen2ForCausalLM

    from socrates_fast.data.synthetic import generate
    from socrates_fast.recipe import Synthetic
    from socrates_fast.train.tiny import write_tokenizer

    folder = tmp_path_factory.mktemp("base") / "micro"
    folder.mkdir()
    survey = generate(Synthetic(studies=2, people=20))
    write_tokenizer(folder, survey.rows["prompt"].to_list(), 700)
    torch.manual_seed(0)
    config = Qwen2Config(
        vocab_size=704, hidden_size=64, intermediate_size=128, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=1024, tie_word_embeddings=True,
        bos_token_id=None, eos_token_id=699, pad_token_id=697,
    )  # fmt: skip
    model = Qwen2ForCausalLM(config)
    model.generation_config.eos_token_id = 699
    model.save_pretrained(folder)
    return folder


@pytest.fixture
def micro_recipe(micro_base: Path, tmp_path: Path) -> Path:
    """A recipe that trains ``micro_base`` for a few steps on a small made-up survey."""
    recipe = {
        "name": "micro",
        "data": {
            "source": "synthetic",
            "synthetic": {"studies": 2, "people": 30, "tasks": 2},
            "split": {"validation": 0.2, "test": 0.3},
        },
        "model": {"base": str(micro_base), "max_length": 512},
        "prompt": {"fields": ["age", "ideology"]},
        "train": {"max_steps": 6, "batch_size": 4, "learning_rate": 0.01, "save_steps": 2, "eval_steps": 3},
        "export": {"parity": {"prompts": 2, "answers": 12}},
        "evaluate": {"limit": 24},
    }
    path = tmp_path / "micro.yaml"
    path.write_text(yaml.safe_dump(recipe), encoding="utf-8")
    return path


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """An empty disk of 24 KiB, less than any stage writes."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=24k", "tmpfs", str(folder)]
    try:
        refused = subprocess.run(mount, capture_output=True, text=True, check=False).stderr
    except FileNotFoundError:
        refused = "there is no mount command"
    if refused:
        pytest.skip(f"a small tmpfs cannot be mounted here: {refused.strip()}")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)
