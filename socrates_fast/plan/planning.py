"""A plan: one recipe on one card, all of its figures."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from socrates_fast.errors import RecipeError
from socrates_fast.plan.changes import Change, changes, verdict, with_train
from socrates_fast.plan.disk import Disk, disk_of
from socrates_fast.plan.gpus import GPUS, Gpu, checked_price, gpu_of
from socrates_fast.plan.limits import card_notes, faults, notes, pin_notes
from socrates_fast.plan.memory import Memory, memory_of
from socrates_fast.plan.ranges import Range, fixed, gib_text, hours_text, rounded
from socrates_fast.plan.rows import Rows, rows_of
from socrates_fast.plan.shapes import Shape, shape_of
from socrates_fast.plan.speed import (
    START,
    Schedule,
    batch_seconds,
    flops_per_token,
    is_fused,
    schedule,
    training_work,
    validation_work,
)
from socrates_fast.recipe import Recipe

UNFIT = "not as it is"
"""Verdict on a card that lacks what the recipe asks for (bfloat16, FlashAttention 2)."""
SCALING = Range(0.75, 0.97)
"""Share of N times one GPU's speed that N GPUs of one machine reach. Assumed: they wait for the longest rows of a step, and
exchange the adapter's gradients only, which is 1% of a model's."""
LARGE_SHARE = 0.1
"""Share of the time from which validation is worth a word."""


@dataclass(frozen=True)
class Time:
    """Hours of training on a card.

    Attributes:
        training: forward and backward passes.
        validation: of the validation rows, every ``train.eval_steps`` steps.
        tokens_per_second: of rows, padding not counted, while training.
        flops: operations of training and validation.
    """

    training: Range
    validation: Range
    tokens_per_second: Range
    flops: float

    @property
    def hours(self) -> Range:
        """All of it, and the start."""
        return START + self.training + self.validation


@dataclass(frozen=True)
class Plan:
    """What a recipe takes on a card.

    Attributes:
        recipe: what is planned.
        gpu: key of the card.
        shape: the model.
        rows: what is read.
        schedule: how often.
        time: how long.
        memory: the card's.
        disk: bytes downloaded and written.
        changes: what to change if it does not fit.
        notes: what else to know.
        usd_per_hour: price; None where none was given.
        gpus: how many such cards train together, each with a copy of the base.
    """

    recipe: Recipe
    gpu: str
    shape: Shape
    rows: Rows
    schedule: Schedule
    time: Time
    memory: Memory
    disk: Disk
    changes: list[Change]
    notes: list[str]
    usd_per_hour: float | None
    gpus: int = 1

    @property
    def card(self) -> Gpu:
        """The card."""
        return GPUS[self.gpu]

    @property
    def trainable(self) -> int:
        """Parameters that are trained."""
        return self.shape.adapter(self.recipe.train.lora.r, self.recipe.train.lora.targets)

    @property
    def verdict(self) -> str:
        """Whether it fits; see ``changes.verdict``."""
        return verdict(self.memory.peak, self.card)

    @property
    def dollars(self) -> Range | None:
        """Price of the hours."""
        return None if self.usd_per_hour is None else self.time.hours * self.usd_per_hour


def make_plan(
    recipe: Recipe,
    gpu: str,
    usd_per_hour: float | None = None,
    prepared: Path | None = None,
    gpus: int = 1,
) -> Plan:
    """Plan a recipe on a card.

    Args:
        recipe: what to plan.
        gpu: name of a card of the table.
        usd_per_hour: price of the machine, in dollars, with all of its GPUs.
        prepared: folder that ``data prepare`` wrote, to count instead of estimating.
        gpus: cards that train together; a step then takes rows of all of them, and there are fewer steps.

    Raises:
        RecipeError: unknown card, a negative price, a limit of the model.
        ModelError: the model's shape is not known.
        DataError: the prepared folder or the recipe's file cannot be read.
    """
    name = gpu_of(gpu)
    checked_price(usd_per_hour)
    shape = shape_of(recipe.model)
    wrong = list(faults(recipe, shape))
    if wrong:
        raise RecipeError("\n".join(wrong))
    rows = rows_of(recipe, prepared)
    times, card = schedule(recipe, rows, gpus), GPUS[name]
    time = time_of(shape, recipe, rows, times, card, gpus)
    said = [
        *_gpus_note(gpus),
        *pin_notes(recipe),
        *card_notes(recipe, card),
        *notes(recipe),
        *_validation_note(recipe, time),
    ]
    plan = Plan(recipe, name, shape, rows, times, time, memory_of(shape, recipe, rows), disk_of(shape, recipe, rows),
                changes(shape, recipe, rows, card), said, usd_per_hour, gpus)  # fmt: skip
    return replace(plan, notes=[*said, *_faster_note(plan)])


def time_of(shape: Shape, recipe: Recipe, rows: Rows, times: Schedule, card: Gpu, gpus: int = 1) -> Time:
    """Hours, speed and operations, of ``gpus`` cards that share the micro-batches."""
    four_bit, fused = recipe.model.load_in_4bit, is_fused(recipe)
    adapter = shape.adapter(recipe.train.lora.r, recipe.train.lora.targets)
    work, checking = training_work(recipe, rows), validation_work(recipe, rows)
    cards = SCALING * gpus if gpus > 1 else fixed(1.0)
    seconds = (times.batches * batch_seconds(shape, card, work, four_bit, fused, adapter)).over(cards)
    checks = (times.validation_batches * batch_seconds(shape, card, checking, four_bit, fused)).over(cards)
    flops = _flops(shape, work.passes, times.batches, work.tokens, work.sequence, adapter)
    flops += _flops(shape, checking.passes, times.validation_batches, checking.tokens, checking.sequence)
    hour = 1 / 3600
    speed = Range(times.tokens.low / max(seconds.low, 1e-9), times.tokens.high / max(seconds.high, 1e-9))
    ordered = Range(min(speed.low, speed.high), max(speed.low, speed.high))
    return Time(seconds * hour, checks * hour, ordered, flops)


def _flops(
    shape: Shape, passes: float, batches: Range, tokens: Range, sequence: Range, adapter: int = 0
) -> float:
    return batches.middle * tokens.middle * flops_per_token(shape, passes, sequence.middle, adapter)


def _gpus_note(gpus: int) -> Iterator[str]:
    """How the speed of several GPUs was had."""
    if gpus > 1:
        reached = (SCALING * 100).text("{:.0f}")
        yield (
            f"{gpus} GPUs are assumed to reach {reached}% of {gpus} times one's speed; a step takes {gpus} times the rows, so "
            "there are fewer: see train.eval_steps, train.save_steps and train.learning_rate"
        )


def _validation_note(recipe: Recipe, time: Time) -> Iterator[str]:
    """A word where validation takes a large part of the time, with what would end it."""
    share = time.validation.middle / max(time.hours.middle, 1e-9)
    if share > LARGE_SHARE:
        steps = recipe.train.eval_steps
        yield (
            f"validation takes about {share:.0%} of the time: raise train.eval_steps ({steps}) or lower "
            f"train.eval_rows ({recipe.train.eval_rows})"
        )


def _faster_note(plan: Plan) -> Iterator[str]:
    """A word where the card has room for what the recipe computes again."""
    if plan.recipe.train.gradient_checkpointing:
        recipe = with_train(plan.recipe, gradient_checkpointing=False)
        peak = memory_of(plan.shape, recipe, plan.rows).peak
        if verdict(peak, plan.card) == "fits":
            hours = time_of(plan.shape, recipe, plan.rows, plan.schedule, plan.card, plan.gpus).hours
            yield (
                f"there is room to recompute nothing: {hours_text(hours)} and {gib_text(peak)} with "
                f"--set train.gradient_checkpointing=false"
            )


def on_each_card(plan: Plan) -> list[tuple[str, str, Range]]:
    """For every card of the table: its key, the verdict on its memory and what it can compute, hours."""
    found = []
    for name, card in GPUS.items():
        unfit = any(card_notes(plan.recipe, card))
        time = time_of(plan.shape, plan.recipe, plan.rows, plan.schedule, card, plan.gpus)
        found.append((name, UNFIT if unfit else verdict(plan.memory.peak, card), time.hours))
    return found


def as_json(plan: Plan) -> dict[str, Any]:
    """All of a plan; sizes in bytes."""
    time, disk, dollars = plan.time, plan.disk, plan.dollars
    return {
        "recipe": plan.recipe.name, "gpu": plan.gpu, "gpus": plan.gpus, "estimate": True,
        "model": {"name": plan.shape.name, "revision": plan.recipe.model.revision, "parameters": plan.shape.parameters,
                  "trainable": plan.trainable, "trainable_share": rounded(plan.trainable / (plan.shape.parameters + plan.trainable))},
        "rows": {"train": plan.rows.train.as_json(6), "validation": plan.rows.validation.as_json(6),
                 "tokens_per_row": plan.rows.tokens.as_json(), "source": plan.rows.source, "counted": plan.rows.counted},
        "training": {"steps": plan.schedule.steps.as_json(), "evaluations": plan.schedule.evaluations.as_json(),
                     "tokens": plan.schedule.tokens.as_json(), "flops": rounded(time.flops),
                     "tokens_per_second": time.tokens_per_second.as_json()},
        "hours": time.hours.as_json(), "hours_of_validation": time.validation.as_json(),
        "usd": dollars.as_json() if dollars else None, "usd_per_hour": plan.usd_per_hour,
        "memory": {"fits": plan.verdict, "available": round(plan.card.memory * 2**30), "peak": plan.memory.peak.as_json(),
                   "parts": {name: part.as_json() for name, part in vars(plan.memory).items()}},
        "disk": {"downloads": _whole(disk.downloads), "written": _whole(disk.written), "needed": round(disk.needed), "gated": disk.gated},
        "changes": [{"settings": list(c.settings), "peak": c.peak.as_json(), "fits": c.fits, "cost": c.cost} for c in plan.changes],
        "notes": plan.notes,
        "each_gpu": {name: {"fits": fits, "hours": hours.as_json()} for name, fits, hours in on_each_card(plan)},
    }  # fmt: skip


def _whole(sizes: dict[str, float]) -> dict[str, int]:
    return {name: round(size) for name, size in sizes.items()}
