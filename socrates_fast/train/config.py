"""TRL's configuration: every field that matters comes from the recipe, because Unsloth rewrites TRL's defaults."""

from pathlib import Path
from typing import Any

from socrates_fast.recipe import Recipe


def dtype_of(precision: str) -> Any:
    """The torch type of the recipe's precision; None lets Unsloth choose for a GPU."""
    import torch

    if precision == "auto":
        return None if torch.cuda.is_available() else torch.float32
    return getattr(torch, precision)


def mixed_precision(precision: str) -> tuple[bool, bool]:
    """Whether bfloat16 and whether float16 mixed precision is on, on this device."""
    import torch

    gpu = torch.cuda.is_available()
    bfloat16 = precision == "bfloat16" or (precision == "auto" and gpu and torch.cuda.is_bf16_supported())
    return bfloat16, precision == "float16" or (precision == "auto" and gpu and not bfloat16)


def sft_config(recipe: Recipe, checkpoints: Path, validate: bool) -> Any:
    """TRL's ``SFTConfig``; arguments as those of ``arguments``."""
    from trl import SFTConfig

    config = SFTConfig(
        **arguments(recipe, checkpoints, validate),
        packing=recipe.train.packing,
        packing_strategy="bfd",
        padding_free=False,
        completion_only_loss=True,
        assistant_only_loss=False,
        loss_type="nll",
        dataset_num_proc=1,
    )
    return one_device(config)


def dpo_config(recipe: Recipe, checkpoints: Path, validate: bool) -> Any:
    """TRL's ``DPOConfig``; arguments as those of ``arguments``."""
    from trl import DPOConfig

    config = DPOConfig(
        **arguments(recipe, checkpoints, validate),
        beta=recipe.train.dpo.beta,
        loss_type=["sigmoid"],
        label_smoothing=0.0,
        padding_free=False,
        precompute_ref_log_probs=False,
        disable_dropout=True,
    )
    return one_device(config)


def one_device(config: Any) -> Any:
    """``config``, which lets a process use one GPU however many it sees.

    The trainer would copy the model to all of them at every step (``DataParallel``), and take as many times the rows.
    """
    config._n_gpu = min(config.n_gpu, 1)
    return config


def arguments(recipe: Recipe, checkpoints: Path, validate: bool) -> dict[str, Any]:
    """What all trainers are told.

    Args:
        recipe: says everything.
        checkpoints: folder of checkpoints.
        validate: whether there are validation rows.
    """
    import torch

    options = recipe.train
    bfloat16, float16 = mixed_precision(options.precision)
    grouped = options.group_by_length and options.objective != "dpo"  # pairs have no one length
    return {
        "output_dir": str(checkpoints),
        "num_train_epochs": options.epochs,
        "max_steps": options.max_steps or -1,
        "per_device_train_batch_size": options.batch_size,
        "per_device_eval_batch_size": options.batch_size,
        "gradient_accumulation_steps": options.accumulation,
        "learning_rate": options.learning_rate,
        "lr_scheduler_type": options.schedule,
        "warmup_steps": options.warmup,
        "weight_decay": options.weight_decay,
        "max_grad_norm": options.max_grad_norm,
        "optim": options.optimizer,
        "bf16": bfloat16,
        "fp16": float16,
        "use_cpu": not torch.cuda.is_available(),
        "gradient_checkpointing": options.gradient_checkpointing,
        "gradient_checkpointing_kwargs": {"use_reentrant": False} if options.gradient_checkpointing else None,
        "max_length": recipe.model.max_length,
        "dataloader_num_workers": 0,
        "average_tokens_across_devices": True,  # a step's loss is the mean over its tokens, wherever they are
        "train_sampling_strategy": "group_by_length" if grouped else "random",
        "eval_strategy": "steps" if validate else "no",
        "eval_steps": options.eval_steps,
        "save_strategy": "steps",
        "save_steps": options.save_steps,
        "save_total_limit": 2,
        "logging_steps": 1,
        "logging_first_step": True,
        "report_to": list(options.report_to) or "none",
        "logging_nan_inf_filter": False,  # else a loss that is no number is hidden
        "disable_tqdm": True,
        "seed": options.seed,
        "data_seed": options.seed,
        "push_to_hub": False,
    }
