"""The built-in base model: an ordinary folder, and a cache that changes with its recipe."""

import json
from pathlib import Path

import pytest

from socrates_fast.tokenizer import FolderTokenizer
from socrates_fast.train import tiny


def test_tokenizer_is_qwen2s_kind(tmp_path: Path) -> None:
    texts = ["How strongly do you support it? Only return an integer from 1 to 7."] * 3
    tiny.write_tokenizer(tmp_path, texts, 320)
    tokenizer = FolderTokenizer(tmp_path)
    assert len(tokenizer.encode("100", special=False)) == 3
    assert tokenizer.encode("<|im_end|>", special=True) == [tokenizer.token_id("<|im_end|>")]
    assert len(tokenizer.encode("<|im_end|>", special=False)) > 1
    assert tokenizer.renderer().end_id == tokenizer.token_id("<|im_end|>")
    assert (
        json.loads((tmp_path / "tokenizer_config.json").read_text(encoding="utf-8"))["add_bos_token"] is False
    )


def test_same_texts_same_tokenizer(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        tiny.write_tokenizer(tmp_path / name, ["some text", "and some more text"], 300)
    assert (tmp_path / "a/tokenizer.json").read_bytes() == (tmp_path / "b/tokenizer.json").read_bytes()


def test_cache_folder_follows_the_recipe_of_the_base(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SOCRATES_FAST_CACHE", str(tmp_path))
    before = tiny.folder()
    assert before.parent == tmp_path
    monkeypatch.setattr(tiny, "STEPS", tiny.STEPS + 1)
    assert tiny.folder() != before


def test_making_it_gives_an_ordinary_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Two steps instead of all: what it learns is the demo's affair."""
    from transformers import AutoModelForCausalLM

    monkeypatch.setenv("SOCRATES_FAST_CACHE", str(tmp_path))
    monkeypatch.setattr(tiny, "STEPS", 2)
    seen: list[int] = []
    made = tiny.ensure(lambda step, steps, loss: seen.append(step))
    assert seen == [1, 2]
    model = AutoModelForCausalLM.from_pretrained(made)
    assert model.config.model_type == "qwen2"
    assert 1e6 < model.num_parameters() < 5e6
    assert not [path for path in tmp_path.iterdir() if "partial" in path.name]
    assert tiny.ensure() == made
