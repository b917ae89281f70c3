"""QLoRA fine-tuning on people's answers: Unsloth's model or the plain one, TRL's trainer, the same code on CPU and CUDA.

What is learnt, and with which loss, is in ``objectives``.
"""

import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import polars as pl

from socrates_fast.errors import TrainingError
from socrates_fast.recipe import Recipe
from socrates_fast.runs import Run, atomic_folder
from socrates_fast.tokenizer import FolderTokenizer
from socrates_fast.train.backends import load, prepare_environment
from socrates_fast.train.callbacks import Interrupt, Progress, Watch, step_callback
from socrates_fast.train.checkpoints import (
    checkpoint_folder,
    full_disk_is_a_message,
    keep_last_good,
    newest_checkpoint,
)
from socrates_fast.train.distributed import ALONE, World
from socrates_fast.train.examples import examples_of
from socrates_fast.train.meter import Meter
from socrates_fast.train.objectives import OBJECTIVES, Sequenced
from socrates_fast.train.objectives.kernel import ensure_loss_kernel
from socrates_fast.train.order import order_rows
from socrates_fast.train.sharding import check_world, in_words_of
from socrates_fast.train.switches import in_words, switches
from socrates_fast.train.validation import mean_over_tokens


@dataclass(frozen=True)
class TrainResult:
    """What training did.

    Attributes:
        adapter: folder of the PEFT adapter.
        steps: optimiser steps of the whole training, including those before a resume.
        trainable: parameters that were trained.
        parameters: parameters of base and adapter.
        supervised_tokens: tokens on which the loss counts, in one pass over the training rows.
        validation_loss: last validation loss, in nats per supervised token (DPO: per pair); None without validation rows.
    """

    adapter: Path
    steps: int
    trainable: int
    parameters: int
    supervised_tokens: int
    validation_loss: float | None


def train(
    recipe: Recipe,
    base: Path,
    rows: Mapping[str, pl.DataFrame],
    run: Run,
    key: str,
    progress: Progress | None = None,
    announce: Callable[[str], None] = print,
    world: World = ALONE,
) -> TrainResult:
    """Fine-tune ``base`` on ``rows["train"]`` and save the adapter as PEFT safetensors in ``run``'s ``adapter/``.

    Resumes from the newest checkpoint that was made with the same ``key``, a hash of all that training depends
    on. The first Ctrl-C saves a checkpoint after the step at hand and raises ``KeyboardInterrupt``; the second
    stops at once. All processes of ``world`` call this with the same arguments; the first one writes.

    Raises:
        TrainingError: no supervised token, a row that is too long, unknown LoRA targets, a full disk, a loss that is no
            number, too little memory.
        MissingDependency: the train extra is not installed.
    """
    renderer = FolderTokenizer(base).renderer()
    with world.together():
        check_world(recipe, world)
        usable = OBJECTIVES[recipe.train.objective].usable
        most = {"validation": recipe.train.eval_rows}
        examples = {
            side: examples_of(part, renderer, recipe, most.get(side))
            for side, part in rows.items()
            if side == "train" or len(usable(part, recipe))
        }
    prepare_environment(run.folder / "unsloth_compiled_cache", recipe, world)
    with memory_is_a_message(recipe), world.peers():
        model, tokenizer = load(recipe, base)
        _quiet_libraries()
        trainable, parameters = model.get_nb_trainable_parameters()
        supervised = sum(example.supervised for example in examples["train"])
        announce(
            f"{trainable:,} of {parameters:,} parameters are trained "
            f"({100 * trainable / parameters:.2f}%); {len(examples['train']):,} rows, "
            f"{supervised:,} supervised tokens"
        )
        state = _fit(recipe, model, tokenizer, examples, run, key, progress, announce, world)
    if (
        recipe.train.sharding == "fsdp2" and not world.first
    ):  # the first cannot save without the others' parts
        with TemporaryDirectory() as unused:
            model.save_pretrained(unused)
    adapter = world.once(lambda: _save(model, run))
    validation = [h["eval_loss"] for h in state.log_history if "eval_loss" in h]
    return TrainResult(adapter, state.global_step, trainable, parameters, supervised,
                       validation[-1] if validation else None)  # fmt: skip


def _save(model: Any, run: Run) -> Path:
    """The trained adapter's folder; what only training needed is gone."""
    adapter = run.folder / "adapter"
    with full_disk_is_a_message(run.folder), atomic_folder(adapter) as partial:
        model.save_pretrained(str(partial), selected_adapters=["default"])  # DPO has its reference beside it
        # PEFT's empty form, with this machine's paths in it
        (partial / "README.md").unlink(missing_ok=True)
    shutil.rmtree(run.folder / "checkpoints", ignore_errors=True)
    shutil.rmtree(run.folder / "unsloth_compiled_cache", ignore_errors=True)
    return adapter


def _fit(
    recipe: Recipe,
    model: Any,
    tokenizer: Any,
    examples: Mapping[str, Sequence[Sequenced]],
    run: Run,
    key: str,
    progress: Progress | None,
    announce: Callable[[str], None],
    world: World,
) -> Any:
    """Train, from the newest checkpoint if there is one; the trainer's state."""
    checkpoints = world.once(lambda: checkpoint_folder(run, key, world.size))
    newest = world.once(lambda: newest_checkpoint(checkpoints))
    interrupt, watch = Interrupt(), Watch()
    trainer = _trainer(recipe, model, tokenizer, examples, checkpoints, world)
    announce(in_words_of(recipe, world))
    meter = Meter(trainer.model)
    meter.world = world
    trainer.add_callback(step_callback(run, meter, interrupt, watch, recipe.train.save_minutes, progress))
    found = switches(recipe, trainer)
    announce(in_words(found))
    run.log(
        "switches",
        backend=recipe.train.backend,
        processes=world.size,
        **{name: on for name, (_, on) in found.items()},
    )
    if newest:
        announce(f"resuming from {newest.name}")
    with full_disk_is_a_message(run.folder), interrupt:
        trainer.train(resume_from_checkpoint=str(newest) if newest else None)
    meter.close()
    world.once(lambda: _check_number(recipe, watch.not_a_number, run, checkpoints))
    if interrupt.asked:
        raise KeyboardInterrupt
    return trainer.state


def _check_number(recipe: Recipe, step: int | None, run: Run, checkpoints: Path) -> None:
    """Raise if the loss of ``step`` was no number; None if all were."""
    if step is None:
        return
    kept, options = keep_last_good(run, checkpoints), recipe.train
    advice = [f"train.learning_rate={options.learning_rate / 3:.2g}"]
    if options.warmup < 0.1:
        advice.append("train.warmup=0.1")
    if options.precision == "float16":
        advice.append("train.precision=bfloat16 (or float32, where the device has no bfloat16)")
    raise TrainingError(f"the loss of step {step} is not a number; {kept}. Try {', then '.join(advice)}")


@contextmanager
def memory_is_a_message(recipe: Recipe) -> Iterator[None]:
    """Too little memory on the device: which option helps, and by how much.

    Raises:
        TrainingError: there was too little.
    """
    import torch

    try:
        yield
    except (torch.OutOfMemoryError, MemoryError) as error:
        raise TrainingError(f"memory ran out ({_first_line(error)}). {memory_advice(recipe)}") from error


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or ["no details"])[0][:200]


def memory_advice(recipe: Recipe) -> str:
    """Which options take less memory, in the order in which they cost least speed."""
    options = recipe.train
    advice = []
    if options.batch_size > 1:
        half = options.batch_size // 2
        more = options.accumulation * -(-options.batch_size // half)
        advice.append(
            f"train.batch_size={half} and train.accumulation={more} halve the activations and keep the rows of a step"
        )
    if not options.gradient_checkpointing:
        advice.append(
            "train.gradient_checkpointing=true keeps one layer's activations at a time, about a third slower"
        )
    if not recipe.model.load_in_4bit:
        advice.append("model.load_in_4bit=true takes a quarter of 16-bit weights")
    if options.optimizer == "adamw_torch":
        advice.append("train.optimizer=adamw_8bit takes a quarter of the optimiser's states (GPU)")
    return "Try " + "; or ".join([*advice, "a smaller base model"])


def _trainer(
    recipe: Recipe,
    model: Any,
    tokenizer: Any,
    examples: Mapping[str, Sequence[Sequenced]],
    checkpoints: Path,
    world: World,
) -> Any:
    from datasets import Dataset

    def dataset(side: str) -> Any:
        return Dataset.from_list([vars(example) for example in examples[side]])

    ensure_loss_kernel()
    numbers = {name: each.detach().float().clone() for name, each in _trained(model)}
    trainer = OBJECTIVES[recipe.train.objective].trainer(
        recipe,
        checkpoints,
        model=model,
        processing_class=tokenizer,
        train_dataset=dataset("train"),
        eval_dataset=dataset("validation") if "validation" in examples else None,
    )
    single = recipe.train.objective != "dpo"  # a row is one sequence, and its loss a mean over tokens
    if single:
        mean_over_tokens(trainer, world)
    order_rows(trainer, single and recipe.train.group_by_length)
    # Looking for idle parameters takes time at every step; only experts may be idle.
    trainer.accelerator.ddp_handler.find_unused_parameters = any(
        ".experts." in name for name, parameter in model.named_parameters() if parameter.requires_grad
    )
    _silence(trainer)
    # TRL casts the adapter to bfloat16, in whose 8 bits AdamW's small updates vanish, and in which a CPU without bfloat16
    # units multiplies several times slower. Mixed precision, where it is on, still computes in the recipe's precision.
    if recipe.train.sharding == "none":  # parts of parameters stay what they are
        for name, each in _trained(trainer.model):
            each.data = numbers[name]
    return trainer


def _trained(model: Any) -> list[tuple[str, Any]]:
    """The parameters that are trained, by name."""
    return [(name, each) for name, each in model.named_parameters() if each.requires_grad]


def _silence(trainer: Any) -> None:
    """Drop the callbacks that print to stdout: the log and the progress bar are ours."""
    from transformers.trainer_callback import PrinterCallback, ProgressCallback

    for callback in (PrinterCallback, ProgressCallback):
        trainer.remove_callback(callback)


def _quiet_libraries() -> None:
    """No progress bars but ours."""
    import datasets
    import transformers

    datasets.disable_progress_bars()
    transformers.utils.logging.disable_progress_bar()
