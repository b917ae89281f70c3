"""The export: base + adapter -> merged GGUF files of the types asked for, checked, and named only then.

    from socrates_export.command import export
    export(base, adapter, out, ["f16", "q4_k_m"], "model", ParityBounds(), prompts)

leaves ``out/model-f16.gguf``, ``out/model-q4_k_m.gguf`` and ``out/parity.json``. The files are made in a hidden folder
inside ``out`` (a float file first, the quantised ones from it) and moved when the gate has passed; whatever
stops the export leaves ``out`` as it was.
"""

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from socrates_export.architectures.spec import Metadata
from socrates_export.progress import Progress
from socrates_export.proof.parity import ParityBounds, run_gate
from socrates_export.proof.reference import check_installed
from socrates_export.source.merged import open_merged
from socrates_export.write.files import model_metadata, write_files
from socrates_export.write.gguf_writer import FLOAT_TYPES
from socrates_export.write.quantize import QUANTISED_TYPES, quantize
from socrates_fast.errors import ExportError
from socrates_fast.prompt import PROMPT_KEY, Prompt
from socrates_fast.recipe import PromptOptions
from socrates_fast.runs import environment, sha256_file, write_json

PARITY = "parity.json"
_NO_PARITY: dict[str, Any] = {"tokens": "not compared", "logits": "not compared"}


@dataclass(frozen=True)
class ExportResult:
    """What an export made.

    Attributes:
        files: the GGUF files by type.
        sizes: their bytes by type.
        parity: the content of ``parity.json``.
    """

    files: dict[str, Path]
    sizes: dict[str, int]
    parity: dict[str, Any]


def export(
    base: Path,
    adapter: Path | None,
    out: Path,
    quantisations: Sequence[str],
    name: str,
    bounds: ParityBounds,
    prompts: Sequence[Prompt],
    verify: bool = True,
    progress: Progress | None = None,
    logits: bool = True,
    options: PromptOptions | None = None,
) -> ExportResult:
    """Merge ``adapter`` into ``base``, write it as GGUF in each type, and check every file.

    Args:
        base: folder of the base model, with safetensors and tokenizer.
        adapter: folder of the PEFT LoRA adapter; None exports the base.
        out: folder for ``{name}-{type}.gguf`` and ``parity.json``.
        quantisations: keys of ``FLOAT_TYPES`` or ``QUANTISED_TYPES``. Quantised files are made from the first float
            file asked for, in the order f32, f16, bf16; without one, from an f16 file that is not kept.
        name: of the model.
        bounds: largest errors that the gate allows.
        prompts: what the gate compares.
        verify: whether to run the gate at all.
        progress: told in words how far it is.
        logits: whether the gate compares logits too, which needs the ``train`` extra.
        options: the prompt that the model was trained on, which the files carry so that it is asked the same way.

    Raises:
        ModelError: the base, the adapter or the tokenizer cannot be exported.
        ExportError: a file cannot be written, quantised or loaded.
        ParityError: a file is not the model that was trained.
        MissingDependency: logits are to be compared and torch is not there.
        SocratesError: the disk is full.
    """
    kinds = _kinds(quantisations)
    if verify and logits:
        check_installed()
    with _workplace(out, name) as folder:
        written = _write(base, adapter, folder, kinds, name, progress, options)
        gate = _NO_PARITY
        if verify:
            # The float file goes through it even if only others are kept: its bound is the sharpest.
            gate = run_gate(base, adapter, written, prompts, bounds, logits, progress)
        facts = {kind: _facts(written[kind]) for kind in kinds}
        parity = {**gate, "files": facts, "environment": environment()}
        # An old verdict must not stand beside a new file, not even for a moment.
        (out / PARITY).unlink(missing_ok=True)
        files = {kind: written[kind].replace(out / written[kind].name) for kind in kinds}
        write_json(out / PARITY, parity)
    return ExportResult(files, {kind: fact["bytes"] for kind, fact in facts.items()}, parity)


def _facts(file: Path) -> dict[str, Any]:
    return {"file": file.name, "bytes": file.stat().st_size, "sha256": sha256_file(file)}


def _kinds(quantisations: Sequence[str]) -> list[str]:
    known = [*FLOAT_TYPES, *QUANTISED_TYPES]
    unknown = [kind for kind in quantisations if kind not in known]
    if unknown or not quantisations:
        asked = ", ".join(unknown) or "nothing"
        raise ExportError(f"cannot export to {asked}; choose from {', '.join(known)}")
    return list(dict.fromkeys(quantisations))


@contextmanager
def _workplace(out: Path, name: str) -> Iterator[Path]:
    """A hidden folder inside ``out``, removed at the end; one that a killed export left is removed first."""
    if Path(name).name != name:
        raise ExportError(f"the name of a model cannot be {name!r}: it becomes part of a file name")
    folder = out / f".{name}.partial"
    shutil.rmtree(folder, ignore_errors=True)
    try:
        folder.mkdir(parents=True)
    except OSError as error:
        raise ExportError(f"cannot write into {out}: {error.strerror}") from error
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _write(
    base: Path,
    adapter: Path | None,
    folder: Path,
    kinds: Sequence[str],
    name: str,
    progress: Progress | None,
    options: PromptOptions | None,
) -> dict[str, Path]:
    """Write the float files asked for, or f16, then the quantised ones; all of them by type."""
    model = open_merged(base, adapter)
    floats = [kind for kind in FLOAT_TYPES if kind in kinds] or ["f16"]
    quantised = [kind for kind in kinds if kind in QUANTISED_TYPES]
    files = {kind: folder / f"{name}-{kind}.gguf" for kind in (*floats, *quantised)}
    extra: Metadata = {PROMPT_KEY: options.model_dump_json()} if options else {}
    metadata = model_metadata(model, name) | extra
    write_files(model, metadata, {kind: files[kind] for kind in floats}, progress)
    for kind in quantised:
        quantize(files[floats[0]], files[kind], kind, progress)
    return files
