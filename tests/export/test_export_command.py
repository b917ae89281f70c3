"""The whole export: files appear when all is well, and only then."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from socrates_export.command import PARITY, export
from socrates_fast.errors import ExportError, MissingDependency, ModelError, ParityError
from socrates_fast.prompt import Prompt
from socrates_fast.recipe import Parity
from socrates_fast.runs import sha256_file

TEXTS = {PARITY, "Modelfile", "README.md", "SHA256SUMS"}
Factory = Callable[..., Path]


def test_export(base: Path, adapter: Path, prompts: list[Prompt], tmp_path: Path) -> None:
    told: list[str] = []
    kinds = ["q8_0", "f16", "bf16", "f32", "q4_k_m"]
    result = export(base, adapter, tmp_path, kinds, "m", Parity(), prompts, progress=told.append)
    assert {path.name for path in tmp_path.iterdir()} == {*TEXTS, *(f"m-{kind}.gguf" for kind in kinds)}
    assert result.files == {kind: tmp_path / f"m-{kind}.gguf" for kind in kinds}
    assert result.sizes == {kind: file.stat().st_size for kind, file in result.files.items()}
    stored = json.loads((tmp_path / PARITY).read_text())
    assert stored == result.parity
    for kind, file in result.files.items():
        assert stored["files"][kind]["sha256"] == sha256_file(file)
    assert stored["tokens"]["equal"] and stored["tokens"]["size"] == 512
    types = stored["logits"]["types"]
    errors = [types[kind]["nmse"] for kind in ("f32", "f16", "bf16", "q8_0", "q4_k_m")]
    assert (
        errors == sorted(errors) and errors[0] < 1e-9 < errors[1] < 1e-4 < errors[2] < 1e-3 < errors[4] < 0.1
    )
    assert stored["answers"]["types"]["q8_0"]["kl"] < stored["bounds"]["q8_0"]["kl"] == 0.05
    assert stored["tensors"]["types"]["q4_k_m"]["adapter"] == pytest.approx(1, abs=0.05)
    assert "writing m-q8_0.gguf, m-f16.gguf, m-bf16.gguf, m-f32.gguf, m-q4_k_m.gguf" in told


@pytest.mark.long
def test_a_failing_gate_leaves_what_was_there(
    base: Path, adapter: Path, prompts: list[Prompt], tmp_path: Path
) -> None:
    (tmp_path / "m-q4_k_m.gguf").write_text("an older export")
    (tmp_path / PARITY).write_text("its verdict")
    sharp = Parity.model_validate({"bounds": {"q4_k_m": {"kl": 1e-12}}})
    wrong = r"m-q4_k_m\.gguf is not the model .*\n  - KL .*, more than 1e-12 \(.*\)\nno file was written"
    with pytest.raises(ParityError, match=wrong):
        export(base, adapter, tmp_path, ["q4_k_m"], "m", sharp, prompts)
    assert {path.name for path in tmp_path.iterdir()} == {"m-q4_k_m.gguf", PARITY}
    assert (tmp_path / "m-q4_k_m.gguf").read_text() == "an older export"


def test_without_logits_tokens_are_still_checked(base: Path, prompts: list[Prompt], tmp_path: Path) -> None:
    result = export(base, None, tmp_path, ["q8_0"], "m", Parity(logits=False), prompts)
    assert result.parity["logits"] == "not compared"
    assert result.parity["tokens"]["texts"] > 90
    assert {path.name for path in tmp_path.iterdir()} == {"m-q8_0.gguf", *TEXTS}


def test_without_the_gate_the_verdict_says_so(base: Path, tmp_path: Path) -> None:
    (tmp_path / ".m.partial").mkdir()
    (tmp_path / ".m.partial" / "left by a kill").touch()
    export(base, None, tmp_path, ["f32", "bf16"], "m", Parity(), [], verify=False)
    stored = json.loads((tmp_path / PARITY).read_text())
    parts = ("tensors", "tokens", "logits", "answers", "metrics")
    assert {stored[part] for part in parts} == {"not compared"}
    assert {path.name for path in tmp_path.iterdir()} == {"m-f32.gguf", "m-bf16.gguf", *TEXTS}


def test_without_torch(
    base: Path, prompts: list[Prompt], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(
        MissingDependency, match=r"needs torch, .*\[train\].*--set export\.parity\.logits=false"
    ):
        export(base, None, tmp_path / "out", ["f16"], "m", Parity(), prompts)
    assert not (tmp_path / "out").exists()


TORCH_FREE = """
import sys
from pathlib import Path
from socrates_export.command import export
from socrates_fast.recipe import Parity
export(Path(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3]), ["f16"], "m", Parity(logits=False), [])
loaded = {"torch", "transformers", "peft", "llama_cpp"} & sys.modules.keys()
sys.exit(f"loaded {loaded}" if loaded else 0)
"""


def test_the_export_loads_neither_torch_nor_llama_cpp(base: Path, adapter: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-c", TORCH_FREE, str(base), str(adapter), str(tmp_path)]
    done = subprocess.run(
        command, env={"PYTHONPATH": ":".join(sys.path)}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("kinds", [[], ["q8_0", "q9"]])
def test_types_that_do_not_exist(base: Path, tmp_path: Path, kinds: list[str]) -> None:
    with pytest.raises(ExportError, match=r"cannot export to (nothing|q9); choose from f32, f16, bf16, q8_0"):
        export(base, None, tmp_path / "out", kinds, "m", Parity(), [], verify=False)
    assert not (tmp_path / "out").exists()


def test_an_adapter_of_another_model_leaves_nothing(
    base: Path, make_base: Factory, make_adapter: Factory, prompts: list[Prompt], tmp_path: Path
) -> None:
    other = make_adapter(make_base(hidden_size=32, intermediate_size=80))
    with pytest.raises(ModelError, match="adapter of another model"):
        export(base, other, tmp_path, ["f16"], "m", Parity(), prompts)
    assert not list(tmp_path.iterdir())


def test_a_name_that_is_a_path(base: Path, tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="name of a model cannot be 'a/b'"):
        export(base, None, tmp_path, ["f16"], "a/b", Parity(), [], verify=False)
    assert not list(tmp_path.iterdir())


def test_a_file_in_place_of_the_folder(base: Path, tmp_path: Path) -> None:
    (tmp_path / "out").touch()
    with pytest.raises(ExportError, match="cannot write into"):
        export(base, None, tmp_path / "out", ["f16"], "m", Parity(), [], verify=False)
