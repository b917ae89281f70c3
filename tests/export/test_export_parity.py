"""The gate: it passes the model that was trained, and fails, with numbers, whatever is not that model."""

import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gguf import GGUFReader
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from socrates_export.proof.logits import Probe, difference, gguf_logits
from socrates_export.proof.parity import ParityBounds, run_gate
from socrates_export.proof.reference import reference
from socrates_export.proof.tokens import check_tokens
from socrates_export.source.lora import CONFIG
from socrates_fast.errors import ExportError, ParityError
from socrates_fast.prompt import Prompt
from socrates_fast.tokenizer import FolderTokenizer
from tests.export.conftest import write_model

Factory = Callable[..., Path]


def write(base: Path, adapter: Path | None, path: Path, kind: str = "f32") -> Path:
    write_model(path, base, adapter, kind, "x")
    return path


def probe_of(base: Path, prompts: Sequence[Prompt]) -> Probe:
    renderer = FolderTokenizer(base).renderer()
    return Probe.of([renderer.prompt_ids(prompt) for prompt in prompts])


def reference_in_this_process(
    base: Path, adapter: Path | None, probe: Probe, folder: Path
) -> list[NDArray[np.float32]]:
    """What the gate computes in a child process, without another import of torch."""
    out = folder / "reference.npz"
    reference(str(base), str(adapter) if adapter else None, probe.sequences, probe.positions, str(out))
    with np.load(out) as arrays:
        return [arrays[str(index)] for index in range(len(probe.sequences))]


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
    probe = probe_of(base, [*prompts, long])
    assert len(probe.sequences[-1]) > 600
    expected = reference_in_this_process(base, adapter, probe, tmp_path)
    found = difference(expected, gguf_logits(write(base, adapter, tmp_path / "x.gguf"), probe))
    assert found.nmse < 1e-9 and found.kl < 1e-9 and found.max_abs < 1e-3


def test_a_wrong_scale_fails_the_gate(
    base: Path, adapter: Path, prompts: list[Prompt], tmp_path: Path
) -> None:
    wrong = tmp_path / "wrong"
    shutil.copytree(adapter, wrong)
    config = json.loads((wrong / CONFIG).read_text())
    (wrong / CONFIG).write_text(json.dumps({**config, "use_rslora": True}))
    probe = probe_of(base, prompts)
    found = difference(
        reference_in_this_process(base, adapter, probe, tmp_path),
        gguf_logits(write(base, wrong, tmp_path / "x-f16.gguf", "f16"), probe),
    )
    with pytest.raises(
        ParityError, match=r"x-f16\.gguf is not the model that was trained: NMSE .*\(bound 0\.0001\)"
    ):
        ParityBounds().check("f16", found, "x-f16.gguf")


def test_one_damaged_tensor_fails_the_gate(base: Path, prompts: list[Prompt], tmp_path: Path) -> None:
    file = write(base, None, tmp_path / "x-f16.gguf", "f16")
    tensor = next(t for t in GGUFReader(file).tensors if t.name == "blk.1.attn_k.bias")
    with file.open("r+b") as handle:
        handle.seek(int(tensor.data_offset))
        handle.write(bytes(tensor.n_bytes))
    probe = probe_of(base, prompts)
    found = difference(reference_in_this_process(base, None, probe, tmp_path), gguf_logits(file, probe))
    with pytest.raises(ParityError, match=r"\(bound 0\.0001\), largest difference .*, KL .* nats, same most"):
        ParityBounds().check("f16", found, "x-f16.gguf")


def test_a_truncated_file_fails_the_gate(base: Path, prompts: list[Prompt], tmp_path: Path) -> None:
    file = write(base, None, tmp_path / "x-f32.gguf")
    file.write_bytes(file.read_bytes()[:-1000])
    with pytest.raises(ExportError, match=r"(?s)cannot load .*x-f32\.gguf.*not within the file bounds"):
        gguf_logits(file, probe_of(base, prompts))


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


def test_logits_need_a_prompt(base: Path, tmp_path: Path) -> None:
    file = write(base, None, tmp_path / "x.gguf")
    with pytest.raises(ExportError, match="at least one prompt"):
        run_gate(base, None, {"f32": file}, [], ParityBounds())
    assert run_gate(base, None, {"f32": file}, [], ParityBounds(), logits=False)["logits"] == "not compared"


def random_logits(seed: int) -> NDArray[np.float64]:
    return np.random.default_rng(seed).normal(size=(5, 7))


@given(st.integers(0, 1000), st.floats(0.01, 3.0))
def test_difference_follows_its_formulas(seed: int, noise: float) -> None:
    b = random_logits(seed)
    a = b + noise * random_logits(seed + 1)
    found = difference([b[:2], b[2:]], [a[:2], a[2:]])
    p, q = (np.exp(x) / np.exp(x).sum(axis=1, keepdims=True) for x in (b, a))
    assert found.nmse == pytest.approx(np.mean((a - b) ** 2) / np.mean(b**2))
    assert found.max_abs == pytest.approx(np.abs(a - b).max())
    assert found.kl == pytest.approx(np.sum(p * np.log(p / q)) / 5, rel=1e-6, abs=1e-12)
    assert found.top1 == pytest.approx(np.mean(a.argmax(axis=1) == b.argmax(axis=1)))


def test_logits_that_are_not_numbers_fail_whatever_the_bound() -> None:
    b = random_logits(0)
    found = difference([b], [np.full_like(b, np.nan)])
    with pytest.raises(ParityError, match="NMSE of its logits nan"):
        ParityBounds().check("q4_k_m", found, "x.gguf")


@given(st.lists(st.integers(1, 500), min_size=1, max_size=4))
def test_a_probe_spreads_its_positions(lengths: list[int]) -> None:
    probe = Probe.of([list(range(length)) for length in lengths])
    for length, wanted in zip(lengths, probe.positions, strict=True):
        assert len(wanted) == min(length, 64) == len(set(wanted))
        assert (wanted == sorted(wanted) and wanted[-1] == length - 1 and wanted[0] == 0) or length == 1
    assert probe.size == sum(min(length, 64) for length in lengths)
