"""What is installed, what it can do, and what is missing: the verb ``doctor``."""

import shutil
import sys
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from socrates_fast.errors import SocratesError

Check = tuple[bool, str]
"""Whether it is fine, and one line that says what was found or what to do."""


def report(recipe: str | None) -> bool:
    """Print one line a check; whether all that is needed is there."""
    fine = True
    for ok, line in _checks(recipe):
        print(f"{'✓' if ok else '✗'} {line}")
        fine = fine and ok
    return fine


def _checks(recipe: str | None) -> Iterator[Check]:
    yield sys.version_info >= (3, 11), f"Python {sys.version.split()[0]} (3.11 or newer is needed)"
    yield _llama()
    yield from _training(needed=recipe is not None)
    free = shutil.disk_usage(Path.cwd()).free / 2**30
    yield free > 1, f"{free:.0f} GiB free here"
    if recipe is not None:
        yield from _recipe(recipe)


def _llama() -> Check:
    try:
        from llama_cpp import llama_cpp

        system = llama_cpp.llama_print_system_info().decode()
        return True, f"llama-cpp-python {version('llama-cpp-python')}: {system.strip()}"
    except (ImportError, OSError) as error:
        return False, f"llama.cpp cannot be loaded ({error}); reinstall with: pip install llama-cpp-python"


def _training(needed: bool) -> Iterator[Check]:
    for package in ("torch", "unsloth", "trl", "peft", "bitsandbytes"):
        try:
            yield True, f"{package} {version(package)}"
        except PackageNotFoundError:
            yield not needed, f'{package} is not installed; for training: pip install "socrates-fast[train]"'
            return
    import torch

    if torch.cuda.is_available():
        memory = torch.cuda.get_device_properties(0).total_memory / 2**30
        yield True, f"GPU {torch.cuda.get_device_name(0)}, {memory:.0f} GiB"
    else:
        yield True, f"no GPU; training runs on {torch.get_num_threads()} CPU threads"


def _recipe(name: str) -> Iterator[Check]:
    from socrates_fast import recipes

    try:
        recipe = recipes.load(name)
    except SocratesError as error:
        yield False, str(error)
        return
    yield True, f"recipe {recipe.name} is valid"
    path = recipe.data.path
    if path is not None:
        yield path.exists(), f"data.path: {path}" + ("" if path.exists() else " is not there")
