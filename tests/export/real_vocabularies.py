"""Real tokenizers as Hugging Face folders, rebuilt from the vocabulary files that llama.cpp tests itself with."""

import struct
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tests.export.vocabularies import FAMILIES, PHI3, Family, merges_of, write_files

SEPARATOR = "\n__ggml_vocab_test__\n"

_NUMBERS = {
    0: "<B",
    1: "<b",
    2: "<H",
    3: "<h",
    4: "<I",
    5: "<i",
    6: "<f",
    7: "<?",
    10: "<Q",
    11: "<q",
    12: "<d",
}
_STRING, _ARRAY = 8, 9
_NORMAL, _CONTROL, _PLAIN = 1, 3, 4


@dataclass(frozen=True)
class Real:
    """A vocabulary file of llama.cpp.

    Attributes:
        family: what its tokenizer.json says besides texts, merges and added tokens.
        size: how many of its tokens come before the added ones and the padding.
        added: how many added tokens follow; -1 if they are among the others, with types of their own.
        rows: of the embedding.
    """

    family: Family
    size: int
    added: int
    rows: int


REAL = {
    "qwen2": Real(FAMILIES["qwen2"], 151_643, 3, 151_936),
    "qwen35": Real(FAMILIES["qwen35"], 151_643, 3, 151_936),
    "llama-bpe": Real(FAMILIES["llama3"], 128_000, 256, 128_256),
    "gpt-2": Real(FAMILIES["gpt2"], 50_256, 1, 50_304),
    "llama-spm": Real(FAMILIES["llama2"], 32_000, 0, 32_000),
    "phi-3": Real(replace(FAMILIES["phi3"], template=PHI3), 32_000, 11, 32_064),
    # Gemma's own form; llama.cpp has only the fourth version's vocabulary, whose control tokens are others.
    "gemma-4": Real(
        replace(FAMILIES["gemma"], template=FAMILIES["gemma"].template.replace("<start_of_turn>", "<|turn>")
                .replace("<end_of_turn>", "<turn|>"), pieces=("<pad>", "<eos>", "<bos>", "<unk>", "<mask>"), symbols=()),
        262_144, -1, 262_144,
    ),
}  # fmt: skip
"""By the name in ``models/ggml-vocab-{name}.gguf``."""


def write_real(llama_cpp: Path, name: str, folder: Path) -> None:
    """Write the two JSON files of a real tokenizer, and ``tokenizer.model`` where its scores are known."""
    keys = read_keys(llama_cpp / "models" / f"ggml-vocab-{name}.gguf")
    texts, types = keys["tokenizer.ggml.tokens"], keys["tokenizer.ggml.token_type"]
    real = REAL[name]
    family = real.family
    if real.added < 0:
        control = tuple(text for text, kind in zip(texts, types, strict=True) if kind == _CONTROL)
        plain = tuple(text for text, kind in zip(texts, types, strict=True) if kind == _PLAIN)
    else:
        control, plain = tuple(texts[real.size : real.size + real.added]), ()
    control = tuple(text for text in control if text not in family.pieces)
    if "gpt2" in keys["tokenizer.ggml.model"] and family.eos not in control:
        family = replace(family, eos=control[-1], template=family.template.replace("<|im_end|>", control[-1]))
    scores = keys.get("tokenizer.ggml.scores", [])
    if "tokenizer.ggml.merges" in keys:
        merges = [list(_cut(merge)) for merge in keys["tokenizer.ggml.merges"]]
    else:
        joined = [token for token in range(real.size) if types[token] == _NORMAL]
        merges = merges_of(texts[: real.size], scores, joined)
        model = sentence_piece_model(texts[: real.size], scores, types)
        (folder / "tokenizer.model").write_bytes(model)
    write_files(folder, replace(family, control=control, plain=plain), texts[: real.size], merges)


def cases(llama_cpp: Path, name: str) -> list[tuple[str, list[int]]]:
    """llama.cpp's own test cases: text, and the ids that the original tokenizer gave."""
    path = llama_cpp / "models" / f"ggml-vocab-{name}.gguf"
    texts = path.with_suffix(".gguf.inp").read_bytes().decode().split(SEPARATOR)
    lines = path.with_suffix(".gguf.out").read_text().removesuffix("\n").split("\n")
    # The file of texts ends with a separator more in some.
    assert all(not text for text in texts[len(lines) :])
    return [(text, [int(token) for token in line.split()]) for text, line in zip(texts, lines, strict=False)]


def _cut(merge: str) -> tuple[str, str]:
    place = merge.index(" ", 1)
    return merge[:place], merge[place + 1 :]


def read_keys(path: Path) -> dict[str, Any]:
    """The keys of a GGUF file; ``gguf.GGUFReader`` takes a minute for Gemma's."""
    raw, place = path.read_bytes(), 24

    def string() -> str:
        nonlocal place
        length = struct.unpack_from("<Q", raw, place)[0]
        place += 8 + length
        return raw[place - length : place].decode()

    def value(kind: int) -> Any:
        nonlocal place
        if kind == _STRING:
            return string()
        if kind == _ARRAY:
            inner, count = struct.unpack_from("<IQ", raw, place)
            place += 12
            return [value(inner) for _ in range(count)]
        found = struct.unpack_from(_NUMBERS[kind], raw, place)[0]
        place += struct.calcsize(_NUMBERS[kind])
        return found

    keys: dict[str, Any] = {}
    for _ in range(struct.unpack_from("<Q", raw, 16)[0]):
        name = string()
        place += 4
        keys[name] = value(struct.unpack_from("<I", raw, place - 4)[0])
    return keys


def sentence_piece_model(texts: list[str], scores: list[float], types: list[int]) -> bytes:
    """A ``tokenizer.model``: pieces (text, score, type), a trainer that says BPE, and a normalizer that does nothing."""

    def field(number: int, content: bytes) -> bytes:
        return _varint(number << 3 | 2) + _varint(len(content)) + content

    def number(place: int, found: int) -> bytes:
        return _varint(place << 3) + _varint(found)

    pieces = b"".join(
        field(
            1,
            field(1, text.encode()) + b"\x15" + struct.pack("<f", score) + number(3, _piece_type(text, kind)),
        )
        for text, score, kind in zip(texts, scores, types, strict=False)
    )
    trainer = number(3, 2) + number(4, len(texts)) + number(35, 1)
    normalizer = field(1, b"identity") + number(3, 1) + number(4, 0) + number(5, 1)
    return pieces + field(2, trainer) + field(3, normalizer)


def _piece_type(text: str, kind: int) -> int:
    """As SentencePiece has it: llama.cpp's type, but for tokens that became added ones."""
    return {"<unk>": 2, "<s>": 3, "</s>": 3}.get(text, kind)


def _varint(value: int) -> bytes:
    found = b""
    while value > 127:
        found += bytes((value & 127 | 128,))
        value >>= 7
    return found + bytes((value,))
