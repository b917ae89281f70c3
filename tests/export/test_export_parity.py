"""The gate: it passes the model that was trained, and fails, with numbers, whatever is not that model."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gguf import GGUFReader
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from socrates_export.proof.logits import LogitDifference, gguf_logits, logit_difference
from socrates_export.proof.parity import NOT_COMPARED, Trained, parity_rows, prove, run_gate
from socrates_export.proof.tokens import check_tokens
from socrates_export.source.lora_config import CONFIG
from socrates_export.source.merged import open_merged
from socrates_export.write.files import model_metadata, write_files
from socrates_export.write.types import FILE_TYPES
from socrates_fast.bounds import DEFAULTS
from socrates_fast.data.scales import range_scale
from socrates_fast.errors import ExportError, ModelError, ParityError
from socrates_fast.prompt import Prompt
from socrates_fast.recipe import Parity
from tests.export.conftest import write_model
from tests.export.originals import original_of, questions_of

Factory = Callable[..., Path]
TOKENS_ONLY = Parity(logits=False)


def write(base: Path, adapter: Path | None, path: Path, kind: str = "f32") -> Path:
    write_model(path, base, adapter, kind, "x")
    return path


def difference_of(base: Path, adapter: Path | None, file: Path, prompts: list[Prompt]) -> LogitDifference:
    questions = questions_of(base, prompts)
    original = original_of(base, adapter, questions)
    return logit_difference(original.logits, gguf_logits(file, questions), original.without_adapter)


@pytest.mark.parametrize(
    ("base_kind", "lora"),
    [
        ({"tied": True, "dtype": "bfloat16"}, {}),
        ({"tied": False, "dtype": "float32", "shard": "50KB"}, {"use_rslora": True}),
        (
            {"tied": True, "dtype": "float16", "num_hidden_layers": 3},
            {"rank_pattern": {"q_proj": 3}, "alpha_pattern": {"down_proj": 40}, "target_modules": ["q_proj", "down_proj"]},
        ),
        ({"tied": False, "dtype": "bfloat16", "num_attention_heads": 8}, None),
    ],
    ids=["tied-bf16", "untied-f32-sharded-rslora", "tied-f16-patterns", "untied-bf16-no-adapter"],
)  # fmt: skip
def test_float32_logits_are_those_of_peft(
    make_base: Factory,
    make_adapter: Factory,
    prompts: list[Prompt],
    tmp_path: Path,
    base_kind: dict[str, Any],
    lora: dict[str, Any] | None,
) -> None:
    base = make_base(**base_kind)
    adapter = make_adapter(base, **lora) if lora is not None else None
    # Longer than one ubatch of llama.cpp (512 tokens).
    long = replace(prompts[0], user="On a scale from 1 to 7, how fair is it? " * 40)
    found = difference_of(base, adapter, write(base, adapter, tmp_path / "x.gguf"), [*prompts, long])
    assert found.nmse < 1e-9 and found.kl < 1e-9 and found.max_abs < 1e-3
    assert found.adapter == (pytest.approx(1, abs=1e-4) if adapter else None) and not found.lacks_adapter


def test_float32_logits_of_an_adapter_on_nf4_weights(
    base: Path, adapter: Path, prompts: list[Prompt], tmp_path: Path
) -> None:
    model = open_merged(base, adapter, "nf4")
    write_files(model, model_metadata(model, "x"), {"f32": tmp_path / "x.gguf"})
    questions = questions_of(base, prompts)
    exported = gguf_logits(tmp_path / "x.gguf", questions)
    assert logit_difference(original_of(base, adapter, questions, "nf4").logits, exported).nmse < 1e-9
    assert logit_difference(original_of(base, adapter, questions).logits, exported).nmse > 1e-4


KINDS = ("f32", "f16", "bf16", "q8_0", "q4_k_m", "q2_k")


@pytest.mark.long
def test_a_sound_export_keeps_the_built_in_bounds(
    base: Path, adapter: Path, prompts: list[Prompt], tmp_path: Path
) -> None:
    files = {kind: write(base, adapter, tmp_path / f"x-{kind}.gguf", kind) for kind in KINDS}
    told: list[str] = []
    scales = (range_scale(1, 7), range_scale(0, 20))
    asked = [replace(prompt, scale=scale) for prompt in prompts for scale in scales]
    content = run_gate(Trained(base, adapter), files, asked, Parity(), progress=told.append)
    for part in ("tensors", "logits", "answers"):
        assert list(content[part]["types"]) == list(KINDS)
    assert content["answers"]["prompts"] == 6 and content["logits"]["prompts"] == 4
    assert content["tokens"]["equal"] and content["bounds"]["f16"] == DEFAULTS["f16"]
    for part, name in (("logits", "nmse"), ("answers", "kl")):
        found = [content[part]["types"][kind][name] for kind in KINDS[:-1]]
        assert found == sorted(found)
    rows = parity_rows({**content, "files": {kind: {"bytes": 12345} for kind in files}})
    assert [row["type"] for row in rows] == list(KINDS)
    assert set(rows[0]) == {"type", "bytes", "nmse", "kl", "wasserstein", "top1"}
    assert rows[0]["bytes"] == "12,345" and rows[0]["top1"] == "100.0%"
    assert any("computing the original model's logits and answers (6 prompts)" in line for line in told)
    json.dumps(content, allow_nan=False)


def test_every_type_has_bounds_and_a_recipe_changes_what_it_names() -> None:
    assert list(DEFAULTS) == list(FILE_TYPES)
    options = Parity.model_validate({"bounds": {"q8_0": {"kl": 0.5}, "f16": {"nmse": None, "top1": 0.9}}})
    found = {kind: bounds.model_dump() for kind, bounds in options.bounds.items()}
    changed = {"q8_0": {**DEFAULTS["q8_0"], "kl": 0.5}, "f16": {**DEFAULTS["f16"], "nmse": None, "top1": 0.9}}
    assert found == {**DEFAULTS, **changed}
    assert Parity.model_validate(options.model_dump()) == options


def rescaled(adapter: Path, target: Path) -> Path:
    shutil.copytree(adapter, target)
    config = json.loads((target / CONFIG).read_text())
    (target / CONFIG).write_text(json.dumps({**config, "use_rslora": True}))
    return target


@pytest.mark.parametrize("kind", ["q8_0", "q4_k_m", "q2_k"])
def test_a_wrong_scale_shows_in_the_logits_whoever_merged(
    base: Path, adapter: Path, prompts: list[Prompt], tmp_path: Path, kind: str
) -> None:
    # The tensors are compared with our own merging; the logits with PEFT's.
    wrong = write(base, rescaled(adapter, tmp_path / "wrong"), tmp_path / "wrong.gguf", kind)
    found = difference_of(base, adapter, wrong, prompts)
    most = DEFAULTS[kind]["nmse"]
    assert found.lacks_adapter or (most is not None and found.nmse > most)
    lost = difference_of(base, adapter, write(base, None, tmp_path / "lost.gguf", kind), prompts)
    assert lost.lacks_adapter and lost.adapter == pytest.approx(0, abs=0.2)
    sound = difference_of(base, adapter, write(base, adapter, tmp_path / "sound.gguf", kind), prompts)
    assert not sound.lacks_adapter


@pytest.mark.long
def test_all_faults_of_all_files_are_told_at_once(
    base: Path, adapter: Path, prompts: list[Prompt], tmp_path: Path
) -> None:
    files = {
        "f16": write(base, None, tmp_path / "lost-f16.gguf", "f16"),
        "q4_k_m": write(
            base, rescaled(adapter, tmp_path / "wrong"), tmp_path / "wrong-q4_k_m.gguf", "q4_k_m"
        ),
        "q8_0": write(base, adapter, tmp_path / "sound-q8_0.gguf", "q8_0"),
    }
    options = Parity.model_validate({"bounds": {"q8_0": {"kl": 1e-12, "nmse": 1e-12}}})
    with pytest.raises(ParityError) as caught:
        run_gate(Trained(base, adapter), files, prompts, options)
    message = str(caught.value)
    assert message.endswith("\nno file was written")
    parts = message.split("is not the model that was trained:")
    assert "lost-f16.gguf" in parts[0] and "wrong-q4_k_m.gguf" in parts[1] and "sound-q8_0.gguf" in parts[2]
    assert "the adapter is in it 0.00 times instead of once" in parts[1]
    assert "more than 0.0001 (export.parity.bounds.f16.nmse)" in parts[1]
    assert "its logits show 0% of what the adapter changes" in parts[1]
    assert "the adapter is in it 2.8" in parts[2]  # rsLoRA: sqrt(8) times
    assert "NMSE of its logits: " in parts[3] and "(export.parity.bounds.q8_0.nmse)" in parts[3]
    assert "KL of its answers in nats: " in parts[3] and "(export.parity.bounds.q8_0.kl)" in parts[3]
    assert "adapter" not in parts[3]


@pytest.mark.parametrize(("name", "kind"), [("blk.1.attn_k.bias", "q2_k"), ("blk.0.ffn_down.weight", "q4_0")])
def test_one_altered_tensor_is_named(
    base: Path, prompts: list[Prompt], tmp_path: Path, name: str, kind: str
) -> None:
    file = write(base, None, tmp_path / "x.gguf", kind)
    tensor = next(t for t in GGUFReader(file).tensors if t.name == name)
    with file.open("r+b") as handle:
        handle.seek(int(tensor.data_offset))
        handle.write(bytes(tensor.n_bytes))
    with pytest.raises(
        ParityError, match=rf"x\.gguf is not the model .*\n  - {name} is 1 of its length away"
    ):
        run_gate(Trained(base, None), {kind: file}, prompts, TOKENS_ONLY)


def test_a_truncated_file_fails_the_gate(base: Path, prompts: list[Prompt], tmp_path: Path) -> None:
    file = write(base, None, tmp_path / "x-f32.gguf")
    file.write_bytes(file.read_bytes()[:-1000])
    with pytest.raises(ModelError, match=r"x-f32\.gguf: truncated: needs \d+ bytes, has \d+"):
        prove(Trained(base, None), {"f32": file}, prompts, Parity())
    with pytest.raises(ExportError, match=r"(?s)cannot load .*x-f32\.gguf.*not within the file bounds"):
        gguf_logits(file, questions_of(base, prompts))


def test_another_model_is_not_asked_at_all(
    base: Path, make_base: Factory, prompts: list[Prompt], tmp_path: Path
) -> None:
    other = make_base(num_hidden_layers=3, hidden_size=96)
    proof = prove(
        Trained(base, None), {"f16": write(other, None, tmp_path / "x.gguf", "f16")}, prompts, Parity()
    )
    assert proof.content["logits"] == proof.content["answers"] == NOT_COMPARED
    assert "token_embd.weight has shape [512, 96] instead of [512, 64]" in proof.message()
    assert parity_rows(proof.content) == []


def damaged_tokenizer(base: Path, target: Path, edit: Callable[[dict[str, Any]], object]) -> Path:
    shutil.copytree(base, target)
    content = json.loads((target / "tokenizer.json").read_text())
    edit(content)
    (target / "tokenizer.json").write_text(json.dumps(content))
    return target


def test_another_tokenizer_fails_the_gate(base: Path, prompts: list[Prompt], tmp_path: Path) -> None:
    other = damaged_tokenizer(base, tmp_path / "other", lambda content: content["model"]["merges"].pop(3))
    file = write(other, None, tmp_path / "x.gguf")
    with pytest.raises(ParityError, match=r"\d+ of \d+ texts have other token ids than the original, first "):
        check_tokens(base, file, prompts)


def test_another_chat_template_fails_the_gate(base: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    shutil.copytree(base, other)
    template = json.loads((base / "tokenizer_config.json").read_text())["chat_template"]
    (other / "chat_template.jinja").write_text(template + "\n")
    with pytest.raises(ParityError, match="chat_template is"):
        check_tokens(base, write(other, None, tmp_path / "x.gguf"))


def test_another_eos_fails_the_gate(base: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    shutil.copytree(base, other)
    config = json.loads((base / "tokenizer_config.json").read_text())
    (other / "tokenizer_config.json").write_text(json.dumps({**config, "eos_token": "<|endoftext|>"}))
    with pytest.raises(ParityError, match="eos is 476 instead of 478"):
        check_tokens(base, write(other, None, tmp_path / "x.gguf"))


def test_accents_may_be_typed_in_two_ways(base: Path, prompts: list[Prompt], tmp_path: Path) -> None:
    # llama.cpp does not compose accents; the renderer does, so both tokenizers see one text.
    apart = replace(prompts[0], user="cafe\u0301 A\u030angstro\u0308m \u1112\u1161\u11ab")
    found = check_tokens(base, write(base, None, tmp_path / "x.gguf"), [apart])
    assert found["equal"]


def test_other_tokens_stop_the_gate_for_all_files(base: Path, prompts: list[Prompt], tmp_path: Path) -> None:
    other = damaged_tokenizer(base, tmp_path / "other", lambda content: content["model"]["merges"].pop(3))
    files = {
        "f16": write(base, None, tmp_path / "a.gguf", "f16"),
        "f32": write(other, None, tmp_path / "b.gguf"),
    }
    proof = prove(Trained(base, None), files, prompts, Parity())
    assert list(proof.faults) == ["b.gguf"] and "other token ids than the original" in proof.message()
    assert proof.content["logits"] == NOT_COMPARED


def test_logits_need_a_prompt(base: Path, tmp_path: Path) -> None:
    file = write(base, None, tmp_path / "x.gguf")
    with pytest.raises(ExportError, match="at least one prompt"):
        run_gate(Trained(base, None), {"f32": file}, [], Parity())
    assert run_gate(Trained(base, None), {"f32": file}, [], TOKENS_ONLY)["logits"] == NOT_COMPARED


def random_logits(seed: int) -> NDArray[np.float64]:
    return np.random.default_rng(seed).normal(size=(5, 7))


@given(st.integers(0, 1000), st.floats(0.01, 3.0))
def test_difference_follows_its_formulas(seed: int, noise: float) -> None:
    b = random_logits(seed)
    a = b + noise * random_logits(seed + 1)
    found = logit_difference([b[:2], b[2:]], [a[:2], a[2:]])
    p, q = (np.exp(x) / np.exp(x).sum(axis=1, keepdims=True) for x in (b, a))
    assert found.nmse == pytest.approx(np.mean((a - b) ** 2) / np.mean(b**2))
    assert found.max_abs == pytest.approx(np.abs(a - b).max())
    assert found.kl == pytest.approx(np.sum(p * np.log(p / q)) / 5, rel=1e-6, abs=1e-12)
    assert found.top1 == pytest.approx(np.mean(a.argmax(axis=1) == b.argmax(axis=1)))


@given(st.integers(0, 1000), st.floats(-1, 3).filter(lambda share: abs(abs(share - 1) - 0.5) > 1e-6))
def test_the_adapters_share_is_the_factor_it_was_applied_with(seed: int, share: float) -> None:
    base, added = random_logits(seed), random_logits(seed + 1)
    found = logit_difference([base + added], [base + share * added], [base])
    assert found.adapter == pytest.approx(share, abs=1e-9)
    assert found.lacks_adapter == (abs(share - 1) > 0.5)
    assert logit_difference([base], [base], [base]).adapter is None


def test_an_adapter_that_does_less_than_rounding_is_not_judged_by_logits() -> None:
    base, rounding = np.zeros((64, 512)), np.random.default_rng(3).normal(size=(64, 512))
    added = 0.01 * np.random.default_rng(4).normal(size=(64, 512))
    found = logit_difference([base + added], [base + rounding], [base])
    assert found.adapter_to_rest == pytest.approx(1e-4, rel=0.1) and not found.lacks_adapter
