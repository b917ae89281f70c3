"""The original model's side of the gate: float32 to the bit in half the memory, and exact answer probabilities."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from socrates_export.proof import reference as module
from socrates_export.proof.layerwise import load, widen, widen_when_computed
from socrates_export.proof.questions import Question, make_questions, spread
from socrates_export.source.lora import load_adapter
from socrates_fast.data.scales import Scale, range_scale
from socrates_fast.infer.trie import AnswerTrie
from socrates_fast.prompt import Prompt
from socrates_fast.tokenizer import FolderTokenizer
from tests.export.models import KINDS, Kind, write_checkpoint
from tests.export.originals import original_of
from tests.export.peft_models import load as load_plain
from tests.export.peft_models import write_adapter

Factory = Callable[..., Path]

IDS = [1, 17, 300, 5, 3, 42, 511, 77, 3, 250, 8, 9] * 4
ADAPTERS: dict[str, dict[str, Any] | None] = {
    "base": None,
    "lora": {"target_modules": "all-linear"},
    "dora": {"target_modules": "all-linear", "use_dora": True},
    "saved": {"target_modules": "all-linear", "modules_to_save": ["lm_head", "embed_tokens"]},
    "norms": {"target_modules": "all-linear", "modules_to_save": ["norm"], "bias": "all"},
    "embedding": {"target_modules": ["embed_tokens"]},
}


def adapted(model: Any, adapter: Path | None) -> Any:
    import peft

    if adapter is None:
        return model.eval()
    return peft.PeftModel.from_pretrained(model, adapter, torch_device="cpu").eval().get_base_model()


@pytest.mark.parametrize("form", ADAPTERS)
@pytest.mark.parametrize("name", ["qwen3", "llama2", "gemma2", "gemma3", "phi3"])
def test_weights_stay_as_stored_and_logits_are_float32s_to_the_bit(
    name: str, form: str, tmp_path: Path
) -> None:
    import torch

    write_checkpoint(tmp_path / "base", Kind(KINDS[name].config, KINDS[name].sizes, dtype=KINDS[name].dtype))
    arguments = ADAPTERS[form]
    adapter = write_adapter(tmp_path / "adapter", tmp_path / "base", **arguments) if arguments else None
    narrow = load(tmp_path / "base")
    stored = {parameter.dtype for parameter in narrow.parameters()}
    assert stored == {getattr(torch, KINDS[name].dtype)} != {torch.float32}
    widen(narrow, load_adapter(adapter).replaced if adapter else ())
    narrow = adapted(narrow, adapter)
    widen_when_computed(narrow)
    plain = adapted(load_plain(tmp_path / "base"), adapter)
    before = {key: parameter.dtype for key, parameter in narrow.named_parameters()}
    with torch.no_grad():
        for ids in (IDS, IDS[:5]):  # twice, because the first pass must leave the weights as they were
            assert torch.equal(narrow(torch.tensor([ids])).logits, plain(torch.tensor([ids])).logits)
    assert {key: parameter.dtype for key, parameter in narrow.named_parameters()} == before


def test_a_checkpoint_of_several_types_is_loaded_in_float32(make_base: Factory, tmp_path: Path) -> None:
    import torch
    from safetensors.torch import load_file, save_file

    for file in make_base().iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    tensors = load_file(tmp_path / "model.safetensors")
    exact = tensors["model.norm.weight"].float() + 1e-6
    save_file({**tensors, "model.norm.weight": exact}, tmp_path / "model.safetensors", {"format": "pt"})
    model = load(tmp_path)
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}
    assert torch.equal(model.model.norm.weight, exact)


def by_teacher_forcing(
    model: Any, question: Question, answers: dict[int, list[int]], end: int
) -> list[float]:
    """Log probability of each answer, from one pass over prompt and answer each: nothing cached, nothing shared."""
    import torch

    paths = list(answers.values())
    found = []
    for path in paths:
        ids = [*question.ids, *path, end]
        with torch.no_grad():
            rows = model(torch.tensor([ids])).logits[0].double().log_softmax(-1)
        total = sum(float(rows[len(question.ids) + n - 1, token]) for n, token in enumerate(path))
        continued = any(other != path and other[: len(path)] == path for other in paths)
        found.append(total + (float(rows[-2, end]) if continued else 0.0))
    return found


@pytest.mark.parametrize("branches", [1, 3, 16])
@pytest.mark.parametrize("name", ["qwen2", "gemma3"])
def test_answers_are_those_of_teacher_forcing(
    name: str, branches: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "BRANCHES", branches)
    write_checkpoint(tmp_path, KINDS[name])
    answers = {
        1: [7],
        2: [8],
        10: [7, 9],
        12: [7, 8],
        100: [7, 9, 9],
        101: [7, 9, 7],
        30: [11, 9],
        -5: [3, 4, 5],
    }
    prompt = Prompt("", "not used", Scale(-5, 101, tuple(sorted(answers))))
    question = Question(0, prompt, IDS, [0, 7, len(IDS) - 1], AnswerTrie(answers, end_id=2))
    found = original_of(tmp_path, None, [question])
    expected = np.array(by_teacher_forcing(load_plain(tmp_path).eval(), question, answers, end=2))
    mass = float(np.exp(expected).sum())
    np.testing.assert_allclose(found.answers[0].probabilities, np.exp(expected) / mass, rtol=1e-4)
    assert found.answers[0].answer_mass == pytest.approx(mass, rel=1e-4)
    assert found.logits[0].shape == (3, 512) and found.without_adapter is None


def test_the_base_alone_is_computed_beside_the_adapted_model(
    base: Path, adapter: Path, prompts: list[Prompt]
) -> None:
    questions = make_questions(FolderTokenizer(base).renderer(), prompts, logits=2, answers=1)
    both, alone = original_of(base, adapter, questions), original_of(base, None, questions)
    assert both.without_adapter is not None and len(both.logits) == 2 and len(both.answers) == 1
    for without, expected, changed in zip(both.without_adapter, alone.logits, both.logits, strict=True):
        np.testing.assert_array_equal(without, expected)
        assert np.abs(changed - expected).max() > 0.1


def test_questions_are_spread_and_open_scales_have_no_answers(base: Path, prompts: list[Prompt]) -> None:
    open_scale = Prompt("", "How many?", Scale(0, 10**6, None))
    given = [*prompts, open_scale, *prompts, *prompts]
    questions = make_questions(FolderTokenizer(base).renderer(), given, logits=2, answers=10)
    assert [question.number for question in questions] == list(range(10))
    assert [question.number for question in questions if question.positions] == [0, 9]
    assert [question.number for question in questions if question.trie is None] == [3]
    only = make_questions(FolderTokenizer(base).renderer(), given, logits=3, answers=0)
    assert [question.number for question in only] == [0, 4, 9] and not any(question.trie for question in only)
    assert questions[0].positions[-1] == len(questions[0].ids) - 1
    assert questions[0].longest == len(questions[0].ids)  # one token an answer
    assert range_scale(1, 7).values == tuple(range(1, 8))


@pytest.mark.parametrize(("count", "most", "expected"), [
    (5, 64, [0, 1, 2, 3, 4]), (1, 3, [0]), (0, 3, []), (9, 0, []), (101, 3, [0, 50, 100]), (10, 1, [9]),
])  # fmt: skip
def test_spread(count: int, most: int, expected: list[int]) -> None:
    assert spread(count, most) == expected
