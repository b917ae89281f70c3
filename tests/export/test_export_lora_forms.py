"""Every form of LoRA that PEFT can merge: the exported model computes what PEFT's trained model computes.

The reference is the adapter applied, not merged: on tied models PEFT's merge_and_unload is another model.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gguf import GGUFReader
from hypothesis import given, settings
from hypothesis import strategies as st

from socrates_export.proof.reference import reference
from socrates_export.source.lora import WEIGHTS, load_adapter
from socrates_export.source.merged import open_merged
from socrates_export.source.safetensors import read_header
from socrates_fast.errors import ModelError
from tests.export.conftest import EVERY_LINEAR, write_model
from tests.export.models import KINDS, write_checkpoint
from tests.export.peft_models import IDS, llama_logits, load, peft_logits, write_adapter

Factory = Callable[..., Path]
FEW = ["q_proj", "v_proj", "down_proj"]
PATTERNS: dict[str, Any] = {
    "rank_pattern": {"q_proj": 3, "layers.1.mlp.down_proj": 5},
    "alpha_pattern": {r"model\.layers\.0\.mlp\.(up|down)_proj": 40, "v_proj": 1.5},
}

FORMS: dict[str, dict[str, Any]] = {
    "plain": {"target_modules": EVERY_LINEAR},
    "rslora-patterns": {"use_rslora": True, **PATTERNS},
    "some-layers": {"layers_to_transform": 1},
    "mica": {"init_lora_weights": "mica"},
    "dora": {"use_dora": True, **PATTERNS},
    "lora-bias": {"target_modules": ["q_proj", "v_proj"], "lora_bias": True, "use_rslora": True},
    "bias-all": {"bias": "all"},
    "bias-lora-only": {"bias": "lora_only"},
    "both-biases": {"target_modules": ["q_proj"], "lora_bias": True, "bias": "all"},
    "saved-modules": {"modules_to_save": ["norm", "o_proj", "k_proj"]},
    "saved-target": {"modules_to_save": ["q_proj"]},
}
"""LoraConfig's arguments where the output matrix is as it was."""

EMBEDDING_FORMS: dict[str, tuple[dict[str, Any], bool]] = {
    "embedding": ({"target_modules": [*FEW, "embed_tokens"]}, True),
    "output": ({"target_modules": [*FEW, "lm_head"]}, True),
    "both": ({"target_modules": [*FEW, "embed_tokens", "lm_head"]}, True),
    "both-tied": ({"target_modules": [*FEW, "embed_tokens"], "ensure_weight_tying": True}, False),
    "dora-embedding": ({"target_modules": [*FEW, "embed_tokens"], "use_dora": True}, True),
    "dora-both": ({"target_modules": [*FEW, "embed_tokens", "lm_head"], "use_dora": True}, True),
    "dora-both-tied": (
        {"target_modules": [*FEW, "embed_tokens"], "use_dora": True, "ensure_weight_tying": True},
        True,
    ),
    "saved-embedding": ({"modules_to_save": ["embed_tokens"]}, True),
    "saved-output": ({"modules_to_save": ["lm_head"]}, True),
    "saved-both": ({"modules_to_save": ["embed_tokens", "lm_head"]}, True),
    "saved-both-tied": (
        {"modules_to_save": ["embed_tokens", "lm_head"], "ensure_weight_tying": True},
        False,
    ),
    "saved-output-embedding": (
        {"target_modules": [*FEW, "embed_tokens"], "modules_to_save": ["lm_head"]},
        True,
    ),
    "tokens": ({"trainable_token_indices": [3, 300, 5]}, False),
    "tokens-of-both": ({"trainable_token_indices": {"embed_tokens": [3, 300], "lm_head": [3, 8]}}, True),
    "same-tokens": ({"trainable_token_indices": {"embed_tokens": [3, 300], "lm_head": [3, 300]}}, False),
    "tokens-of-output": ({"trainable_token_indices": {"lm_head": [3, 8]}}, True),
}
"""LoraConfig's arguments, and whether they make the output matrix of a tied model another than its embedding."""


@pytest.fixture(scope="module")
def bases(make_base: Factory) -> dict[bool, Path]:
    sizes = {"hidden_size": 32, "intermediate_size": 48}
    return {tied: make_base(tied=tied, dtype="float32", **sizes) for tied in (True, False)}


def check(base: Path, adapter: Path, folder: Path) -> set[str]:
    """The GGUF's logits are the trained model's; the names of its tensors."""
    gguf = folder / "merged.gguf"
    write_model(gguf, base, adapter, "f32")
    trained = peft_logits(base, adapter)
    assert np.abs(trained - peft_logits(base, None)).max() > 0.1
    np.testing.assert_allclose(llama_logits(gguf), trained, rtol=0, atol=1e-5)
    return {tensor.name for tensor in GGUFReader(gguf).tensors}


@pytest.mark.parametrize("form", FORMS)
def test_the_exported_model_is_the_trained_one(form: str, bases: dict[bool, Path], tmp_path: Path) -> None:
    base = bases[form in ("plain", "dora")]
    adapter = write_adapter(tmp_path / "adapter", base, **FORMS[form])
    assert ("output.weight" in check(base, adapter, tmp_path)) == (base == bases[False])
    # Where nothing is tied, PEFT's own merge is the same model too.
    np.testing.assert_allclose(
        peft_logits(base, adapter), peft_logits(base, adapter, merged=True), rtol=0, atol=1e-5
    )


@pytest.mark.parametrize("tied", [True, False], ids=["tied", "untied"])
@pytest.mark.parametrize("form", EMBEDDING_FORMS)
def test_embeddings_and_output_matrices(
    form: str, tied: bool, bases: dict[bool, Path], tmp_path: Path
) -> None:
    arguments, parts = EMBEDDING_FORMS[form]
    adapter = write_adapter(tmp_path / "adapter", bases[tied], **arguments)
    assert ("output.weight" in check(bases[tied], adapter, tmp_path)) == (parts or not tied)
    assert open_merged(bases[tied], adapter).config["tie_word_embeddings"] == (tied and not parts)


def slabs_of(base: Path, adapter: Path | None, cuts: list[int] | None = None) -> dict[str, Any]:
    """Every tensor as written, read in one piece or cut at ``cuts``."""
    model = open_merged(base, adapter)
    tensors = {}
    for spec in model.specs:
        places = sorted({0, spec.shape[0], *(cut % spec.shape[0] for cut in cuts or ())})
        pieces = [model.slab(spec, *pair) for pair in pairwise(places)]
        tensors[spec.target] = np.concatenate(pieces)
    return tensors


@pytest.fixture(scope="module")
def everything(bases: dict[bool, Path], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """An adapter of each kind of edit, of the tied base."""
    folder = tmp_path_factory.mktemp("everything")
    kinds = {
        "dora": EMBEDDING_FORMS["dora-both"][0],
        "bias": FORMS["both-biases"],
        "tokens": EMBEDDING_FORMS["tokens"][0],
    }
    return {kind: write_adapter(folder / kind, bases[True], **arguments) for kind, arguments in kinds.items()}


@given(
    st.sampled_from(["dora", "bias", "tokens"]),
    st.lists(st.integers(0, 511) | st.sampled_from([3, 5, 6, 300]), max_size=6),
)
@settings(max_examples=40, deadline=None)
def test_any_cutting_into_slabs_gives_the_same_rows(
    bases: dict[bool, Path], everything: dict[str, Path], kind: str, cuts: list[int]
) -> None:
    whole, cut = (slabs_of(bases[True], everything[kind], at) for at in (None, cuts))
    for name, rows in whole.items():
        # Matrix products of other sizes may add in another order.
        np.testing.assert_allclose(cut[name], rows, rtol=2e-6, atol=1e-7)


def test_slabs_may_be_asked_for_by_many_threads(bases: dict[bool, Path], everything: dict[str, Path]) -> None:
    model = open_merged(bases[True], everything["dora"])
    alone = open_merged(bases[True], everything["dora"])
    asked = [
        (spec, row, min(row + 8, spec.shape[0])) for spec in model.specs for row in range(0, spec.shape[0], 8)
    ]
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda each: model.slab(*each), asked))
    for each, rows in zip(asked, found, strict=True):
        np.testing.assert_array_equal(rows, alone.slab(*each))


@pytest.mark.parametrize(
    "kind", ["llama3", "mistral", "qwen3", "gemma3", "gemma2", "phi3", "llama-biases-linear"]
)
def test_every_architecture_merges_before_it_transforms(kind: str, tmp_path: Path) -> None:
    from peft import PeftModel

    write_checkpoint(tmp_path / "base", KINDS[kind])
    arguments: dict[str, Any] = {
        "target_modules": "all-linear",
        "use_dora": True,
        "modules_to_save": ["input_layernorm"],
    }
    adapter = write_adapter(tmp_path / "adapter", tmp_path / "base", **arguments)
    merged = PeftModel.from_pretrained(load(tmp_path / "base"), adapter).merge_and_unload().state_dict()
    model = open_merged(tmp_path / "base", adapter)
    for spec in model.specs:
        if spec.values is None:
            expected = model.base.architecture.transform(spec, merged[spec.source].numpy()[: spec.shape[0]])
            found = model.slab(spec, 0, spec.shape[0])
            np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6, err_msg=spec.source)


def test_a_converted_pissa_adapter_is_a_plain_one(bases: dict[bool, Path], tmp_path: Path) -> None:
    import torch
    from peft import LoraConfig, get_peft_model

    adapted = get_peft_model(
        load(bases[False]), LoraConfig(r=4, init_lora_weights="pissa", target_modules=FEW)
    )
    adapted.peft_config["default"].init_lora_weights = True
    adapted.save_pretrained(tmp_path / "first")
    adapted.peft_config["default"].init_lora_weights = "pissa"
    adapted.save_pretrained(tmp_path / "unconverted")
    torch.manual_seed(3)
    with torch.no_grad():
        for parameter in adapted.parameters():
            if parameter.requires_grad:
                parameter.add_(0.05 * torch.randn_like(parameter))
        trained = adapted.eval()(torch.tensor([IDS])).logits[0].numpy()
    with pytest.raises(
        ModelError, match="init_lora_weights = 'pissa'.*path_initial_model_for_weight_conversion"
    ):
        open_merged(bases[False], tmp_path / "unconverted")
    adapted.save_pretrained(
        tmp_path / "last", path_initial_model_for_weight_conversion=str(tmp_path / "first")
    )
    write_model(tmp_path / "x.gguf", bases[False], tmp_path / "last", "f32")
    np.testing.assert_allclose(llama_logits(tmp_path / "x.gguf"), trained, rtol=0, atol=1e-5)


def _compiled_layers(model: Any) -> Any:
    import torch

    model.model.layers[0] = torch.compile(model.model.layers[0])
    return torch.compile(model)


def test_names_that_compiling_puts_in_between_are_taken_out(bases: dict[bool, Path], tmp_path: Path) -> None:
    arguments = {**FORMS["saved-modules"], "use_dora": True}
    plain = write_adapter(tmp_path / "plain", bases[True], **arguments)
    wrapped = write_adapter(tmp_path / "wrapped", bases[True], _compiled_layers, **arguments)
    first = "base_model.model._orig_mod.model.layers.0._orig_mod.self_attn.q_proj.lora_A.weight"
    assert first in read_header(wrapped / WEIGHTS)
    found = slabs_of(bases[True], wrapped)
    for name, rows in slabs_of(bases[True], plain).items():
        np.testing.assert_array_equal(found[name], rows)


def test_patterns_are_matched_with_the_names_that_peft_matched(
    bases: dict[bool, Path], tmp_path: Path
) -> None:
    patterns = {"layers.0.self_attn.q_proj": 3, "layers.1.self_attn.q_proj": 5}
    folder = write_adapter(tmp_path / "x", bases[True], _compiled_layers, rank_pattern=patterns)
    pairs = load_adapter(folder).pairs
    # The first layer's name had _orig_mod inside when it was wrapped, so PEFT gave it the usual rank.
    ranks = [len(pairs[f"model.layers.{layer}.self_attn.q_proj.weight"].a) for layer in (0, 1)]
    assert ranks == [4, 5]


def gate_reference(base: Path, adapter: Path, out: Path) -> Any:
    question = {"ids": IDS, "positions": list(range(len(IDS))), "nodes": [], "columns": []}
    reference(str(base), str(adapter), [question], str(out))
    with np.load(out) as arrays:
        return arrays["logits-0"]


@pytest.mark.parametrize(
    "form", ["both-biases", "saved-modules", "dora-both", "saved-output", "tokens-of-both"]
)
def test_the_gate_compares_with_the_trained_model(form: str, make_base: Factory, tmp_path: Path) -> None:
    base = make_base(hidden_size=32, intermediate_size=48)  # bfloat16, which the gate keeps its weights in
    arguments = FORMS[form] if form in FORMS else EMBEDDING_FORMS[form][0]
    adapter = write_adapter(tmp_path / "adapter", base, **arguments)
    found = gate_reference(base, adapter, tmp_path / "logits.npz")
    np.testing.assert_allclose(found, peft_logits(base, adapter), rtol=0, atol=1e-5)


def test_the_gate_knows_names_that_compiling_puts_in_between(bases: dict[bool, Path], tmp_path: Path) -> None:
    plain, wrapped = (
        write_adapter(tmp_path / name, bases[False], prepare, modules_to_save=["norm", "lm_head"])
        for name, prepare in (("plain", lambda model: model), ("wrapped", _compiled_layers))
    )
    found = gate_reference(bases[False], wrapped, tmp_path / "logits.npz")
    np.testing.assert_array_equal(found, gate_reference(bases[False], plain, tmp_path / "logits.npz"))
    assert np.abs(found - peft_logits(bases[False], None)).max() > 0.1
