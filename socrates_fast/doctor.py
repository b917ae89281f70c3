"""What is installed, what it can do, what is missing, and what that costs: the verb ``doctor``."""

import shutil
import sys
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from socrates_fast.errors import SocratesError

Check = tuple[bool | None, str]
"""Whether it is fine (None: it works, but at a cost), and one line that says what was found or what to do."""

_MARKS = {True: "✓", False: "✗", None: "!"}


def report(subject: str | None) -> bool:
    """Print one line a check; whether all that is needed is there.

    Args:
        subject: a recipe or a ``.gguf`` file, whose needs are checked as well.
    """
    fine = True
    for ok, line in _checks(subject):
        print(f"{_MARKS[ok]} {line}", flush=True)
        fine = fine and ok is not False
    return fine


def _checks(subject: str | None) -> Iterator[Check]:
    from socrates_fast import doctor_llama, doctor_model

    model = subject is not None and subject.endswith(".gguf")
    yield sys.version_info >= (3, 11), f"Python {sys.version.split()[0]} (3.11 or newer is needed)"
    yield from doctor_llama.checks()
    yield from _training(needed=subject is not None and not model)
    free = shutil.disk_usage(Path.cwd()).free / 2**30
    yield free > 1, f"{free:.0f} GiB free here"
    if subject is not None:
        yield from doctor_model.checks(Path(subject)) if model else _recipe(subject)


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
