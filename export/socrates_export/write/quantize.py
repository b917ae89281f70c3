"""Quantises a float GGUF with llama.cpp, in a child process that can be interrupted."""

import shutil
from pathlib import Path

from socrates_export.child import run_task
from socrates_export.progress import Progress, Step
from socrates_fast.errors import ExportError
from socrates_fast.runs import atomic_path

QUANTISED_TYPES = {"q8_0": 7, "q6_k": 18, "q5_k_m": 17, "q4_k_m": 15}
"""llama.cpp's file types (``llama_ftype``), by the name that a user types."""

_FULL_BYTES = 64 * 1024
"""A disk with less free than this is full: llama.cpp writes larger pieces."""


def quantize(
    source: Path,
    target: Path,
    kind: str,
    progress: Progress | None = None,
    threads: int = 0,
) -> None:
    """Write ``target``, the GGUF ``source`` quantised to ``kind``; whole or not at all.

    Args:
        source: a GGUF of type f32, f16 or bf16.
        target: the file to write.
        kind: a key of ``QUANTISED_TYPES``.
        progress: told how far it is.
        threads: 0 for all.

    Raises:
        ExportError: the disk is full, or llama.cpp refused or died; the message has its last lines.
    """
    if kind not in QUANTISED_TYPES:
        raise ExportError(f"{kind} is no quantisation; choose from {', '.join(QUANTISED_TYPES)}")
    step = Step(progress, f"quantising {target.name}")

    with atomic_path(target) as partial:
        arguments = {
            "source": str(source),
            "target": str(partial),
            "file_type": QUANTISED_TYPES[kind],
            "threads": threads,
        }
        try:
            run_task("quantize", arguments, f"quantising {source.name} to {kind}", partial, step.at)
        except ExportError as error:
            # llama.cpp only says "iostream error"; its unfinished file still fills the disk here.
            if shutil.disk_usage(target.parent).free < _FULL_BYTES:
                raise ExportError(f"the disk is full: cannot write {target}") from error
            raise
