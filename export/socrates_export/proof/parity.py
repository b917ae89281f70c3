"""The gate after an export: is this file the model that was trained?

Token ids must be equal, and logits of base + adapter (Transformers and PEFT, float32) and of the GGUF must agree
within a bound per type. Nothing that fails gets its final name.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from math import isfinite
from pathlib import Path
from typing import Any

from socrates_export.progress import Progress
from socrates_export.proof.logits import LogitDifference, Probe, difference, gguf_logits, reference_logits
from socrates_export.proof.tokens import check_tokens
from socrates_fast.errors import ExportError, ParityError
from socrates_fast.prompt import Prompt
from socrates_fast.tokenizer import FolderTokenizer


@dataclass(frozen=True)
class ParityBounds:
    """Largest normalised mean squared error (NMSE) of the logits, by type; None only records it."""

    f32: float | None = 1e-9
    f16: float | None = 1e-4
    bf16: float | None = 1e-3
    q8_0: float | None = 1e-2
    q6_k: float | None = None
    q5_k_m: float | None = None
    q4_k_m: float | None = None

    def check(self, kind: str, found: LogitDifference, file: str) -> None:
        """Refuse a file of type ``kind`` whose logits differ too much.

        Raises:
            ParityError: with the numbers.
        """
        bound: float | None = getattr(self, kind)
        # Logits that are not numbers fail whatever the bound; no comparison with NaN is true.
        if isfinite(found.nmse) and (bound is None or found.nmse <= bound):
            return
        raise ParityError(
            f"{file} is not the model that was trained: NMSE of its logits {found.nmse:.3g} (bound "
            f"{bound}), largest difference {found.max_abs:.3g}, KL {found.kl:.3g} nats, same most "
            f"probable token in {found.top1:.1%} of positions"
        )


def run_gate(
    base: Path,
    adapter: Path | None,
    files: Mapping[str, Path],
    prompts: Sequence[Prompt],
    bounds: ParityBounds,
    logits: bool = True,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Check exported files against the folders they were made from.

    Args:
        base: the base model's folder.
        adapter: the PEFT adapter's folder, or None.
        files: the exported files by type.
        prompts: compared as rendered: their tokens and, if ``logits``, their logits.
        bounds: largest errors allowed.
        logits: whether to compare logits, which needs torch, Transformers and PEFT.
        progress: told in words what is compared.

    Returns:
        The content of ``parity.json``.

    Raises:
        ParityError: a file is not the model; the message has the numbers.
        ExportError: a file cannot be loaded, or there is no prompt to compare.
    """
    tell = progress or (lambda _: None)
    tell("comparing tokens with the original tokenizer")
    tokens = [check_tokens(base, file, prompts) for file in files.values()]
    result: dict[str, Any] = {"tokens": tokens[0], "logits": "not compared"}
    if logits:
        result["logits"] = _gate_logits(base, adapter, files, prompts, bounds, tell)
    return result


def _gate_logits(
    base: Path,
    adapter: Path | None,
    files: Mapping[str, Path],
    prompts: Sequence[Prompt],
    bounds: ParityBounds,
    tell: Progress,
) -> dict[str, Any]:
    if not prompts:
        raise ExportError("comparing logits needs at least one prompt")
    renderer = FolderTokenizer(base).renderer()
    probe = Probe.of([renderer.prompt_ids(prompt) for prompt in prompts])
    tell("computing the original model's logits")
    reference = reference_logits(base, adapter, probe)
    result: dict[str, Any] = {"prompts": len(prompts), "positions": probe.size, "types": {}}
    for kind, file in files.items():
        found = difference(reference, gguf_logits(file, probe))
        tell(f"{kind}: NMSE {found.nmse:.2e}, same most probable token {found.top1:.1%}")
        bounds.check(kind, found, file.name)
        result["types"][kind] = {**asdict(found), "bound": getattr(bounds, kind)}
    return result
