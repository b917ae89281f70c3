"""A plan in words, for a terminal of 80 columns."""

import textwrap
from collections.abc import Iterable

from socrates_fast.plan.gpus import GPUS
from socrates_fast.plan.planning import Plan, on_each_card
from socrates_fast.plan.ranges import Range, gb_text, gib_text, hours_text, rounded

WIDTH, LABEL = 79, 16
PARTS = {
    "weights": "weights", "adapter": "LoRA, gradients", "optimizer": "AdamW's moments", "activations": "activations",
    "logits": "logits", "working": "NF4 unpacked", "context": "CUDA, libraries",
}  # fmt: skip
ESTIMATE = (
    "Every figure is an estimate, from published runs of others and the assumptions in docs/planning.md; none has "
    "been measured on a GPU by this project. Hours are those of training, without export and evaluation."
)


def plan_text(plan: Plan) -> str:
    """All of a plan."""
    blocks = [
        [f"{plan.recipe.name} on {plan.gpus if plan.gpus > 1 else 'one'} {plan.card.name}"], _work(plan), _time(plan), _memory(plan), _disk(plan),
        _changes(plan), _cards(plan), _wrapped("note: ", plan.notes), textwrap.wrap(ESTIMATE, WIDTH),
    ]  # fmt: skip
    return "\n\n".join("\n".join(block) for block in blocks if block)


def _line(label: str, text: str) -> str:
    return textwrap.fill(
        text, WIDTH, initial_indent=f"{label:<{LABEL}} ", subsequent_indent=" " * (LABEL + 1)
    )


def _wrapped(mark: str, texts: Iterable[str]) -> list[str]:
    indent = " " * len(mark)
    return [
        textwrap.fill(text, WIDTH, initial_indent=mark, subsequent_indent=indent, break_on_hyphens=False)
        for text in texts
    ]


def _work(plan: Plan) -> list[str]:
    rows, shape, share = plan.rows, plan.shape, plan.trainable / (plan.shape.parameters + plan.trainable)
    base = "NF4" if plan.recipe.model.load_in_4bit else "16 bit"
    trained = f"{plan.trainable / 1e6:,.3g}M trained ({share:.2%})"
    return [
        _line("model", f"{shape.name}, {short(shape.parameters)} parameters in {base}, {trained}"),
        _line("rows", f"{_count(rows.train, rows.counted)} to train on, {_count(rows.validation, rows.counted)} to validate"),
        _line("", rows.source),
        _line("tokens", f"{rows.tokens.text('{:,.0f}')} a row, {_short_range(plan.schedule.tokens)} in all"),
        _line("steps", f"{plan.schedule.steps.text('{:,.0f}')} of {together(plan)} rows, "
              f"{plan.schedule.evaluations.text('{:,.0f}')} validations"),
        _line("operations", f"about {plan.time.flops:.1e} FLOP"),
    ]  # fmt: skip


def together(plan: Plan) -> str:
    """Rows of an optimiser step, or sequences where several rows are packed into one."""
    train = plan.recipe.train
    count = train.batch_size * train.accumulation * plan.gpus
    if not train.packing:
        return str(count)
    per_step = plan.schedule.rows.middle / max(plan.schedule.steps.middle, 1e-9)
    return f"{count} packed sequences, about {per_step:,.0f}"


def _time(plan: Plan) -> list[str]:
    speed = plan.time.tokens_per_second.text("{:,.0f}")
    lines = [_line("time", f"{hours_text(plan.time.hours)} at {speed} tokens/s")]
    if plan.time.validation.high > 0:
        lines.append(_line("", f"of which validation {hours_text(plan.time.validation)}"))
    if plan.dollars is None:
        lines.append(_line("price", "give --usd-per-hour"))
    else:
        lines.append(_line("price", f"${plan.dollars.text('{:,.2f}')} at ${plan.usd_per_hour:,.2f} an hour"))
    return lines


def _memory(plan: Plan) -> list[str]:
    peak = gib_text(plan.memory.peak)
    each = "each GPU's " if plan.gpus > 1 else ""
    lines = [_line("GPU memory", f"{peak} of {each}{plan.card.memory:.1f} GiB: {plan.verdict}")]
    for name, part in vars(plan.memory).items():
        if part.high:
            lines.append(f"  {PARTS[name]:<{LABEL}} {(part * 2**-30).text('{:,.2f}'):>13} GiB")
    return lines


def _disk(plan: Plan) -> list[str]:
    disk = plan.disk
    total = sum(disk.downloads.values())
    parts = ", ".join(f"{name} {gb_text(size)}" for name, size in disk.downloads.items())
    lines = [_line("downloads", f"{gb_text(total)} ({parts})" if parts else "nothing")]
    written = ", ".join(f"{name} {gb_text(size)}" for name, size in disk.written.items())
    return [*lines, _line("disk", f"{gb_text(disk.needed)} with them: {written}")]


def _changes(plan: Plan) -> list[str]:
    if not plan.changes:
        return (
            []
            if plan.verdict == "fits"
            else ["No change of options, model or card of the table makes it fit."]
        )
    lines = ["To make it fit, one of:"]
    for change in plan.changes:
        settings = " ".join(s if s.startswith("--") else f"--set {s}" for s in change.settings)
        lines += textwrap.wrap(
            settings, WIDTH, initial_indent="  ", subsequent_indent="    ", break_on_hyphens=False
        )
        lines += textwrap.wrap(f"{gib_text(change.peak)}; {change.cost}", WIDTH, initial_indent="      ",
                               subsequent_indent="      ")  # fmt: skip
    return lines


def _cards(plan: Plan) -> list[str]:
    title = "on each card" if plan.gpus == 1 else f"on {plan.gpus} of each"
    lines = [f"{title:<{LABEL}} {'GPU memory':<14} time"]
    for name, fits, hours in on_each_card(plan):
        mark = "*" if name == plan.gpu else " "
        time = hours_text(hours) if fits in ("fits", "tight") else "-"
        lines.append(f" {mark}{GPUS[name].name:<{LABEL - 2}} {fits:<14} {time}")
    return lines


def _count(rows: Range, counted: bool) -> str:
    if counted:
        return rows.text("{:,.0f}")
    return f"about {Range(rounded(rows.low), rounded(rows.high)).text('{:,.0f}')}"


def _short_range(value: Range) -> str:
    return f"{short(value.low)}-{short(value.high)}"


def short(count: float) -> str:
    """Like 14.8B or 68.8M."""
    for unit, name in ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "k")):
        if count >= unit:
            return f"{count / unit:.3g}{name}"
    return f"{count:.3g}"
