"""The tables that pages show of plans, and the line ``Plan:`` of a recipe's header: written from the code.

``python -m socrates_fast.plan.guide`` writes them into docs/planning.md, recipes/README.md and recipes/socsci210/*.yaml;
a test compares.
"""

import re
from collections.abc import Callable, Sequence
from pathlib import Path

from socrates_fast import recipes
from socrates_fast.plan.calibration import Point, points
from socrates_fast.plan.gpus import GPUS
from socrates_fast.plan.own import RECORDS, own_points
from socrates_fast.plan.planning import Plan, make_plan
from socrates_fast.plan.ranges import gib_text, hours_text
from socrates_fast.plan.text import short

ROOT = Path(__file__).parents[2]
SCALED, SMALL = "socsci210/qwen2.5-14b-fast", "socsci210/qwen2.5-1.5b-t4"
SCALING_GPUS = ("rtx4090", "rtx5090", "a100-40gb", "a100-80gb", "h100", "h200")
SHARES = (0.01, 0.1, 1.0)
HEADER = re.compile(r"^# Plan: +(.*)$", re.MULTILINE)
_TABLE = re.compile(r"(<!-- table: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def planned_gpu(name: str) -> str | None:
    """The card that a shipped recipe's header is planned for; None if it has no such line."""
    found = HEADER.search(recipes.find(name).read_text(encoding="utf-8"))
    return found[1].split(":")[0] if found else None


def header_line(name: str, gpu: str) -> str:
    """What a recipe's header says after "Plan:"."""
    plan = make_plan(recipes.load(name), gpu)
    peak = gib_text(plan.memory.peak)
    return f"{gpu}: {hours_text(plan.time.hours)}, {peak} of GPU memory (estimated, not measured)"


def recipes_table() -> str:
    """Every recipe that has a plan: purpose, card, hours, memory, and what was measured."""
    rows = []
    for name in recipes.shipped():
        gpu = planned_gpu(name)
        if gpu is None:
            continue
        plan = make_plan(recipes.load(name), gpu)
        rows.append([f"`{name}`", _purpose(name), plan.card.name, hours_text(plan.time.hours),
                     gib_text(plan.memory.peak), "not measured"])  # fmt: skip
    return _table(["recipe", "purpose", "GPU", "hours by plan", "GPU memory by plan", "measured"], rows)


def _purpose(name: str) -> str:
    """First clause of a recipe's purpose."""
    header = recipes.find(name).read_text(encoding="utf-8").split("\nname:")[0]
    text = re.sub(r"\n# +", " ", header.removeprefix("# Purpose:"))
    return re.split(r"[.:,;] ", text.strip(), maxsplit=1)[0]


def scaling_table() -> str:
    """Hours of one epoch on shares of SocSci210's seen studies, 14B, by card; and 1.5B on a T4."""
    rows = []
    for name, gpus in ((SCALED, SCALING_GPUS), (SMALL, ("t4",))):
        for gpu in gpus:
            plans = [_scaled(name, gpu, share) for share in SHARES]
            again = plans[0].recipe.train.gradient_checkpointing
            model = plans[0].shape.name.split("/")[1].removesuffix("-Instruct")
            hours = [hours_text(plan.time.hours) for plan in plans]
            rows.append(
                [model, plans[0].card.name, "yes" if again else "no", gib_text(plans[0].memory.peak), *hours]
            )
    counts = [short(_scaled(SCALED, "h200", share).rows.train.middle) for share in SHARES]
    shares = [f"{share:.0%}: {count} rows" for share, count in zip(SHARES, counts, strict=True)]
    return _table(["model", "GPU", "recomputes", "GPU memory", *shares], rows)


def _scaled(name: str, gpu: str, share: float) -> Plan:
    """A recipe without its cap on cells, on a share of the people; recomputing where it does not fit otherwise."""
    overrides = ["data.max_rows_per_cell=null", f"data.share={share}", "train.eval_steps=1000"]
    plan = make_plan(recipes.load(name, overrides), gpu)
    if plan.verdict == "fits":
        return plan
    return make_plan(recipes.load(name, [*overrides, "train.gradient_checkpointing=true"]), gpu)


_POINTS = ("source", "run", "GPU", "figure", "plan", "residual")


def calibration_table() -> str:
    """Published figures, what the plan says of them, and the published one over the middle of that."""
    return _table(_POINTS, [_point(point) for point in points()])


def own_table() -> str:
    """The same for this project's own records of training on GPUs; a sentence where there are none."""
    found = own_points(ROOT / RECORDS)
    if not found:
        return "There is no such record yet: **no figure of this project on a GPU has been measured.**\n"
    return _table(_POINTS, [_point(point) for point in found])


def _point(point: Point) -> list[str]:
    pattern = "{:,.0f}" if point.unit == "tokens/s" else "{:,.2f}"
    published = f"{pattern.format(point.measured)} {point.unit}"
    return [
        point.source,
        point.run,
        GPUS[point.gpu].name,
        published,
        point.predicted.text(pattern),
        f"{point.residual:.2f}",
    ]


def cards_table() -> str:
    """The cards."""
    rows = [
        [f"`{name}`", f"{gpu.teraflops:g}", f"{gpu.bandwidth:,g}", f"{gpu.memory:g}", gpu.efficiency.text("{:.2f}"),
         "published runs" if gpu.published else "assumed", "yes" if gpu.bfloat16 else "no"]
        for name, gpu in GPUS.items()
    ]  # fmt: skip
    head = [
        "`--gpu`",
        "peak, TFLOP/s",
        "memory, GB/s",
        "memory, GiB",
        "share of peak reached",
        "from",
        "bfloat16",
    ]
    return _table(head, rows)


TABLES: dict[str, Callable[[], str]] = {
    "recipes": recipes_table, "scaling": scaling_table, "calibration": calibration_table,
    "own": own_table, "cards": cards_table,
}  # fmt: skip


def with_tables(page: str) -> str:
    """A page with each of its marked tables written anew."""
    return _TABLE.sub(lambda found: f"{found[1]}{TABLES[found[2]]()}{found[3]}", page)


def with_header(name: str, text: str) -> str:
    """A recipe's text with its line ``Plan:`` written anew."""
    gpu = planned_gpu(name)
    return HEADER.sub(lambda _: f"# Plan:     {header_line(name, gpu)}", text) if gpu else text


def main(root: Path) -> None:
    """Write all of it into the checkout ``root``."""
    for name, path in recipes.shipped().items():
        path.write_text(with_header(name, path.read_text(encoding="utf-8")), encoding="utf-8")
    for page in (root / "docs" / "planning.md", root / "recipes" / "README.md"):
        page.write_text(with_tables(page.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main(ROOT)
