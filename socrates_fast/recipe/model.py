"""Recipe options: prompt, base model and training."""

import re
from typing import Literal

from pydantic import Field, field_validator

from socrates_fast.recipe.section import PERSONA_FIELDS, SYSTEM, TINY, Order, Section


class PromptOptions(Section):
    """What the model is shown."""

    system: str = SYSTEM
    """System line; "" for none."""
    order: Order = "persona_first"
    """Persona first (as published), or stimulus first (shares far more when scoring)."""
    fields: tuple[str, ...] = PERSONA_FIELDS
    """Persona fields shown, in this order."""
    reasoning: bool = False
    """The model reasons before it answers: trained on ``data.reasoning``'s column, asked by drawing a reasoning first."""


class Model(Section):
    """The base model."""

    base: str = TINY
    """``tiny`` (built in), a folder, or a Hugging Face id."""
    revision: str | None = None
    """Commit of the Hugging Face id; needed for an id, so that a run can be repeated."""
    max_length: int = Field(1024, ge=16)
    """Longest sequence, in tokens; a longer training row is an error, never cut."""
    load_in_4bit: bool = True
    """Quantise the base to NF4 for training (QLoRA)."""

    @field_validator("revision")
    @classmethod
    def _a_commit(cls, given: str | None) -> str | None:
        if given is not None and not re.fullmatch(r"[0-9a-f]{40}", given):
            raise ValueError(
                "a commit of 40 hexadecimal digits (the model's page, Files, History), no branch: those move"
            )
        return given


class Lora(Section):
    """The adapter."""

    r: int = Field(16, ge=1)
    """Rank."""
    alpha: int = Field(32, ge=1)
    """Scale is alpha/r, or alpha/sqrt(r) with ``rslora``."""
    dropout: float = Field(0.0, ge=0, lt=1)
    """Dropout of the adapter's input; anything but 0 leaves Unsloth's fused path."""
    rslora: bool = False
    """Rank-stabilised scale."""
    targets: tuple[str, ...] = (
        "q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj",
    )  # fmt: skip
    """Names of the linear layers that get an adapter."""


class Soft(Section):
    """``train.objective: soft``."""

    smoothing: float = Field(1.0, ge=0)
    """Answers added to each cell's, spread evenly over its scale, so that none is impossible."""
    own: float = Field(0.0, ge=0, lt=1)
    """Share of the target that stays the person's own answer; the rest is its cell's distribution."""


class Dpo(Section):
    """``train.objective: dpo``."""

    beta: float = Field(0.1, gt=0)
    """How fast a drift from the adapter that training begins with costs more than preferences gain."""
    same_stimulus: bool = False
    """Only pairs whose rejected answer is to the very same text."""


class Train(Section):
    """Training."""

    objective: Literal["answer", "soft", "dpo"] = "answer"
    """``answer``: the answer that the person gave; ``soft``: the distribution of answers in its cell; ``dpo``: which of two answers the person gave."""
    adapter: str | None = None
    """Adapter to go on from, a run's folder or its ``adapter``; null begins a new one. ``dpo`` needs one."""
    backend: Literal["unsloth", "transformers"] = "unsloth"
    """``unsloth``: fused kernels; ``transformers``: plain Transformers, PEFT and bitsandbytes, for models it does not know."""
    epochs: float = Field(1.0, gt=0)
    """Passes over the training rows."""
    max_steps: int | None = Field(None, ge=1)
    """Optimiser steps; null lets ``epochs`` decide."""
    batch_size: int = Field(8, ge=1)
    """Rows per device and forward pass."""
    accumulation: int = Field(1, ge=1)
    """Forward passes per optimiser step."""
    learning_rate: float = Field(1e-4, gt=0)
    """Peak learning rate."""
    schedule: Literal["cosine", "linear", "constant"] = "cosine"
    """Learning-rate schedule after warm-up."""
    warmup: float = Field(0.05, ge=0, lt=1)
    """Share of the steps that warm up."""
    weight_decay: float = Field(0.01, ge=0)
    """AdamW's weight decay."""
    max_grad_norm: float = Field(1.0, gt=0)
    """Gradients are clipped to this norm."""
    optimizer: Literal["adamw_torch", "adamw_8bit"] = "adamw_torch"
    """AdamW in full precision or with 8-bit states (GPU)."""
    precision: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    """Compute type; ``auto``: bfloat16 where the device has it, else float16 on a GPU and float32 on a CPU."""
    gradient_checkpointing: bool = False
    """Recompute activations in the backward pass: less memory, about a third slower."""
    sharding: Literal["none", "fsdp2"] = "none"
    """Over several GPUs: ``none``, each holds the base (DDP); ``fsdp2``, each holds a part, for a base too large for one (unsloth)."""
    packing: bool = False
    """Several rows per sequence (GPU with FlashAttention only; Unsloth switches it off on a CPU)."""
    group_by_length: bool = True
    """Batches of rows of like length, so that little is padding."""
    eval_steps: int = Field(50, ge=1)
    """Optimiser steps between validation losses."""
    eval_rows: int | None = Field(2000, ge=1)
    """Most validation rows (chosen by hash) that a validation loss is over; null takes all, which costs a pass over them."""
    save_steps: int = Field(50, ge=1)
    """Optimiser steps between checkpoints."""
    save_minutes: float | None = Field(30, gt=0)
    """Minutes after which a checkpoint is written in any case; null: only by steps."""
    report_to: tuple[Literal["tensorboard", "wandb", "mlflow", "trackio"], ...] = ()
    """Trackers that are told of every step, besides ``log.jsonl``; none by default."""
    seed: int = 3407
    """Seed of adapter, order and dropout."""
    lora: Lora = Lora()
    """The adapter."""
    soft: Soft = Soft()
    """How ``soft`` makes its targets."""
    dpo: Dpo = Dpo()
    """How ``dpo`` weighs its pairs."""
