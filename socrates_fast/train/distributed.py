"""Training by several processes, one for each GPU: who this process is, and how they wait for and tell one another.

A launcher (``torchrun``, ``accelerate launch``) starts the processes and says in environment variables who each is. What
is done once (data, base, checkpoints' bookkeeping, log, manifest, export) process 0 does while the others wait.

Nobody waits for ever: an error inside ``once`` or ``together`` ends all processes; a process that dies closes its
connections, which ends the others; and the launcher ends those that are left.
"""

import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, redirect_stdout, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

from socrates_fast.errors import SocratesError, StoppedElsewhere
from socrates_fast.optional import need
from socrates_fast.runs import Run

Result = TypeVar("Result")

VARIABLES = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
"""What a launcher sets."""

STEP_TIMEOUT = timedelta(minutes=30)
"""Longest wait inside a step."""

STAGE_TIMEOUT = timedelta(hours=24)
"""Longest wait while process 0 prepares data or downloads a base."""

SEEN_SECONDS = 60.0
"""A network file system may show a new file to other machines only after a while."""


@dataclass(frozen=True)
class World:
    """The processes that train together; alone by default.

    Attributes:
        rank: number of this process, from 0.
        size: how many there are.
        local_rank: number of this process on its machine, and of its GPU.
        group: for messages between them, over gloo, on CPUs; None alone.
    """

    rank: int = 0
    size: int = 1
    local_rank: int = 0
    group: Any = field(default=None, repr=False, compare=False)

    @property
    def first(self) -> bool:
        """Whether this is the process that writes and speaks."""
        return self.rank == 0

    def once(self, work: Callable[[], Result]) -> Result:
        """``work()`` of process 0, which all get; picklable. Its error is raised there, and ends the others silently.

        Raises:
            StoppedElsewhere: process 0 failed or is gone.
        """
        if self.size == 1:
            return work()
        if not self.first:
            done, result = self._broadcast(None)
            if not done:
                raise StoppedElsewhere
            return result  # type: ignore[no-any-return]  # what process 0 computed came pickled
        try:
            result = work()
        except BaseException:
            with suppress(StoppedElsewhere):  # what went wrong here matters more
                self._broadcast((False, None))
            raise
        self._broadcast((True, result))
        return result

    @contextmanager
    def together(self) -> Iterator[None]:
        """All processes leave the block, or none: the first one that has an error raises it, the others stop silently.

        Inside it no process may wait for another.

        Raises:
            StoppedElsewhere: another process has an error.
        """
        failure: SocratesError | None = None
        try:
            yield
        except SocratesError as error:
            if self.size == 1:
                raise
            failure = error
        failed = self._gather(failure is not None)
        if any(failed):
            raise failure if failure is not None and failed.index(True) == self.rank else StoppedElsewhere

    def wait(self) -> None:
        """Go on when all processes are here.

        Raises:
            StoppedElsewhere: one is gone.
        """
        self._gather(None)

    def on_each_node(self, work: Callable[[], Result]) -> Result:
        """``work()`` of this process: process 0 first, then one on each machine, then the others, who find it done."""
        turn = 0 if self.first else 1 if self.local_rank == 0 else 2
        result: Result
        for now in range(3):
            with self.together():
                if turn == now:
                    result = work()
        return result

    def total(self, values: Mapping[str, float]) -> dict[str, float]:
        """Sums over all processes, by name; all must give the same names."""
        return self._reduced(values, "SUM")

    def largest(self, values: Mapping[str, float]) -> dict[str, float]:
        """The largest of all processes, by name; all must give the same names."""
        return self._reduced(values, "MAX")

    def _reduced(self, values: Mapping[str, float], operation: str) -> dict[str, float]:
        if self.size == 1:
            return dict(values)
        import torch
        import torch.distributed as dist

        names = sorted(values)
        tensor = torch.tensor([float(values[name]) for name in names], dtype=torch.float64)
        with self.peers():
            dist.all_reduce(tensor, getattr(dist.ReduceOp, operation), group=self.group)
        return dict(zip(names, tensor.tolist(), strict=True))

    def _gather(self, value: Any) -> list[Any]:
        if self.size == 1:
            return [value]
        import torch.distributed as dist

        found: list[Any] = [None] * self.size
        with self.peers():
            dist.all_gather_object(found, value, group=self.group)
        return found

    def _broadcast(self, value: Any) -> Any:
        import torch.distributed as dist

        box = [value]
        with self.peers():
            dist.broadcast_object_list(box, src=0, group=self.group)
        return box[0]

    @contextmanager
    def peers(self) -> Iterator[None]:
        """Another process that is gone is a message, not a traceback.

        Raises:
            StoppedElsewhere: a connection to another process broke, or it did not answer in time.
        """
        try:
            yield
        except RuntimeError as error:
            if self.size == 1 or not _is_broken_connection(error):
                raise
            raise StoppedElsewhere(
                f"process {self.rank} of {self.size} lost another one ({str(error).splitlines()[0][:160]}); the other's "
                "message says why, and the same command resumes"
            ) from error

    def seen(self, path: Path) -> Path:
        """``path``, which process 0 wrote.

        Raises:
            SocratesError: this process cannot see it: its machine has another file system.
        """
        end = time.monotonic() + SEEN_SECONDS
        while not path.exists():
            if time.monotonic() > end:
                raise SocratesError(
                    f"{path} is not there for process {self.rank}, though process 0 wrote it; with several machines --out "
                    "must be a folder that all of them share"
                )
            time.sleep(0.5)
        return path

    @contextmanager
    def quiet(self) -> Iterator[None]:
        """What libraries print and warn in all processes is shown of the first."""
        if self.first:
            yield
            return
        import logging
        import warnings

        with Path(os.devnull).open("w") as nowhere, redirect_stdout(nowhere), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            logging.disable(logging.WARNING)
            yield

    def run(self, folder: Path) -> Run:
        """The run's folder; of all processes only the first writes to its log."""
        return Run(folder) if self.first else _Reader(folder)

    def leave(self) -> None:
        """End the group; what this process does from here on, it does alone."""
        if self.size == 1:
            return
        import torch.distributed as dist

        with self.peers():
            dist.barrier(group=self.group)
        dist.destroy_process_group()
        for name in VARIABLES:  # libraries would look for the others again
            os.environ.pop(name, None)


ALONE = World()
"""One process."""


class _Reader(Run):
    """A run's folder as seen by the processes that do not write to it."""

    def log(self, event: str, **values: Any) -> None:
        return


def join() -> World:
    """Join the processes that the launcher started; ``ALONE`` without one.

    Raises:
        SocratesError: the launcher's variables are not complete, or the others cannot be reached.
        MissingDependency: torch is not installed.
    """
    if (os.environ.get("WORLD_SIZE") or "1") == "1":
        return ALONE
    missing = [name for name in VARIABLES if name != "LOCAL_WORLD_SIZE" and not os.environ.get(name)]
    if missing:
        raise SocratesError(
            f"WORLD_SIZE is {os.environ['WORLD_SIZE']}, but {', '.join(missing)} not set: start several processes with "
            "torchrun or accelerate launch, or unset WORLD_SIZE to train in one"
        )
    need("torch", "training in several processes", "train")
    import torch
    import torch.distributed as dist

    backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
    if (
        backend == "gloo"
    ):  # else Accelerate calls the device cpu:0, and no checkpoint can be loaded on to that
        os.environ["ACCELERATE_TORCH_DEVICE"] = "cpu"
    try:
        dist.init_process_group(backend, timeout=STEP_TIMEOUT)
        group = dist.new_group(backend="gloo", timeout=STAGE_TIMEOUT)
    except (RuntimeError, ValueError) as error:
        raise SocratesError(f"the processes cannot reach one another ({str(error)[:300]})") from error
    return World(dist.get_rank(), dist.get_world_size(), int(os.environ["LOCAL_RANK"]), group)


def _is_broken_connection(error: RuntimeError) -> bool:
    import torch.distributed as dist

    if isinstance(error, dist.DistError):
        return True
    return any(word in str(error) for word in ("by peer", "gloo", "NCCL", "Broken pipe"))
