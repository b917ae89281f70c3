"""The peers of ``bench decode`` by name, and why one cannot take part."""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from socrates_bench.children import Child
from socrates_fast.errors import SocratesError


@dataclass(frozen=True)
class Peer:
    """What a user would pick instead.

    Attributes:
        name: as ``--vs`` takes it.
        title: as people know it.
        module: the child.
        packages: that it imports, and how they are installed.
        dtype: of the weights that it computes with, for one that reads the folder of safetensors.
    """

    name: str
    title: str
    module: str
    packages: dict[str, str]
    dtype: str | None = None


_TRAIN = 'pip install "socrates-fast[train]"'
_TORCH = {"torch": _TRAIN, "transformers": _TRAIN}
PEERS = {
    peer.name: peer
    for peer in (
        Peer("llama", "Llama of llama-cpp-python", "socrates_bench.peers.llama",
             {"llama_cpp": "pip install llama-cpp-python==0.3.36"}),
        Peer("transformers", "Transformers, float32", "socrates_bench.peers.hf", _TORCH, "float32"),
        Peer("transformers-bf16", "Transformers, bfloat16", "socrates_bench.peers.hf", _TORCH, "bfloat16"),
    )
}  # fmt: skip


def chosen(names: Sequence[str]) -> tuple[Peer, ...]:
    """The peers of some names.

    Raises:
        SocratesError: one does not exist.
    """
    unknown = [name for name in names if name not in PEERS]
    if unknown:
        raise SocratesError(f"no peer {', '.join(unknown)}; choose from {', '.join(PEERS)}")
    return tuple(PEERS[name] for name in dict.fromkeys(names))


def reason_to_skip(peer: Peer, folder: Path | None, on_gpu: bool) -> str | None:
    """Why a peer cannot take part; None if it can.

    Args:
        peer: who.
        folder: of the safetensors that the GGUF was made of.
        on_gpu: whether ours runs on a GPU.
    """
    for package, remedy in peer.packages.items():
        if find_spec(package) is None:
            return f"{package} is not installed ({remedy})"
    if peer.dtype and on_gpu:
        return "it runs on the CPU here, and ours on a GPU; --gpu-layers 0 compares them"
    if peer.dtype and folder is None:
        return "it needs the folder of safetensors, which a GGUF does not hold; --shape makes both"
    return None


def open_peer(peer: Peer, path: Path, folder: Path | None, context: int, **shared: Any) -> Child:
    """Start a peer's process.

    Args:
        peer: who.
        path: the GGUF.
        folder: of the safetensors.
        context: tokens that it must hold.
        shared: ``threads`` and ``gpu_layers``.

    Raises:
        SocratesError: it ended before it was ready.
    """
    if peer.dtype:
        return Child(peer.module, folder=str(folder), dtype=peer.dtype, threads=shared["threads"])
    return Child(peer.module, path=str(path), context=context, **shared)
