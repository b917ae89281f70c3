"""Hugging Face models, adapted and not: against whole answers teacher-forced, against the GGUF, and what goes wrong."""

import gc
import re
import sys
import weakref
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from socrates_fast.data.scales import Scale, range_scale
from socrates_fast.errors import MissingDependency, ModelError, ScoringError
from socrates_fast.infer.gguf_model import GgufPredictor
from socrates_fast.infer.hf_batches import HELD, batches, common_length
from socrates_fast.infer.hf_model import HuggingFacePredictor
from socrates_fast.infer.messages import Progress
from socrates_fast.infer.predictor import AnswerDistribution
from socrates_fast.prompt import Prompt
from socrates_fast.recipe import Order
from socrates_fast.tokenizer import FolderTokenizer
from tests.export.models import KINDS, write_checkpoint
from tests.infer.conftest import plain
from tests.infer.prompts import SCALES, STIMULI, SYSTEM, make_prompts
from tests.infer.test_scorer import deviation, teacher_forced

Distributions = Sequence[AnswerDistribution]


def from_truth(found: Distributions, model: Any, folder: Path, prompts: Sequence[Prompt]) -> float:
    """Largest difference from every whole answer teacher-forced, of probabilities and answer masses."""
    renderer = FolderTokenizer(folder).renderer()
    worst = 0.0
    for prompt, distribution in zip(prompts, found, strict=True):
        expected = teacher_forced(model, renderer, prompt)
        assert distribution.values.tolist() == list(prompt.scale.values or ())
        differences = np.abs(distribution.probabilities - expected / expected.sum())
        worst = max(worst, float(differences.max()), abs(distribution.answer_mass - expected.sum()))
    return worst


def mixed(order: Order = "stimulus_first") -> list[Prompt]:
    """Prompts of all scales, which share beginnings of every length."""
    return [prompt for name in SCALES for prompt in make_prompts(SCALES[name], order)[::4]]


@pytest.mark.parametrize("order", ["stimulus_first", "persona_first"])
def test_equals_whole_answers_and_the_gguf(
    order: Order, folder: Path, ours: HuggingFacePredictor, predictor: GgufPredictor
) -> None:
    prompts = mixed(order)
    found = ours.predict(prompts)
    assert from_truth(found, plain(folder), folder, prompts) < 1e-5  # measured: 1.5e-6
    assert deviation(found, predictor.predict(prompts)) < 1e-4  # measured: 2.9e-6
    assert max(distribution.probabilities.max() for distribution in found) > 0.5


def test_an_adapter_is_used_as_in_training(folder: Path, adapter: Path, ours: HuggingFacePredictor) -> None:
    from peft import PeftModel

    prompts = mixed()
    with HuggingFacePredictor(folder, adapter, device="cpu") as adapted:
        found = adapted.predict(prompts)
        assert adapted.name == adapter.parent.name
    model = PeftModel.from_pretrained(plain(folder), adapter, torch_device="cpu").eval()
    assert from_truth(found, model, folder, prompts) < 1e-5
    assert deviation(found, ours.predict(prompts)) > 0.1
    in_memory = HuggingFacePredictor.of(model, folder)
    assert deviation(in_memory.predict(prompts), found) == 0
    added = HuggingFacePredictor.of(plain(folder), folder, adapter=adapter)
    assert deviation(added.predict(prompts), found) == 0


@pytest.mark.parametrize("name", ["gemma2", "gemma3", "mistral-window", "phi3", "qwen3"])
def test_windows_caps_and_scales_of_other_architectures(name: str, folder: Path, tmp_path: Path) -> None:
    """Windows of 20 tokens, in prompts of over 100, across what is shared and what fills rows up."""
    write_checkpoint(tmp_path, KINDS[name])
    for file in ("tokenizer.json", "tokenizer_config.json"):
        (tmp_path / file).write_bytes((folder / file).read_bytes())
    prompts = make_prompts(range_scale(0, 30))[::3]
    with HuggingFacePredictor(tmp_path, dtype="float32", device="cpu") as ours:
        assert ours._passes is not None and ours._passes.shares
        found = ours.predict(prompts)
        assert ours.stats.tokens_computed < ours.stats.tokens_asked
    assert from_truth(found, plain(tmp_path, attn_implementation="eager"), tmp_path, prompts) < 1e-5


def test_a_batch_changes_nothing(folder: Path, ours: HuggingFacePredictor) -> None:
    prompts = mixed()
    together = ours.predict(prompts)
    alone = [ours.predict([prompt])[0] for prompt in prompts]
    assert deviation(together, alone) < 5e-6  # measured: 1.5e-6
    backwards = ours.predict(prompts[::-1])
    assert deviation(together, backwards[::-1]) == 0
    model = plain(folder)
    for batch in (1, 100, 100_000):
        small = HuggingFacePredictor.of(model, folder, batch=batch)
        assert deviation(small.predict(prompts), together) < 5e-6


def test_beginnings_are_computed_once(folder: Path) -> None:
    with HuggingFacePredictor(folder, device="cpu") as fresh:
        prompts = make_prompts(SCALES["1-7"]) * 3
        fresh.predict(prompts)
        stats = fresh.stats
        assert (stats.prompts, stats.unique) == (54, 18)
        assert stats.tokens_computed < stats.tokens_asked / 3 / 2  # identical prompts once, shared parts once
    one_by_one = HuggingFacePredictor.of(plain(folder), folder, batch=1)
    one_by_one.predict(prompts[:18])
    assert one_by_one.stats.tokens_computed < one_by_one.stats.tokens_asked / 2


def test_a_forward_pass_of_others_gets_whole_rows(folder: Path, ours: HuggingFacePredictor) -> None:
    """As Unsloth's on a GPU, which goes on from a cache in its own way."""
    from transformers import Qwen2ForCausalLM

    def forward(self: Any, *arguments: Any, **named: Any) -> Any:
        assert "past_key_values" not in named
        return Qwen2ForCausalLM.forward(self, *arguments, **named)

    kind: Any = type("Patched", (Qwen2ForCausalLM,), {"forward": forward})
    patched = kind.from_pretrained(folder).float()
    whole = HuggingFacePredictor.of(patched, folder, batch=700)
    prompts = mixed()
    assert deviation(whole.predict(prompts), ours.predict(prompts)) < 1e-5
    assert whole.stats.tokens_computed > ours.stats.tokens_asked / ours.stats.prompts * len(prompts)


def test_4_bits(folder: Path, ours: HuggingFacePredictor) -> None:
    from transformers import BitsAndBytesConfig

    prompts = make_prompts(SCALES["0-10"])[::6]
    with HuggingFacePredictor(folder, load_in_4bit=True, device="cpu") as quantised:
        found = quantised.predict(prompts)
    form = BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True)
    model = plain(folder, quantization_config=form, device_map={"": "cpu"})
    assert from_truth(found, model, folder, prompts) < 1e-4
    assert deviation(found, ours.predict(prompts)) > 1e-3


def test_results_come_batch_by_batch(folder: Path) -> None:
    reports: list[Progress] = []
    prompts = make_prompts(SCALES["0-100"])
    with HuggingFacePredictor(folder, batch=256, device="cpu", progress=reports.append) as small:
        found = dict(small.stream(prompts))
    assert sorted(found) == list(range(18))
    done = [report.prompts_done for report in reports]
    assert len(done) > 2 and done == sorted(done) and done[-1] == 18
    computed = [report.tokens_computed for report in reports]
    assert computed == sorted(computed) and computed[-1] == small.stats.tokens_computed
    assert {number for report in reports for number in report.current} == set(range(18))


sequences = st.lists(st.lists(st.integers(0, 2), min_size=1, max_size=12), min_size=1, max_size=40)


@settings(max_examples=200, deadline=None)
@given(sequences, st.integers(1, 60), st.integers(0, 20))
def test_batches_of_any_prompts(lists: list[list[int]], most: int, overhead: int) -> None:
    prompts: list[NDArray[np.int32]] = [np.array(ids, dtype=np.int32) for ids in sorted(lists)]
    found = list(batches(prompts, most, overhead))
    assert [n for part in found for n in range(part.start, part.stop)] == list(range(len(prompts)))
    for part in found:
        rows = prompts[part.start : part.stop]
        longest = max(map(len, rows))
        assert part.shared < min(map(len, rows))
        if len(rows) > 1:
            assert all(common_length(rows[0], row) >= part.shared for row in rows)
            assert len(rows) * (longest - part.shared - 1) <= most
            assert len(rows) * longest <= HELD * most + len(rows) * HELD


def test_scales_of_several_branches_and_one_text(ours: HuggingFacePredictor, folder: Path) -> None:
    text = make_prompts(SCALES["1-7"])[0].user
    scales = [*SCALES.values(), range_scale(-30, 30)]
    prompts = [Prompt(system, text, scale) for scale in scales for system in (SYSTEM, "")]
    prompts.append(Prompt("", STIMULI[0], range_scale(0, 1200)))
    assert from_truth(ours.predict(prompts), plain(folder), folder, prompts) < 1e-5


# --- what goes wrong ------------------------------------------------------------------------------------


def test_prompts_that_cannot_be_scored_are_named_and_the_others_go_on(ours: HuggingFacePredictor) -> None:
    good = make_prompts(SCALES["0-10"])[0]
    prompts = [
        good,
        Prompt(SYSTEM, "How many dollars?", Scale(0, 10**9, None)),
        Prompt(SYSTEM, "half a pair: \ud800", SCALES["1-7"]),
        Prompt(SYSTEM, "day " * 2100, SCALES["0-10"]),
        Prompt(SYSTEM, "How many?", Scale(0, 1, ())),
        good,
    ]
    found = dict(ours.stream(prompts))
    assert {n for n, result in found.items() if isinstance(result, AnswerDistribution)} == {0, 5}
    words = {
        1: "prompt 2 of 6: its scale is open .* only GGUF files",
        2: "prompt 3 of 6: its text is not valid Unicode",
        3: r"prompt 4 of 6: it has \d+ tokens and 1 more for its answers, and the model takes 2048",
        4: "prompt 5 of 6: the scale allows no answer",
    }
    for number, pattern in words.items():
        assert re.match(pattern, str(found[number]))
    with pytest.raises(ScoringError, match="prompt 2 of 6"):
        ours.predict(prompts)


def test_the_longest_prompt_fits(ours: HuggingFacePredictor, folder: Path) -> None:
    empty = Prompt("", "", SCALES["0-10"])
    room = 2048 - 1 - len(FolderTokenizer(folder).renderer().prompt_ids(empty))
    assert ours.predict([Prompt("", "7" * room, SCALES["0-10"])])[0].answer_mass > 0
    with pytest.raises(ScoringError, match="prompt 1 of 1"):
        ours.predict([Prompt("", "7" * (room + 1), SCALES["0-10"])])


def test_weights_that_are_not_numbers(folder: Path) -> None:
    import torch

    model = plain(folder)
    with torch.no_grad():
        model.model.norm.weight[3] = torch.nan
    with pytest.raises(ScoringError, match=r"prompt 1 of 1: .* not numbers \(NaN\)"):
        HuggingFacePredictor.of(model, folder).predict([Prompt("", "?", SCALES["1-7"])])


def test_memory_that_is_too_small_names_the_knob(folder: Path) -> None:
    import torch

    def full(*_: Any) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20 GiB")

    model = plain(folder)
    model.model.register_forward_hook(full)
    with pytest.raises(ScoringError, match=r"memory is too small for 1 rows of .* smaller batch"):
        HuggingFacePredictor.of(model, folder).predict([Prompt("", "?", SCALES["1-7"])])


def test_closed(folder: Path) -> None:
    model = plain(folder)
    gone = weakref.ref(model)
    ours = HuggingFacePredictor.of(model, folder)
    del model
    ours.close()
    ours.close()
    gc.collect()
    assert gone() is None
    with pytest.raises(ScoringError, match="closed"):
        ours.predict([Prompt("", "?", SCALES["1-7"])])


def copied(folder: Path, to: Path, *names: str) -> Path:
    to.mkdir(exist_ok=True)
    for name in names or [path.name for path in folder.iterdir() if path.suffix in (".json", ".safetensors")]:
        (to / name).write_bytes((folder / name).read_bytes())
    return to


TOKENIZER = ("tokenizer.json", "tokenizer_config.json")


def test_folders_that_are_no_model(folder: Path, tmp_path: Path) -> None:
    from safetensors.numpy import load_file, save_file

    with pytest.raises(ModelError, match=r"no tokenizer.json; is this a Hugging Face model folder"):
        HuggingFacePredictor(tmp_path)
    with pytest.raises(ModelError, match="no such folder, and not an id"):
        HuggingFacePredictor(tmp_path / "missing")
    with pytest.raises(ModelError, match=r"no config.json"):
        HuggingFacePredictor(copied(folder, tmp_path / "a", *TOKENIZER))
    with pytest.raises(ModelError, match="Transformers cannot load it"):
        HuggingFacePredictor(copied(folder, tmp_path / "b", *TOKENIZER, "config.json"))
    whole = copied(folder, tmp_path / "c")
    tensors = load_file(whole / "model.safetensors")
    del tensors["model.layers.1.mlp.up_proj.weight"]
    save_file(tensors, whole / "model.safetensors", {"format": "pt"})
    with pytest.raises(ModelError, match=r"1 tensors are missing or misshapen, first model\.layers\.1\.mlp"):
        HuggingFacePredictor(whole)
    (whole / "model.safetensors").write_bytes((folder / "model.safetensors").read_bytes()[:5000])
    with pytest.raises(ModelError, match="Transformers cannot load it"):
        HuggingFacePredictor(whole)


def test_settings_out_of_range(folder: Path) -> None:
    with pytest.raises(ModelError, match="dtype must be one of auto, float32"):
        HuggingFacePredictor(folder, dtype="float8")
    with pytest.raises(ModelError, match="the device 'gpu' cannot be used here"):
        HuggingFacePredictor(folder, device="gpu")
    with pytest.raises(ScoringError, match="batch must be at least 1"):
        HuggingFacePredictor(folder, batch=0, device="cpu")
    with pytest.raises(ModelError, match="not a causal language model"):
        HuggingFacePredictor.of(plain(folder).model, folder)


def test_adapters_that_do_not_fit(folder: Path, adapter: Path, tmp_path: Path) -> None:
    from safetensors.numpy import load_file, save_file

    with pytest.raises(ModelError, match=r"no adapter_config.json; is this an adapter's folder"):
        HuggingFacePredictor(folder, tmp_path)
    with pytest.raises(ModelError, match=r"no adapter_model.safetensors; save the adapter with"):
        HuggingFacePredictor(folder, copied(adapter, tmp_path / "a", "adapter_config.json"))
    fewer = copied(adapter, tmp_path / "b")
    tensors = load_file(fewer / "adapter_model.safetensors")
    save_file(dict(list(tensors.items())[1:]), fewer / "adapter_model.safetensors")
    with pytest.raises(ModelError, match="not an adapter of this base model: Found missing adapter keys"):
        HuggingFacePredictor(folder, fewer)
    narrow = {name: tensor[:, :3] for name, tensor in tensors.items()}
    save_file(narrow, fewer / "adapter_model.safetensors")
    with pytest.raises(ModelError, match="not an adapter of this base model"):
        HuggingFacePredictor(folder, fewer)


def test_what_is_not_installed_is_named(folder: Path, adapter: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "peft", None)
    with pytest.raises(MissingDependency, match=r'needs peft.*pip install "socrates-fast\[train\]"'):
        HuggingFacePredictor(folder, adapter)
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(MissingDependency, match="needs torch"):
        HuggingFacePredictor(folder)
