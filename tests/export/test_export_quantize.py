"""Every type's bytes are those of llama_model_quantize, with and without an importance matrix, for any width."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gguf import GGUFReader
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from socrates_bench.llama_quantize import quantize
from socrates_export.architectures import ARCHITECTURES
from socrates_export.architectures.spec import Metadata
from socrates_export.source.merged import open_merged
from socrates_export.write.files import model_metadata, write_files
from socrates_export.write.header import Entry, Keys, file_keys, head
from socrates_export.write.imatrix import Imatrix
from socrates_export.write.types import FILE_TYPES, FLOATS, MixFacts, tensor_types

Factory = Callable[..., Path]
QUANTISED = [kind for kind in FILE_TYPES if kind not in FLOATS]

SIZES: dict[str, dict[str, int]] = {
    "blocks of 256": {"hidden_size": 256, "intermediate_size": 256, "num_hidden_layers": 8},
    "blocks of 32": {"hidden_size": 96, "intermediate_size": 160, "num_hidden_layers": 2},
    "no blocks": {"hidden_size": 80, "intermediate_size": 144, "num_hidden_layers": 2},
}


def importance(shapes: Mapping[str, tuple[int, ...]]) -> Imatrix:
    """Random weights for every matrix inside the blocks, as llama-imatrix collects them."""
    rng = np.random.default_rng(1)
    values: dict[str, NDArray[np.float32]] = {
        name: rng.gamma(0.3, size=shape[1]).astype(np.float32) + np.float32(1e-6)
        for name, shape in shapes.items()
        if name.startswith("blk.") and len(shape) == 2
    }
    return Imatrix("random.gguf", ["random numbers"], 1, values)


@pytest.mark.parametrize(("tied", "weighed"), [(True, False), (False, True)], ids=["tied", "untied-imatrix"])
@pytest.mark.parametrize("size", SIZES)
def test_bytes_are_those_of_llama_cpp(
    make_base: Factory, tmp_path: Path, size: str, tied: bool, weighed: bool
) -> None:
    model = open_merged(make_base(tied=tied, **SIZES[size]), None)
    matrix = importance({spec.target: spec.shape for spec in model.specs}) if weighed else None
    files = {kind: tmp_path / f"ours-{kind}.gguf" for kind in ["f32", *QUANTISED]}
    write_files(model, model_metadata(model, "x"), files, matrix)
    for kind in QUANTISED:
        theirs = tmp_path / "theirs.gguf"
        quantize(files["f32"], theirs, FILE_TYPES[kind].number, imatrix=matrix.values if matrix else None)
        expected, found = GGUFReader(theirs), GGUFReader(files[kind])
        assert {tensor.name for tensor in expected.tensors} == {tensor.name for tensor in found.tensors}
        ours = {tensor.name: tensor for tensor in found.tensors}
        for tensor in expected.tensors:
            assert ours[tensor.name].tensor_type == tensor.tensor_type, (kind, tensor.name)
            assert ours[tensor.name].data.tobytes() == tensor.data.tobytes(), (kind, tensor.name)
        new = {"quantize.imatrix.file", "quantize.imatrix.dataset"} if weighed and kind != "q8_0" else set()
        assert new <= found.fields.keys()
        for key in expected.fields.keys() - {"GGUF.kv_count"}:
            assert found.fields[key].contents() == expected.fields[key].contents(), (kind, key)


SHAPES: dict[str, dict[str, Any]] = {
    "qwen2.5-0.5b": {"model_type": "qwen2", "hidden_size": 896, "intermediate_size": 4864, "num_hidden_layers": 24,
                     "num_attention_heads": 14, "num_key_value_heads": 2, "tie_word_embeddings": True},
    "qwen2.5-14b": {"model_type": "qwen2", "hidden_size": 5120, "intermediate_size": 13824, "num_hidden_layers": 48,
                    "num_attention_heads": 40, "num_key_value_heads": 8},
    "qwen2.5-72b": {"model_type": "qwen2", "hidden_size": 8192, "intermediate_size": 29568, "num_hidden_layers": 80,
                    "num_attention_heads": 64, "num_key_value_heads": 8},
    "qwen3-8b": {"model_type": "qwen3", "hidden_size": 4096, "intermediate_size": 12288, "num_hidden_layers": 36,
                 "num_attention_heads": 32, "num_key_value_heads": 8, "head_dim": 128},
    "llama-3-8b": {"model_type": "llama", "hidden_size": 4096, "intermediate_size": 14336, "num_hidden_layers": 32,
                   "num_attention_heads": 32, "num_key_value_heads": 8},
    "llama-2-7b": {"model_type": "llama", "hidden_size": 4096, "intermediate_size": 11008, "num_hidden_layers": 32,
                   "num_attention_heads": 32, "num_key_value_heads": 32},
    "llama-3-70b": {"model_type": "llama", "hidden_size": 8192, "intermediate_size": 28672, "num_hidden_layers": 80,
                    "num_attention_heads": 64, "num_key_value_heads": 8},
    "smollm2-135m": {"model_type": "llama", "hidden_size": 576, "intermediate_size": 1536, "num_hidden_layers": 30,
                     "num_attention_heads": 9, "num_key_value_heads": 3, "tie_word_embeddings": True},
    "mistral-7b": {"model_type": "mistral", "hidden_size": 4096, "intermediate_size": 14336, "num_hidden_layers": 32,
                   "num_attention_heads": 32, "num_key_value_heads": 8, "sliding_window": None},
    "gemma-2-2b": {"model_type": "gemma2", "hidden_size": 2304, "intermediate_size": 9216, "num_hidden_layers": 26,
                   "num_attention_heads": 8, "num_key_value_heads": 4, "head_dim": 256, "sliding_window": 4096,
                   "query_pre_attn_scalar": 256, "attn_logit_softcapping": 50.0, "final_logit_softcapping": 30.0,
                   "hidden_act": "gelu_pytorch_tanh", "hidden_activation": "gelu_pytorch_tanh",
                   "tie_word_embeddings": True},
    "gemma-3-1b": {"model_type": "gemma3_text", "hidden_size": 1152, "intermediate_size": 6912,
                   "num_hidden_layers": 26, "num_attention_heads": 4, "num_key_value_heads": 1, "head_dim": 256,
                   "sliding_window": 512, "query_pre_attn_scalar": 256, "hidden_activation": "gelu_pytorch_tanh",
                   "tie_word_embeddings": True},
    "phi-3-mini": {"model_type": "phi3", "hidden_size": 3072, "intermediate_size": 8192, "num_hidden_layers": 32,
                   "num_attention_heads": 32, "num_key_value_heads": 32, "original_max_position_embeddings": 4096,
                   "sliding_window": 2047},
}  # fmt: skip
COMMON: dict[str, Any] = {"vocab_size": 32064, "max_position_embeddings": 4096, "rms_norm_eps": 1e-6}


def write_hollow(path: Path, metadata: Metadata, shapes: Mapping[str, tuple[int, ...]]) -> None:
    """A float32 GGUF of these shapes whose data are a hole in the file."""
    entries = [Entry(name, shape, "F32") for name, shape in shapes.items()]
    top = head(Keys.of(metadata) + file_keys(0, {}), entries)
    with path.open("wb") as file:
        file.write(top.content)
        file.truncate(top.size)


def check_mix(metadata: Metadata, shapes: Mapping[str, tuple[int, ...]], folder: Path) -> None:
    path = folder / "hollow.gguf"
    write_hollow(path, metadata, shapes)
    matrix = importance(shapes)
    for kind in QUANTISED:
        for weighed in (False, True):
            expected = quantize(
                path, folder / "x", FILE_TYPES[kind].number, True, matrix.values if weighed else None
            )
            found = tensor_types(kind, shapes, MixFacts.of(metadata, weighed))
            assert expected == found, (kind, weighed)
    path.unlink()


@pytest.mark.parametrize("model", SHAPES)
def test_the_mix_is_that_of_llama_cpps_dry_run(model: str, tmp_path: Path) -> None:
    config = COMMON | SHAPES[model]
    architecture = ARCHITECTURES[config["model_type"]]
    config = dict(architecture.complete(config))
    assert architecture.refuse(config) is None
    metadata = {"general.architecture": architecture.name, **architecture.metadata(config)}
    check_mix(metadata, {spec.target: spec.shape for spec in architecture.tensors(config)}, tmp_path)


@given(
    st.integers(1, 90),
    st.sampled_from([(8, 8), (8, 4), (8, 2), (8, 1), (6, 2)]),
    st.sampled_from([256, 96, 40]),
    st.booleans(),
)
@settings(max_examples=15, deadline=None)
def test_the_mix_of_any_depth(
    tmp_path_factory: pytest.TempPathFactory, layers: int, heads: tuple[int, int], width: int, tied: bool
) -> None:
    config = COMMON | {
        "model_type": "qwen2",
        "num_hidden_layers": layers,
        "hidden_size": width // heads[0] * heads[0],
        "intermediate_size": 2 * width,
        "num_attention_heads": heads[0],
        "num_key_value_heads": heads[1],
        "tie_word_embeddings": tied,
    }
    architecture = ARCHITECTURES["qwen2"]
    config = dict(architecture.complete(config))
    metadata = {"general.architecture": "qwen2", **architecture.metadata(config)}
    shapes = {spec.target: spec.shape for spec in architecture.tensors(config)}
    check_mix(metadata, shapes, tmp_path_factory.mktemp("mix"))
