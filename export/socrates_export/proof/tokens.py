"""The first half of the parity gate: the GGUF's vocabulary gives the token ids of the original tokenizer."""

import json
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from socrates_export.child import run_task
from socrates_export.source.base import BaseModel, open_base
from socrates_export.vocabulary.special import adds_bos, special_id
from socrates_fast.errors import ParityError
from socrates_fast.prompt import ChatRenderer, Prompt
from socrates_fast.tokenizer import FolderTokenizer

CORPUS = (
    "", " ", "  ", "   \n", "\t", "\n", "\n\n\n", "\r\n", " \n \n\n \t\t x ",
    "Hello world", " Hello  World!", "HELLO hello", "a" * 70, "The quick brown fox, it's not done.",
    "I'VE I've we'll We'Ll they'd 'twas don''t", "0", "7", "10", "100", "3.14159", "1,000,000", "٣٤٥ ½ Ⅷ",
    "- Age: 34\n- Party Id: Lean Democrat\n", "(1 = Strongly disagree, 7 = Strongly agree)", "$5 & 50% #1 @x",
    "Äpfel, naïve café, ĳ, ß, İstanbul", "Привет, мир! Ёлка", "我想在苹果工作1314天～", "日本語テキスト",
    "한국어 문장", "नमस्ते दुनिया", "مرحبا بالعالم", "កាន់តែពិសេស", "ภาษาไทย",
    "🚀 (normal) 😶\u200d🌫️ (joined) ✅ 🇫🇷 👩🏽\u200d🔬", "\u00a0\u2003\u3000nbsp", "\ufeffbom \u200b zero",
    "École ÉCOLE éCole ПриветМир ßẞ İI iPhone XMLHttp", "hello/world\n/", "a/b//\n", "DON'T I'LL",
    "x = [i ** 2 for i in range(10)]  # code\n\tif x: return {'a': 1}", "<b>html</b> <|not a token|>", "…—–“”‘’",
)  # fmt: skip
"""Texts that split differently under different pre-tokenizers. All are in Unicode's composed form (NFC), because
llama.cpp does not normalise while Qwen's tokenizer does."""


def check_tokens(base: Path, gguf: Path, prompts: Sequence[Prompt] = ()) -> dict[str, Any]:
    """Compare token ids, special tokens and chat template of a base folder and a GGUF.

    Args:
        base: the base model's folder.
        gguf: the exported file.
        prompts: compared as rendered, besides ``CORPUS`` and every added token.

    Returns:
        What was compared, for ``parity.json``.

    Raises:
        ParityError: something differs; the message shows the first difference.
        ExportError: llama.cpp cannot load the file.
    """
    model = open_base(base)
    tokenizer = FolderTokenizer(base)
    cases = token_cases(tokenizer, prompts)
    found = _llama_vocabulary(gguf, cases)
    expected = [tokenizer.encode(text, special) for text, special in cases]
    _compare(gguf, cases, expected, found["ids"])
    _check_control(gguf, tokenizer, dict(zip(cases, expected, strict=True)))
    expected_facts = _expected(model, tokenizer)
    for key, value in expected_facts.items():
        if found[key] != value:
            raise ParityError(f"{gguf.name}: {key} is {found[key]!r} instead of {value!r}")
    if not {found["eos"], found["eot"]} <= set(found["ends"]):
        raise ParityError(f"{gguf.name}: llama.cpp does not stop at eos and eot (only at {found['ends']})")
    del expected_facts["chat_template"]
    return {"texts": len(cases), "equal": True, **expected_facts, "ends": found["ends"]}


def _compare(
    gguf: Path, cases: Sequence[tuple[str, bool]], expected: Sequence[list[int]], found: Sequence[list[int]]
) -> None:
    wrong = [case for case in zip(cases, expected, found, strict=True) if case[1] != case[2]]
    if wrong:
        (text, special), original, ids = wrong[0]
        raise ParityError(
            f"{gguf.name}: {len(wrong)} of {len(cases)} texts have other token ids than the original, "
            f"first {text!r} (control tokens {'on' if special else 'off'}): {ids} instead of {original}"
        )


def _check_control(gguf: Path, tokenizer: FolderTokenizer, ids: Mapping[tuple[str, bool], list[int]]) -> None:
    """A person's words must not become control tokens, not even if both tokenizers agree on it."""
    for token in tokenizer.content.get("added_tokens", []):
        if token["special"] and token["id"] in ids[token["content"], False]:
            raise ParityError(
                f"{gguf.name}: ordinary text becomes the control token {token['content']!r}, because its "
                "parts merge into it"
            )


def token_cases(tokenizer: FolderTokenizer, prompts: Sequence[Prompt]) -> list[tuple[str, bool]]:
    """Texts to compare, each with whether control tokens in it are recognised."""
    added = [
        # What people write where an ordinary added token stands for spaces.
        token["content"] if token["special"] else token["content"].replace("▁", " ")
        for token in tokenizer.content.get("added_tokens", [])
    ]
    texts = [*CORPUS, *added, *(f"a {token} b" for token in added), "".join(added)]
    cases = [(text, special) for text in texts for special in (False, True)]

    def record(text: str, special: bool) -> list[int]:
        cases.append((text, special))
        return tokenizer.encode(text, special)

    # A rendered prompt is a row of such pieces, so equal pieces mean equal prompts.
    variables = {role: tokenizer.token_text(role) for role in ("bos_token", "eos_token")}
    renderer = ChatRenderer(tokenizer.chat_template, record, variables)
    for prompt in prompts:
        renderer.prompt_ids(prompt)
    return list(dict.fromkeys(cases))


def _llama_vocabulary(gguf: Path, cases: Sequence[tuple[str, bool]]) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "tokens.json"
        arguments = {"model": str(gguf), "cases": cases, "out": str(out)}
        run_task("tokenize", arguments, f"reading the vocabulary of {gguf.name}")
        return dict(json.loads(out.read_text(encoding="utf-8")))


def _expected(model: BaseModel, tokenizer: FolderTokenizer) -> dict[str, Any]:
    ids = {
        "eos": special_id(model, tokenizer, "eos"),
        "eot": tokenizer.renderer().end_id,
        "bos": special_id(model, tokenizer, "bos"),
        "pad": special_id(model, tokenizer, "padding"),
    }
    return {
        "size": model.config["vocab_size"],
        "add_bos": adds_bos(tokenizer),
        "add_eos": False,
        "chat_template": tokenizer.chat_template,
        **{role: token for role, token in ids.items() if token is not None},
    }
