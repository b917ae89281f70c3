"""The gate after an export: is this file the model that was trained?

    tensors   their numbers, by sampled rows            = base + adapter, but for the rounding of their type
    tokens    ids of a corpus and every special token   = original tokenizer
    logits    on a few prompts                          = Transformers + PEFT in float32, within the bounds
    answers   distributions on the validation prompts   = the same, within the bounds
    metrics   of the evaluation, on the same prompts      recorded: what the file changes

Everything that is out of bounds is named at once. Nothing that fails gets its final name.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from socrates_export.progress import Progress
from socrates_export.proof.comparison import Comparison, Judge
from socrates_export.proof.original import compute_original
from socrates_export.proof.questions import make_questions
from socrates_export.proof.tensors import compare_tensors
from socrates_export.proof.tokens import check_tokens
from socrates_export.source.merged import open_merged
from socrates_fast.errors import ExportError, ParityError
from socrates_fast.prompt import Prompt
from socrates_fast.recipe import Parity
from socrates_fast.tokenizer import FolderTokenizer

NOT_COMPARED = "not compared"


def unproven() -> dict[str, Any]:
    """The content of ``parity.json`` where nothing was compared."""
    return dict.fromkeys(("tensors", "tokens", "logits", "answers", "metrics"), NOT_COMPARED)


@dataclass(frozen=True)
class Trained:
    """What a file should be: base, adapter (or None), and which weights the adapter is added to."""

    base: Path
    adapter: Path | None
    merge_base: str = "original"


@dataclass(frozen=True)
class Proof:
    """What was found about some files.

    Attributes:
        content: of ``parity.json``, but for files and environment.
        faults: what is wrong, in words, by the file's name; only files that have a fault.
    """

    content: dict[str, Any]
    faults: dict[str, list[str]] = field(default_factory=dict)

    def blame(self, file: Path, fault: str) -> None:
        """Note a fault of ``file``."""
        self.faults.setdefault(file.name, []).append(fault)

    def message(self) -> str:
        """All faults."""
        return "\n".join(
            "\n  - ".join([f"{name} is not the model that was trained:", *faults])
            for name, faults in self.faults.items()
        )


def run_gate(
    trained: Trained,
    files: Mapping[str, Path],
    prompts: Sequence[Prompt],
    options: Parity,
    judge: Judge | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Check exported files before they get their names; arguments and further errors as for ``prove``.

    Returns:
        The content of ``parity.json``, but for files and environment.

    Raises:
        ParityError: files are not the model; the message has all faults, with the numbers.
    """
    proof = prove(trained, files, prompts, options, judge, progress)
    if proof.faults:
        raise ParityError(f"{proof.message()}\nno file was written")
    return proof.content


def prove(
    trained: Trained,
    files: Mapping[str, Path],
    prompts: Sequence[Prompt],
    options: Parity,
    judge: Judge | None = None,
    progress: Progress | None = None,
) -> Proof:
    """Compare files with the model that was trained.

    Args:
        trained: what they should be.
        files: the files by type; a type without bounds is not judged by logits and answers.
        prompts: what is asked; all of them are compared as rendered.
        options: what is compared, and the bounds.
        judge: computes the figures of the evaluation; None if nobody's answers to the prompts are known.
        progress: told in words what is compared.

    Raises:
        ExportError: a file cannot be loaded, or there is no prompt to compare.
        ModelError: base and adapter do not fit each other, or a file is not a whole GGUF.
    """
    if options.logits and not prompts:
        raise ExportError("comparing logits needs at least one prompt")
    tell = progress or (lambda _: None)
    proof = Proof(unproven())
    fits = _compare_tensors(proof, trained, files, tell)
    same_tokens = _compare_tokens(proof, trained.base, files, prompts, tell)
    if fits and same_tokens and options.logits:  # else it is another model, and no figure means anything
        renderer = FolderTokenizer(trained.base).renderer()
        questions = make_questions(renderer, prompts, options.prompts, options.answers)
        original = compute_original(trained.base, trained.adapter, questions, progress, trained.merge_base)
        bounds = {str(kind): bound for kind, bound in options.bounds.items()}
        comparison = Comparison(files, bounds, questions, original, proof.blame, tell)
        proof.content.update(comparison.run(judge))
    return proof


def parity_rows(parity: Mapping[str, Any]) -> list[dict[str, str]]:
    """The figures of ``parity.json`` by type, as text for a table; none if logits were not compared.

    Keys: ``type``, ``bytes``, ``nmse`` (of the logits), ``kl`` (nats, mean), ``wasserstein`` (share of the range, mean)
    and ``top1`` of the answers; a figure that was not computed is "-".
    """
    if isinstance(parity["logits"], str):
        return []
    answers = {} if isinstance(parity["answers"], str) else parity["answers"]["types"]
    return [
        {
            "type": kind,
            "bytes": f"{fact['bytes']:,}",
            "nmse": f"{parity['logits']['types'][kind]['nmse']:.2g}",
            **{
                name: f"{answers[kind][name]:.2g}" if kind in answers else "-"
                for name in ("kl", "wasserstein")
            },
            "top1": f"{answers[kind]['top1']:.1%}" if kind in answers else "-",
        }
        for kind, fact in parity["files"].items()
    ]


def _compare_tensors(proof: Proof, trained: Trained, files: Mapping[str, Path], tell: Progress) -> bool:
    """Whether all files have the tensors of this architecture, whatever is in them."""
    tell("comparing tensors with base and adapter")
    model = open_merged(trained.base, trained.adapter, trained.merge_base)
    types, fits = {}, True
    for kind, file in files.items():
        found = compare_tensors(model, file)
        fits = fits and not found.misfits
        types[kind] = found.summary()
        for fault in found.faults:
            proof.blame(file, fault)
    proof.content["tensors"] = {"types": types}
    return fits


def _compare_tokens(
    proof: Proof, base: Path, files: Mapping[str, Path], prompts: Sequence[Prompt], tell: Progress
) -> bool:
    """Whether all files have the original's token ids."""
    tell("comparing tokens with the original tokenizer")
    equal = True
    for file in files.values():
        try:
            proof.content["tokens"] = check_tokens(base, file, prompts)
        except ParityError as error:
            proof.blame(file, str(error).removeprefix(f"{file.name}: "))
            equal = False
    return equal
