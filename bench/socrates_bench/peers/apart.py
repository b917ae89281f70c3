"""The steps that an export replaces, as a user would run them: PEFT's merge, llama.cpp's converter, its quantiser."""

import sys
from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path

from socrates_bench.llama_source import llama_source
from socrates_bench.random_model import has_real_tokenizer
from socrates_bench.steps import Measured, measured
from socrates_export.write.types import FILE_TYPES, FLOATS

PACKAGES = ("torch", "transformers", "peft")
"""What the merge imports; the converter needs the first two as well."""


def reason_to_skip(shape: str) -> str | None:
    """Why the steps cannot be run on a shape; None if they can. Downloads llama.cpp's source if need be."""
    if not has_real_tokenizer(shape):
        return f"llama.cpp's converter knows real tokenizers only, and {shape} has none of its own; take 0.5b"
    for package in PACKAGES:
        if find_spec(package) is None:
            return f'{package} is not installed (pip install "socrates-fast[train]")'
    try:
        llama_source()
    except RuntimeError as error:
        return str(error).strip().splitlines()[0].removesuffix(":")
    return None


def run_steps(folder: Path, kinds: Iterable[str]) -> dict[str, Measured]:
    """Run each step once, in a process of its own; by its name, ``merge``, ``convert`` or the type.

    Args:
        folder: with ``base`` and ``adapter``; what the steps write there is overwritten by the next run.
        kinds: types to quantise to; the converter writes F16, and the other floats are left out.

    Raises:
        RuntimeError: one failed.
    """
    merged, float_file, target = folder / "merged", folder / "apart-f16.gguf", folder / "apart.gguf"
    merge = ["-m", "socrates_bench.peft_merge", str(folder / "base"), str(folder / "adapter"), str(merged)]
    converter = str(llama_source() / "convert_hf_to_gguf.py")
    steps = {
        "merge": measured([sys.executable, *merge]),
        "convert": measured(
            [sys.executable, converter, str(merged), "--outfile", str(float_file), "--outtype", "f16"]
        ),
    }
    for kind in sorted(set(kinds) - set(FLOATS)):
        quantise = ["-m", "socrates_bench.llama_quantize", str(float_file), str(target)]
        steps[kind] = measured([sys.executable, *quantise, str(FILE_TYPES[kind].number)])
        target.unlink()
    return steps
