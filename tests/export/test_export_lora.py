"""LoRA adapters: the delta is PEFT's own; what cannot be merged, or belongs elsewhere, is refused by name."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from socrates_export.source.lora import CONFIG, WEIGHTS, load_adapter
from socrates_export.source.merged import open_merged
from socrates_fast.errors import ModelError
from tests.export.models import KINDS, write_checkpoint
from tests.export.peft_models import write_adapter

Factory = Callable[..., Path]


PATTERNS: dict[str, Any] = {
    "use_rslora": True,
    "rank_pattern": {"q_proj": 3, "layers.1.mlp.down_proj": 5},
    "alpha_pattern": {r"model\.layers\.0\.mlp\.(up|gate)_proj": 40},
}


def edit_config(folder: Path, target: Path, **changes: Any) -> Path:
    shutil.copytree(folder, target)
    config = json.loads((target / CONFIG).read_text())
    (target / CONFIG).write_text(json.dumps({**config, **changes}))
    return target


@pytest.mark.parametrize(
    "arguments", [{}, {"use_rslora": True}, PATTERNS], ids=["plain", "rslora", "patterns"]
)
def test_delta_is_that_of_peft(base: Path, make_adapter: Factory, arguments: dict[str, Any]) -> None:
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    folder = make_adapter(base, **arguments)
    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    modules = dict(PeftModel.from_pretrained(model, folder).named_modules())
    pairs = load_adapter(folder).pairs
    assert len(pairs) == 14
    for name, pair in pairs.items():
        module = modules[f"base_model.model.{name.removesuffix('.weight')}"]
        expected = module.get_delta_weight("default").detach().numpy()
        np.testing.assert_allclose(pair.delta(0, pair.shape[0]), expected, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(pair.delta(2, 9), expected[2:9], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    "changes",
    [
        {"init_lora_weights": "olora"},
        {"init_lora_weights": "loftq"},
        {"init_lora_weights": "of tomorrow"},
        {"fan_in_fan_out": True},
        {"bias": "some"},
        {"target_parameters": ["experts.down_proj"]},
        {"layer_replication": [[0, 2]]},
        {"alora_invocation_tokens": [3]},
        {"kasa_config": {"beta": 1e-4}},
        {"use_bdlora": {"nblocks": 2}},
        {"a_key_of_tomorrow": {"on": True}},
        {"peft_type": "IA3"},
        {"r": 0},
        {"r": "8"},
        {"lora_alpha": None},
        {"lora_alpha": float("nan")},
        {"rank_pattern": {"q_proj": 2.5}},
        {"alpha_pattern": [3]},
        {"alpha_pattern": {"q_proj(": 3}},
        {"modules_to_save": "lm_head"},
        {"trainable_token_indices": {"embed_tokens": [-1]}},
    ],
    ids=str,
)
def test_configs_that_cannot_be_merged_are_refused_by_name(
    adapter: Path, tmp_path: Path, changes: dict[str, Any]
) -> None:
    with pytest.raises(ModelError, match=next(iter(changes))):
        load_adapter(edit_config(adapter, tmp_path / "adapter", **changes))


@pytest.mark.parametrize(
    ("start", "remedy"),
    [
        ("pissa", r"save_pretrained\(folder, path_initial_model_for_weight_conversion"),
        ("pissa_niter_16", "path_initial_model_for_weight_conversion"),
        ("corda", "path_initial_model_for_weight_conversion"),
        ("lora_ga", "path_initial_model_for_weight_conversion"),
        ("loftq", "Save that base with save_pretrained"),
    ],
)
def test_what_changes_the_base_is_refused_with_the_remedy(
    adapter: Path, tmp_path: Path, start: str, remedy: str
) -> None:
    with pytest.raises(ModelError, match=f"init_lora_weights = '{start}' cannot be merged: .*{remedy}"):
        load_adapter(edit_config(adapter, tmp_path / "adapter", init_lora_weights=start))


def test_a_key_of_tomorrow_that_is_off_is_harmless(adapter: Path, tmp_path: Path) -> None:
    folder = edit_config(adapter, tmp_path / "adapter", a_key_of_tomorrow=None, another=False)
    assert load_adapter(folder).pairs


def edit_tensors(
    folder: Path, target: Path, edit: Callable[[dict[str, Any]], dict[str, Any]], **changes: Any
) -> Path:
    from safetensors.numpy import load_file, save_file

    edit_config(folder, target, **changes)
    save_file(edit(load_file(folder / WEIGHTS)), target / WEIGHTS)
    return target


@pytest.mark.parametrize(
    "key",
    [
        "base_model.model.model.layers.0.self_attn.q_proj.lora_C.weight",
        "base_model.model.model.layers.0.self_attn.q_proj.lora_A.default.weight",
        "model.layers.0.self_attn.q_proj.lora_A.weight",
        "base_model.model.prompt_embeddings",
    ],
)
def test_tensors_of_unknown_kinds_are_refused_by_name(adapter: Path, tmp_path: Path, key: str) -> None:
    folder = edit_tensors(
        adapter, tmp_path / "x", lambda found: {**found, key: np.zeros((8, 64), np.float32)}
    )
    with pytest.raises(ModelError, match=f"{key} is nothing that the export knows how to merge"):
        load_adapter(folder)


@pytest.mark.parametrize(
    ("key", "again", "wrong"),
    [
        (
            "self_attn.q_proj.lora_magnitude_vector",
            "self_attn.q_proj.lora_magnitude_vector.weight",
            "another name",
        ),
        ("input_layernorm.weight", "input_layernorm.base_layer.weight", "another name"),
        ("input_layernorm.weight", "_orig_mod.input_layernorm.weight", "once as"),
    ],
)
def test_tensors_that_are_there_twice(
    base: Path, make_adapter: Factory, tmp_path: Path, key: str, again: str, wrong: str
) -> None:
    trained = make_adapter(base, use_dora=True, modules_to_save=["input_layernorm"])
    first = "base_model.model.model.layers.0."
    folder = edit_tensors(
        trained, tmp_path / "x", lambda found: {**found, first + again: found[first + key] + 1}
    )
    with pytest.raises(ModelError, match=f"is there twice, .*{wrong}"):
        load_adapter(folder)


@pytest.mark.parametrize(
    ("trained", "said", "wrong"),
    [
        ({"use_dora": True}, {"use_dora": False}, r"q_proj has lora_magnitude_vector, which adapter_config"),
        ({}, {"use_dora": True}, "lora_B.weight without lora_magnitude_vector, which belongs to it"),
        ({"target_modules": ["q_proj"], "lora_bias": True}, {"lora_bias": False}, "has lora_B.bias, which"),
        ({}, {"lora_bias": True}, "without lora_B.bias"),
        ({"trainable_token_indices": [3, 5]}, {"trainable_token_indices": None}, "names no token of"),
        (
            {"trainable_token_indices": [3, 5]},
            {"trainable_token_indices": [3]},
            r"shape \[2, 64\] for 1 tokens",
        ),
        ({"trainable_token_indices": [3]}, {"trainable_token_indices": [512]}, "token 512.* has 512 rows"),
    ],
)
def test_tensors_that_contradict_the_config(
    base: Path,
    make_adapter: Factory,
    tmp_path: Path,
    trained: dict[str, Any],
    said: dict[str, Any],
    wrong: str,
) -> None:
    folder = edit_config(
        make_adapter(base, **{"target_modules": ["q_proj"], **trained}), tmp_path / "x", **said
    )
    with pytest.raises(ModelError, match=wrong):
        open_merged(base, folder)


def test_an_adapter_of_another_width(base: Path, make_base: Factory, make_adapter: Factory) -> None:
    other = make_adapter(make_base(hidden_size=32, intermediate_size=80))
    with pytest.raises(
        ModelError, match=r"adapter of another model: .*_proj\.weight has shape \[\d+, \d+\] in"
    ):
        open_merged(base, other)


def test_an_adapter_of_more_layers(base: Path, make_base: Factory, make_adapter: Factory) -> None:
    other = make_adapter(make_base(num_hidden_layers=3))
    with pytest.raises(ModelError, match=r"adapter of another model.*layers\.2\."):
        open_merged(base, other)


def test_an_adapter_of_fewer_layers(base: Path, make_base: Factory, make_adapter: Factory) -> None:
    other = make_base(num_hidden_layers=3)
    two = make_adapter(base)
    with pytest.raises(ModelError, match="adapter of another model: it has 2 layers, the base has 3"):
        open_merged(other, two)
    assert open_merged(other, make_adapter(other, layers_to_transform=[0, 1]))


def test_a_resized_vocabulary(base: Path, tmp_path: Path) -> None:
    def resized(model: Any) -> Any:
        model.resize_token_embeddings(520, mean_resizing=False)
        return model

    folder = write_adapter(tmp_path / "x", base, resized, modules_to_save=["embed_tokens"])
    with pytest.raises(ModelError, match=r"has 520 rows in the adapter and 512 in the base.*Resize the base"):
        open_merged(base, folder)


def test_a_bias_that_the_base_does_not_have(base: Path, make_adapter: Factory) -> None:
    folder = make_adapter(base, target_modules=["o_proj"], lora_bias=True)
    with pytest.raises(ModelError, match=r"lora_bias trained model\.layers\.0\.self_attn\.o_proj\.bias"):
        open_merged(base, folder)


def test_two_versions_of_a_tied_tensor(base: Path, make_adapter: Factory, tmp_path: Path) -> None:
    def moved(found: dict[str, Any]) -> dict[str, Any]:
        key = "base_model.model.lm_head.base_layer.weight"
        return {**found, key: found[key] + 1}

    trained = make_adapter(base, target_modules=["embed_tokens", "lm_head"])
    with pytest.raises(ModelError, match="are one tied tensor, but are stored as two"):
        open_merged(base, edit_tensors(trained, tmp_path / "x", moved))


def test_tokens_beside_a_trained_output(base: Path, make_adapter: Factory, tmp_path: Path) -> None:
    tokens = make_adapter(base, trainable_token_indices=[3])

    def with_output(found: dict[str, Any]) -> dict[str, Any]:
        return {**found, "base_model.model.lm_head.weight": np.zeros((512, 64), np.float32)}

    folder = edit_tensors(tokens, tmp_path / "x", with_output, modules_to_save=["lm_head"])
    with pytest.raises(ModelError, match="PEFT can compute no such model"):
        open_merged(base, folder)


def test_an_output_that_cannot_be_untied(tmp_path: Path) -> None:
    write_checkpoint(tmp_path / "base", KINDS["gemma2"])
    folder = write_adapter(tmp_path / "x", tmp_path / "base", target_modules=["lm_head"])
    with pytest.raises(ModelError, match="apart, and llama.cpp's gemma2 has no output matrix of its own"):
        open_merged(tmp_path / "base", folder)


def test_weights_to_merge_into_that_do_not_exist(base: Path, adapter: Path) -> None:
    with pytest.raises(ModelError, match="'fp4' weights; choose from original, nf4"):
        open_merged(base, adapter, "fp4")
    with pytest.raises(ModelError, match="cannot be rounded to 'int8'"):
        open_merged(base, adapter, "nf4", "int8")


def test_a_rank_that_is_not_that_of_the_tensors(adapter: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"adapter_config\.json says rank 4, the tensors are A \[8, "):
        load_adapter(edit_config(adapter, tmp_path / "adapter", r=4))


def test_missing_parts(adapter: Path, tmp_path: Path) -> None:
    folder = edit_config(adapter, tmp_path / "adapter")
    (folder / WEIGHTS).unlink()
    with pytest.raises(ModelError, match=f"no {WEIGHTS}"):
        load_adapter(folder)
    with pytest.raises(ModelError, match=f"no {CONFIG}"):
        load_adapter(tmp_path)


def test_half_a_pair(adapter: Path, tmp_path: Path) -> None:
    from safetensors.numpy import load_file, save_file

    folder = edit_config(adapter, tmp_path / "adapter")
    tensors = load_file(folder / WEIGHTS)
    lost = next(key for key in tensors if key.endswith("lora_B.weight"))
    del tensors[lost]
    save_file(tensors, folder / WEIGHTS)
    with pytest.raises(ModelError, match=r"has lora_A\.weight without lora_B\.weight"):
        load_adapter(folder)
