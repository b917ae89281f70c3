"""Validation loss as the mean over all supervised tokens, whatever the batches and however many processes.

The libraries average the means of batches, which depends on who sits in which batch.
"""

from typing import Any

from socrates_fast.train.distributed import World


def filled_up(rows: Any, multiple: int) -> Any:
    """A data set with copies of its first row on which no loss counts, up to a multiple of ``multiple`` rows.

    Several processes must get equally many batches; rows that are filled in otherwise would count twice.
    """
    from datasets import Dataset, concatenate_datasets

    missing = -len(rows) % multiple
    if not missing:
        return rows
    silent = dict(rows[0])
    for name, nothing in (("completion_mask", 0), ("labels", -100)):
        if name in silent:
            silent[name] = [nothing] * len(silent[name])
    silent |= {name: [] for name in ("target_ids", "target_weights") if name in silent}
    return concatenate_datasets([rows, Dataset.from_list([silent] * missing, features=rows.features)])


def mean_over_tokens(trainer: Any, world: World) -> None:
    """Let the trainer's ``eval_loss`` be the sum of the losses of all supervised tokens over their number."""
    if trainer.eval_dataset is not None and world.size > 1:
        multiple = trainer.args.per_device_eval_batch_size * world.size
        trainer.eval_dataset = filled_up(trainer.eval_dataset, multiple)

    def loop(dataloader: Any, *_: Any, metric_key_prefix: str = "eval", **__: Any) -> Any:
        import torch
        from transformers.trainer_utils import EvalLoopOutput

        model = trainer.model
        model.eval()
        found = {"loss": torch.zeros((), dtype=torch.float64), "tokens": torch.zeros((), dtype=torch.float64)}
        rows = 0
        for batch in dataloader:
            inputs = trainer._prepare_inputs(batch)
            rows += len(inputs["input_ids"])
            counted = (inputs["labels"][:, 1:] != -100).sum().cpu()
            with torch.no_grad(), trainer.compute_loss_context_manager():
                loss = trainer.compute_loss(model, inputs).detach().double().cpu()
            if counted:
                found["loss"] += loss * counted
                found["tokens"] += counted
        sums = world.total({name: float(value) for name, value in found.items()})
        loss = sums["loss"] / sums["tokens"] if sums["tokens"] else float("nan")
        return EvalLoopOutput(None, None, {f"{metric_key_prefix}_loss": loss}, rows)

    trainer.evaluation_loop = loop
