"""Tokenizer keys: everything llama.cpp needs is written, and what it would misread or abort on is refused."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from socrates_export.source.base import open_base
from socrates_export.vocabulary import fitting_name, tokenizer_metadata
from socrates_export.vocabulary.tokens import CONTROL, NORMAL, UNUSED, USER_DEFINED, Tokens
from socrates_fast.errors import ModelError
from tests.export.vocabularies import FAMILIES, metaspace, write_vocabulary

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
        (lambda content: content.update(model={"type": "Unigram", "unk_id": 0, "vocab": [["!", 0.0]]}), "a Unigram tokenizer"),
        (lambda content: content["model"].update(ignore_merges=True), "like llama.cpp's 'qwen2', but ignore_merges is True"),
        (lambda content: content["model"].update(unk_token="!"), "unk_token = '!'"),
        (lambda content: content.update(normalizer={"type": "NFKC"}), "a NFKC normalizer"),
        (lambda content: content["pre_tokenizer"]["pretokenizers"].pop(0), "its pre-tokenizer is none"),
        (lambda content: content.update(pre_tokenizer=None), "its pre-tokenizer is none"),
        (
            lambda content: content["pre_tokenizer"]["pretokenizers"][0].update(pattern={"Regex": r"\d+"}),
            r"(?s)its pre-tokenizer is none .*\\d\+.*known are:.*  qwen2: .*  llama-bpe: ",
        ),
        (lambda content: content["pre_tokenizer"]["pretokenizers"][1].update(add_prefix_space=True), "is none that"),
    ],
)  # fmt: skip
def test_byte_level_tokenizers_that_llama_cpp_would_misread(
    base: Path, tmp_path: Path, edit: Edit, message: str
) -> None:
    folder = edited(base, tmp_path / "base", "tokenizer.json", edit)
    with pytest.raises(ModelError, match=message):
        tokenizer_metadata(open_base(folder))


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (add(500, "Hello"), None),
        (add(500, "<|im_end|>"), "tokens 478 and 500 have the same text"),
        (add(500, "[PAD501]"), "tokens 500 and 501 have the same text"),
        (add(500, "!"), "have the same text '!'"),
        (add(600, "<new>"), "token 600 .* embedding of 512"),
        (lambda content: content["model"]["vocab"].update(twin=0), "token 0 is both"),
        (rename("!", ""), "the text of token .* is empty"),
    ],
)
def test_vocabularies_on_which_llama_cpp_would_abort(base: Path, edit: Edit, message: str | None) -> None:
    # The export reads the file before `tokenizers` does, which would not accept all of these.
    content = json.loads((base / "tokenizer.json").read_text())
    edit(content)
    if message is None:
        assert Tokens.of(base, content, VOCABULARY).texts[500] == "Hello"
        return
    with pytest.raises(ModelError, match=message):
        Tokens.of(base, content, VOCABULARY)


@pytest.fixture
def pieces(base: Path, tmp_path: Path) -> Path:
    """A base with a tokenizer in Llama 2's form."""
    folder = Path(shutil.copytree(base, tmp_path / "pieces"))
    write_vocabulary(folder, FAMILIES["llama2"])
    return folder


def test_keys_of_pieces(pieces: Path) -> None:
    keys = tokenizer_metadata(open_base(pieces))
    types = np.array(keys["tokenizer.ggml.token_type"])
    assert keys["tokenizer.ggml.model"] == "llama" and keys["tokenizer.ggml.pre"] == "default"
    assert [int((types == kind).sum()) for kind in (3, 6, 5)] == [3, 256, VOCABULARY - 490]
    assert (keys["tokenizer.ggml.bos_token_id"], keys["tokenizer.ggml.unknown_token_id"]) == (1, 0)
    assert keys["tokenizer.ggml.add_bos_token"] is keys["tokenizer.ggml.add_space_prefix"] is True
    (pieces / "tokenizer.model").unlink()
    derived = tokenizer_metadata(open_base(pieces))
    assert derived["tokenizer.ggml.token_type"] == keys["tokenizer.ggml.token_type"]
    # The scores are others, the order of what merges make is the same.
    theirs, ours = (np.array(found["tokenizer.ggml.scores"], float)[259:490] for found in (keys, derived))
    made = np.flatnonzero(ours > ours.min())
    assert len(made) > 50
    np.testing.assert_array_equal(np.argsort(ours[made]), np.argsort(theirs[made]))


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda content: content.update(normalizer={"type": "Precompiled"}), "the normalizer is {'type': 'Precompiled'"),
        (lambda content: content.update(normalizer=None, pre_tokenizer=metaspace("first", split=True)), "'split': True"),
        (lambda content: content["model"].update(ignore_merges=True), "ignore_merges = True"),
        (lambda content: content["model"].update(dropout=0.1), "dropout = 0.1"),
        (lambda content: content["added_tokens"].append(
            {**content["added_tokens"][0], "id": 13, "content": "<other>", "special": True}), "no token <0x0A>"),
    ],
)  # fmt: skip
def test_pieces_that_llama_cpp_would_misread(pieces: Path, edit: Edit, message: str) -> None:
    from socrates_export.vocabulary.pieces import piece_keys
    from socrates_fast.tokenizer import FolderTokenizer

    tokenizer = FolderTokenizer(pieces)
    edit(tokenizer.content)
    with pytest.raises(ModelError, match=message):
        piece_keys(tokenizer, Tokens.of(pieces, tokenizer.content, VOCABULARY))


def test_a_tokenizer_model_of_another_tokenizer(pieces: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    write_vocabulary(other, FAMILIES["gemma"])
    shutil.copy(other / "tokenizer.model", pieces)
    with pytest.raises(ModelError, match=r"token 3 is '<unk>' there and '<0x00>' in tokenizer\.json; delete"):
        tokenizer_metadata(open_base(pieces))
    (pieces / "tokenizer.model").write_bytes(b"not a model")
    with pytest.raises(ModelError, match="not a SentencePiece model"):
        tokenizer_metadata(open_base(pieces))


def test_white_space_after_added_tokens_is_a_matter_of_the_name(base: Path, tmp_path: Path) -> None:
    """llama.cpp swallows it in files that are called Phi-3."""
    phi = Path(shutil.copytree(base, tmp_path / "phi"))
    write_vocabulary(phi, FAMILIES["phi3"])
    names = ("my study", "Phi-3.5-mini", "a PHI3 of mine", "phi 3")
    assert [fitting_name(open_base(phi), name) for name in names] == [
        "my study (Phi-3)", "Phi-3.5-mini", "a PHI3 of mine", "phi 3 (Phi-3)",
    ]  # fmt: skip
    assert [fitting_name(open_base(base), name) for name in names] == [
        "my study", "Phi 3.5-mini", "a Phi 3 of mine", "phi 3",
    ]  # fmt: skip


def test_a_template_that_closes_with_ordinary_text(base: Path, tmp_path: Path) -> None:
    template = "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}"
    folder = edited(
        base, tmp_path / "base", "tokenizer_config.json", lambda c: c.update(chat_template=template)
    )
    with pytest.raises(ModelError, match="writes nothing after"):
        tokenizer_metadata(open_base(folder))
    edited(folder, folder, "tokenizer_config.json", lambda c: c.update(chat_template=template + "END"))
    with pytest.raises(ModelError, match="ends an answer with ordinary text"):
        tokenizer_metadata(open_base(folder))


def test_a_template_that_prints_a_bos_which_only_the_config_names(base: Path, tmp_path: Path) -> None:
    """The scorer reads it from the GGUF, training from the folder, and both must print the same."""
    folder = Path(shutil.copytree(base, tmp_path / "base"))
    template = json.loads((base / "tokenizer_config.json").read_text())["chat_template"]
    edited(folder, folder, "config.json", lambda config: config.update(bos_token_id=476))
    tokenizer_metadata(open_base(folder))
    edited(
        folder,
        folder,
        "tokenizer_config.json",
        lambda c: c.update(chat_template="{{ bos_token }}" + template),
    )
    with pytest.raises(ModelError, match="bos_token.*not name them"):
        tokenizer_metadata(open_base(folder))


def test_an_eos_that_is_no_token(base: Path, tmp_path: Path) -> None:
    folder = edited(base, tmp_path / "base", "tokenizer_config.json", lambda c: c.update(eos_token="</s>"))
    with pytest.raises(ModelError, match=r"eos_token '</s>' is not in tokenizer\.json"):
        tokenizer_metadata(open_base(folder))


def test_no_eos_at_all(base: Path, tmp_path: Path) -> None:
    folder = edited(base, tmp_path / "base", "tokenizer_config.json", lambda c: c.update(eos_token=None))
    with pytest.raises(ModelError, match=r"no eos_token in tokenizer_config\.json"):
        tokenizer_metadata(open_base(folder))
