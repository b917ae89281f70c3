"""The texts and types of a vocabulary, one of each for every row of the embedding."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from socrates_fast.errors import ModelError
from socrates_fast.tokenizer import looks_like_control

NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = 1, 2, 3, 4, 5, 6
"""llama.cpp's token types."""


@dataclass(frozen=True)
class Tokens:
    """A vocabulary.

    Attributes:
        path: the file that it was read from.
        texts: by id. Ids that the tokenizer leaves free are padding.
        types: by id; ``NORMAL`` for all that are neither added nor padding.
        added: ids of the added tokens.
    """

    path: Path
    texts: list[str]
    types: list[int]
    added: frozenset[int]

    @classmethod
    def of(cls, folder: Path, content: Mapping[str, Any], size: int) -> "Tokens":
        """Those of a ``tokenizer.json`` for an embedding of ``size`` rows.

        Raises:
            ModelError: a token has no row, or llama.cpp would abort on a text.
        """
        path = folder / "tokenizer.json"
        texts: dict[int, str] = {}
        for text, token in content["model"]["vocab"].items():
            if token in texts:
                raise ModelError(f"{path}: token {token} is both {texts[token]!r} and {text!r}")
            texts[token] = text
        types = dict.fromkeys(texts, NORMAL)
        for token in content.get("added_tokens", []):
            control = token["special"] or looks_like_control(token["content"])
            types[token["id"]] = CONTROL if control else USER_DEFINED
            # Ordinary added tokens are looked for in text that has spaces still.
            texts[token["id"]] = token["content"] if control else token["content"].replace("▁", " ")
        if max(texts, default=0) >= size:
            raise ModelError(
                f"{path}: token {max(texts)} ({texts[max(texts)]!r}) has no row in an embedding of {size} "
                "rows; this tokenizer belongs to another model"
            )
        filled = [texts.get(token, f"[PAD{token}]") for token in range(size)]
        _check_unique(path, filled)
        added = frozenset(token["id"] for token in content.get("added_tokens", []))
        return cls(path, filled, [types.get(token, UNUSED) for token in range(size)], added)


def _check_unique(path: Path, texts: list[str]) -> None:
    first: dict[str, int] = {}
    for token, text in enumerate(texts):
        if not text:
            raise ModelError(f"{path}: the text of token {token} is empty")
        if text in first:
            raise ModelError(f"{path}: tokens {first[text]} and {token} have the same text {text!r}")
        first[text] = token


def check_settings(path: Path, model: Mapping[str, Any], plain: Mapping[str, tuple[object, ...]]) -> None:
    """Refuse a BPE model with a setting that is none of those in ``plain``.

    Raises:
        ModelError: naming it.
    """
    for key, allowed in plain.items():
        if model.get(key) is not None and model[key] not in allowed:
            raise ModelError(f"{path}: {key} = {model[key]!r} is not supported")
