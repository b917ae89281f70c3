"""--merge-base nf4: the weights are those that bitsandbytes leaves of a base, in the layers that it quantises."""

import tracemalloc
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from socrates_export.source.merged import open_merged
from socrates_export.source.nf4 import BLOCK, LEVELS, SCALE_LEVELS, RoundTripped, Scales
from socrates_export.source.safetensors import read_header
from socrates_export.write.files import model_metadata, write_files
from tests.export.models import KINDS, write_checkpoint
from tests.export.peft_models import IDS, llama_logits, load, write_adapter

Factory = Callable[..., Path]
SHAPES = [(128, 128), (48, 80), (33, 97), (640, 256), (3, 10), (70, 4), (1, 64)]
PRECISIONS = ["float32", "bfloat16", "float16"]


def random(shape: tuple[int, ...], dtype: str = "float32", seed: int = 1) -> Any:
    import torch

    return (torch.randn(shape, generator=torch.Generator().manual_seed(seed)) * 0.05).to(
        getattr(torch, dtype)
    )


def stored(folder: Path, tensor: Any, precision: str = "float32") -> RoundTripped:
    from safetensors.torch import save_file

    save_file({"x": tensor}, folder / "x.safetensors")
    return RoundTripped(read_header(folder / "x.safetensors")["x"], precision)


def exactly(tensor: Any) -> Any:
    """bitsandbytes' round trip, with the search for scales that its CUDA kernel makes.

    Its CPU kernel looks the nearest level up in a table of 65536 values, which is a level off now and then; given
    float64 it searches.
    """
    import torch
    from bitsandbytes.functional import create_dynamic_map

    ops, levels = torch.ops.bitsandbytes, create_dynamic_map()
    packed, largest = ops.quantize_4bit.default(tensor, 64, "nf4", torch.uint8)
    mean = largest.mean()
    codes, outer = ops.quantize_blockwise.default((largest - mean).double(), levels, 256)
    scales = ops.dequantize_blockwise.default(codes, outer, levels, 256, torch.float32) + mean
    return ops.dequantize_4bit.default(packed, scales, 64, "nf4", tensor.shape, tensor.dtype)


def test_levels_are_those_of_bitsandbytes() -> None:
    from bitsandbytes.functional import create_dynamic_map, get_4bit_type

    np.testing.assert_array_equal(LEVELS, get_4bit_type("nf4", device="cpu").numpy())
    np.testing.assert_array_equal(SCALE_LEVELS, create_dynamic_map().numpy())


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("dtype", PRECISIONS)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_rows_are_what_bitsandbytes_leaves(
    tmp_path: Path, shape: tuple[int, int], dtype: str, precision: str
) -> None:
    import torch

    tensor = random(shape, dtype)
    expected = exactly(tensor.to(getattr(torch, precision))).float().numpy()
    found = stored(tmp_path, tensor, precision).rows(0, shape[0])
    # torch adds up the mean of the scales in another order: its last bit may differ, and a rounding with it.
    step = {"float32": 6e-7, "bfloat16": 2.0**-8, "float16": 2.0**-10}[precision]
    np.testing.assert_allclose(found, expected, rtol=step, atol=1e-9)
    assert np.mean(found != expected) < (1 if precision == "float32" else 0.01)


def test_the_cpu_kernel_is_at_most_one_level_of_a_scale_away(tmp_path: Path) -> None:
    from bitsandbytes.functional import dequantize_4bit, quantize_4bit

    tensor = random((2048, 512))
    packed, state = quantize_4bit(tensor, blocksize=64, compress_statistics=True, quant_type="nf4")
    kernel = dequantize_4bit(packed, state).numpy().reshape(-1, BLOCK)
    ours = stored(tmp_path, tensor).rows(0, 2048).reshape(-1, BLOCK)
    theirs = state.absmax.numpy().astype(int)
    scales = Scales.of(tensor.view(-1, BLOCK).abs().max(dim=1).values.numpy())
    off = np.abs(theirs - scales.codes)
    assert off.max() <= 1 and 0 < off.mean() < 0.003
    np.testing.assert_allclose(ours[off == 0], kernel[off == 0], rtol=6e-7, atol=1e-9)


@pytest.mark.gpu
@pytest.mark.parametrize("precision", PRECISIONS)
def test_the_cuda_kernel(tmp_path: Path, precision: str) -> None:
    import torch
    from bitsandbytes.functional import dequantize_4bit, quantize_4bit

    tensor = random((2048, 512), precision).cuda()
    packed, state = quantize_4bit(tensor, blocksize=64, compress_statistics=True, quant_type="nf4")
    expected = dequantize_4bit(packed, state).float().cpu().numpy()
    found = stored(tmp_path, tensor.cpu(), precision).rows(0, 2048)
    assert torch.cuda.is_available()
    np.testing.assert_allclose(found, expected, rtol=2.0**-8 if precision != "float32" else 6e-7, atol=1e-9)


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 40), st.integers(1, 200), st.lists(st.integers(0, 40), max_size=5))
def test_any_cutting_into_slabs_gives_the_same_rows(
    tmp_path_factory: pytest.TempPathFactory, rows: int, width: int, cuts: list[int]
) -> None:
    tensor = stored(tmp_path_factory.mktemp("x"), random((rows, width)))
    places = sorted({0, rows, *(cut % rows for cut in cuts)})
    pieces = [tensor.rows(*pair) for pair in pairwise(places)]
    np.testing.assert_array_equal(np.concatenate(pieces), tensor.rows(0, rows))


def test_zeros_stay_zero(tmp_path: Path) -> None:
    tensor = random((8, 128))
    tensor[2:4] = 0
    found = stored(tmp_path, tensor).rows(0, 8)
    assert not found[2:4].any() and found[4:].any(axis=1).all()


def test_a_scale_costs_a_byte_a_block_and_reading_a_slab(tmp_path: Path) -> None:
    tensor = stored(tmp_path, random((8192, 1024)))  # 32 MiB
    tracemalloc.start()
    try:
        tensor.rows(0, 64)
        kept, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert kept < 8192 * 1024 // BLOCK * 1.2 and peak < 16 * 2**20


def four_bit(base: Path, **config: Any) -> Any:
    """The base as Transformers loads it for QLoRA, on the CPU."""
    import torch
    from transformers import AutoModelForCausalLM, BitsAndBytesConfig

    quantisation = BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=torch.float32,
        **config,
    )
    model = AutoModelForCausalLM.from_pretrained(
        base, dtype=torch.float32, quantization_config=quantisation, device_map="cpu"
    )
    for module in model.modules():
        if hasattr(module, "support_avx512bf16_for_cpu"):
            module.support_avx512bf16_for_cpu = False  # as Unsloth does: that kernel computes in bfloat16
    return model


@pytest.mark.parametrize("skipped", ["by Transformers", "by Unsloth"])
@pytest.mark.parametrize("kind", ["qwen2", "qwen2-old-tied", "llama3", "gemma3", "gemma2", "phi3"])
def test_the_layers_are_those_that_bitsandbytes_quantises(kind: str, skipped: str, tmp_path: Path) -> None:
    from bitsandbytes.nn import Linear4bit

    write_checkpoint(tmp_path, KINDS[kind])
    config = {"llm_int8_skip_modules": ["lm_head", "mlp.gate", "router"]} if skipped == "by Unsloth" else {}
    modules = four_bit(tmp_path, **config).named_modules()
    expected = {f"{name}.weight" for name, module in modules if isinstance(module, Linear4bit)}
    tensors = open_merged(tmp_path, None, "nf4").tensors.items()
    assert (
        expected and {name for name, tensor in tensors if isinstance(tensor.source, RoundTripped)} == expected
    )


@pytest.fixture(scope="module")
def base(make_base: Factory) -> Path:
    return make_base(hidden_size=64, intermediate_size=128)


@pytest.mark.parametrize("arguments", [{}, {"use_dora": True}], ids=["lora", "dora"])
def test_the_file_computes_what_was_trained(base: Path, tmp_path: Path, arguments: dict[str, Any]) -> None:
    """The reference is the 4-bit model with the adapter on it, as QLoRA computes it."""
    import torch
    from peft import PeftModel

    adapter = write_adapter(tmp_path / "adapter", base, **arguments)
    with torch.inference_mode():
        trained = (
            PeftModel.from_pretrained(four_bit(base), adapter).eval()(torch.tensor([IDS])).logits[0].numpy()
        )
    errors = {}
    for merge_base in ("nf4", "original"):
        model, path = open_merged(base, adapter, merge_base), tmp_path / f"{merge_base}.gguf"
        write_files(model, model_metadata(model, "x"), {"f32": path})
        errors[merge_base] = np.mean((llama_logits(path) - trained) ** 2) / np.mean(trained**2)
    # The CPU kernel's table is all that is left.
    assert errors["nf4"] < 2e-5 and errors["original"] > 1e-3


def test_what_was_trained_in_full_is_not_quantised(base: Path, tmp_path: Path) -> None:
    adapter = write_adapter(tmp_path / "adapter", base, modules_to_save=["o_proj", "lm_head"])
    plain, nf4 = (open_merged(base, adapter, kind).tensors for kind in ("original", "nf4"))
    changed = {name for name, tensor in nf4.items() if isinstance(tensor.source, RoundTripped)}
    assert len(changed) == 2 * 6 and not any("o_proj" in name or "lm_head" in name for name in changed)
    for name in plain.keys() - changed:
        count = plain[name].shape[0]
        np.testing.assert_array_equal(nf4[name].rows(0, count), plain[name].rows(0, count))


def test_the_base_alone_is_what_training_started_from(base: Path) -> None:
    from bitsandbytes.functional import dequantize_4bit

    model = open_merged(base, None, "nf4")
    for name, module in four_bit(base).named_modules():
        if hasattr(module, "weight") and hasattr(module.weight, "quant_state"):
            expected = dequantize_4bit(module.weight.data, module.weight.quant_state).numpy()
            found = model.tensors[f"{name}.weight"].rows(0, len(expected))
            original = load_tensor(base, f"{name}.weight")
            assert np.mean((found - expected) ** 2) < 1e-4 * np.mean((found - original) ** 2)


def load_tensor(base: Path, name: str) -> Any:
    return load(base).get_parameter(name).detach().numpy()
