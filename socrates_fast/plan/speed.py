"""FLOPs and hours of a training, from the shapes and the card.

A micro-batch takes

    FLOPs / (peak * efficiency)  +  passes * dequantisation  +  layers * overhead

- **FLOPs**: 2 per parameter and token forward; LoRA's backward pass needs the gradient of the activations but none of the
  base's weights, so 2 more rather than 4; gradient checkpointing repeats the forward pass: 4 or 6 per parameter and token
  (2 and 4 for full training: Kaplan et al., arXiv 2001.08361; recomputation: Chen et al., arXiv 1604.06174).
- **dequantisation** of NF4: every pass reads half a byte a weight, writes two bytes and reads them again.
- **overhead** of starting kernels, of a fixed size for each layer, whatever the batch: why small models on fast cards all
  train at the same 18,000 to 24,000 tokens a second.
"""

from dataclasses import dataclass
from math import ceil, inf

from socrates_fast.plan.gpus import Gpu
from socrates_fast.plan.ranges import Range, fixed
from socrates_fast.plan.rows import Rows
from socrates_fast.plan.shapes import Shape
from socrates_fast.recipe import Recipe

OVERHEAD = {True: Range(2e-3, 7e-3), False: Range(5e-3, 16e-3)}
"""Seconds of a layer and micro-batch, forward and backward: with Unsloth's fused path, and without (dropout, or plain
Transformers). Fitted to the published runs."""
BYTES_DEQUANTISED = 4.5
PADDING = {"packing": Range(1.0, 1.06), "by length": Range(1.01, 1.10), "at random": Range(1.2, 1.5)}
"""Tokens computed for each token of a row: the unfilled ends of packed sequences, batches of rows of like length, and
batches of rows as they come, padded to their longest."""
START = Range(0.05, 0.25)
"""Hours until the first step at full speed: reading the weights, compiling kernels."""


@dataclass(frozen=True)
class Work:
    """One kind of micro-batch.

    Attributes:
        tokens: computed in it, padding included.
        passes: times that the blocks' matrices are gone through (forward, recomputed, backward).
        sequence: tokens that attend to one another, mean.
    """

    tokens: Range
    passes: float
    sequence: Range


def flops_per_token(shape: Shape, passes: float, sequence: float, adapter: int = 0) -> float:
    """Operations on one token: the matrices, causal attention to ``sequence`` tokens, and the adapter (trained: 6)."""
    attention = 2 * shape.layers * shape.hidden * sequence
    return passes * (2 * shape.multiplied + attention) + 6 * adapter


def batch_seconds(shape: Shape, gpu: Gpu, work: Work, four_bit: bool, fused: bool, adapter: int = 0) -> Range:
    """Seconds of one micro-batch on a card; see this module's docstring."""
    ends = [
        tokens * flops_per_token(shape, work.passes, sequence, adapter)
        for tokens, sequence in zip((work.tokens.low, work.tokens.high), (work.sequence.low, work.sequence.high), strict=True)
    ]  # fmt: skip
    compute = Range(*ends).over(gpu.efficiency * (gpu.teraflops * 1e12))
    dequantised = four_bit * work.passes * shape.linear * BYTES_DEQUANTISED / (gpu.bandwidth * 1e9)
    overhead = OVERHEAD[fused] * (shape.layers * work.passes / 3)
    return compute + Range(dequantised, dequantised * 1.5) + overhead


@dataclass(frozen=True)
class Schedule:
    """How often what is done.

    Attributes:
        steps: optimiser steps.
        batches: micro-batches of training.
        evaluations: of the validation rows.
        validation_batches: micro-batches of all of these together.
        rows: training rows gone through, over all epochs.
        tokens: in them, without padding.
    """

    steps: Range
    batches: Range
    evaluations: Range
    validation_batches: Range
    rows: Range
    tokens: Range


def is_fused(recipe: Recipe) -> bool:
    """Whether Unsloth's fused LoRA path is taken."""
    return getattr(recipe.train, "backend", "unsloth") == "unsloth" and recipe.train.lora.dropout == 0


def arrangement(recipe: Recipe) -> str:
    """How rows are put into batches; a key of ``PADDING``."""
    if recipe.train.packing:
        return "packing"
    return "by length" if recipe.train.group_by_length else "at random"


def sequences_per_row(recipe: Recipe) -> int:
    """Preference pairs are two sequences each."""
    return 2 if recipe.train.objective == "dpo" else 1


def schedule(recipe: Recipe, rows: Rows, gpus: int = 1) -> Schedule:
    """Steps, micro-batches (of all GPUs together) and validations of a training."""
    options = recipe.train
    through = rows.train * options.epochs
    per_batch = Range(options.batch_size, options.batch_size)
    if options.packing:  # a sequence then holds several rows
        per_batch = (fixed(recipe.model.max_length).over(rows.tokens) * options.batch_size).over(
            PADDING["packing"]
        )
    batches = through.over(per_batch)
    steps = batches * (1 / (options.accumulation * gpus))
    if options.max_steps is not None:  # whatever the epochs say, as the trainer takes it
        share = options.max_steps / max(steps.middle, 1.0)
        steps, batches, through = fixed(float(options.max_steps)), batches * share, through * share
    # The trainer's own count, and one evaluation is not made where there are fewer steps than eval_steps.
    evaluations = Range(*(float(ceil(end) // options.eval_steps) for end in (steps.low, steps.high)))
    most = inf if options.eval_rows is None else options.eval_rows
    each = Range(min(rows.validation.low, most), min(rows.validation.high, most)).over(per_batch)
    return Schedule(steps, batches, evaluations, each * evaluations, through, through * rows.tokens)


def training_work(recipe: Recipe, rows: Rows) -> Work:
    """One micro-batch of training."""
    options, many = recipe.train, sequences_per_row(recipe)
    passes = 3.0 if options.gradient_checkpointing else 2.0
    passes += 1.0 if many > 1 else 0.0  # the reference model's forward pass
    if options.packing:
        tokens = fixed(float(recipe.model.max_length * options.batch_size))
    else:
        tokens = rows.tokens * PADDING[arrangement(recipe)] * options.batch_size
    return Work(tokens * many, passes, rows.tokens)


def validation_work(recipe: Recipe, rows: Rows) -> Work:
    """One micro-batch of validation: arranged as in training, forward only."""
    work = training_work(recipe, rows)
    return Work(work.tokens, float(sequences_per_row(recipe) > 1) + 1.0, work.sequence)
