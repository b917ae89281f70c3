"""Shapes of models by their Hugging Face id, so that a plan needs neither their weights nor the network.

The numbers are those of each model's ``config.json``; tests compare the parameter counts with the published ones. A
revision is given where it is known; it is the commit that recipes pin.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Known:
    """A model whose shape is known.

    Attributes:
        config: the keys of ``config.json`` that shapes follow from.
        revision: a commit of it on the Hub; None where none is known here.
    """

    config: Mapping[str, Any]
    revision: str | None = None


def known(kind: str, sizes: tuple[int, ...], vocabulary: int, tied: bool, longest: int, revision: str | None = None,
           head: int | None = None) -> Known:  # fmt: skip
    """A model of an architecture; ``sizes`` are hidden, layers, heads, key and value heads, intermediate."""
    hidden, layers, heads, heads_kv, inner = sizes
    config = {
        "model_type": kind, "hidden_size": hidden, "num_hidden_layers": layers, "num_attention_heads": heads,
        "num_key_value_heads": heads_kv, "intermediate_size": inner, "vocab_size": vocabulary,
        "tie_word_embeddings": tied, "max_position_embeddings": longest,
    }  # fmt: skip
    return Known(config | ({"head_dim": head} if head else {}), revision)


def _qwen25(sizes: tuple[int, ...], revision: str | None = None) -> Known:
    small = sizes[0] <= 2048
    return known("qwen2", sizes, 151936 if small else 152064, small, 32768, revision)


def _qwen3(sizes: tuple[int, ...], revision: str | None = None) -> Known:
    return known("qwen3", sizes, 151936, sizes[0] <= 2560, 40960, revision, head=128)


def _llama3(sizes: tuple[int, ...], tied: bool, longest: int, revision: str | None = None) -> Known:
    return known("llama", sizes, 128256, tied, longest, revision)


MODELS: dict[str, Known] = {
    "Qwen/Qwen2.5-0.5B-Instruct": _qwen25((896, 24, 14, 2, 4864), "7ae557604adf67be50417f59c2c2f167def9a775"),
    "Qwen/Qwen2.5-1.5B-Instruct": _qwen25((1536, 28, 12, 2, 8960), "989aa7980e4cf806f80c7fef2b1adb7bc71aa306"),
    "Qwen/Qwen2.5-3B-Instruct": _qwen25((2048, 36, 16, 2, 11008)),
    "Qwen/Qwen2.5-7B-Instruct": _qwen25((3584, 28, 28, 4, 18944), "a09a35458c702b33eeacc393d103063234e8bc28"),
    "Qwen/Qwen2.5-14B-Instruct": _qwen25((5120, 48, 40, 8, 13824), "cf98f3b3bbb457ad9e2bb7baf9a0125b6b88caa8"),
    "Qwen/Qwen2.5-32B-Instruct": _qwen25((5120, 64, 40, 8, 27648)),
    "Qwen/Qwen3-0.6B": _qwen3((1024, 28, 16, 8, 3072)),
    "Qwen/Qwen3-1.7B": _qwen3((2048, 28, 16, 8, 6144)),
    "Qwen/Qwen3-4B": _qwen3((2560, 36, 32, 8, 9728), "1cfa9a7208912126459214e8b04321603b3df60c"),
    "Qwen/Qwen3-8B": _qwen3((4096, 36, 32, 8, 12288), "b968826d9c46dd6066d109eabc6255188de91218"),
    "Qwen/Qwen3-14B": _qwen3((5120, 40, 40, 8, 17408), "40c069824f4251a91eefaf281ebe4c544efd3e18"),
    "Qwen/Qwen3-32B": _qwen3((5120, 64, 64, 8, 25600)),
    "meta-llama/Meta-Llama-3-8B-Instruct": _llama3((4096, 32, 32, 8, 14336), False, 8192,
                                                   "8afb486c1db24fe5011ec46dfbe5b5dccdb575c2"),
    "meta-llama/Llama-3.1-8B-Instruct": _llama3((4096, 32, 32, 8, 14336), False, 131072),
    "meta-llama/Llama-3.2-1B-Instruct": _llama3((2048, 16, 32, 8, 8192), True, 131072),
    "meta-llama/Llama-3.2-3B-Instruct": _llama3((3072, 28, 24, 8, 8192), True, 131072),
}  # fmt: skip
"""By id on the Hub."""

GATED = ("meta-llama/",)
"""Beginnings of ids whose licence must be accepted on the Hub before they can be downloaded."""


def family(name: str) -> str:
    """What a model shares with its smaller and larger siblings: "Qwen/Qwen2.5", "meta-llama/Llama-3"."""
    plain = name.replace("Meta-Llama", "Llama")
    return plain.split("-")[0] if "Llama" not in plain else "meta-llama/Llama-3"
