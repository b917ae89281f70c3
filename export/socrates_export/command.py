"""The export: base + adapter -> merged GGUF files of the types asked for, checked, and named only then.

    from socrates_export.command import export
    export(base, adapter, out, ["f16", "q4_k_m"], "model", Parity(), prompts)

leaves ``out/model-f16.gguf``, ``out/model-q4_k_m.gguf`` and what goes with them (see ``release``): ``parity.json``,
``Modelfile``, ``README.md``, ``SHA256SUMS`` and the base's licence. All are made in a hidden folder inside ``out`` and moved
when the gate has passed; whatever stops the export leaves ``out`` as it was.
"""

import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from socrates_export.architectures.spec import Metadata
from socrates_export.making import Making, Sources, make_files
from socrates_export.progress import Progress
from socrates_export.proof.comparison import Judge
from socrates_export.proof.parity import Trained, run_gate, unproven
from socrates_export.proof.reference import check_installed
from socrates_export.release import release_names, write_release
from socrates_export.release.checksums import PARITY, check_free, deliver
from socrates_export.release.facts import ReleaseFacts, RunFacts
from socrates_export.release.metadata import general_metadata
from socrates_export.source.base import open_base
from socrates_export.write.types import check_kinds
from socrates_fast.errors import ExportError
from socrates_fast.prompt import PROMPT_KEY, Prompt
from socrates_fast.recipe import Parity, PromptOptions
from socrates_fast.runs import environment, folder_for, sha256_file

__all__ = ["PARITY", "ExportResult", "export"]

DEFAULT = Making()
UNKNOWN = RunFacts()


@dataclass(frozen=True)
class ExportResult:
    """What an export made.

    Attributes:
        files: the GGUF files by type.
        sizes: their bytes by type.
        parity: the content of ``parity.json``.
        others: what else was written: importance matrix, LoRA.
        delivered: every file, with what goes with them.
    """

    files: dict[str, Path]
    sizes: dict[str, int]
    parity: dict[str, Any]
    others: list[Path]
    delivered: list[Path]


def export(
    base: Path,
    adapter: Path | None,
    out: Path,
    quantisations: Sequence[str],
    name: str,
    parity: Parity,
    prompts: Sequence[Prompt],
    verify: bool = True,
    progress: Progress | None = None,
    options: PromptOptions | None = None,
    making: Making = DEFAULT,
    judge: Judge | None = None,
    run: RunFacts = UNKNOWN,
) -> ExportResult:
    """Merge ``adapter`` into ``base``, write it as GGUF in each type, and check every file.

    Args:
        base: folder of the base model, with safetensors and tokenizer.
        adapter: folder of the PEFT LoRA adapter; None exports the base.
        out: folder for ``{name}-{type}.gguf`` and ``parity.json``.
        quantisations: keys of ``FILE_TYPES``.
        name: of the model.
        parity: what the gate compares, and the bounds; logits and answers need the ``train`` extra.
        prompts: what the gate compares.
        verify: whether to run the gate at all.
        progress: told in words how far it is.
        making: how the files are made, where it is not the usual way.
        options: the prompt that the model was trained on, which the files carry so that it is asked the same way.
        judge: the evaluation's figures of answer distributions, whose change the gate records.
        run: what is known of the training, for the model card.

    Raises:
        ModelError: the base, the adapter or the tokenizer cannot be exported.
        ExportError: a file cannot be written, quantised or loaded, or would replace a person's own text.
        ParityError: a file is not the model that was trained.
        MissingDependency: logits are to be compared and torch is not there.
        SocratesError: the disk is full.
    """
    kinds = check_kinds(list(quantisations))
    if verify and parity.logits:
        check_installed()
    check_free(out, release_names(base))
    with _workplace(out, name) as folder:
        model = open_base(base)
        extra: Metadata = {PROMPT_KEY: options.model_dump_json()} if options else {}
        extra |= general_metadata(model, name, adapter, run.recipe)
        made = make_files(Sources(base, adapter, name, extra), folder, kinds, making, progress)
        written = made.files
        gate = unproven()
        if verify:
            trained = Trained(base, adapter, making.merge_base)
            gate = run_gate(trained, written, prompts, parity, judge, progress)
        content = {**gate, "files": _facts(written), "environment": environment()}
        release = ReleaseFacts(
            name, model, adapter, written, made.others, content, options, run, making.merge_base
        )
        return _result(release, out, deliver(folder, out, write_release(folder, release)))


def _result(release: ReleaseFacts, out: Path, delivered: list[Path]) -> ExportResult:
    files = {kind: out / file.name for kind, file in release.files.items()}
    sizes = {kind: fact["bytes"] for kind, fact in release.parity["files"].items()}
    others = [out / file.name for file in release.others]
    return ExportResult(files, sizes, dict(release.parity), others, delivered)


def _facts(files: Mapping[str, Path]) -> dict[str, dict[str, Any]]:
    return {
        kind: {"file": file.name, "bytes": file.stat().st_size, "sha256": sha256_file(file)}
        for kind, file in files.items()
    }


@contextmanager
def _workplace(out: Path, name: str) -> Iterator[Path]:
    """A hidden folder inside ``out``, removed at the end; one that a killed export left is removed first."""
    if Path(name).name != name:
        raise ExportError(f"the name of a model cannot be {name!r}: it becomes part of a file name")
    folder = out / f".{name}.partial"
    shutil.rmtree(folder, ignore_errors=True)
    with ExitStack() as made:
        try:
            made.enter_context(folder_for(out))
            folder.mkdir()
        except OSError as error:
            raise ExportError(f"cannot write into {out}: {error.strerror}") from error
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)
