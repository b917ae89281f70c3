"""Architectures: logits of every one, names as in llama.cpp's own table, keys from old and new configs, refusals."""

import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gguf import MODEL_ARCH, MODEL_ARCH_NAMES, get_tensor_name_map
from numpy.typing import NDArray

from socrates_export.architectures import ARCHITECTURES, architecture_of
from socrates_export.architectures.llama import Llama
from socrates_export.architectures.rope import llama3_factors, rope_of
from socrates_export.architectures.spec import Config
from socrates_export.child import run_task
from socrates_export.source.base import open_base
from socrates_export.source.merged import open_merged
from socrates_fast.errors import ModelError
from tests.export.conftest import write_model
from tests.export.models import KINDS, VOCABULARY, write_checkpoint
from tests.export.vocabularies import FAMILIES, write_vocabulary

Factory = Callable[..., Path]
Logits = NDArray[np.float32]

FAMILY_OF = {"qwen": "qwen2", "llama2": "llama2", "llama": "llama3", "smollm2": "smollm2", "mistral": "mistral",
             "gemma": "gemma", "phi3-long": "phi4-mini", "phi3": "phi3"}  # fmt: skip
"""The tokenizer of a kind of checkpoint, by the longest beginning of its name."""

TABLE_OF_GELU = 1e-6
"""NMSE of Gemma's logits: llama.cpp looks GELU up in a table of float16."""


def make(folder: Path, name: str, **changes: Any) -> Path:
    folder.mkdir(exist_ok=True)
    write_checkpoint(folder, KINDS[name], **changes)
    beginning = max((key for key in FAMILY_OF if name.startswith(key)), key=len, default=None)
    assert beginning, f"{name}: name its tokenizer in FAMILY_OF"
    write_vocabulary(folder, FAMILIES[FAMILY_OF[beginning]])
    return folder


def original_logits(folder: Path, ids: list[int]) -> Logits:
    import torch
    from transformers import AutoModelForCausalLM

    # Only eager attention caps Gemma 2's.
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager")
    with torch.no_grad():
        found: Logits = model(torch.tensor([ids])).logits[0].numpy()
    return found


def exported_logits(file: Path, ids: list[int], out: Path) -> Logits:
    asked = {"model": str(file), "sequences": [ids], "positions": [list(range(len(ids)))], "out": str(out)}
    run_task("logits", asked, "computing")
    with np.load(out) as arrays:
        return np.asarray(arrays["0"])


def nmse(original: Logits, exported: Logits) -> float:
    a, b = original.astype(np.float64), exported.astype(np.float64)
    return float(np.mean((a - b) ** 2) / np.mean(a**2))


@pytest.mark.parametrize("name", KINDS)
def test_logits_are_those_of_transformers(name: str, tmp_path: Path) -> None:
    """Prompts longer than sliding windows and LongRoPE's short context, but within the declared context."""
    folder = make(tmp_path / "base", name)
    write_model(tmp_path / "x.gguf", folder, None, "f32")
    rng = np.random.default_rng(3)
    bound = TABLE_OF_GELU if "gemma" in name else 1e-9
    for length in (9, 330):
        ids = [int(token) for token in rng.integers(3, VOCABULARY, length)]
        exported = exported_logits(tmp_path / "x.gguf", ids, tmp_path / "logits.npz")
        assert nmse(original_logits(folder, ids), exported) < bound


def test_a_sharded_model_is_the_same(tmp_path: Path) -> None:
    whole, shards = (
        make(tmp_path / str(place), "llama-biases-linear", shard=size)
        for place, size in enumerate(("5GB", "60KB"))
    )
    assert len(list(shards.glob("*.safetensors"))) > 3
    for place, folder in enumerate((whole, shards)):
        write_model(tmp_path / f"{place}.gguf", folder, None, "bf16")
    assert (tmp_path / "0.gguf").read_bytes() == (tmp_path / "1.gguf").read_bytes()


def config_of(name: str, folder: Path) -> Config:
    write_checkpoint(folder, KINDS[name])
    return dict(json.loads((folder / "config.json").read_text()))


@pytest.mark.parametrize("name", KINDS)
def test_names_are_those_of_the_gguf_package(name: str, tmp_path: Path) -> None:
    config = config_of(name, tmp_path)
    architecture = architecture_of(config, tmp_path)
    complete = architecture.complete(config)
    kind = next(kind for kind in MODEL_ARCH if MODEL_ARCH_NAMES[kind] == architecture.name)
    names = get_tensor_name_map(kind, complete["num_hidden_layers"])
    for spec in architecture.tensors(complete):
        if spec.values is None:
            plain = spec.source.replace("model.language_model.", "model.")
            assert spec.target == names.get_name(plain, try_suffixes=(".weight", ".bias")), spec.source


@pytest.mark.parametrize("name", [name for name, kind in KINDS.items() if kind.old is not None])
def test_old_and_new_configs_say_the_same(name: str, tmp_path: Path) -> None:
    found = []
    for place, kind in enumerate((KINDS[name], replace(KINDS[name], old=None))):
        folder = tmp_path / str(place)
        write_checkpoint(folder, kind)
        config = json.loads((folder / "config.json").read_text())
        assert ("rope_parameters" in config) == (kind.old is None)
        architecture = architecture_of(config, folder)
        complete = architecture.complete(config)
        found.append((architecture.metadata(complete), architecture.tensors(complete)))
    assert found[0] == found[1]


CONFIG: dict[str, Any] = {
    "vocab_size": 512, "hidden_size": 64, "intermediate_size": 160, "num_hidden_layers": 3,
    "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 1024, "rms_norm_eps": 1e-6,
    "rope_theta": 1_000_000.0,
}  # fmt: skip
QWEN2 = {"model_type": "qwen2", **CONFIG}
QWEN3 = {"model_type": "qwen3", "head_dim": 32, **CONFIG}
LLAMA = {"model_type": "llama", **CONFIG}
MISTRAL = {"model_type": "mistral", **CONFIG}
GEMMA2 = {"model_type": "gemma2", "head_dim": 16, "query_pre_attn_scalar": 16, **CONFIG}
GEMMA3 = {"model_type": "gemma3_text", "head_dim": 16, "query_pre_attn_scalar": 16, **CONFIG}
PHI3 = {"model_type": "phi3", **CONFIG}


def metadata(config: Mapping[str, Any]) -> dict[str, Any]:
    architecture = architecture_of(config, Path("config.json"))
    return dict(architecture.metadata(architecture.complete(config)))


def test_qwen2_keys() -> None:
    assert metadata(QWEN2) == {
        "qwen2.block_count": 3,
        "qwen2.context_length": 1024,
        "qwen2.embedding_length": 64,
        "qwen2.feed_forward_length": 160,
        "qwen2.attention.head_count": 4,
        "qwen2.attention.head_count_kv": 2,
        "qwen2.attention.layer_norm_rms_epsilon": 1e-6,
        "qwen2.rope.freq_base": 1_000_000.0,
    }


def test_theta_of_transformers_5_and_4_and_neither() -> None:
    new = {**QWEN2, "rope_theta": 3.0, "rope_parameters": {"rope_type": "default", "rope_theta": 7.0}}
    neither = {key: value for key, value in QWEN2.items() if key != "rope_theta"}
    thetas = [metadata(config)["qwen2.rope.freq_base"] for config in (new, QWEN2, neither)]
    assert thetas == [7.0, 1_000_000.0, 10_000.0]


def test_a_window_bounds_the_context_where_llama_cpp_has_none() -> None:
    for config in (MISTRAL, PHI3):
        key = f"{'llama' if config is MISTRAL else 'phi3'}.context_length"
        lengths = [metadata({**config, "sliding_window": window})[key] for window in (None, 512, 4096)]
        assert lengths == [1024, 512, 1024]


@pytest.mark.parametrize("size", [64, 128])
def test_llama_3_factors_are_those_of_transformers(size: int) -> None:
    """Oracle: the frequencies that Transformers divides, at the sizes of real models."""
    import torch
    from transformers import LlamaConfig
    from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

    rope = {"rope_type": "llama3", "rope_theta": 500_000.0, "factor": 32.0, "low_freq_factor": 1.0,
            "high_freq_factor": 4.0, "original_max_position_embeddings": 8192}  # fmt: skip
    config = LlamaConfig(head_dim=size, max_position_embeddings=131_072, rope_parameters=dict(rope))
    scaled, _ = ROPE_INIT_FUNCTIONS["llama3"](config, torch.device("cpu"))
    plain = 500_000.0 ** -(torch.arange(0, size, 2, dtype=torch.float64) / size)
    found = llama3_factors(rope_of(config.to_dict()), size)
    np.testing.assert_allclose(found, (plain / scaled).numpy(), rtol=3e-6)
    assert {1.0, 32.0} < set(found)


def test_slabs_of_rotated_rows_are_those_of_the_whole(tmp_path: Path) -> None:
    """The rows of q and k are interleaved head by head, whatever the slabs."""
    model = open_merged(make(tmp_path / "base", "llama3"), None)
    spec = next(spec for spec in model.specs if spec.target == "blk.1.attn_q.weight")
    assert spec.together == 32
    slabs = [
        model.slab(spec, start, start + spec.together) for start in range(0, spec.shape[0], spec.together)
    ]
    np.testing.assert_array_equal(np.concatenate(slabs), model.slab(spec, 0, spec.shape[0]))
    rows = np.arange(8, dtype=np.float32)[:, None]
    eight = next(spec for spec in Llama().tensors({**LLAMA, "head_dim": 8}) if spec.together == 8)
    assert Llama().transform(eight, rows)[:, 0].tolist() == [0, 4, 1, 5, 2, 6, 3, 7]


def test_tied_models_have_no_output_matrix() -> None:
    for config, tied in (
        (QWEN2, False),
        ({**QWEN2, "tie_word_embeddings": True}, True),
        (GEMMA2, True),
        (GEMMA3, True),
    ):
        architecture = architecture_of(config, Path("config.json"))
        targets = {spec.target for spec in architecture.tensors(architecture.complete(config))}
        assert ("output.weight" in targets) != tied


YARN = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 256}
LONG = {"type": "longrope", "short_factor": [1.0] * 8, "long_factor": [2.0] * 8}


@pytest.mark.parametrize(
    ("config", "changes", "message"),
    [
        (QWEN2, {"model_type": "mamba"}, "'mamba' cannot be exported; supported: gemma2, gemma3, .*, phi3, qwen2, qwen3"),
        (QWEN2, {"hidden_act": "gelu"}, "hidden_act is 'gelu', not 'silu'"),
        (QWEN2, {"head_dim": 32}, "head_dim"),
        (QWEN2, {"use_sliding_window": True}, "use_sliding_window"),
        (QWEN3, {"layer_types": ["full_attention", "sliding_attention"]}, "sliding window, and llama.cpp's qwen3"),
        (QWEN2, {"rope_scaling": {"type": "dynamic", "factor": 4.0}}, "rope type 'dynamic' .* only 'default'"),
        (QWEN2, {"rope_scaling": {**YARN, "beta_fast": 16}}, "YaRN with beta_fast = 16"),
        (QWEN2, {"rope_scaling": {**YARN, "attention_factor": 1.0}}, "YaRN with attention_factor = 1.0"),
        (QWEN2, {"rope_scaling": {**YARN, "truncate": False}}, "YaRN with truncate"),
        (QWEN2, {"rope_scaling": {**YARN, "mscale": 1.0, "mscale_all_dim": 1.0}}, "mscale"),
        (QWEN2, {"rope_scaling": {"type": "linear"}}, "does not say 'factor"),
        (QWEN2, {"quantization_config": {"quant_method": "bitsandbytes"}}, "this base is quantised"),
        (QWEN2, {"hidden_size": "wide"}, "does not describe a model"),
        (QWEN3, {"attention_bias": True}, "attention_bias is true, and llama.cpp's qwen3 has no such biases"),
        (QWEN3, {"num_experts": 8}, "mixture of experts"),
        (LLAMA, {"num_key_value_heads": 3}, "not a multiple"),
        (LLAMA, {"rope_scaling": LONG}, "rope type 'longrope'"),
        (LLAMA, {"is_causal": False}, "not causal"),
        (MISTRAL, {"layer_types": ["sliding_attention"] * 3}, "sliding window"),
        (GEMMA2, {"query_pre_attn_scalar": 20}, "query_pre_attn_scalar is 20, and llama.cpp's gemma2 has 16"),
        (GEMMA2, {"attn_logit_softcapping": None}, "always caps"),
        (GEMMA2, {"tie_word_embeddings": False}, "must be tied"),
        (GEMMA2, {"hidden_activation": "silu"}, "hidden_act is 'silu'"),
        (GEMMA2, {"sliding_window": None}, "sliding_window is missing"),
        (GEMMA3, {"layer_types": ["full_attention"] * 3}, "each 6th"),
        (GEMMA3, {"sliding_window_pattern": 2}, "each 6th"),
        (GEMMA3, {"attn_logit_softcapping": 50.0}, "attn_logit_softcapping is set"),
        (GEMMA3, {"use_bidirectional_attention": True}, "not causal"),
        (GEMMA3, {"rope_parameters": {"full_attention": {"rope_type": "default"},
                                      "sliding_attention": {"rope_type": "linear", "factor": 2.0}}}, "'linear'"),
        (PHI3, {"rope_scaling": {**LONG, "long_factor": [1.0]}}, "long_factor has 1 numbers for 16"),
        (PHI3, {"rope_scaling": YARN}, "rope type 'yarn'"),
        (PHI3, {"partial_rotary_factor": 0.5, "rope_scaling": LONG}, "long_factor has 8 numbers for 8"),
    ],
)  # fmt: skip
def test_what_llama_cpp_would_compute_otherwise_is_refused(
    config: Mapping[str, Any], changes: dict[str, Any], message: str
) -> None:
    architecture_of(config, Path("config.json"))
    with pytest.raises(ModelError, match=message):
        architecture_of({**config, **changes}, Path("config.json"))


@pytest.mark.parametrize(
    "config", [QWEN2, QWEN3, LLAMA, MISTRAL, GEMMA2, GEMMA3, PHI3], ids=lambda c: c["model_type"]
)
def test_a_config_that_lacks_a_key_is_refused(config: Mapping[str, Any]) -> None:
    lacking = {key: value for key, value in config.items() if key != "intermediate_size"}
    with pytest.raises(ModelError, match="does not say 'intermediate_size'"):
        architecture_of(lacking, Path("config.json"))


def test_every_architecture_is_tested(tmp_path: Path) -> None:
    types = {config_of(name, tmp_path / name)["model_type"] for name in KINDS}
    assert types == ARCHITECTURES.keys()


def test_a_config_that_is_not_that_of_the_tensors(base: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(base, tmp_path / "base"))
    config = json.loads((folder / "config.json").read_text())
    for changes, message in (
        (
            {"intermediate_size": 128},
            r"gate_proj\.weight has shape \[160, 64\], config\.json says \[128, 64\]",
        ),
        ({"num_hidden_layers": 3}, r"do not hold model\.layers\.2\."),
        ({"num_hidden_layers": 1}, r"model\.layers\.1\..* would be lost"),
        ({"tie_word_embeddings": False}, r"do not hold lm_head\.weight"),
    ):
        (folder / "config.json").write_text(json.dumps({**config, **changes}))
        with pytest.raises(ModelError, match=message):
            open_base(folder)


def test_a_tied_output_matrix_that_differs(make_base: Factory, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(make_base(tied=False), tmp_path / "base"))
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "tie_word_embeddings": True}))
    with pytest.raises(ModelError, match="set tie_word_embeddings to false"):
        open_base(folder)


def test_a_tied_output_matrix_that_is_stored_twice(base: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    folder = Path(shutil.copytree(base, tmp_path / "base"))
    tensors = load_file(folder / "model.safetensors")
    tensors["lm_head.weight"] = tensors["model.embed_tokens.weight"].clone()
    save_file(tensors, folder / "model.safetensors")
    assert "lm_head.weight" not in open_base(folder).shapes
