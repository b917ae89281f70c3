"""Token ids: llama.cpp with our file, our own tokenizer and Transformers agree, for every form of tokenizer."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any
from unicodedata import is_normalized, normalize

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from socrates_export.child import run_task
from socrates_export.proof.tokens import CORPUS, check_tokens
from socrates_export.vocabulary.byte_level import PRE_TOKENIZERS
from socrates_fast.data.scales import range_scale
from socrates_fast.errors import ParityError
from socrates_fast.infer.library import LlamaModel
from socrates_fast.infer.messages import Settings
from socrates_fast.prompt import ChatRenderer, Prompt
from socrates_fast.tokenizer import FolderTokenizer
from tests.export.conftest import write_model
from tests.export.models import KINDS, write_checkpoint
from tests.export.real_vocabularies import REAL, cases, write_real
from tests.export.vocabularies import FAMILIES, Family, write_vocabulary

PIECES = [name for name, family in FAMILIES.items() if family.pieces]
WITHOUT_TOKENS = ("nemo", "phi4-mini")
"""Families whose published expressions tell letters by case, which llama.cpp does for ASCII only."""


def write_base(folder: Path, family: Family | None = None, rows: int = 512) -> Path:
    """A tiny model; with a tokenizer of ``family``."""
    folder.mkdir(exist_ok=True)
    write_checkpoint(folder, KINDS["qwen3"], vocab_size=rows, num_hidden_layers=1)
    if family is not None:
        write_vocabulary(folder, family)
    return folder


@pytest.fixture(scope="module", params=FAMILIES)
def family(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def exported(family: str, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A base with the family's tokenizer, and its GGUF."""
    folder = write_base(tmp_path_factory.mktemp(family) / "base", FAMILIES[family])
    file = folder.parent / "x.gguf"
    write_model(file, folder, None, "f16")
    return folder, file


@pytest.fixture(scope="module")
def scorer(exported: tuple[Path, Path]) -> LlamaModel:
    return LlamaModel(Settings(str(exported[1]), context=256, batch=64, threads=1, gpu_layers=0, exact=False))


@pytest.fixture(scope="module")
def ours(exported: tuple[Path, Path]) -> FolderTokenizer:
    return FolderTokenizer(exported[0])


def llama_ids(file: Path, texts: list[tuple[str, bool]], out: Path) -> list[list[int]]:
    run_task("tokenize", {"model": str(file), "cases": texts, "out": str(out)}, "tokenizing")
    found: list[list[int]] = json.loads(out.read_text())["ids"]
    return found


def test_token_ids(exported: tuple[Path, Path], prompts: list[Prompt]) -> None:
    folder, file = exported
    assert check_tokens(folder, file, prompts)["texts"] > 100


def test_every_pre_tokenizer_is_tested() -> None:
    byte_level = [family for family in FAMILIES.values() if not family.pieces]
    assert len(byte_level) == len(PRE_TOKENIZERS)


@pytest.mark.parametrize("name", PIECES)
def test_token_ids_without_tokenizer_model(name: str, prompts: list[Prompt], tmp_path: Path) -> None:
    folder = write_base(tmp_path / "base", FAMILIES[name])
    (folder / "tokenizer.model").unlink()
    write_model(tmp_path / "x.gguf", folder, None, "f16")
    assert check_tokens(folder, tmp_path / "x.gguf", prompts)["equal"]


@pytest.mark.parametrize("name", ["llama2", "phi3"])
def test_a_file_that_pieces_texts_otherwise_is_found(
    name: str, prompts: list[Prompt], tmp_path: Path
) -> None:
    """The gate can fail: without the space before each text, and with scores of another order."""
    folder = write_base(tmp_path / "base", FAMILIES[name])
    write_model(tmp_path / "x.gguf", folder, None, "f16")
    content = json.loads((folder / "tokenizer.json").read_text())
    spaces = content["normalizer"]["normalizers"][1]
    (folder / "tokenizer.json").write_text(json.dumps({**content, "normalizer": spaces}))
    with pytest.raises(ParityError, match="other token ids"):
        check_tokens(folder, tmp_path / "x.gguf", prompts)
    content["model"]["merges"].reverse()
    (folder / "tokenizer.json").write_text(json.dumps(content))
    with pytest.raises(ParityError, match="other token ids"):
        check_tokens(folder, tmp_path / "x.gguf", prompts)


LETTERS = "aAbBzZ'sS0123 \n\t/.,-_<|>éÉßẞİıǅʰ\u0301иИМ日本नमस्ते٣½🚀\u200d\u00a0▁"


@settings(max_examples=300, deadline=None)
@given(text=st.text(st.sampled_from(LETTERS), max_size=30), special=st.booleans())
def test_token_ids_of_any_text(
    scorer: LlamaModel, ours: FolderTokenizer, family: str, text: str, special: bool
) -> None:
    composed = normalize("NFC", text)  # as prompts are
    if FAMILIES[family].symbols:
        composed = composed.replace(
            "▁", ""
        )  # it stands for a space in added tokens, and people do not write it
    assert scorer.tokenize(composed, special) == ours.encode(composed, special)


def test_the_scorer_reads_prompts_as_training_writes_them(
    exported: tuple[Path, Path], prompts: list[Prompt]
) -> None:
    folder, file = exported
    model = LlamaModel(Settings(str(file), context=256, batch=64, threads=1, gpu_layers=0, exact=False))
    scoring = ChatRenderer(model.chat_template, model.tokenize, model.template_variables)
    training = FolderTokenizer(folder).renderer()
    assert scoring.end_id == training.end_id
    for prompt in prompts:
        assert scoring.prompt_ids(prompt) == training.prompt_ids(prompt)
    for answer in (1, 7, 10, 100):
        assert scoring.answer_ids(answer) == training.answer_ids(answer)


def test_published_ids(exported: tuple[Path, Path], ours: FolderTokenizer, family: str) -> None:
    """Oracle: the file as ``tokenizers`` runs it, for texts without what ``FolderTokenizer`` does otherwise."""
    from tokenizers import Tokenizer

    published = Tokenizer.from_file(str(exported[0] / "tokenizer.json"))
    for text in CORPUS:
        known = text.isascii() or family not in WITHOUT_TOKENS
        if known and not text.startswith(" ") and family != "mistral":
            assert ours.encode(text, False) == published.encode(text, add_special_tokens=False).ids, text


def test_a_prompt_has_the_ids_of_the_whole(
    exported: tuple[Path, Path], ours: FolderTokenizer, family: str
) -> None:
    """Oracle: Transformers' rendering and ``tokenizers``, of the whole at once, for words without control tokens."""
    from tokenizers import Tokenizer
    from transformers import PreTrainedTokenizerFast

    file = str(exported[0] / "tokenizer.json")
    roles = {f"{role}_token": getattr(FAMILIES[family], role) for role in ("bos", "eos")}
    theirs = PreTrainedTokenizerFast(tokenizer_file=file, **roles)
    published = Tokenizer.from_file(file)
    messages = [{"role": "user", "content": "How fair is it? From 1 to 7."}]
    text = theirs.apply_chat_template(
        messages, chat_template=FAMILIES[family].template, add_generation_prompt=True, tokenize=False
    )
    renderer = ours.renderer()
    found = renderer.prompt_ids(Prompt("", messages[0]["content"], range_scale(1, 7)))
    whole = published.encode(text, add_special_tokens=False).ids
    if family in ("llama2", "mistral", "mistral-always"):
        # The answer begins with a space, which its prompt or the answer's own tokens hold.
        whole = published.encode(text + " 7", add_special_tokens=False).ids
        found += renderer.answer_ids(7)
    assert found == whole


@pytest.mark.parametrize(
    ("name", "kind"),
    [("llama2", "LlamaTokenizer"), ("phi3", "LlamaTokenizer"), ("gemma", "GemmaTokenizer"), ("llama3", "PreTrainedTokenizerFast"),
     ("smollm2", "GPT2Tokenizer")],
)  # fmt: skip
def test_a_folder_that_transformers_5_saved(
    name: str, kind: str, prompts: list[Prompt], tmp_path: Path
) -> None:
    """It describes the same vocabulary in another form, and drops ``tokenizer.model``."""
    from transformers import AutoTokenizer

    folder, saved = write_base(tmp_path / "base", FAMILIES[name]), write_base(tmp_path / "saved")
    config = json.loads((folder / "tokenizer_config.json").read_text())
    (folder / "tokenizer_config.json").write_text(json.dumps({**config, "tokenizer_class": kind}))
    AutoTokenizer.from_pretrained(folder).save_pretrained(saved)
    assert not (saved / "tokenizer.model").exists()
    write_model(tmp_path / "x.gguf", saved, None, "f16")
    assert check_tokens(saved, tmp_path / "x.gguf", prompts)["equal"]


@pytest.mark.oracle
@pytest.mark.parametrize("name", REAL)
def test_llama_cpps_own_cases(llama_cpp: Path, name: str, prompts: list[Prompt], tmp_path: Path) -> None:
    """Real tokenizers: the ids that the originals gave, by llama.cpp with our file and by our own tokenizer."""
    folder = write_base(tmp_path / "base", rows=REAL[name].rows)
    write_real(llama_cpp, name, folder)
    known = cases(llama_cpp, name)
    assert len(known) > 45
    expected = [ids for _, ids in known]
    ours = FolderTokenizer(folder)
    for text, ids in known:
        # llama.cpp composes no accents; prompts are composed before both.
        if is_normalized("NFC", text):
            assert ours.encode(text, False) == ids, text
    for has_model in (True, False):
        model = folder / "tokenizer.model"
        if has_model and not model.exists():
            continue
        if not has_model:
            model.unlink(missing_ok=True)
        write_model(tmp_path / "x.gguf", folder, None, "f16")
        assert (
            llama_ids(tmp_path / "x.gguf", [(text, False) for text, _ in known], tmp_path / "o") == expected
        )
    facts: dict[str, Any] = check_tokens(folder, tmp_path / "x.gguf", prompts)
    assert facts["equal"] and facts["size"] == REAL[name].rows


def test_names_of_phi_3_matter(prompts: list[Prompt], tmp_path: Path) -> None:
    """Its added tokens swallow white space, which llama.cpp does by the model's name; ours is made to fit."""
    folder = write_base(tmp_path / "base", FAMILIES["phi3"])
    plain = write_base(tmp_path / "plain", replace(FAMILIES["phi3"], swallow=False))
    for name in ("my study", "phi-3 of mine"):
        write_model(tmp_path / "x.gguf", folder, None, "f16", name)
        check_tokens(folder, tmp_path / "x.gguf", prompts)
        write_model(tmp_path / "x.gguf", plain, None, "f16", name)
        check_tokens(plain, tmp_path / "x.gguf", prompts)
    newline = FolderTokenizer(plain).encode("\n", False)[-1:]
    swallowed, kept = (FolderTokenizer(base).encode("<|user|>\n", True) for base in (folder, plain))
    assert len(swallowed) == 1 and kept[0] == swallowed[0] and kept[-1:] == newline
