"""Two ways to load a base and give it an adapter: Unsloth, and plain Transformers with PEFT and bitsandbytes.

Everything after that is the same code: the rows, their order, TRL's trainer, the callbacks. Adapters begin with the
same numbers in both, so that their loss curves can be compared.
"""

import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any
from zlib import crc32

from socrates_fast.errors import TrainingError
from socrates_fast.optional import need
from socrates_fast.recipe import Recipe
from socrates_fast.train.config import dtype_of
from socrates_fast.train.distributed import ALONE, World
from socrates_fast.train.start import adapter_folder, go_on_from

Load = Callable[[Recipe, Path], tuple[Any, Any]]
"""Loads a base: the model with a fresh adapter, and its tokenizer."""


def prepare_environment(cache: Path, recipe: Recipe | None = None, world: World = ALONE) -> None:
    """Switch off telemetry and hidden installs, say how to shard; must run before Unsloth is imported.

    Args:
        cache: where Unsloth puts its generated code.
        recipe: says whether the base is sharded over the processes of ``world``.
    """
    os.environ.setdefault("UNSLOTH_COMPILE_LOCATION", str(cache))
    if recipe and recipe.train.sharding == "fsdp2" and world.size > 1:
        os.environ["UNSLOTH_FSDP2"] = "native"
    for name in ("UNSLOTH_DISABLE_STATISTICS", "HF_HUB_DISABLE_TELEMETRY", "DO_NOT_TRACK"):
        os.environ[name] = "1"
    os.environ["UNSLOTH_AUTO_INSTALL"] = "0"
    os.environ["TOKENIZERS_PARALLELISM"] = "false"


def load(recipe: Recipe, base: Path) -> tuple[Any, Any]:
    """The base with a fresh adapter, or the one that the recipe goes on from, and its tokenizer.

    Raises:
        TrainingError: unknown LoRA targets; an adapter that does not fit; or the plain backend where Unsloth has already changed the libraries.
        MissingDependency: the train extra is not installed.
    """
    before = adapter_folder(recipe)
    model, tokenizer = BACKENDS[recipe.train.backend](recipe, base)
    if before:
        go_on_from(model, before)
    else:
        begin_adapter(model, recipe.train.seed)
    return model, tokenizer


def _placement(recipe: Recipe) -> dict[str, Any]:
    """Where a base is loaded: on this process's own GPU, for libraries may spread it over all that they see."""
    import torch

    if not torch.cuda.is_available() or recipe.train.sharding != "none":
        return {}
    return {"device_map": {"": f"cuda:{int(os.environ.get('LOCAL_RANK') or 0)}"}}


def _unsloth(recipe: Recipe, base: Path) -> tuple[Any, Any]:
    """The base in NF4 (or plain) through Unsloth, which has to be imported before trl, transformers and peft."""
    need("unsloth", "training", "train")
    from unsloth import FastLanguageModel

    lora = recipe.train.lora
    checkpointing = "unsloth" if recipe.train.gradient_checkpointing else False
    model, tokenizer = FastLanguageModel.from_pretrained(
        model_name=str(base),
        max_seq_length=recipe.model.max_length,
        dtype=dtype_of(recipe.train.precision),
        load_in_4bit=recipe.model.load_in_4bit,
        **_placement(recipe),
        use_exact_model_name=True,  # else Unsloth may swap the base for a copy of its own
        trust_remote_code=False,
        use_safetensors=True,
        use_gradient_checkpointing=checkpointing,
        random_state=recipe.train.seed,
    )
    try:
        model = FastLanguageModel.get_peft_model(
            model,
            r=lora.r,
            lora_alpha=lora.alpha,
            lora_dropout=lora.dropout,
            use_rslora=lora.rslora,
            target_modules=list(lora.targets),
            bias="none",
            use_gradient_checkpointing=checkpointing,
            random_state=recipe.train.seed,
        )
    except ValueError as error:
        raise TrainingError(f"train.lora.targets {list(lora.targets)}: {error}") from error
    return model, tokenizer


def _transformers(recipe: Recipe, base: Path) -> tuple[Any, Any]:
    """The base in NF4 (or plain) through Transformers, the adapter through PEFT."""
    need("peft", "training", "train")
    import sys

    if "unsloth" in sys.modules:
        raise TrainingError(
            "train.backend is transformers, but Unsloth is imported already and has changed Transformers and TRL in this "
            "process; train in a fresh one"
        )
    import torch
    from peft import LoraConfig, get_peft_model, prepare_model_for_kbit_training
    from transformers import AutoModelForCausalLM, AutoTokenizer, BitsAndBytesConfig

    options, lora = recipe.train, recipe.train.lora
    dtype = dtype_of(options.precision) or (
        torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16
    )
    quantised = BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=dtype,
    )
    model = AutoModelForCausalLM.from_pretrained(
        str(base), dtype=dtype, trust_remote_code=False, use_safetensors=True,
        quantization_config=quantised if recipe.model.load_in_4bit else None,
        **_placement(recipe),
    )  # fmt: skip
    if recipe.model.load_in_4bit:
        model = prepare_model_for_kbit_training(
            model, options.gradient_checkpointing, {"use_reentrant": False}
        )
    elif options.gradient_checkpointing:
        model.enable_input_require_grads()
    config = LoraConfig(
        r=lora.r, lora_alpha=lora.alpha, lora_dropout=lora.dropout, use_rslora=lora.rslora,
        target_modules=list(lora.targets), bias="none", task_type="CAUSAL_LM",
    )  # fmt: skip
    try:
        model = get_peft_model(model, config)
    except ValueError as error:
        raise TrainingError(f"train.lora.targets {list(lora.targets)}: {error}") from error
    return model, AutoTokenizer.from_pretrained(str(base), trust_remote_code=False)


BACKENDS: dict[str, Load] = {"unsloth": _unsloth, "transformers": _transformers}
"""By the recipe's ``train.backend``."""


def begin_adapter(model: Any, seed: int) -> None:
    """Give every LoRA A its first numbers, by seed and name alone, and B zeros: PEFT's own distribution (Kaiming uniform).

    Each library draws them in an order and on a device of its own; drawn here they are the same on all.
    """
    import torch

    for name, parameter in model.named_parameters():
        if "lora_A" in name:
            own = name[name.index("layers.") :] if "layers." in name else name
            generator = torch.Generator().manual_seed(crc32(f"{seed} {own}".encode()))
            bound = math.sqrt(3.0 / parameter.shape[1]) * math.sqrt(
                2.0 / 6.0
            )  # of kaiming_uniform_(a=sqrt(5))
            drawn = torch.empty(parameter.shape).uniform_(-bound, bound, generator=generator)
            parameter.data.copy_(drawn)
        elif "lora_B" in name:
            parameter.data.zero_()
