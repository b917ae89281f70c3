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
        {"use_dora": True},
        {"modules_to_save": ["lm_head"]},
        {"bias": "all"},
        {"lora_bias": True},
        {"init_lora_weights": "pissa"},
        {"fan_in_fan_out": True},
        {"trainable_token_indices": [3]},
        {"a_key_of_tomorrow": {"on": True}},
        {"peft_type": "IA3"},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_unsupported_configs_are_refused_by_name(
    adapter: Path, tmp_path: Path, changes: dict[str, Any]
) -> None:
    with pytest.raises(ModelError, match=next(iter(changes))):
        load_adapter(edit_config(adapter, tmp_path / "adapter", **changes))


def test_a_key_of_tomorrow_that_is_off_is_harmless(adapter: Path, tmp_path: Path) -> None:
    folder = edit_config(adapter, tmp_path / "adapter", a_key_of_tomorrow=None, another=False)
    assert load_adapter(folder).pairs


@pytest.mark.parametrize(
    "arguments",
    [{"target_modules": ["embed_tokens"]}, {"use_dora": True}, {"lora_bias": True}],
    ids=["embedding", "dora", "bias"],
)
def test_unsupported_tensors_are_refused_by_name(
    base: Path, make_adapter: Factory, arguments: dict[str, Any]
) -> None:
    folder = make_adapter(base, **arguments)
    config = json.loads((folder / CONFIG).read_text())
    (folder / CONFIG).write_text(json.dumps({**config, "use_dora": False, "lora_bias": False}))
    with pytest.raises(ModelError, match=r"base_model\.model\.model\..* is not supported"):
        load_adapter(folder)


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


def test_an_adapter_of_the_tied_output(base: Path, adapter: Path, tmp_path: Path) -> None:
    from safetensors.numpy import load_file, save_file

    folder = edit_config(adapter, tmp_path / "adapter")
    tensors = load_file(folder / WEIGHTS)
    moved = {
        key.replace("model.layers.0.self_attn.q_proj", "lm_head"): value for key, value in tensors.items()
    }
    save_file(moved, folder / WEIGHTS)
    with pytest.raises(ModelError, match=r"changes lm_head\.weight, which the base does not have \(or ties"):
        open_merged(base, folder)


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
    with pytest.raises(ModelError, match="lora_A without its other half"):
        load_adapter(folder)
