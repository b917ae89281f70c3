"""Tokenizer keys: everything llama.cpp needs is written, and what it would misread or abort on is refused."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from socrates_export.source.base import open_base
from socrates_export.vocabulary import CONTROL, NORMAL, UNUSED, USER_DEFINED, tokenizer_metadata
from socrates_fast.errors import ModelError

VOCABULARY = 512

Edit = Callable[[dict[str, Any]], object]


def edited(base: Path, target: Path, file: str, edit: Edit) -> Path:
    if target != base:
        shutil.copytree(base, target)
    path = target / file
    content = json.loads(path.read_text()) if path.exists() else {}
    edit(content)
    path.write_text(json.dumps(content))
    return target


def test_keys(base: Path) -> None:
    content = json.loads((base / "tokenizer.json").read_text())
    config = json.loads((base / "tokenizer_config.json").read_text())
    ids = {token["content"]: token["id"] for token in content["added_tokens"]}
    keys = tokenizer_metadata(open_base(base))
    tokens, types = keys.pop("tokenizer.ggml.tokens"), keys.pop("tokenizer.ggml.token_type")
    assert isinstance(tokens, list) and isinstance(types, list)
    merges = keys.pop("tokenizer.ggml.merges")
    assert isinstance(merges, list)
    assert len(merges) == len(content["model"]["merges"])
    assert keys == {
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": "qwen2",
        "tokenizer.ggml.eos_token_id": ids["<|im_end|>"],
        "tokenizer.ggml.eot_token_id": ids["<|im_end|>"],
        "tokenizer.ggml.padding_token_id": ids["<|endoftext|>"],
        "tokenizer.ggml.add_bos_token": False,
        "tokenizer.ggml.add_eos_token": False,
        "tokenizer.ggml.add_space_prefix": False,
        "tokenizer.chat_template": config["chat_template"],
    }
    used = len(content["model"]["vocab"]) + len(ids)
    assert len(tokens) == len(types) == len(set(tokens)) == VOCABULARY
    assert tokens[used:] == [f"[PAD{token}]" for token in range(used, VOCABULARY)]
    assert set(types[used:]) == {UNUSED} and set(types[: used - 4]) == {NORMAL}
    assert types[ids["<|im_end|>"]] == CONTROL and types[ids["<tool_call>"]] == USER_DEFINED


def test_ids_of_the_configs_where_the_tokenizer_is_silent(base: Path, tmp_path: Path) -> None:
    folder = edited(
        base, tmp_path / "base", "tokenizer_config.json", lambda config: config.update(eos_token=None)
    )
    edited(folder, folder, "generation_config.json", lambda config: config.update(eos_token_id=[476, 478]))
    edited(folder, folder, "config.json", lambda config: config.update(bos_token_id=476))
    keys = tokenizer_metadata(open_base(folder))
    assert keys["tokenizer.ggml.eos_token_id"] == keys["tokenizer.ggml.bos_token_id"] == 476
    assert keys["tokenizer.ggml.eot_token_id"] == 478


def add(token: int, text: str) -> Edit:
    return lambda content: content["added_tokens"].append({"id": token, "content": text, "special": True})


def rename(old: str, new: str) -> Edit:
    return lambda content: content["model"]["vocab"].update({new: content["model"]["vocab"].pop(old)})


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda content: content["model"].update(type="Unigram"), "a Unigram tokenizer"),
        (lambda content: content["model"].update(ignore_merges=True), "ignore_merges = True"),
        (lambda content: content["model"].update(byte_fallback=True), "byte_fallback = True"),
        (lambda content: content.update(normalizer={"type": "NFKC"}), "a NFKC normalizer"),
        (lambda content: content["pre_tokenizer"]["pretokenizers"].pop(0), "its pre-tokenizer is none"),
        (lambda content: content.update(pre_tokenizer=None), "its pre-tokenizer is none"),
        (
            lambda content: content["pre_tokenizer"]["pretokenizers"][0].update(pattern={"Regex": r"\d+"}),
            "its pre-tokenizer is none",
        ),
        (add(500, "Hello"), None),
        (add(500, "<|im_end|>"), "tokens 478 and 500 have the same text"),
        (add(500, "[PAD501]"), "tokens 500 and 501 have the same text"),
        (add(500, "!"), "have the same text '!'"),
        (add(600, "<new>"), "token 600 .* embedding of 512"),
        (lambda content: content["model"]["vocab"].update(twin=0), "token 0 is both"),
        (rename("!", ""), "the text of token .* is empty"),
    ],
)
def test_tokenizers_that_llama_cpp_would_misread(
    base: Path, tmp_path: Path, edit: Edit, message: str | None
) -> None:
    # Only the export's own reading is under test: the edited file need not be one that `tokenizers` accepts.
    folder = edited(base, tmp_path / "base", "tokenizer.json", edit)
    from socrates_export.vocabulary import _check_model, _tokens, pre_tokenizer

    def read() -> None:
        content = json.loads((folder / "tokenizer.json").read_text())
        _check_model(folder, content)
        pre_tokenizer(folder, content)
        _tokens(folder, content, VOCABULARY)

    if message is None:
        read()
        return
    with pytest.raises(ModelError, match=message):
        read()


def test_a_template_that_closes_with_ordinary_text(base: Path, tmp_path: Path) -> None:
    template = "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}"
    folder = edited(
        base, tmp_path / "base", "tokenizer_config.json", lambda c: c.update(chat_template=template)
    )
    with pytest.raises(ModelError, match="ends an answer with ordinary text"):
        tokenizer_metadata(open_base(folder))


def test_an_eos_that_is_no_token(base: Path, tmp_path: Path) -> None:
    folder = edited(base, tmp_path / "base", "tokenizer_config.json", lambda c: c.update(eos_token="</s>"))
    with pytest.raises(ModelError, match=r"eos_token '</s>' is not in tokenizer\.json"):
        tokenizer_metadata(open_base(folder))


def test_no_eos_at_all(base: Path, tmp_path: Path) -> None:
    folder = edited(base, tmp_path / "base", "tokenizer_config.json", lambda c: c.update(eos_token=None))
    with pytest.raises(ModelError, match=r"no eos_token in tokenizer_config\.json"):
        tokenizer_metadata(open_base(folder))
