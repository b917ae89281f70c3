"""What a recipe asked for, and what is really on: libraries switch things off without asking."""

from typing import Any

from socrates_fast.recipe import Recipe


def switches(recipe: Recipe, trainer: Any) -> dict[str, tuple[str, str]]:
    """By name, what was asked and what is on, in the trainer that is about to run."""
    options, args = recipe.train, trainer.args
    model = trainer.model
    found = {
        "packing": (options.packing, bool(getattr(args, "packing", False))),
        "padding-free": (options.packing, bool(getattr(trainer, "padding_free", False))),
        "optimizer": (options.optimizer, str(getattr(args.optim, "value", args.optim))),
        "precision": (options.precision, _precision(args, model)),
        "4-bit base": (recipe.model.load_in_4bit, _quantised(model)),
        "gradient checkpointing": (options.gradient_checkpointing, _checkpointing(model)),
        "fused kernels": (options.backend == "unsloth", _fused(model)),
    }
    return {name: (_word(asked), _word(on)) for name, (asked, on) in found.items()}


def in_words(found: dict[str, tuple[str, str]]) -> str:
    """One line: what is on, and in brackets what was asked where that is something else."""
    parts = [
        f"{name} {on}" + (f" (asked: {asked})" if asked not in (on, "auto") else "")
        for name, (asked, on) in found.items()
    ]
    return "really on: " + ", ".join(parts)


def _word(value: Any) -> str:
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)


def _precision(args: Any, model: Any) -> str:
    if args.bf16 or args.fp16:
        return "bfloat16" if args.bf16 else "float16"
    return str(model.dtype).removeprefix("torch.")


def _quantised(model: Any) -> bool:
    return any(type(module).__name__ == "Linear4bit" for module in model.modules())


def _checkpointing(model: Any) -> bool:
    return any(getattr(module, "gradient_checkpointing", False) is True for module in model.modules())


def _fused(model: Any) -> bool:
    """Whether attention and MLP run Unsloth's LoRA kernels: they replace the layers' own functions by name."""
    names = ("apply_qkv", "apply_o")
    return any(
        "lora" in getattr(getattr(module, name, None), "__name__", "")
        for module in model.modules()
        for name in names
    )
