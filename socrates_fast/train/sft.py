"""QLoRA fine-tuning on people's answers: Unsloth's model, TRL's trainer, the same code on CPU and CUDA.

The loss counts on the answer's tokens and the token that ends it. Every ``SFTConfig`` field that matters is set
here, because Unsloth rewrites TRL's defaults and its CPU and GPU paths differ.
"""

import os
import shutil
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

import polars as pl

from socrates_fast.data.prepared import answers_of, prompts_of
from socrates_fast.errors import TrainingError
from socrates_fast.optional import need
from socrates_fast.prompt import ChatRenderer, Example
from socrates_fast.recipe import Recipe
from socrates_fast.runs import Run, atomic_folder, write_text
from socrates_fast.tokenizer import FolderTokenizer

Progress = Callable[[int, int, Mapping[str, float]], None]
"""``progress(step, steps, values)``: called after every optimiser step."""


@dataclass(frozen=True)
class TrainResult:
    """What training did.

    Attributes:
        adapter: folder of the PEFT adapter.
        steps: optimiser steps of the whole training, including those before a resume.
        trainable: parameters that were trained.
        parameters: parameters of base and adapter.
        supervised_tokens: tokens on which the loss counts, in one pass over the training rows.
        validation_loss: last validation loss, in nats per supervised token; None without validation rows.
    """

    adapter: Path
    steps: int
    trainable: int
    parameters: int
    supervised_tokens: int
    validation_loss: float | None


def examples_of(rows: pl.DataFrame, renderer: ChatRenderer, recipe: Recipe) -> list[Example]:
    """The supervised sequences of prepared rows.

    Raises:
        TrainingError: there are none, none has a supervised token, or one is longer than ``model.max_length``.
    """
    prompts = prompts_of(rows, recipe.prompt)
    examples = [renderer.example(p, a) for p, a in zip(prompts, answers_of(rows), strict=True)]
    if not any(any(example.completion_mask) for example in examples):
        raise TrainingError(
            f"none of the {len(examples)} rows has a supervised token; nothing can be learned"
        )
    longest = max(range(len(examples)), key=lambda i: len(examples[i].input_ids))
    length, limit = len(examples[longest].input_ids), recipe.model.max_length
    if length > limit:
        study, sample = rows.row(longest, named=True)["study_id"], rows["sample_id"][longest]
        raise TrainingError(
            f"study {study} sample {sample} has {length} tokens and model.max_length is {limit}; "
            f"set model.max_length={length} or leave the row out (nothing is cut)"
        )
    return examples


def prepare_environment(cache: Path) -> None:
    """Switch off telemetry and hidden installs; must run before Unsloth is imported.

    Args:
        cache: where Unsloth puts its generated code.
    """
    os.environ.setdefault("UNSLOTH_COMPILE_LOCATION", str(cache))
    for name in ("UNSLOTH_DISABLE_STATISTICS", "HF_HUB_DISABLE_TELEMETRY", "DO_NOT_TRACK"):
        os.environ[name] = "1"
    os.environ["UNSLOTH_AUTO_INSTALL"] = "0"
    os.environ["TOKENIZERS_PARALLELISM"] = "false"


def train(
    recipe: Recipe,
    base: Path,
    rows: Mapping[str, pl.DataFrame],
    run: Run,
    key: str,
    progress: Progress | None = None,
    announce: Callable[[str], None] = print,
) -> TrainResult:
    """Fine-tune ``base`` on ``rows["train"]`` and save the adapter as PEFT safetensors in ``run``'s ``adapter/``.

    Resumes from the newest checkpoint that was made with the same ``key``, a hash of all that training depends
    on. The first Ctrl-C saves a checkpoint after the step at hand and raises ``KeyboardInterrupt``; the second
    stops at once.

    Raises:
        TrainingError: no supervised token, a row that is too long, unknown LoRA targets, a full disk.
        MissingDependency: the train extra is not installed.
    """
    renderer = FolderTokenizer(base).renderer()
    examples = {side: examples_of(part, renderer, recipe) for side, part in rows.items() if len(part)}
    prepare_environment(run.folder / "unsloth_compiled_cache")
    need("unsloth", "training", "train")  # before trl, transformers and peft
    _quiet_libraries()
    model, tokenizer = _load(recipe, base)
    trainable, parameters = model.get_nb_trainable_parameters()
    supervised = sum(sum(e.completion_mask) for e in examples["train"])
    announce(
        f"{trainable:,} of {parameters:,} parameters are trained "
        f"({100 * trainable / parameters:.2f}%); {len(examples['train']):,} rows, "
        f"{supervised:,} supervised tokens"
    )
    checkpoints = _checkpoint_folder(run, key)
    trainer, interrupt = _trainer(recipe, model, tokenizer, examples, checkpoints, run, progress)
    newest = _newest_checkpoint(checkpoints)
    if newest:
        announce(f"resuming from {newest.name}")
    adapter = run.folder / "adapter"
    with _full_disk_is_a_message(run.folder):
        with interrupt:
            trainer.train(resume_from_checkpoint=str(newest) if newest else None)
        if interrupt.asked:
            raise KeyboardInterrupt
        with atomic_folder(adapter) as partial:
            model.save_pretrained(str(partial))
            (partial / "README.md").unlink(
                missing_ok=True
            )  # PEFT's empty form, with this machine's paths in it
    validation = [h["eval_loss"] for h in trainer.state.log_history if "eval_loss" in h]
    shutil.rmtree(checkpoints, ignore_errors=True)
    shutil.rmtree(run.folder / "unsloth_compiled_cache", ignore_errors=True)
    return TrainResult(adapter, trainer.state.global_step, trainable, parameters, supervised,
                       validation[-1] if validation else None)  # fmt: skip


@contextmanager
def _full_disk_is_a_message(folder: Path) -> Iterator[None]:
    """Torch and safetensors each have an error of their own for a disk that is full."""
    from safetensors import SafetensorError

    try:
        yield
    except (SafetensorError, OSError, RuntimeError) as error:
        if "No space left" not in str(error) and shutil.disk_usage(folder).free > 2**20:
            raise
        raise TrainingError(
            f"{folder}: the disk is full ({error}); free some space, and the same command resumes"
        ) from error


def _load(recipe: Recipe, base: Path) -> tuple[Any, Any]:
    """The base in NF4 (or plain) with a fresh adapter, through Unsloth."""
    from unsloth import FastLanguageModel

    lora = recipe.train.lora
    model, tokenizer = FastLanguageModel.from_pretrained(
        model_name=str(base),
        max_seq_length=recipe.model.max_length,
        dtype=_dtype(recipe.train.precision),
        load_in_4bit=recipe.model.load_in_4bit,
        use_exact_model_name=True,  # else Unsloth may swap the base for a copy of its own
        trust_remote_code=False,
        use_safetensors=True,
        use_gradient_checkpointing="unsloth" if recipe.train.gradient_checkpointing else False,
        random_state=recipe.train.seed,
    )
    try:
        model = FastLanguageModel.get_peft_model(
            model,
            r=lora.r,
            lora_alpha=lora.alpha,
            lora_dropout=lora.dropout,
            use_rslora=lora.rslora,
            target_modules=list(lora.targets),
            bias="none",
            use_gradient_checkpointing="unsloth" if recipe.train.gradient_checkpointing else False,
            random_state=recipe.train.seed,
        )
    except ValueError as error:
        raise TrainingError(f"train.lora.targets {list(lora.targets)}: {error}") from error
    return model, tokenizer


def _dtype(precision: str) -> Any:
    """The torch type of the recipe's precision; None lets Unsloth choose for a GPU."""
    import torch

    if precision == "auto":
        return None if torch.cuda.is_available() else torch.float32
    return getattr(torch, precision)


def _checkpoint_folder(run: Run, key: str) -> Path:
    """The folder of checkpoints; emptied if they were made with another key."""
    folder = run.folder / "checkpoints"
    if not (folder / "key").is_file() or (folder / "key").read_text(encoding="utf-8") != key:
        shutil.rmtree(folder, ignore_errors=True)
        write_text(folder / "key", key)
    return folder


def _newest_checkpoint(folder: Path) -> Path | None:
    """The newest complete checkpoint; one that was cut short while being written is deleted."""
    found = sorted(folder.glob("checkpoint-*"), key=lambda path: int(path.name.split("-")[1]))
    while found:
        newest = found.pop()
        if (newest / "trainer_state.json").is_file():  # written last
            return newest
        shutil.rmtree(newest)
    return None


def _trainer(
    recipe: Recipe,
    model: Any,
    tokenizer: Any,
    examples: Mapping[str, list[Example]],
    checkpoints: Path,
    run: Run,
    progress: Progress | None,
) -> tuple[Any, "Interrupt"]:
    from datasets import Dataset
    from trl import SFTTrainer

    def dataset(side: str) -> Any:
        return Dataset.from_list([vars(example) for example in examples[side]])

    interrupt = Interrupt()
    trainer = SFTTrainer(
        model=model,
        processing_class=tokenizer,
        args=_config(recipe, checkpoints, "validation" in examples),
        train_dataset=dataset("train"),
        eval_dataset=dataset("validation") if "validation" in examples else None,
        callbacks=[_step_callback(run, progress, interrupt)],
    )
    _silence(trainer)
    _adapter_to_float32(trainer.model)
    return trainer, interrupt


def _adapter_to_float32(model: Any) -> None:
    """Undo TRL's cast of the adapter to bfloat16.

    AdamW's small updates vanish in bfloat16's 8 bits, and a CPU without bfloat16 units multiplies several times
    slower in it. Mixed precision, where it is on, still computes in the recipe's precision.
    """
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.data = parameter.data.float()


def _config(recipe: Recipe, checkpoints: Path, validate: bool) -> Any:
    """TRL's configuration, every field that matters set from the recipe."""
    import torch
    from trl import SFTConfig

    options = recipe.train
    gpu = torch.cuda.is_available()
    bfloat16 = options.precision == "bfloat16" or (
        options.precision == "auto" and gpu and torch.cuda.is_bf16_supported()
    )
    float16 = options.precision == "float16" or (options.precision == "auto" and gpu and not bfloat16)
    return SFTConfig(
        output_dir=str(checkpoints),
        num_train_epochs=options.epochs,
        max_steps=options.max_steps or -1,
        per_device_train_batch_size=options.batch_size,
        per_device_eval_batch_size=options.batch_size,
        gradient_accumulation_steps=options.accumulation,
        learning_rate=options.learning_rate,
        lr_scheduler_type=options.schedule,
        warmup_steps=options.warmup,
        weight_decay=options.weight_decay,
        max_grad_norm=options.max_grad_norm,
        optim=options.optimizer,
        bf16=bfloat16,
        fp16=float16,
        use_cpu=not gpu,
        gradient_checkpointing=options.gradient_checkpointing,
        max_length=recipe.model.max_length,
        packing=options.packing,
        packing_strategy="bfd",
        padding_free=False,
        completion_only_loss=True,
        assistant_only_loss=False,
        loss_type="nll",
        dataset_num_proc=1,
        dataloader_num_workers=0,
        train_sampling_strategy="group_by_length" if options.group_by_length else "random",
        eval_strategy="steps" if validate else "no",
        eval_steps=options.eval_steps,
        save_strategy="steps",
        save_steps=options.save_steps,
        save_total_limit=2,
        logging_steps=1,
        logging_first_step=True,
        report_to="none",
        disable_tqdm=True,
        seed=options.seed,
        data_seed=options.seed,
        push_to_hub=False,
    )


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


class Interrupt:
    """Turns the first Ctrl-C inside the ``with`` block into a flag; the second acts as usual."""

    def __init__(self) -> None:
        self.asked = False
        self._before: Any = None

    def __enter__(self) -> "Interrupt":
        self._before = signal.signal(signal.SIGINT, self._first)
        return self

    def __exit__(self, *_: object) -> None:
        signal.signal(signal.SIGINT, self._before)

    def _first(self, _signal: int, _frame: FrameType | None) -> None:
        self.asked = True
        signal.signal(signal.SIGINT, self._before)


def _step_callback(run: Run, progress: Progress | None, interrupt: Interrupt) -> Any:
    """One JSON line of log a step, the progress bar, and the orderly stop."""
    from transformers import TrainerCallback

    class StepCallback(TrainerCallback):  # type: ignore[misc]  # transformers is untyped here
        started = time.monotonic()

        def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:
            numbers = {k: v for k, v in (logs or {}).items() if isinstance(v, int | float)}
            seconds = round(time.monotonic() - self.started, 3)
            run.log("train", step=state.global_step, seconds=seconds, **numbers)
            if progress:
                progress(state.global_step, state.max_steps, numbers)

        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            if interrupt.asked:
                control.should_save = True
                control.should_training_stop = True

    return StepCallback()
