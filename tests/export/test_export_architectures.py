"""Architectures: names as in llama.cpp's own table, keys from old and new configs, and what is refused."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from gguf import MODEL_ARCH, get_tensor_name_map

from socrates_export.architectures import Qwen2, architecture_of
from socrates_export.source.base import open_base
from socrates_fast.errors import ModelError

Factory = Callable[..., Path]


CONFIG: dict[str, Any] = {
    "model_type": "qwen2",
    "vocab_size": 512,
    "hidden_size": 64,
    "intermediate_size": 160,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 1024,
    "rms_norm_eps": 1e-6,
    "rope_theta": 1_000_000.0,
}


def test_qwen2_names_are_those_of_the_gguf_package() -> None:
    names = get_tensor_name_map(MODEL_ARCH.QWEN2, CONFIG["num_hidden_layers"])
    specs = Qwen2().tensors(CONFIG)
    assert len(specs) == 3 + 3 * 12
    for spec in specs:
        assert spec.target == names.get_name(spec.source, try_suffixes=(".weight", ".bias"))


def test_qwen2_keys() -> None:
    assert Qwen2().metadata(CONFIG) == {
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
    new = {**CONFIG, "rope_theta": 3.0, "rope_parameters": {"rope_type": "default", "rope_theta": 7.0}}
    neither = {key: value for key, value in CONFIG.items() if key != "rope_theta"}
    thetas = [Qwen2().metadata(config)["qwen2.rope.freq_base"] for config in (new, CONFIG, neither)]
    assert thetas == [7.0, 1_000_000.0, 10_000.0]


def test_a_tied_model_has_no_output_matrix() -> None:
    assert "output.weight" not in {
        spec.target for spec in Qwen2().tensors({**CONFIG, "tie_word_embeddings": True})
    }


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model_type": "mamba"}, "'mamba' cannot be exported; supported: qwen2"),
        ({"hidden_act": "gelu"}, "hidden_act is 'gelu'"),
        ({"head_dim": 32}, "head_dim"),
        ({"use_sliding_window": True}, "use_sliding_window"),
        ({"rope_scaling": {"type": "yarn", "factor": 4.0}}, "rope type 'yarn'"),
        ({"quantization_config": {"quant_method": "bitsandbytes"}}, "this base is quantised"),
    ],
)
def test_what_llama_cpp_would_compute_otherwise_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ModelError, match=message):
        architecture_of({**CONFIG, **changes}, Path("config.json"))


def test_a_config_that_lacks_a_key_is_refused() -> None:
    config = {key: value for key, value in CONFIG.items() if key != "rms_norm_eps"}
    with pytest.raises(ModelError, match="does not say 'rms_norm_eps'"):
        architecture_of(config, Path("config.json"))


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
