"""What happens at every step of training: the log and its picture, progress, checkpoints by the clock, an orderly stop."""

import math
import signal
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import FrameType
from typing import Any

from socrates_fast.runs import Run
from socrates_fast.train.checkpoints import close_checkpoint
from socrates_fast.train.meter import Meter
from socrates_fast.train.picture import Picture

Progress = Callable[[int, int, Mapping[str, float]], None]
"""``progress(step, steps, values)``: called after every optimiser step."""


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


class Watch:
    """What the callback found out: the step whose loss was no number, if any."""

    def __init__(self) -> None:
        self.not_a_number: int | None = None


def step_callback(
    run: Run,
    meter: Meter,
    interrupt: Interrupt,
    watch: Watch,
    save_minutes: float | None,
    progress: Progress | None,
) -> Any:
    """The callback: one JSON line of log a step, the progress bar, checkpoints every ``save_minutes``, the stops.

    Processes that train together (``meter.world``) stop and save at the same step, whichever of them was asked to.
    """
    from transformers import TrainerCallback

    picture = Picture(run)

    class StepCallback(TrainerCallback):  # type: ignore[misc]  # transformers is untyped here
        started = time.monotonic()
        saved = started

        def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:
            numbers = {k: v for k, v in (logs or {}).items() if isinstance(v, int | float)}
            loss = numbers.get("loss")
            if loss is not None:
                numbers |= meter.read()
            elif "eval_loss" in numbers:
                meter.skip()
            seconds = round(time.monotonic() - self.started, 3)
            finite = {name: value for name, value in numbers.items() if math.isfinite(value)}
            picture.log(step=state.global_step, seconds=seconds, **finite)
            if progress:
                progress(state.global_step, state.max_steps, finite)
            if loss is not None and not math.isfinite(loss):
                watch.not_a_number = state.global_step
                control.should_training_stop = True
                control.should_save = False  # the weights are no numbers either, or will be

        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            due = save_minutes is not None and time.monotonic() - self.saved >= 60 * save_minutes
            found = meter.world.largest({"due": due, "asked": interrupt.asked})
            interrupt.asked = bool(found["asked"])
            if any(found.values()):
                control.should_save = True
            if interrupt.asked:
                control.should_training_stop = True

        def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            self.saved = time.monotonic()
            meter.world.wait()  # until all have written their files
            meter.world.once(lambda: close_checkpoint(Path(args.output_dir), state.global_step))
            self._draw(state, running=True)

        def on_train_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            self._draw(state, running=False)

        def _draw(self, state: Any, running: bool) -> None:
            if meter.world.first:
                picture.draw(state.max_steps, running)

    return StepCallback()
