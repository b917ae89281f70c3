"""The reference of the parity gate: base + adapter by Transformers and PEFT, in float32, on the CPU.

The adapter is applied as it was in training and not merged, so that merging is part of what is proven. Runs in a
child process, so that nothing has patched Transformers and its memory is given back.
"""

import copy
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_softmax

from socrates_export.proof.layerwise import load, widen, widen_when_computed
from socrates_export.source.lora import WRAPPERS, load_adapter
from socrates_export.source.merged import open_merged
from socrates_export.source.nf4 import RoundTripped
from socrates_fast.errors import MissingDependency
from socrates_fast.optional import need

_FEATURE = "comparing with the original model"
_PACKAGES = ("torch", "transformers", "peft")

BRANCHES = 16
"""Token paths into an answer trie that are computed at once; each holds a copy of the prompt's keys and values."""

Arrays = dict[str, NDArray[Any]]


def check_installed() -> None:
    """Refuse now rather than after hours of writing.

    Raises:
        MissingDependency: a package that computes the reference is not installed.
    """
    missing = [package for package in _PACKAGES if find_spec(package) is None]
    if missing:
        raise MissingDependency(
            f"{_FEATURE} needs {', '.join(missing)}, not installed here. Install with: "
            'pip install "socrates-fast[train]", or pass --set export.parity.logits=false to check the '
            "tokens and tensors only"
        )


def reference(
    base: str,
    adapter: str | None,
    questions: Sequence[Mapping[str, Any]],
    out: str,
    merge_base: str = "original",
) -> None:
    """Write to ``out`` (npz) what the original model computes; see ``Question.as_task``.

    Of question i: ``logits-i`` and, with an adapter, ``base-i`` (the same without it), float32 of shape (positions,
    vocabulary); ``answers-i-n``, log probabilities of node n's columns, float64.

    Args:
        base: folder of the base model.
        adapter: folder of the adapter, or None.
        questions: what is asked.
        out: the file to write.
        merge_base: which weights the adapter is added to, see ``open_merged``.

    Raises:
        MissingDependency: a package is not installed.
        ModelError: base and adapter do not fit each other.
    """
    torch = need("torch", _FEATURE, extra="train")
    need("transformers", _FEATURE, extra="train")
    model, without_adapter = _load(base, adapter, merge_base)
    arrays: Arrays = {}
    with torch.no_grad():
        for index, question in enumerate(questions):
            arrays |= _answer(model, question, index)
            if adapter is not None and question["positions"]:
                with without_adapter():
                    arrays[f"base-{index}"] = _logits(model, question["ids"], question["positions"])[0]
            print(index + 1, len(questions), flush=True)
    np.savez(out, allow_pickle=False, **arrays)


def _load(base: str, adapter: str | None, merge_base: str) -> tuple[Any, Any]:
    """The model, adapted, and what switches the adapter off."""
    model, switch = load(Path(base)), nullcontext
    if merge_base != "original":
        _round_trip(model, base, adapter, merge_base)
    if adapter is not None:
        peft = need("peft", _FEATURE, extra="train")
        widen(model, load_adapter(Path(adapter)).replaced)
        # Without the names that compiling puts in between; PEFT itself would not find the tensors.
        mapping = {**getattr(model, "_checkpoint_conversion_mapping", {}), WRAPPERS.pattern: ""}
        adapted = peft.PeftModel.from_pretrained(
            model, adapter, torch_device="cpu", key_mapping=mapping
        ).eval()
        model, switch = adapted.get_base_model(), adapted.disable_adapter
    widen_when_computed(model)
    return model, switch


def _round_trip(model: Any, base: str, adapter: str | None, merge_base: str) -> None:
    """Give the layers that QLoRA quantises the weights that it leaves of them, in float32."""
    import torch

    merged = open_merged(Path(base), Path(adapter) if adapter else None, merge_base)
    for name, tensor in merged.tensors.items():
        if isinstance(tensor.source, RoundTripped):
            model.get_parameter(name).data = torch.from_numpy(tensor.source.rows(0, tensor.shape[0]))


def _answer(model: Any, question: Mapping[str, Any], index: int) -> Arrays:
    """Logits and answers of question ``index``, from one pass over its prompt."""
    ids, positions, columns = question["ids"], question["positions"], question["columns"]
    logits, cache = _logits(model, ids, [*positions, len(ids) - 1])
    arrays: Arrays = {f"logits-{index}": logits[:-1]} if positions else {}
    if columns:
        rows = {(): logits[-1], **_inner_rows(model, cache, question["nodes"])}
        for node, (path, wanted) in enumerate(zip(question["nodes"], columns, strict=True)):
            arrays[f"answers-{index}-{node}"] = log_softmax(rows[tuple(path)].astype(np.float64))[wanted]
    return arrays


def _logits(model: Any, ids: Sequence[int], positions: Sequence[int]) -> tuple[NDArray[np.float32], Any]:
    """Logits after ``positions``, (positions, vocabulary), and the keys and values of ``ids``."""
    import torch

    output = model(torch.tensor([ids]), logits_to_keep=torch.tensor(positions), use_cache=True)
    return output.logits[0].numpy(), output.past_key_values


def _inner_rows(
    model: Any, cache: Any, nodes: Sequence[Sequence[int]]
) -> dict[tuple[int, ...], NDArray[np.float32]]:
    """Logits after the prompt and each token path of ``nodes`` but the empty one, going on from its ``cache``."""
    import torch

    paths = sorted(tuple(path) for path in nodes)
    ends = [path for path in paths if path and not any(p != path and p[: len(path)] == path for p in paths)]
    rows: dict[tuple[int, ...], NDArray[np.float32]] = {}
    for start in range(0, len(ends), BRANCHES):
        branches = ends[start : start + BRANCHES]
        longest = max(map(len, branches))
        # Attention looks left only: what fills a shorter path up on the right changes nothing before it.
        ids = torch.tensor([[*path, *[0] * (longest - len(path))] for path in branches])
        copied = copy.deepcopy(cache)
        copied.batch_repeat_interleave(len(branches))
        logits = model(ids, past_key_values=copied).logits.numpy()
        for branch, path in enumerate(branches):
            rows |= {path[: depth + 1]: logits[branch, depth] for depth in range(len(path))}
    return rows
