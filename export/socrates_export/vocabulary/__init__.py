"""A byte-level BPE ``tokenizer.json`` as GGUF keys.

llama.cpp does not run the tokenizer's own description: it has a fixed set of pre-tokenizers, each under a name.
Here the name is found by the regular expression that the description splits text with, so a fine-tune's added
tokens do not hide it; the parity gate then compares token ids. Duplicate or empty texts, which make llama.cpp
abort, are refused.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from socrates_export.architectures.spec import Metadata
from socrates_export.source.base import BaseModel
from socrates_fast.errors import ModelError
from socrates_fast.tokenizer import CONTROL_TEXT, FolderTokenizer

NORMAL, CONTROL, USER_DEFINED, UNUSED = 1, 3, 4, 5
"""llama.cpp's token types."""

QWEN2_SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
PRE_TOKENIZERS = {QWEN2_SPLIT: "qwen2"}
"""llama.cpp's name of a pre-tokenizer, by the expression that splits the text."""

_PLAIN_MODEL = {
    "dropout": None, "unk_token": None, "continuing_subword_prefix": "", "end_of_word_suffix": "",
    "fuse_unk": False, "byte_fallback": False, "ignore_merges": False,
}  # fmt: skip


def tokenizer_metadata(base: BaseModel) -> Metadata:
    """The ``tokenizer.*`` keys of the base's tokenizer.

    Raises:
        ModelError: it is not a byte-level BPE tokenizer that llama.cpp knows, or does not fit the model.
    """
    tokenizer = FolderTokenizer(base.folder)
    _check_model(base.folder, tokenizer.content)
    tokens, types = _tokens(base.folder, tokenizer.content, base.config["vocab_size"])
    return {
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": pre_tokenizer(base.folder, tokenizer.content),
        "tokenizer.ggml.tokens": tokens,
        "tokenizer.ggml.token_type": types,
        "tokenizer.ggml.merges": _merges(tokenizer.content),
        **_special_ids(base, tokenizer, types),
        # llama.cpp's defaults depend on the tokenizer; prompts are rendered whole, so nothing is added.
        "tokenizer.ggml.add_bos_token": False,
        "tokenizer.ggml.add_eos_token": False,
        "tokenizer.ggml.add_space_prefix": False,
        "tokenizer.chat_template": tokenizer.chat_template,
    }


def _check_model(folder: Path, content: Mapping[str, Any]) -> None:
    model = content.get("model", {})
    if model.get("type") != "BPE":
        raise ModelError(
            f"{folder}/tokenizer.json: a {model.get('type')} tokenizer; only byte-level BPE can be exported"
        )
    for key, plain in _PLAIN_MODEL.items():
        if model.get(key) not in (None, plain):
            raise ModelError(f"{folder}/tokenizer.json: {key} = {model[key]!r} is not supported")
    normalizer = content.get("normalizer")
    if normalizer is not None and normalizer["type"] != "NFC":
        raise ModelError(
            f"{folder}/tokenizer.json: a {normalizer['type']} normalizer, which llama.cpp does not apply"
        )


def pre_tokenizer(folder: Path, content: Mapping[str, Any]) -> str:
    """llama.cpp's name of the pre-tokenizer that ``tokenizer.json`` describes.

    Raises:
        ModelError: it is none of those in ``PRE_TOKENIZERS``.
    """
    match content.get("pre_tokenizer"):
        case {
            "type": "Sequence",
            "pretokenizers": [
                {
                    "type": "Split",
                    "pattern": {"Regex": str(regex)},
                    "behavior": "Isolated",
                    "invert": False,
                },
                {"type": "ByteLevel", "add_prefix_space": False, "use_regex": False},
            ],
        } if regex in PRE_TOKENIZERS:
            return PRE_TOKENIZERS[regex]
        case other:
            raise ModelError(
                f"{folder}/tokenizer.json: its pre-tokenizer is none that the export knows "
                f"({', '.join(PRE_TOKENIZERS.values())}): {other}"
            )


def _tokens(folder: Path, content: Mapping[str, Any], size: int) -> tuple[list[str], list[int]]:
    """Text and type of each id up to ``size``; ids that the tokenizer leaves free are padding."""
    path = folder / "tokenizer.json"
    texts: dict[int, str] = {}
    types: dict[int, int] = {}
    for text, token in content["model"]["vocab"].items():
        if token in texts:
            raise ModelError(f"{path}: token {token} is both {texts[token]!r} and {text!r}")
        texts[token], types[token] = text, NORMAL
    for added in content.get("added_tokens", []):
        token, text = added["id"], added["content"]
        control = added["special"] or CONTROL_TEXT.match(text)
        texts[token], types[token] = text, CONTROL if control else USER_DEFINED
    if max(texts) >= size:
        raise ModelError(
            f"{path}: token {max(texts)} ({texts[max(texts)]!r}) has no row in an embedding of {size} "
            "rows; this tokenizer belongs to another model"
        )
    tokens = [texts.get(token, f"[PAD{token}]") for token in range(size)]
    _check_unique(path, tokens)
    return tokens, [types.get(token, UNUSED) for token in range(size)]


def _check_unique(path: Path, tokens: list[str]) -> None:
    first: dict[str, int] = {}
    for token, text in enumerate(tokens):
        if not text:
            raise ModelError(f"{path}: the text of token {token} is empty")
        if text in first:
            raise ModelError(f"{path}: tokens {first[text]} and {token} have the same text {text!r}")
        first[text] = token


def _merges(content: Mapping[str, Any]) -> list[str]:
    return [merge if isinstance(merge, str) else " ".join(merge) for merge in content["model"]["merges"]]


def _special_ids(base: BaseModel, tokenizer: FolderTokenizer, types: list[int]) -> Metadata:
    eot = tokenizer.renderer().end_id
    if types[eot] != CONTROL:
        raise ModelError(
            f"{base.folder}: the chat template ends an answer with ordinary text, not with a control token"
        )
    ids = {"eos": special_id(base, tokenizer, "eos"), "eot": eot}
    if ids["eos"] is None:
        raise ModelError(f"{base.folder}: no eos_token in tokenizer_config.json")
    ids |= {role: special_id(base, tokenizer, role) for role in ("bos", "padding")}
    return {f"tokenizer.ggml.{role}_token_id": token for role, token in ids.items() if token is not None}


def special_id(base: BaseModel, tokenizer: FolderTokenizer, role: str) -> int | None:
    """Id of the ``eos``, ``bos`` or ``padding`` token; None if the folder names none.

    The tokenizer's config decides; where it is silent, the generation config, then the model's.

    Raises:
        ModelError: the tokenizer's config names a token that the tokenizer does not have.
    """
    name = "pad" if role == "padding" else role
    text = tokenizer.token_text(f"{name}_token")
    if text:
        token = tokenizer.token_id(text)
        if token is None:
            raise ModelError(f"{base.folder}: {name}_token {text!r} is not in tokenizer.json")
        return token
    for config in (base.generation, base.config):
        value = config.get(f"{name}_token_id")
        if value is not None:
            return int(value[0] if isinstance(value, list) else value)
    return None
