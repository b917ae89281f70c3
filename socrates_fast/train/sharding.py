"""What several GPUs are used for: copies of the base (DDP) or parts of it (FSDP2), and what cannot be had."""

from socrates_fast.errors import TrainingError
from socrates_fast.recipe import Recipe
from socrates_fast.train.distributed import World


def check_world(recipe: Recipe, world: World) -> None:
    """Refuse what several processes cannot do.

    Raises:
        TrainingError: sharding where it cannot be had; more processes on this machine than it has GPUs.
    """
    import torch

    options = recipe.train
    gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if options.sharding == "fsdp2":
        if options.backend != "unsloth" or options.objective != "answer":
            raise TrainingError(
                "train.sharding=fsdp2 is for train.backend=unsloth with train.objective=answer; set train.sharding=none"
            )
        if world.size == 1 or not gpus:  # Unsloth's own needs Triton, which needs a GPU
            raise TrainingError(
                "train.sharding=fsdp2 needs several GPUs and a process for each "
                "(torchrun --nproc-per-node GPUS -m socrates_fast train ...); set train.sharding=none"
            )
    if world.size > 1 and gpus and world.local_rank >= gpus:
        raise TrainingError(
            f"process {world.local_rank} of this machine has no GPU of its own: there are {gpus}; start {gpus} processes"
        )


def in_words_of(recipe: Recipe, world: World) -> str:
    """One line: processes and rows of a step; how to use the other GPUs of a machine, if it has some."""
    import torch

    options = recipe.train
    rows = world.size * options.batch_size * options.accumulation
    text = (
        f"{world.size} process{'es' if world.size > 1 else ''} x batch_size {options.batch_size} x accumulation "
        f"{options.accumulation} = {rows} rows a step"
    )
    gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if world.size == 1 and gpus > 1:
        text += (
            f"; this machine has {gpus} GPUs and one process uses the first; for all: "
            f"torchrun --nproc-per-node {gpus} -m socrates_fast train RECIPE --out DIR"
        )
    return text
