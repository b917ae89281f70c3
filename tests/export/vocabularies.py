"""Small tokenizers in the form of each model family, trained on the spot: by ``tokenizers``, or by SentencePiece."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from socrates_export.proof.tokens import CORPUS
from socrates_export.vocabulary.byte_level import (
    LLAMA3_SPLIT,
    O200K_SPLIT,
    QWEN2_SPLIT,
    QWEN35_SPLIT,
    TEKKEN_SPLIT,
)

Json = dict[str, Any]

CHATML = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
LLAMA3 = (
    "{{ bos_token }}{% for m in messages %}<|start_header_id|>{{ m.role }}<|end_header_id|>\n\n"
    "{{ m.content | trim }}<|eot_id|>{% endfor %}"
    "{% if add_generation_prompt %}<|start_header_id|>assistant<|end_header_id|>\n\n{% endif %}"
)
PHI3 = (
    "{% for m in messages %}<|{{ m.role }}|>\n{{ m.content }}<|end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>\n{% else %}{{ eos_token }}{% endif %}"
)
PHI4 = "{% for m in messages %}<|{{ m.role }}|>{{ m.content }}<|end|>{% endfor %}{% if add_generation_prompt %}<|assistant|>{% endif %}"
GEMMA = (
    "{{ bos_token }}{% if messages[0].role == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}"
    "{% for m in messages %}<start_of_turn>{{ 'model' if m.role == 'assistant' else m.role }}\n"
    "{{ m.content | trim }}<end_of_turn>\n{% endfor %}{% if add_generation_prompt %}<start_of_turn>model\n{% endif %}"
)
LLAMA2 = (
    "{{ bos_token }}{% if messages[0].role == 'system' %}{% set s = '<<SYS>>\n' + messages[0].content + '\n<</SYS>>\n\n' %}"
    "{% set messages = messages[1:] %}{% else %}{% set s = '' %}{% endif %}{% for m in messages %}{% if m.role == 'user' %}"
    "[INST] {{ s }}{{ m.content }} [/INST]{% else %} {{ m.content }} {{ eos_token }}{% endif %}{% endfor %}"
)
MISTRAL = (
    "{% if messages[0].role == 'system' %}{% set s = messages[0].content %}{% set messages = messages[1:] %}{% endif %}"
    "{{ bos_token }}{% for m in messages %}{% if m.role == 'user' %}[INST] {% if s is defined and loop.last %}{{ s }}\n\n"
    "{% endif %}{{ m.content }}[/INST]{% else %} {{ m.content }}{{ eos_token }}{% endif %}{% endfor %}"
)

SPACES: Json = {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}
PREFIX: Json = {"type": "Sequence", "normalizers": [{"type": "Prepend", "prepend": "▁"}, SPACES]}
AT_SPACES: Json = {
    "type": "Split", "pattern": {"String": " "}, "behavior": "MergedWithPrevious", "invert": False,
}  # fmt: skip
NFC: Json = {"type": "NFC"}


def byte_level(use_regex: bool = False) -> Json:
    return {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": use_regex}


def split_at(regex: str, behavior: str = "Isolated", invert: bool = False) -> Json:
    split = {"type": "Split", "pattern": {"Regex": regex}, "behavior": behavior, "invert": invert}
    return {"type": "Sequence", "pretokenizers": [split, byte_level()]}


def metaspace(scheme: str, split: bool = False) -> Json:
    return {"type": "Metaspace", "replacement": "▁", "prepend_scheme": scheme, "split": split}


@dataclass(frozen=True)
class Family:
    """How the tokenizers of a model family are made.

    Attributes:
        template: the chat template.
        control: texts of the control tokens.
        normalizer, pre_tokenizer: as in ``tokenizer.json``.
        pieces: whether it is SentencePiece's BPE, whose first tokens are ``<unk>``, ``<s>``, ``</s>`` or as given.
        bos, eos, pad: texts of the tokens with these roles.
        plain: texts of added tokens that are no control tokens.
        symbols: texts that SentencePiece takes as one token, and that are added tokens too.
        swallow: whether added tokens swallow the white space after them.
    """

    template: str
    control: tuple[str, ...]
    pre_tokenizer: Json | None
    normalizer: Json | None = None
    ignore_merges: bool = False
    pieces: tuple[str, ...] = ()
    bos: str | None = None
    eos: str = "<|im_end|>"
    pad: str | None = None
    plain: tuple[str, ...] = ()
    symbols: tuple[str, ...] = ()
    swallow: bool = False


_LLAMA = ("<unk>", "<s>", "</s>")
_LLAMA_ROLES: dict[str, Any] = {"pieces": _LLAMA, "bos": "<s>", "eos": "</s>"}

FAMILIES: dict[str, Family] = {
    "qwen2": Family(
        CHATML, ("<|endoftext|>", "<|im_start|>", "<|im_end|>"), split_at(QWEN2_SPLIT), NFC,
        pad="<|endoftext|>", plain=("<tool_call>", "<think>"),
    ),
    "qwen35": Family(CHATML, ("<|im_start|>", "<|im_end|>"), split_at(QWEN35_SPLIT), NFC),
    "llama3": Family(
        LLAMA3, ("<|begin_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"),
        split_at(LLAMA3_SPLIT), ignore_merges=True, bos="<|begin_of_text|>", eos="<|eot_id|>",
    ),
    "smollm2": Family(
        CHATML, ("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<reponame>"),
        {"type": "Sequence", "pretokenizers": [{"type": "Digits", "individual_digits": True}, byte_level(True)]},
        bos="<|im_start|>",
    ),
    "gpt2": Family(CHATML, ("<|im_start|>", "<|im_end|>"), byte_level(True)),
    "nemo": Family(
        MISTRAL.replace("[INST] ", "[INST]").replace("%} {{", "%}{{"), ("<s>", "</s>", "[INST]", "[/INST]"),
        split_at(TEKKEN_SPLIT), ignore_merges=True, bos="<s>", eos="</s>",
    ),
    "phi4": Family(
        CHATML, ("<|endoftext|>", "<|im_start|>", "<|im_end|>"), split_at(LLAMA3_SPLIT, "Removed", invert=True),
        pad="<|endoftext|>",
    ),
    "phi4-mini": Family(
        PHI4, ("<|endoftext|>", "<|system|>", "<|user|>", "<|assistant|>", "<|end|>"), split_at(O200K_SPLIT),
        bos="<|endoftext|>", eos="<|end|>",
    ),
    "llama2": Family(LLAMA2, (), None, PREFIX, **_LLAMA_ROLES),
    "mistral": Family(MISTRAL, ("[INST]", "[/INST]"), metaspace("first"), **_LLAMA_ROLES),
    "mistral-always": Family(LLAMA2, (), metaspace("always"), plain=("<tool>",), **_LLAMA_ROLES),
    "phi3": Family(
        PHI3, ("<|endoftext|>", "<|system|>", "<|user|>", "<|assistant|>", "<|end|>"), None, PREFIX,
        pieces=_LLAMA, bos="<s>", eos="<|endoftext|>", pad="<|endoftext|>", swallow=True,
    ),
    "gemma": Family(
        GEMMA, ("<start_of_turn>", "<end_of_turn>", "<unused0>"), AT_SPACES, SPACES,
        pieces=("<pad>", "<eos>", "<bos>", "<unk>"), bos="<bos>", eos="<eos>", pad="<pad>",
        symbols=("\n\n", "\n\n\n", "▁▁", "▁▁▁", "▁▁▁▁", "</b>"), plain=("<tool>",),
    ),
}  # fmt: skip
"""By the name that tests show."""


def write_vocabulary(folder: Path, family: Family, size: int = 490) -> None:
    """Write ``tokenizer.json``, ``tokenizer_config.json`` and, for SentencePiece's, ``tokenizer.model``."""
    if family.pieces:
        texts, merges = _train_pieces(folder, family, size)
    else:
        texts, merges = _train_bytes(family, size)
    write_files(folder, family, texts, merges)


def write_files(folder: Path, family: Family, texts: Sequence[str], merges: list[list[str]]) -> None:
    """The two JSON files of a tokenizer with the vocabulary ``texts``, which added tokens follow unless they are in it."""
    places = {text: token for token, text in enumerate(texts)}
    added: list[Json] = []
    for text in (*family.pieces, *family.symbols, *family.control, *family.plain):
        token = places.get(
            text, len(texts) + sum(text not in places for text in (a["content"] for a in added))
        )
        kept = text in ("<unk>", "<s>", "<|endoftext|>")
        added.append({
            "id": token, "content": text, "single_word": False, "lstrip": False,
            "rstrip": family.swallow and not kept, "normalized": False,
            # Phi-3's </s> is an ordinary token by its flag.
            "special": text not in (*family.plain, *family.symbols) and not (family.swallow and text == "</s>"),
        })  # fmt: skip
    model = {
        "type": "BPE", "dropout": None, "unk_token": "<unk>" if family.pieces else None,
        "continuing_subword_prefix": None, "end_of_word_suffix": None, "fuse_unk": bool(family.pieces),
        "byte_fallback": bool(family.pieces), "ignore_merges": family.ignore_merges,
        "vocab": places, "merges": merges,
    }  # fmt: skip
    content = {
        "version": "1.0", "truncation": None, "padding": None, "added_tokens": added,
        "normalizer": family.normalizer, "pre_tokenizer": family.pre_tokenizer,
        "post_processor": _bos_first(family, added),
        "decoder": byte_level() if not family.pieces else None, "model": model,
    }  # fmt: skip
    (folder / "tokenizer.json").write_text(json.dumps(content))
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": family.bos, "eos_token": family.eos, "pad_token": family.pad,
        "unk_token": "<unk>" if family.pieces else None, "chat_template": family.template,
        # As Transformers 4 wrote them, which is where llama.cpp's converter looks.
        "added_tokens_decoder": {str(token["id"]): {k: v for k, v in token.items() if k != "id"} for token in added},
    }  # fmt: skip
    (folder / "tokenizer_config.json").write_text(json.dumps(config))


def _bos_first(family: Family, added: Sequence[Json]) -> Json | None:
    """What puts BOS before a text: llama.cpp's converter needs it to know Llama 3 from others, the export must not."""
    if not family.ignore_merges or family.bos is None:
        return None
    bos = next(token["id"] for token in added if token["content"] == family.bos)
    first, text = {"SpecialToken": {"id": family.bos, "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}
    special = {family.bos: {"id": family.bos, "ids": [bos], "tokens": [family.bos]}}
    pair = [first, text, {"Sequence": {"id": "B", "type_id": 1}}]
    return {"type": "TemplateProcessing", "single": [first, text], "pair": pair, "special_tokens": special}


def _texts() -> Iterable[str]:
    from tests.export.conftest import make_prompts

    return [*(f"{prompt.system} {prompt.user}" for prompt in make_prompts()), *CORPUS] * 3


def _ascii_texts() -> list[str]:
    """Few characters, so that there is room for merges; others become bytes."""
    return [text for text in _texts() if text.isascii() and text.strip()]


def _train_bytes(family: Family, size: int) -> tuple[list[str], list[list[str]]]:
    """Merges over any boundary, so that a wrong pre-tokenizer shows."""
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    trainer = trainers.BpeTrainer(
        vocab_size=size - len(family.control) - len(family.plain), show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )  # fmt: skip
    tokenizer.train_from_iterator(_texts(), trainer)
    model = json.loads(tokenizer.to_str())["model"]
    return sorted(model["vocab"], key=model["vocab"].__getitem__), model["merges"]


def _train_pieces(folder: Path, family: Family, size: int) -> tuple[list[str], list[list[str]]]:
    from sentencepiece import SentencePieceProcessor, SentencePieceTrainer

    arguments: dict[str, Any] = {"unk_id": family.pieces.index("<unk>")}
    end = "</s>" if "</s>" in family.pieces else family.eos
    for role, text in (("bos", family.bos), ("eos", end), ("pad", family.pad)):
        arguments[f"{role}_id"] = family.pieces.index(text) if text in family.pieces else -1
        if text in family.pieces:
            arguments[f"{role}_piece"] = text
    with (folder / "tokenizer.model").open("wb") as file:
        SentencePieceTrainer.train(
            sentence_iterator=iter(_ascii_texts()), model_writer=file, model_type="bpe",
            vocab_size=size - len(family.control) - len(family.plain), byte_fallback=True,
            character_coverage=1.0, normalization_rule_name="identity", remove_extra_whitespaces=False,
            split_by_whitespace=False, split_digits=True, allow_whitespace_only_pieces=True,
            minloglevel=2, unk_piece="<unk>", user_defined_symbols=list(family.symbols), **arguments,
        )  # fmt: skip
    processor = SentencePieceProcessor(model_file=str(folder / "tokenizer.model"))
    texts = [processor.IdToPiece(token) for token in range(processor.vocab_size())]
    scores = [processor.GetScore(token) for token in range(len(texts))]
    joined = [
        token for token in range(len(texts)) if not processor.IsByte(token) and token >= len(family.pieces)
    ]
    return texts, merges_of(texts, scores, joined)


def merges_of(texts: Sequence[str], scores: Sequence[float], joined: Iterable[int]) -> list[list[str]]:
    """The merges that Transformers makes of SentencePiece's scores: each way to put a token together, best first."""
    places = {text: token for token, text in enumerate(texts)}
    found: list[tuple[str, str, float]] = []
    for token in joined:
        text = texts[token]
        ways = [(text[:cut], text[cut:]) for cut in range(1, len(text))]
        ways = [(left, right) for left, right in ways if left in places and right in places]
        ways.sort(key=lambda way: (places[way[0]], places[way[1]]))
        found += [(left, right, scores[token]) for left, right in ways]
    found.sort(key=lambda merge: (merge[2], len(merge[0]), len(merge[1])), reverse=True)
    return [[left, right] for left, right, _ in found]
