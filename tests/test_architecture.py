"""The shape that the design promises, checked: who may import whom, sizes, what --help loads."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from statistics import median

import pytest

from tests.conftest import ROOT, command_environment

SOURCES = [*ROOT.glob("socrates_fast/**/*.py"), *ROOT.glob("export/**/*.py"), *ROOT.glob("bench/**/*.py")]
TESTS = list(ROOT.glob("tests/**/*.py"))

LOWEST = {
    "errors",
    "optional",
    "recipe",
    "runs",
    "recipes",
    "prompt",
    "tokenizer",
    "data",
    "console",
    "curves",
    "nearby",
}
MAY_IMPORT = {
    "errors": set(),
    "optional": {"errors"},
    "bounds": set(),
    "recipe": {"bounds", "recipe"},
    "runs": {"errors"},
    "console": set(),
    "curves": {"console", "curves", "runs"},
    "nearby": set(),
    "recipes": {"errors", "nearby", "recipe"},
    "data": {"errors", "optional", "recipe", "prompt", "runs", "data"},
    "prompt": {"errors", "recipe", "data"},
    "tokenizer": {"errors", "nearby", "prompt"},
    "train": LOWEST | {"train", "plan.utilisation"},
    "infer": LOWEST | {"infer"},
    "jobs": LOWEST | {"infer", "jobs"},
    "evaluate": LOWEST | {"evaluate", "infer.predictor"},
    "socrates_export": LOWEST | {"infer", "socrates_export"},
    "plan": LOWEST | {"plan", "infer.hub", "train.tiny", "socrates_export"},
    "socrates_bench": None,
}
"""Part to the parts it may import; None: all. Parts that are not listed belong to the command and may import all."""


def part_of(path: Path) -> str:
    relative = path.relative_to(ROOT)
    if relative.parts[0] != "socrates_fast":
        return relative.parts[1]
    return relative.parts[1].removesuffix(".py")


def own_imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module]
            if node.module == "socrates_fast":
                names = [f"socrates_fast.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        else:
            continue
        for name in names:
            if name.startswith("socrates_fast."):
                yield name.removeprefix("socrates_fast.")
            elif name.startswith(("socrates_export", "socrates_bench")):
                yield name


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_go_one_way(path: Path) -> None:
    allowed = MAY_IMPORT.get(part_of(path))
    if allowed is None:
        return
    for name in own_imports(path):
        if name == "__version__":
            continue
        first = name.split(".")[0]
        assert first in allowed or any(name.startswith(known) for known in allowed if "." in known), (
            f"{path.relative_to(ROOT)} imports {name}"
        )


def functions(path: Path) -> Iterator[tuple[str, int]]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef):
            assert node.end_lineno is not None
            yield f"{path.name}:{node.name}", node.end_lineno - node.lineno + 1


def test_functions_are_short() -> None:
    lengths = dict(entry for path in SOURCES for entry in functions(path))
    too_long = {name: length for name, length in lengths.items() if length > 60}
    assert not too_long
    assert median(lengths.values()) <= 14


def test_files_are_short() -> None:
    for paths, most in ((SOURCES, 400), (TESTS, 480)):
        lengths = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in paths}
        assert not {str(path): length for path, length in lengths.items() if length > most}


def test_public_functions_have_docstrings() -> None:
    missing = []
    for path in SOURCES:
        tree = ast.parse(path.read_text(encoding="utf-8"))
        assert ast.get_docstring(tree), f"{path}: no module docstring"
        for node in tree.body:
            if (
                isinstance(node, ast.FunctionDef | ast.ClassDef)
                and not node.name.startswith("_")
                and not ast.get_docstring(node)
            ):
                missing.append(f"{path.name}:{node.name}")
    assert not missing


def test_help_is_light(tmp_path: Path) -> None:
    code = (
        "import sys; sys.argv = ['socrates-fast', '--help']\n"
        "from socrates_fast.cli import main\n"
        "try: main()\n"
        "except SystemExit as end: assert end.code == 0, end.code\n"
        "heavy = {'torch', 'llama_cpp', 'transformers', 'unsloth', 'trl', 'polars', 'matplotlib', 'scipy', 'pydantic'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=command_environment(tmp_path),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_unsloth_is_imported_in_train_only() -> None:
    for path in SOURCES:
        text = path.read_text(encoding="utf-8")
        if re.search(r"^\s*(import|from) unsloth", text, re.MULTILINE):
            assert part_of(path) == "train", path
