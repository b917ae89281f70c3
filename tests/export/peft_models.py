"""Adapters as PEFT writes them, with everything that it trains moved away from where it began; and their logits."""

import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from socrates_export.child import run_task

Logits = NDArray[np.float32]

IDS = [1, 17, 300, 5, 3, 42, 511, 77, 3, 250, 8, 9]
"""A prompt."""


def load(base: Path) -> Any:
    """The base in float32."""
    import torch
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32, attn_implementation="eager")


def write_adapter(
    folder: Path, base: Path, prepare: Callable[[Any], Any] = lambda model: model, **arguments: Any
) -> Path:
    """Write an adapter of ``base``; ``arguments`` are those of PEFT's LoraConfig."""
    import torch
    from peft import LoraConfig, get_peft_model

    config = {"r": 4, "lora_alpha": 6, "target_modules": ["q_proj", "v_proj", "down_proj"], **arguments}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PEFT's advice on tied weights and biases
        torch.manual_seed(7)
        adapted = get_peft_model(prepare(load(base)), LoraConfig(**config))
        with torch.no_grad():
            for parameter in adapted.parameters():
                if parameter.requires_grad:
                    parameter.add_(0.05 * torch.randn_like(parameter))
        adapted.save_pretrained(folder)
    return folder


def peft_logits(base: Path, adapter: Path | None, ids: list[int] = IDS, merged: bool = False) -> Logits:
    """Logits after each of ``ids`` by Transformers and PEFT in float32, the adapter applied or merged."""
    import torch
    from peft import PeftModel

    model = load(base)
    if adapter is not None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model = PeftModel.from_pretrained(model, adapter)
            model = model.merge_and_unload() if merged else model
    with torch.inference_mode():
        found: Logits = model.eval()(torch.tensor([ids])).logits[0].numpy()
    return found


def llama_logits(gguf: Path, ids: list[int] = IDS, lora: Path | None = None) -> Logits:
    """Logits after each of ``ids`` by llama.cpp, its keys, values and attention in float32."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "logits.npz"
        arguments = {"model": str(gguf), "sequences": [ids], "positions": [list(range(len(ids)))]}
        extra = {"lora": str(lora)} if lora else {}
        run_task("logits", {**arguments, **extra, "out": str(out)}, f"computing the logits of {gguf.name}")
        with np.load(out) as arrays:
            found: Logits = arrays["0"]
    return found
