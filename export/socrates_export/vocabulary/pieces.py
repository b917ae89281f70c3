"""SentencePiece's BPE (``llama`` in llama.cpp): Llama 2, Mistral 7B, Phi-3, Gemma.

llama.cpp joins the neighbours whose joint text has the highest score. The scores are in ``tokenizer.model``; where that
file is lost (Transformers 5 does not save it), they are the order of the merges in ``tokenizer.json``, which was
made from them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from socrates_export.architectures.spec import Metadata
from socrates_export.vocabulary.tokens import BYTE, CONTROL, NORMAL, UNKNOWN, UNUSED, Tokens, check_settings
from socrates_fast.errors import ModelError
from socrates_fast.tokenizer import FolderTokenizer

MODEL = "tokenizer.model"

_ADDED, _PADDING = -1000.0, -10000.0
"""Scores that llama.cpp's converter gives to added tokens and to padding."""

_SPACES: dict[str, Any] = {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}
_PREFIX: dict[str, Any] = {"type": "Prepend", "prepend": "▁"}
_NORMALIZERS = (_SPACES, {"type": "Sequence", "normalizers": [_PREFIX, _SPACES]})
_NO_SPLIT: tuple[Any, ...] = (
    None,
    # Spaces have been replaced by then, so there is nothing to split at.
    {"type": "Split", "pattern": {"String": " "}, "behavior": "MergedWithPrevious", "invert": False},
)
_PLAIN: dict[str, tuple[object, ...]] = {
    "dropout": (0,), "continuing_subword_prefix": ("",), "end_of_word_suffix": ("",), "fuse_unk": (False, True),
    "ignore_merges": (False,),
}  # fmt: skip


@dataclass(frozen=True)
class _Pieces:
    """Scores and types by id."""

    scores: list[float]
    types: list[int]


def piece_keys(tokenizer: FolderTokenizer, tokens: Tokens) -> Metadata:
    """Tokens, types and scores.

    Raises:
        ModelError: llama.cpp would not tokenise so, or ``tokenizer.model`` is not that of ``tokenizer.json``.
    """
    content = tokenizer.content
    check_settings(tokens.path, content["model"], _PLAIN)
    _check_description(tokens.path, content)
    _check_bytes(tokens)
    model = tokenizer.folder / MODEL
    pieces = _stored(model, tokens) if model.is_file() else _derived(content, tokens)
    return {
        "tokenizer.ggml.model": "llama",
        "tokenizer.ggml.pre": "default",
        "tokenizer.ggml.tokens": tokens.texts,
        "tokenizer.ggml.scores": pieces.scores,
        "tokenizer.ggml.token_type": pieces.types,
    }


def _check_description(path: Path, content: Mapping[str, Any]) -> None:
    normalizer, pre = content.get("normalizer"), content.get("pre_tokenizer")
    marks = (
        normalizer is None
        and isinstance(pre, dict)
        and (pre.get("type"), pre.get("replacement"), pre.get("split")) == ("Metaspace", "▁", False)
    )
    if not marks and (normalizer not in _NORMALIZERS or pre not in _NO_SPLIT):
        raise ModelError(
            f"{path}: llama.cpp does nothing to a text but to write its spaces as '▁', perhaps with one before it; here "
            f"the normalizer is {normalizer} and the pre-tokenizer {pre}"
        )


def _check_bytes(tokens: Tokens) -> None:
    known = set(tokens.texts)
    missing = [text for text in map(_byte, range(256)) if text not in known]
    if missing:
        raise ModelError(
            f"{tokens.path}: it has no token {missing[0]}, which llama.cpp needs for characters that are no tokens"
        )


def _byte(value: int) -> str:
    return f"<0x{value:02X}>"


def _stored(path: Path, tokens: Tokens) -> _Pieces:
    """From ``tokenizer.model``; added tokens as ``tokenizer.json`` has them."""
    from sentencepiece import SentencePieceProcessor

    try:
        processor = SentencePieceProcessor(model_file=str(path))
    except (OSError, RuntimeError) as error:
        raise ModelError(f"{path}: not a SentencePiece model ({error})") from error
    scores = [_ADDED if token in tokens.added else _PADDING for token in range(len(tokens.texts))]
    types = list(tokens.types)
    for token in range(min(processor.vocab_size(), len(scores))):
        if token in tokens.added:
            continue
        piece = processor.IdToPiece(token)
        if piece != tokens.texts[token]:
            raise ModelError(
                f"{path}: token {token} is {piece!r} there and {tokens.texts[token]!r} in tokenizer.json; delete "
                f"{path.name} if tokenizer.json is the right one"
            )
        scores[token] = processor.GetScore(token)
        types[token] = _type(processor, token)
    return _Pieces(scores, types)


def _type(processor: Any, token: int) -> int:
    for kind, holds in (
        (UNKNOWN, processor.IsUnknown),
        (CONTROL, processor.IsControl),
        (UNUSED, processor.IsUnused),
        (BYTE, processor.IsByte),
    ):
        if holds(token):
            return kind
    return NORMAL


def _derived(content: Mapping[str, Any], tokens: Tokens) -> _Pieces:
    """From the merges: what is made earlier has the higher score, and what no merge makes the lowest."""
    ranks: dict[str, float] = {}
    for merge in content["model"]["merges"]:
        text = merge.replace(" ", "", 1) if isinstance(merge, str) else "".join(merge)
        ranks.setdefault(text, -float(len(ranks)))
    lowest = -float(len(ranks))
    made = {_byte(value) for value in range(256)}
    scores, types = [], []
    for token, (text, kind) in enumerate(zip(tokens.texts, tokens.types, strict=True)):
        added = token in tokens.added
        types.append(BYTE if kind == NORMAL and text in made else kind)
        scores.append(_ADDED if added else _PADDING if kind == UNUSED else ranks.get(text, lowest))
    return _Pieces(scores, types)
