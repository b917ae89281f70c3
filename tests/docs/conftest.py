"""What following a guide needs: a shell with the command, and the folder that the demo leaves."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import command_environment

SMALL = (
    "model.max_length=1024", "train.max_steps=6", "train.batch_size=4", "train.eval_steps=3", "train.save_steps=3",
    "export.parity.prompts=2", "export.parity.answers=12",
)  # fmt: skip
"""What is changed of recipes that train, besides the base: a reader's minutes would be hours here."""
COMMAND = """#!/bin/bash
small=()
case "$1 ${{2-}}" in
    run*|demo*|train*) small=({settings}) ;;
    "data preview") small=(--set model.base={base}) ;;
esac
exec {python} -m socrates_fast "$@" "${{small[@]}}"
"""


@pytest.fixture(scope="session")
def environment(micro_base: Path, cache: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Variables of a shell that has ``socrates-fast``, and a base model's folder in ``BASE``."""
    folder = tmp_path_factory.mktemp("bin")
    settings = " ".join(f"--set {setting}" for setting in (f"model.base={micro_base}", *SMALL))
    command = folder / "socrates-fast"
    command.write_text(
        COMMAND.format(base=micro_base, settings=settings, python=sys.executable), encoding="utf-8"
    )
    command.chmod(0o755)
    path = os.pathsep.join([str(folder), os.environ["PATH"]])
    return {**command_environment(cache), "PATH": path, "BASE": str(micro_base)}


@pytest.fixture(scope="session")
def runs(environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that ``make demo`` leaves, of the small model: all guides begin with it."""
    folder = tmp_path_factory.mktemp("demo")
    shell("socrates-fast demo", folder, environment)
    return folder / "runs"


def shell(text: str, folder: Path, environment: dict[str, str]) -> None:
    """Run a block as a reader would paste it; the first line that fails ends it."""
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", text],
        cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=600,
    )  # fmt: skip
    assert done.returncode == 0, f"{text}\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
