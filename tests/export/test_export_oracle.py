"""The export against llama.cpp's own converter and vocabulary tests, from the unpacked source distribution.

SOCRATES_SDIST=path/to/llama_cpp_python-0.3.36 python -m pytest -m oracle tests/export
"""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gguf import GGUFReader

from socrates_export.child import run_task
from socrates_export.proof.tokens import check_tokens
from socrates_fast.prompt import Prompt
from tests.export.conftest import write_model

Factory = Callable[..., Path]
pytestmark = pytest.mark.oracle
SEPARATOR = "\n__ggml_vocab_test__\n"


@pytest.fixture(scope="module")
def llama_cpp() -> Path:
    sdist = os.environ.get("SOCRATES_SDIST")
    if not sdist:
        pytest.skip("set SOCRATES_SDIST to the unpacked source distribution of llama-cpp-python 0.3.36")
    pytest.importorskip("sentencepiece", reason="the official converter imports sentencepiece")
    return Path(sdist) / "vendor" / "llama.cpp"


@pytest.fixture(scope="module")
def real_base(llama_cpp: Path, make_base: Factory, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny model with Qwen2's real vocabulary of 151936 tokens, taken from llama.cpp's own test file."""
    from transformers import AutoModelForCausalLM

    small = make_base(dtype="float32")
    folder = tmp_path_factory.mktemp("real")
    model = AutoModelForCausalLM.from_pretrained(small)
    model.resize_token_embeddings(151_936, mean_resizing=False)
    model.save_pretrained(folder)
    (folder / "tokenizer_config.json").write_text((small / "tokenizer_config.json").read_text())
    content = json.loads((small / "tokenizer.json").read_text())
    fields = GGUFReader(llama_cpp / "models" / "ggml-vocab-qwen2.gguf").fields
    tokens = fields["tokenizer.ggml.tokens"].contents()
    content["model"]["vocab"] = {text: token for token, text in enumerate(tokens[:151_643])}
    content["model"]["merges"] = fields["tokenizer.ggml.merges"].contents()
    control = [token for token in content["added_tokens"] if token["special"]]
    content["added_tokens"] = [{**token, "id": 151_643 + index} for index, token in enumerate(control)]
    (folder / "tokenizer.json").write_text(json.dumps(content))
    return folder


@pytest.fixture(scope="module")
def real_adapter(real_base: Path, make_adapter: Factory) -> Path:
    return make_adapter(real_base, use_rslora=True)


@pytest.fixture(scope="module", params=["f16", "f32"])
def both(
    request: pytest.FixtureRequest,
    llama_cpp: Path,
    real_base: Path,
    real_adapter: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[GGUFReader, GGUFReader]:
    """Our file, and the official converter's of the model that PEFT merged in float32."""
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    folder = tmp_path_factory.mktemp("oracle")
    merged = folder / "merged"
    model = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(real_base), real_adapter)
    model.merge_and_unload().save_pretrained(merged)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (merged / name).write_text((real_base / name).read_text())
    theirs, ours = folder / "theirs.gguf", folder / "ours.gguf"
    command = [sys.executable, str(llama_cpp / "convert_hf_to_gguf.py"), str(merged)]
    options = ["--outfile", str(theirs), "--outtype", str(request.param)]
    done = subprocess.run([*command, *options], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    write_model(ours, real_base, real_adapter, str(request.param), "x")
    return GGUFReader(ours), GGUFReader(theirs)


def test_tensors_are_those_of_the_official_converter(both: tuple[GGUFReader, GGUFReader]) -> None:
    ours, theirs = ({tensor.name: tensor for tensor in reader.tensors} for reader in both)
    assert ours.keys() == theirs.keys()
    different = elements = 0
    for name, tensor in ours.items():
        other = theirs[name]
        assert tensor.tensor_type == other.tensor_type and list(tensor.shape) == list(other.shape)
        # PEFT multiplies with torch, we with numpy: float32 sums in another order.
        np.testing.assert_allclose(tensor.data, other.data, rtol=1e-3, atol=2e-6)
        elements += tensor.n_elements
        different += int(np.count_nonzero(tensor.data != other.data))
    print(f"{different} of {elements} elements differ in their last place")
    assert different < 0.01 * elements


def test_keys_are_those_of_the_official_converter(both: tuple[GGUFReader, GGUFReader]) -> None:
    ours, theirs = both
    named_after_the_folder = {"general.name", "general.size_label", "general.finetune", "general.basename"}
    written_by_us_alone = {
        "tokenizer.ggml.add_bos_token",
        "tokenizer.ggml.eot_token_id",
        "tokenizer.ggml.add_eos_token",
        "tokenizer.ggml.add_space_prefix",
    }
    header = {key for key in ours.fields if key.startswith("GGUF.")}
    keys = ours.fields.keys() - header - named_after_the_folder
    official = theirs.fields.keys() - header - named_after_the_folder
    print("only theirs:", sorted(official - keys), "only ours:", sorted(keys - official))
    assert keys - official <= written_by_us_alone
    for key in keys & official:
        mine: Any = ours.fields[key].contents()
        assert mine == theirs.fields[key].contents(), key


def test_vocabulary_cases_of_llama_cpp(
    llama_cpp: Path, real_base: Path, prompts: list[Prompt], tmp_path: Path
) -> None:
    path = tmp_path / "x.gguf"
    write_model(path, real_base, None, "f16", "x")
    models = llama_cpp / "models"
    texts = (models / "ggml-vocab-qwen2.gguf.inp").read_text(encoding="utf-8").split(SEPARATOR)
    lines = (models / "ggml-vocab-qwen2.gguf.out").read_text(encoding="utf-8").removesuffix("\n").split("\n")
    expected = [[int(token) for token in line.split()] for line in lines]
    out = tmp_path / "tokens.json"
    cases = [(text, False) for text in texts]
    run_task("tokenize", {"model": str(path), "cases": cases, "out": str(out)}, "tokenizing")
    found = json.loads(out.read_text())["ids"]
    assert len(expected) > 40 and found[: len(expected)] == expected
    assert all(not text for text in texts[len(expected) :])
    assert check_tokens(real_base, path, prompts)["size"] == 151_936
