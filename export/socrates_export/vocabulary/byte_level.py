"""Byte-level BPE (``gpt2`` in llama.cpp): Qwen, Llama 3, SmolLM2, Mistral Nemo, Phi-4.

llama.cpp has a fixed set of pre-tokenizers, each under a name. Here the name is found by the regular expression that
``tokenizer.json`` splits text with, so a fine-tune's added tokens do not hide it, and no model's name decides.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from socrates_export.architectures.spec import Metadata
from socrates_export.vocabulary.tokens import Tokens, check_settings
from socrates_fast.errors import ModelError
from socrates_fast.tokenizer import FolderTokenizer

_CONTRACTIONS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"
_WORDS = _CONTRACTIONS + r"|[^\r\n\p{L}\p{N}]?\p{L}+|"
_REST = r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
_UPPER, _LOWER = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
_CAPITALISED, _CAPITALS = (
    rf"[^\r\n\p{{L}}\p{{N}}]?{_UPPER}*{_LOWER}+",
    rf"[^\r\n\p{{L}}\p{{N}}]?{_UPPER}+{_LOWER}*",
)
_REST_OF_PATHS = r"| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"

QWEN2_SPLIT = _WORDS + r"\p{N}" + _REST
QWEN35_SPLIT = (
    _CONTRACTIONS + r"|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
LLAMA3_SPLIT = _WORDS + r"\p{N}{1,3}" + _REST
TEKKEN_SPLIT = rf"{_CAPITALISED}|{_CAPITALS}|\p{{N}}{_REST_OF_PATHS}"
O200K_SPLIT = rf"{_CAPITALISED}{_CONTRACTIONS}?|{_CAPITALS}{_CONTRACTIONS}?|\p{{N}}{{1,3}}{_REST_OF_PATHS}"
GPT2_SPLIT = "the pattern of ByteLevel itself"
SMOLLM_SPLIT = "single digits, then the pattern of ByteLevel itself"

PRE_TOKENIZERS = {
    (QWEN2_SPLIT, False): "qwen2",
    (QWEN35_SPLIT, False): "qwen35",
    (LLAMA3_SPLIT, True): "llama-bpe",
    (LLAMA3_SPLIT, False): "dbrx",
    (TEKKEN_SPLIT, True): "tekken",
    (O200K_SPLIT, False): "gpt-4o",
    (SMOLLM_SPLIT, False): "smollm",
    (GPT2_SPLIT, False): "gpt-2",
}
"""llama.cpp's name of a pre-tokenizer, by what splits the text and whether whole words skip the merges.

From ``llm_tokenizer_bpe`` and the table of names in ``src/llama-vocab.cpp`` of the pinned version."""

_PLAIN: dict[str, tuple[object, ...]] = {
    "dropout": (0,), "unk_token": (), "continuing_subword_prefix": ("",), "end_of_word_suffix": ("",),
    "fuse_unk": (False,), "ignore_merges": (False, True),
}  # fmt: skip


def bpe_keys(tokenizer: FolderTokenizer, tokens: Tokens) -> Metadata:
    """Tokens, types, merges and pre-tokenizer.

    Raises:
        ModelError: llama.cpp would not tokenise so.
    """
    content = tokenizer.content
    check_settings(tokens.path, content["model"], _PLAIN)
    normalizer = content.get("normalizer")
    if normalizer is not None and normalizer["type"] != "NFC":
        raise ModelError(f"{tokens.path}: a {normalizer['type']} normalizer, which llama.cpp does not apply")
    return {
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": pre_tokenizer(tokens.path, content),
        "tokenizer.ggml.tokens": tokens.texts,
        "tokenizer.ggml.token_type": tokens.types,
        "tokenizer.ggml.merges": _merges(content),
    }


def pre_tokenizer(path: Path, content: Mapping[str, Any]) -> str:
    """llama.cpp's name of the pre-tokenizer that the ``tokenizer.json`` at ``path`` describes.

    Raises:
        ModelError: it is none of those in ``PRE_TOKENIZERS``.
    """
    split, ignores = _split(content.get("pre_tokenizer")), bool(content["model"].get("ignore_merges"))
    if (split, ignores) in PRE_TOKENIZERS:
        return PRE_TOKENIZERS[split, ignores]
    if (split, not ignores) in PRE_TOKENIZERS:
        name = PRE_TOKENIZERS[split, not ignores]
        raise ModelError(
            f"{path}: it splits text like llama.cpp's {name!r}, but ignore_merges is {ignores} and there "
            f"{not ignores}"
        )
    known = "\n".join(f"  {name}: {split}" for (split, _), name in PRE_TOKENIZERS.items())
    raise ModelError(
        f"{path}: its pre-tokenizer is none that the export knows:\n  {content.get('pre_tokenizer')}\n"
        f"known are:\n{known}"
    )


def _split(description: object) -> str:
    """What the pre-tokenizer splits text with: a regular expression, or one of the two names above; "" if neither."""
    match description:
        case {"type": "ByteLevel", "add_prefix_space": False, "use_regex": True}:
            return GPT2_SPLIT
        case {
            "type": "Sequence",
            "pretokenizers": [
                {"type": "Digits", "individual_digits": True},
                {"type": "ByteLevel", "add_prefix_space": False, "use_regex": True},
            ],
        }:
            return SMOLLM_SPLIT
        case {
            "type": "Sequence",
            "pretokenizers": [
                # These expressions match all of a text, so that to keep the matches is to split at them.
                {"type": "Split", "pattern": {"Regex": str(regex)}, "behavior": "Isolated", "invert": False}
                | {"type": "Split", "pattern": {"Regex": str(regex)}, "behavior": "Removed", "invert": True},
                {"type": "ByteLevel", "add_prefix_space": False, "use_regex": False},
            ],
        }:
            return regex
    return ""


def _merges(content: Mapping[str, Any]) -> list[str]:
    return [merge if isinstance(merge, str) else " ".join(merge) for merge in content["model"]["merges"]]
