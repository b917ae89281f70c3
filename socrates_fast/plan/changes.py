"""What to change where a training does not fit a card: each change computed, none guessed."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from socrates_fast.plan.gpus import GPUS, Gpu
from socrates_fast.plan.memory import memory_of
from socrates_fast.plan.models import MODELS, family
from socrates_fast.plan.ranges import Range
from socrates_fast.plan.rows import Rows
from socrates_fast.plan.shapes import Shape, known_shape
from socrates_fast.recipe import Recipe


@dataclass(frozen=True)
class Change:
    """Options to set, and the peak of memory with them.

    Attributes:
        settings: as ``--set`` takes them; or ``--gpu NAME``.
        peak: bytes.
        fits: whether all of that range fits.
        cost: what is lost by it, in words; "" if nothing.
    """

    settings: tuple[str, ...]
    peak: Range
    fits: bool
    cost: str = ""


def verdict(peak: Range, gpu: Gpu) -> str:
    """``fits``, ``tight`` (the low estimate fits, the high one does not) or ``does not fit``."""
    room = gpu.memory * 2**30
    if peak.high <= room:
        return "fits"
    return "tight" if peak.low <= room else "does not fit"


def changes(shape: Shape, recipe: Recipe, rows: Rows, gpu: Gpu) -> list[Change]:
    """The changes that bring the peak under the card's memory, the cheapest first; none where it fits.

    First each option alone, then together in the order of what they cost, then another model, then another card.
    """
    if verdict(memory_of(shape, recipe, rows).peak, gpu) == "fits":
        return []
    alone = [_changed(shape, rows, gpu, [one]) for one in _options(recipe, shape, rows, gpu)]
    found = [change for change in alone if change.fits]
    if not found:
        found = _together(shape, recipe, rows, gpu)
    return [*found, *_other_models(shape, recipe, rows, gpu), *_other_cards(shape, recipe, rows)]


_Option = tuple[tuple[str, ...], Recipe, str]


def _options(recipe: Recipe, shape: Shape, rows: Rows, gpu: Gpu) -> Iterator[_Option]:
    """Options that take less memory, the cheapest first."""
    train = recipe.train
    if not recipe.model.load_in_4bit:
        yield (
            ("model.load_in_4bit=true",),
            with_model(recipe, load_in_4bit=True),
            "a merge of other weights than trained",
        )
    if not train.gradient_checkpointing:
        yield (("train.gradient_checkpointing=true",), with_train(recipe, gradient_checkpointing=True),
               "a step computes half as much again")  # fmt: skip
    batch = train.batch_size
    while batch > 1:
        batch //= 2
        smaller = smaller_batch(recipe, batch)
        if batch == 1 or verdict(memory_of(shape, smaller, rows).peak, gpu) == "fits":
            settings = (f"train.batch_size={batch}", f"train.accumulation={smaller.train.accumulation}")
            yield settings, smaller, "less work a kernel, so slower"
            break
    if train.optimizer == "adamw_torch":
        yield ("train.optimizer=adamw_8bit",), with_train(recipe, optimizer="adamw_8bit"), "moments in 8 bits"


def with_train(recipe: Recipe, **values: object) -> Recipe:
    """``recipe`` with options of ``train`` changed."""
    return recipe.model_copy(update={"train": recipe.train.model_copy(update=values)})


def with_model(recipe: Recipe, **values: object) -> Recipe:
    """``recipe`` with options of ``model`` changed."""
    return recipe.model_copy(update={"model": recipe.model.model_copy(update=values)})


def smaller_batch(recipe: Recipe, batch: int) -> Recipe:
    """``recipe`` with another micro-batch and as many rows an optimiser step as before."""
    together = recipe.train.batch_size * recipe.train.accumulation
    return with_train(recipe, batch_size=batch, accumulation=max(1, round(together / batch)))


def _changed(shape: Shape, rows: Rows, gpu: Gpu, chosen: Sequence[_Option]) -> Change:
    settings = tuple(setting for option in chosen for setting in option[0])
    peak = memory_of(shape, chosen[-1][1], rows).peak
    return Change(settings, peak, verdict(peak, gpu) == "fits", "; ".join(option[2] for option in chosen))


def _together(shape: Shape, recipe: Recipe, rows: Rows, gpu: Gpu) -> list[Change]:
    """Options added to one another until it fits; if it never does, all of them and a length that would."""
    chosen: list[_Option] = []
    current, seen = recipe, set[str]()
    while True:
        left = [one for one in _options(current, shape, rows, gpu) if one[0][0].split("=")[0] not in seen]
        if not left:
            break
        chosen.append(left[0])
        seen.add(left[0][0][0].split("=")[0])
        current = left[0][1]
        change = _changed(shape, rows, gpu, chosen)
        if change.fits:
            return [change]
    shorter = _shorter(shape, current, rows, gpu, tuple(s for option in chosen for s in option[0]))
    return [shorter] if shorter else []


def _shorter(shape: Shape, recipe: Recipe, rows: Rows, gpu: Gpu, before: tuple[str, ...]) -> Change | None:
    """The greatest ``model.max_length`` (in steps of 64) that fits, if one does."""
    for length in range(recipe.model.max_length // 64 * 64, 63, -64):
        limited = Range(min(rows.longest.low, length), min(rows.longest.high, length))
        shorter = with_model(recipe, max_length=length)
        peak = memory_of(shape, shorter, Rows(**{**vars(rows), "longest": limited})).peak
        if verdict(peak, gpu) == "fits":
            cost = f"rows of more than {length} tokens must be left out: training refuses them"
            return Change((*before, f"model.max_length={length}"), peak, True, cost)
    return None


def _other_models(shape: Shape, recipe: Recipe, rows: Rows, gpu: Gpu) -> list[Change]:
    """The largest smaller model of the same family, with a commit to pin, that fits as the recipe stands."""
    siblings = [
        name for name, known in MODELS.items() if family(name) == family(shape.name) and known.revision
    ]
    shapes = sorted(map(known_shape, siblings), key=lambda one: one.parameters, reverse=True)
    for other in shapes:
        peak = memory_of(other, recipe, rows).peak
        if other.parameters < shape.parameters and verdict(peak, gpu) == "fits":
            settings = (f"model.base={other.name}", f"model.revision={MODELS[other.name].revision}")
            return [Change(settings, peak, True, f"{other.parameters / 1e9:.1f}B parameters, not {shape.parameters / 1e9:.1f}B")]  # fmt: skip
    return []


def _other_cards(shape: Shape, recipe: Recipe, rows: Rows) -> list[Change]:
    """The smallest card of the table that the recipe fits as it stands."""
    peak = memory_of(shape, recipe, rows).peak
    for name, gpu in sorted(GPUS.items(), key=lambda entry: entry[1].memory):
        if verdict(peak, gpu) == "fits":
            return [Change((f"--gpu {name}",), peak, True, "the recipe as it stands")]
    return []
