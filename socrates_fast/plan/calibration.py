"""Runs that others published, and what the formulas of ``speed.py`` and ``memory.py`` say of them.

No figure of this project on a GPU is among them: none has been measured yet.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from socrates_fast.plan.gpus import GPUS
from socrates_fast.plan.memory import memory_of
from socrates_fast.plan.models import known
from socrates_fast.plan.ranges import Range, fixed
from socrates_fast.plan.rows import STIMULUS, Rows, characters_of, tokens_of
from socrates_fast.plan.shapes import Shape, known_shape, shape_from
from socrates_fast.plan.speed import PADDING, Work, batch_seconds
from socrates_fast.recipe import Data, Lora, Model, PromptOptions, Recipe, Train

SEED_ROWS, SEED_BATCH = 23_210, 4
"""Training rows of the run that this project began from (29,013 before its split), and rows of its micro-batch."""
SEED_FIELDS = ("age", "gender", "education", "employment", "income", "party_id", "ideology")


@dataclass(frozen=True)
class Point:
    """One published figure.

    Attributes:
        source: who published it.
        run: what ran, in words.
        gpu: key of ``GPUS``.
        unit: "tokens/s", "hours" or "GiB".
        measured: the published value.
        predicted: what the formulas say.
    """

    source: str
    run: str
    gpu: str
    unit: str
    measured: float
    predicted: Range

    @property
    def residual(self) -> float:
        """Published value over the middle of the prediction: 1 is exact."""
        return self.measured / self.predicted.middle


@dataclass(frozen=True)
class _Setting:
    source: str
    gpu: str
    four_bit: bool = True
    fused: bool = True
    batch: int = 2

    def point(self, shape: Shape, label: str, sequence: int, measured: float) -> Point:
        """A figure in tokens a second, for full sequences and recomputed activations."""
        tokens = float(self.batch * sequence)
        work = Work(fixed(tokens), 3.0, fixed(float(sequence)))
        seconds = batch_seconds(shape, GPUS[self.gpu], work, self.four_bit, self.fused)
        kind = "QLoRA" if self.four_bit else "LoRA"
        run = f"{label} {kind}, {self.batch} x {sequence}"
        return Point(self.source, run, self.gpu, "tokens/s", measured, fixed(tokens).over(seconds))


SUROGATE = "Surogate's benchmark of Unsloth"
_SUROGATE: dict[tuple[str, bool], dict[str, float]] = {
    ("h100", True): {"14B": 5200, "8B": 8600, "4B": 12600, "1.7B": 20000, "0.6B": 21000},
    ("h100", False): {"14B": 5600, "8B": 9100, "4B": 13100, "1.7B": 23000, "0.6B": 24500},
    ("h200", True): {"8B": 8400, "4B": 12100, "1.7B": 18300, "0.6B": 18300},
    ("rtx5090", True): {"8B": 3400, "4B": 6000, "1.7B": 12000, "0.6B": 19100},
}
"""Tokens a second of Qwen3, rank 16, seven targets, packed sequences."""
_QWEN_14B = {256: 386, 512: 650, 1024: 999, 2048: 1388, 4096: 1630, 8192: 1711}
"""Tokens a second of Qwen-14B (2023), int4, one sequence a forward pass, from its README's seconds an iteration."""


def speeds() -> Iterator[Point]:
    """The published speeds."""
    yield _seed()
    for (gpu, four_bit), figures in _SUROGATE.items():
        setting = _Setting(SUROGATE, gpu, four_bit)
        for size, measured in figures.items():
            yield setting.point(known_shape(f"Qwen/Qwen3-{size}"), f"Qwen3-{size}", 2048, measured)
    first = _Setting("Qwen's README of 2023", "a100-80gb", fused=False, batch=1)
    for sequence, measured in _QWEN_14B.items():
        yield first.point(_first_qwen(14), "Qwen-14B", sequence, measured)
    yield first.point(_first_qwen(7), "Qwen-7B", 2048, 2340)
    tuned = _Setting("torchtune's README", "rtx4090", fused=False)
    yield tuned.point(known_shape("meta-llama/Llama-3.1-8B-Instruct"), "Llama-3.1-8B", 2048, 2413)


def memories() -> Iterator[Point]:
    """The published peaks of memory; torchtune counts what torch allocates, the other does not say what it counts."""
    for source, name, gpu, rank, measured in (
        ("torchtune's README", "meta-llama/Llama-3.1-8B-Instruct", "rtx4090", 8, 7.4),
        (SUROGATE, "Qwen/Qwen3-8B", "rtx5090", 16, 11.8),
    ):
        options = Train(
            batch_size=2, packing=True, gradient_checkpointing=True, optimizer="adamw_8bit", lora=Lora(r=rank)
        )
        recipe = Recipe(name="published", data=Data(source="synthetic"), model=Model(base=name, max_length=2048),
                        train=options)  # fmt: skip
        none, full = fixed(0.0), fixed(2048.0)
        memory = memory_of(known_shape(name), recipe, Rows(none, none, none, full, full, "", True))
        peak = memory.allocated if rank == 8 else memory.peak
        label = f"{name.split('/')[1].removesuffix('-Instruct')} QLoRA, 2 x 2048"
        yield Point(source, label, gpu, "GiB", measured, peak * 2**-30)


def _seed() -> Point:
    """The replication that this project began from: plain PEFT and TRL, seven persona fields, rows as they come."""
    rows = tokens_of(characters_of(PromptOptions(fields=SEED_FIELDS), STIMULUS))
    work = Work(rows * PADDING["at random"] * SEED_BATCH, 3.0, rows)
    shape = known_shape("Qwen/Qwen2.5-14B-Instruct")
    seconds = batch_seconds(shape, GPUS["a100-80gb"], work, four_bit=True, fused=False)
    hours = seconds * (SEED_ROWS / SEED_BATCH / 3600)
    run = f"Qwen2.5-14B QLoRA, {SEED_ROWS:,} rows"
    return Point("the replication this began from", run, "a100-80gb", "hours", 2.15, hours)


def _first_qwen(billions: int) -> Shape:
    """Qwen's first models, which the exporter does not know, as the Qwen2 of the same widths."""
    sizes = {14: (5120, 40, 40, 40, 13696), 7: (4096, 32, 32, 32, 11008)}[billions]
    return shape_from(f"Qwen-{billions}B", known("qwen2", sizes, 152064, False, 8192).config)


def points() -> list[Point]:
    """All published figures that the formulas were fitted to."""
    return [*speeds(), *memories()]
