"""The whole export of every architecture, with an adapter and through the gate: what a person would run."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from socrates_export.command import export
from socrates_fast.prompt import Prompt
from socrates_fast.recipe import Parity
from tests.export.test_export_architectures import make

Factory = Callable[..., Path]


@pytest.mark.long
@pytest.mark.parametrize(
    "name",
    ["gemma2"]
    + [
        pytest.param(n, marks=pytest.mark.slow)
        for n in ("qwen3", "llama3", "smollm2", "mistral", "gemma3", "phi3")
    ],
)
def test_an_export_passes_its_own_gate(
    name: str, make_adapter: Factory, prompts: list[Prompt], tmp_path: Path
) -> None:
    base = make(tmp_path / "base", name)
    modules = ["qkv_proj", "gate_up_proj", "o_proj"] if name == "phi3" else ["q_proj", "k_proj", "down_proj"]
    adapter = make_adapter(base, target_modules=modules, use_rslora=True)
    out = tmp_path / "out"
    export(base, adapter, out, ["f32", "q8_0", "q4_k_m"], "m", Parity(), prompts)
    parity = json.loads((out / "parity.json").read_text())
    assert parity["logits"]["types"]["f32"]["nmse"] < 1e-6
    assert parity["tokens"]["equal"]
    assert {path.suffix for path in out.glob("m-*")} == {".gguf"}
