"""Writes an adapter as a LoRA GGUF, which llama.cpp applies to a GGUF of the base (``--lora``).

    <tensor of the base>.lora_a    (r, in); of the token embedding (tokens, r)
    <tensor of the base>.lora_b    (out, r), multiplied by the adapter's scale

llama.cpp takes scale 1 when ``adapter.lora.alpha`` is absent, so rsLoRA and patterns are right, too. What such a file
cannot say (DoRA, biases, trained modules, LoRA on a tied embedding) is refused.
"""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from socrates_export.architectures.spec import Metadata, TensorSpec
from socrates_export.source.edits import LoraPair, Rows
from socrates_export.source.lora import Adapter
from socrates_export.source.merged import MergedModel, open_merged
from socrates_export.source.safetensors import same_values
from socrates_export.write.arrays import write_arrays
from socrates_fast.errors import ExportError

EMBEDDING, OUTPUT = "token_embd.weight", "output.weight"


def lora(base: str, adapter: str | None, name: str, out: str) -> None:
    """The task of a child process: ``write_lora`` of the adapter in the folder ``adapter``."""
    write_lora(Path(out), open_merged(Path(base), Path(adapter) if adapter else None), name)


def write_lora(path: Path, model: MergedModel, name: str) -> None:
    """Write ``model``'s adapter to ``path``, whole or not at all.

    Args:
        path: the file; its folder is made.
        model: base and adapter.
        name: of the adapter (``general.name``).

    Raises:
        ExportError: there is no adapter, or a LoRA GGUF cannot represent it.
        SocratesError: the file cannot be written.
    """
    adapter = model.adapter
    if adapter is None:
        raise ExportError("a LoRA GGUF needs an adapter, and only a base was given")
    for reason in _reasons(model, adapter):
        raise ExportError(
            f"{adapter.folder}: a LoRA GGUF cannot hold {reason}; export it merged instead (without --lora)"
        )
    metadata: Metadata = {
        "general.type": "adapter",
        "general.architecture": model.base.architecture.name,
        "general.name": name,
        "adapter.type": "lora",
    }
    arrays: dict[str, Rows] = {}
    for spec in model.specs:
        if spec.source in adapter.pairs:
            a, b = _matrices(model, spec, adapter.pairs[spec.source])
            arrays |= {f"{spec.target}.lora_a": a, f"{spec.target}.lora_b": b}
    write_arrays(path, metadata, arrays)


def _reasons(model: MergedModel, adapter: Adapter) -> Iterator[str]:
    if not adapter.pairs:
        yield "an adapter without LoRA matrices"
    targets = {spec.source: spec.target for spec in model.specs}
    is_tied = OUTPUT not in {spec.target for spec in model.base.specs}
    for name in adapter.pairs:
        if is_tied and targets.get(name) in (EMBEDDING, OUTPUT):
            yield f"LoRA on {name}, which the base ties to its {'embedding' if targets[name] == OUTPUT else 'output'}"
    for name in adapter.magnitudes:
        yield f"DoRA (of {name})"
    for name in adapter.shifts:
        yield f"lora_bias (of {name})"
    for name in adapter.tokens:
        yield f"tokens trained alone (of {name})"
    for name, tensor in adapter.replaced.items():
        stored = model.base.tensors.get(name)
        # PEFT stores the base's own embedding beside the LoRA that stands on it.
        if stored is None or not same_values(tensor, stored):
            yield f"{name}, which was trained in full"


def _matrices(model: MergedModel, spec: TensorSpec, pair: LoraPair) -> tuple[Rows, Rows]:
    """``lora_a`` and ``lora_b`` of one tensor, as llama.cpp has them."""
    rows = pair.b[: spec.shape[0]]
    if spec.target == EMBEDDING:  # looked up, not multiplied: the tokens' rows come first
        return rows, np.ascontiguousarray(pair.a.T)
    b = model.base.architecture.transform(replace(spec, shape=rows.shape), rows)
    return pair.a, np.ascontiguousarray(b)
