"""Real tokenizers: scores against Hugging Face in float32, texts cut into paragraphs; and vocabularies that are amiss."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from socrates_fast.data.scales import Scale, range_scale
from socrates_fast.errors import ModelError
from socrates_fast.infer.gguf_model import GgufPredictor
from socrates_fast.infer.hf_model import HuggingFacePredictor
from socrates_fast.infer.library import LlamaModel
from socrates_fast.infer.messages import Settings
from socrates_fast.prompt import ChatRenderer, Prompt
from socrates_fast.tokenizer import FolderTokenizer
from tests.export.conftest import write_model
from tests.export.real_vocabularies import REAL, write_real
from tests.infer.prompts import make_prompts

QWEN = ("qwen2", "qwen35", "gpt-2")
"""Vocabularies that are given to a model of Qwen2's architecture; the others to Llama's."""

DIGITS = {0: 1, 7: 1, 10: 2, 100: 3, 1200: 4, -5: 2, -42: 3, -100: 4}
THREE = {0: 1, 7: 1, 10: 1, 100: 1, 1200: 2, -5: 2, -42: 2, -100: 2}
SPACED = {0: 2, 7: 2, 10: 3, 100: 4, 1200: 5, -5: 2, -42: 3, -100: 4}
TOKENS = {
    "qwen2": DIGITS, "qwen35": DIGITS, "gemma-4": DIGITS,  # each digit, and the sign
    "llama-bpe": THREE, "gpt-2": {**THREE, 1200: 1},  # up to three digits, or what is common; and the sign
    "llama-spm": SPACED, "phi-3": SPACED,  # a space, which a sign takes into itself, and each digit
}  # fmt: skip
"""How many tokens an answer has."""

NARROW = {
    "0-10": range_scale(0, 10),
    "0-100": range_scale(0, 100),
    "-5..5": range_scale(-5, 5),
    "1,2,4": Scale(1, 4, (1, 2, 4), {1: "Yes", 2: "No", 4: "Refused"}),
}
WIDE = {
    "1-7": range_scale(1, 7),
    "0-1200": range_scale(0, 1200),
    "-100..100": range_scale(-100, 100),
}
WHOLE = ("qwen2", "llama-bpe")
"""Vocabularies on which the wide scales are tried too."""


@dataclass(frozen=True)
class Made:
    """A random model with a real vocabulary: its folder, and its float32 GGUF."""

    name: str
    folder: Path
    file: Path


@pytest.fixture(scope="module", params=REAL)
def made(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Made:
    import torch
    from transformers import AutoModelForCausalLM, LlamaConfig, Qwen2Config

    from socrates_bench.llama_source import llama_source

    name = str(request.param)
    folder = tmp_path_factory.mktemp(name)
    config = (Qwen2Config if name in QWEN else LlamaConfig)(
        vocab_size=REAL[name].rows, hidden_size=64, intermediate_size=128, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=1024, initializer_range=0.25, tie_word_embeddings=True,
    )  # fmt: skip
    torch.manual_seed(0)
    AutoModelForCausalLM.from_config(config).float().save_pretrained(folder)
    write_real(llama_source(), name, folder)
    write_model(folder / "model.gguf", folder, None, "f32")
    return Made(name, folder, folder / "model.gguf")


# --- scores -------------------------------------------------------------------------------------------------


def teacher_forced(model: Any, renderer: ChatRenderer, prompt: Prompt) -> NDArray[np.float64]:
    """Probability of every allowed answer, each from a float32 forward pass over its whole string."""
    import torch

    values = prompt.scale.values or ()
    start = renderer.prompt_ids(prompt)
    answers = [tuple(renderer.answer_ids(value)) for value in values]
    begun = {answer[:depth] for answer in answers for depth in range(1, len(answer))}
    tails = [[*answer, renderer.end_id] if answer in begun else [*answer] for answer in answers]
    found = []
    for tail in tails:
        with torch.inference_mode():
            logits = model(torch.tensor([start + tail[:-1]]), logits_to_keep=len(tail)).logits[0].double()
        logs = torch.log_softmax(logits, -1)[range(len(tail)), tail]
        found.append(float(logs.sum().exp()))
    return np.array(found)


@pytest.mark.oracle
def test_probabilities_equal_hugging_face(made: Made) -> None:
    import torch
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(made.folder, dtype=torch.float32).eval()
    renderer = FolderTokenizer(made.folder).renderer()
    scales = {**NARROW, **(WIDE if made.name in WHOLE else {})}
    prompts = [make_prompts(scale)[at % 18] for at, scale in enumerate(scales.values())]
    with GgufPredictor(made.file, context=1024, threads=1, exact=True) as predictor:
        scored = predictor.predict(prompts)
    ours = HuggingFacePredictor.of(model, made.folder).predict(prompts)
    worst = 0.0
    for prompt, *distributions in zip(prompts, scored, ours, strict=True):
        expected = teacher_forced(model, renderer, prompt)
        for found in distributions:
            assert found.values.tolist() == list(prompt.scale.values or ())
            assert found.answer_mass == pytest.approx(expected.sum(), rel=1e-4)
            worst = max(worst, float(np.abs(found.probabilities - expected / expected.sum()).max()))
        assert distributions[0].probabilities.max() > 1.2 / len(expected)  # the model is not indifferent
    print(f"{made.name}: {worst:.1e}")
    assert worst < 1e-4  # measured: at most 2.0e-6


@pytest.mark.oracle
def test_tokens_of_answers(made: Made) -> None:
    renderer = FolderTokenizer(made.folder).renderer()
    assert {answer: len(renderer.answer_ids(answer)) for answer in TOKENS[made.name]} == TOKENS[made.name]


# --- paragraphs ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Renderers:
    """llama.cpp's tokenizer and the folder's, each cutting texts into paragraphs or not."""

    name: str
    pairs: list[tuple[ChatRenderer, ChatRenderer]]

    def check(self, text: str) -> None:
        """The token ids of ``text`` are those that it has as a whole."""
        prompt = Prompt("", text, range_scale(1, 7))
        for cutting, whole in self.pairs:
            assert cutting.prompt_ids(prompt) == whole.prompt_ids(prompt), repr(text)


@pytest.fixture(scope="module")
def renderers(made: Made) -> Iterator[Renderers]:
    model = LlamaModel(Settings(str(made.file), context=256, batch=64, threads=1, gpu_layers=0, exact=False))
    sources = [(model.chat_template, model.tokenize, model.template_variables)]
    folder = FolderTokenizer(made.folder)
    sources.append((folder.chat_template, folder.encode, model.template_variables))
    pairs = []
    for source in sources:
        whole = ChatRenderer(*source)
        whole._by_paragraph = False
        pairs.append((ChatRenderer(*source), whole))
    yield Renderers(made.name, pairs)


NEVER_CUT = ("gpt-2", "llama-spm", "phi-3")
"""The first joins line ends otherwise where a word follows; the others put a space before each text."""

TEXTS = [
    *(prompt.user for prompt in make_prompts(range_scale(1, 7))[:4]),
    "“Fair?” she asked.\n\n“No!” (He left.)\n\n- Age: 34\n- Gender: Female\n\n1. First\n\n2. Second:\n\n$5, 50%…\n\n/etc",
    "1234\n\n5678\n\n\n90\n\n\n\n12 \n\n 3\n\n\t4\n \n\n5\r\n\r\n6\r\n\n7\n\n\u00a08\n\n\u30009\n\n\u200b10\n\n\x1c11\n\n",
    "it's\n\n's\n\n'LL\n\n'\n\n''\n\n\"\n\n“\n\n»\n\n…\n\n—\n\n--\n\n//\n\n\\\n\n#\n\n@x\n\n<|im_end|>\n\n</s>\n\n<bos>\n\n▁x\n\n▁",
    "Привет, мир!\n\nЁлка\n\n日本語。\n\n漢字\n\n한국어\n\nनमस्ते।\n\nदुनिया\n\nمرحبا؟\n\nبالعالم\n\n🚀\n\n👩🏽\u200d🔬\n\n\u0301a\n\né\n\ne\u0301\n\n½\n\nⅧ\n\n٣",
    "\n\nx\n\n", "\n\n\n\n", "x.\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n- y", "a.\n\n/b\n\n//", "",
]  # fmt: skip


@pytest.mark.oracle
def test_paragraphs_have_the_tokens_of_the_whole(renderers: Renderers) -> None:
    assert renderers.pairs[0][0]._by_paragraph is (renderers.name not in NEVER_CUT)
    for text in TEXTS:
        renderers.check(text)


@pytest.mark.oracle
def test_any_character_beside_a_cut(renderers: Renderers) -> None:
    """Every character of the first plane, before and after an empty line."""
    if renderers.name in NEVER_CUT:
        return
    llama_cpps = Renderers(renderers.name, renderers.pairs[:1])
    known = [chr(code) for code in range(1, 0x10000) if not 0xD800 <= code < 0xE000]
    for start in range(0, len(known), 200):
        part = known[start : start + 200]
        llama_cpps.check("".join(f"a.\n\n{character}b {character}\n\n" for character in part))


PIECES = [
    "a", "The", "it's", "'s", " ", "  ", "\t", ".", ",", "?!", "/", "\"", "“", "”", "(", ")", "-", "- Age: 34", "$", "%",
    "1", "12", "1234", "é", "e\u0301", "\u0301", "ß", "ЖЁ", "жё", "日本", "नमस्ते", "مرحبا", "한", "½", "٣", "🚀", "\u200d", "\u00a0",
    "\u3000", "\u2028", "\x85", "\x1c", "\u200b", "\ufeff", "▁", "<|im_end|>", "<tool_call>", "</s>", "\r\n", "\r",
]  # fmt: skip
ENDS = ["\n", "\n\n", "\n\n", "\n\n", "\n\n\n", "\n \n", "\n\n "]
texts = st.lists(
    st.sampled_from([*PIECES, *ENDS * 5]) | st.characters(exclude_categories=["Cs"]), max_size=25
)


@pytest.mark.oracle
@settings(max_examples=500, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(parts=texts)
def test_paragraphs_of_any_text(renderers: Renderers, parts: list[str]) -> None:
    renderers.check("".join(parts).replace("\0", ""))


# --- vocabularies that are amiss ----------------------------------------------------------------------------


@pytest.mark.oracle
@pytest.mark.parametrize("name", ["qwen2", "llama-bpe", "bert-bge"])
def test_a_vocabulary_without_a_model(name: str) -> None:
    from socrates_bench.llama_source import llama_source

    with pytest.raises(ModelError, match=f"ggml-vocab-{name}.gguf"):
        GgufPredictor(llama_source() / "models" / f"ggml-vocab-{name}.gguf", threads=1)


CHANGES = {
    "another tokenizer": (
        rb"(tokenizer\.ggml\.model\x08\0{3}\x04\0{7})gpt2",
        rb"\1gpt9",
        "unknown tokenizer",
    ),
    "another pre-tokenizer": (
        rb"(tokenizer\.ggml\.pre\x08\0{3}\x05\0{7})qwen2",
        rb"\1qwen9",
        "unknown pre-tokenizer",
    ),
    "another architecture": (
        rb"(general\.architecture\x08\0{3}\x05\0{7})qwen2",
        rb"\1bert2",
        "unknown model architecture",
    ),
    "no chat template": (rb"tokenizer\.chat_template", rb"tokenizer.chat_templatE", "holds no chat template"),
    "no tokens": (rb"tokenizer\.ggml\.tokens", rb"tokenizer.ggml.tokenS", "cannot find tokenizer vocab"),
    "no merges": (rb"tokenizer\.ggml\.merges", rb"tokenizer.ggml.mergeS", "cannot find tokenizer merges"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_vocabulary_that_is_amiss_is_an_error(change: str, gguf_file: Path, tmp_path: Path) -> None:
    pattern, replacement, words = CHANGES[change]
    content, count = re.subn(pattern, replacement, gguf_file.read_bytes())
    assert count == 1
    (tmp_path / "amiss.gguf").write_bytes(content)
    with pytest.raises(ModelError, match=rf"amiss\.gguf: .*{words}"):
        GgufPredictor(tmp_path / "amiss.gguf", threads=1)


def test_the_vocabulary_of_another_model_is_an_error(folder: Path, tmp_path: Path) -> None:
    """A file whose tokens are not as many as the model's embedding has rows."""
    import json

    from tests.infer.conftest import write_gguf

    for name in ("config.json", "model.safetensors", "tokenizer_config.json"):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    content = json.loads((folder / "tokenizer.json").read_text())
    last = max(content["added_tokens"], key=lambda token: int(token["id"]))
    content["added_tokens"].append({**last, "id": last["id"] + 1, "content": "<|more|>"})
    (tmp_path / "tokenizer.json").write_text(json.dumps(content))
    write_gguf(tmp_path, tmp_path / "other.gguf")
    with pytest.raises(ModelError, match=r"other\.gguf: .*wrong shape"):
        GgufPredictor(tmp_path / "other.gguf", threads=1)
