"""Makes the files of an export: one pass over the base, or two where an importance matrix is collected in between.

Everything happens in child processes, so that Ctrl-C, a killed worker or an abort of llama.cpp costs the parent nothing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from socrates_export.architectures.spec import Metadata
from socrates_export.child import run_task
from socrates_export.progress import Progress, Step
from socrates_export.write.types import FILE_TYPES, UNWEIGHED
from socrates_fast.errors import ExportError
from socrates_fast.prompt import Prompt
from socrates_fast.recipe import MergeBase
from socrates_fast.tokenizer import FolderTokenizer


@dataclass(frozen=True)
class Making:
    """How the files are made.

    Attributes:
        merge_base: the weights that the adapter is added to: ``original``, or ``nf4`` as QLoRA's training saw them.
        imatrix: an importance matrix: a GGUF file, or ``auto`` to collect one on ``calibration``.
        calibration: prompts that ``auto`` runs.
        dataset: what ``calibration`` is, in words.
        lora: also write the adapter itself as a GGUF.
        threads: 0 for one per core.
    """

    merge_base: MergeBase = "original"
    imatrix: Path | Literal["auto"] | None = None
    calibration: Sequence[Prompt] = ()
    dataset: str = "rendered prompts"
    lora: bool = False
    threads: int = 0


@dataclass(frozen=True)
class Sources:
    """What the files are made from: folders of the base and of the adapter, the model's name, further GGUF keys."""

    base: Path
    adapter: Path | None
    name: str
    extra: Metadata


@dataclass(frozen=True)
class Made:
    """What was made: GGUF files by type, and other files (importance matrix, LoRA)."""

    files: dict[str, Path]
    others: list[Path]


def make_files(
    sources: Sources, folder: Path, kinds: Sequence[str], making: Making, progress: Progress | None = None
) -> Made:
    """Write ``{name}-{type}.gguf`` for each of ``kinds`` into ``folder``, and what ``making`` asks for besides.

    Raises:
        SocratesError: see ``write.task``, ``write.imatrix_task``.
        ExportError: ``lora`` without an adapter, ``imatrix="auto"`` without prompts, or a worker that died.
    """
    if making.lora and sources.adapter is None:
        raise ExportError("a LoRA GGUF needs an adapter, and only a base was given")
    files = {kind: folder / f"{sources.name}-{kind}.gguf" for kind in kinds}
    others: list[Path] = []
    writer = _Writer(sources, folder, making, progress)
    if making.imatrix == "auto":
        first = {kind: path for kind, path in files.items() if kind in UNWEIGHED}
        if not first:  # something must be run to see what matters
            first = {"q8_0": folder / "calibration.gguf"}
        writer.write(first, None)
        matrix = folder / f"{sources.name}-imatrix.gguf"
        writer.collect(first[next(kind for kind in FILE_TYPES if kind in first)], matrix)
        others.append(matrix)
        writer.write({kind: path for kind, path in files.items() if kind not in first}, matrix)
        (folder / "calibration.gguf").unlink(missing_ok=True)
    else:
        writer.write(files, making.imatrix)
    if making.lora:
        others.append(folder / f"{sources.name}-lora.gguf")
        writer.lora(others[-1])
    return Made(files, others)


@dataclass(frozen=True)
class _Writer:
    sources: Sources
    folder: Path
    making: Making
    progress: Progress | None

    def _arguments(self) -> dict[str, object]:
        adapter = self.sources.adapter
        return {
            "base": str(self.sources.base),
            "adapter": str(adapter) if adapter else None,
            "name": self.sources.name,
        }

    def write(self, files: Mapping[str, Path], imatrix: Path | None) -> None:
        """One pass over the base."""
        if not files:
            return
        what = "writing " + ", ".join(path.name for path in files.values())
        arguments = {
            **self._arguments(),
            "merge_base": self.making.merge_base,
            "extra": self.sources.extra,
            "files": {kind: str(path) for kind, path in files.items()},
            "imatrix": str(imatrix) if imatrix else None,
            "threads": self.making.threads,
        }
        run_task("write", arguments, what, self.folder, Step(self.progress, what).at)

    def collect(self, model: Path, out: Path) -> None:
        """Collect an importance matrix on the calibration prompts."""
        if not self.making.calibration:
            raise ExportError(
                "--imatrix auto needs prompts to run; give a run, or a file made by llama-imatrix"
            )
        renderer = FolderTokenizer(self.sources.base).renderer()
        sequences = [renderer.prompt_ids(prompt) for prompt in self.making.calibration]
        what = f"collecting an importance matrix on {len(sequences)} prompts"
        arguments = {
            "model": str(model),
            "sequences": sequences,
            "dataset": self.making.dataset,
            "out": str(out),
        }
        run_task("imatrix", arguments, what, self.folder, Step(self.progress, what).at)

    def lora(self, out: Path) -> None:
        """Write the adapter as a GGUF."""
        run_task("lora", {**self._arguments(), "out": str(out)}, f"writing {out.name}", self.folder)
