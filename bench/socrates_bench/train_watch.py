"""What ``bench train`` writes down while ``train`` runs, by standing in front of the functions that it calls.

The training that is measured is the one that users start. Our own code within a step (the meter's hook, the callback with
its log) is timed call by call: two runs, with it and without it, would differ by more than it takes.
"""

import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from typing import Any

from socrates_fast.train.meter import Meter

EVENTS = ("on_log", "on_step_end", "on_save")
"""What our callback does something at."""


class Watch:
    """Seconds by part, and the values of every step.

    Attributes:
        seconds: of what comes before the first step, by part.
        steps: of each optimiser step its seconds, loss and counts.
        own: by part of our own code, its seconds within each step.
        switches: what was asked and what is on, by name.
        first_step_ended: on the monotonic clock.
    """

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self.steps: list[dict[str, Any]] = []
        self.own: dict[str, defaultdict[int, float]] = {
            "hook": defaultdict(float),
            "callback": defaultdict(float),
        }
        self.switches: dict[str, tuple[str, str]] = {}
        self.first_step_ended = 0.0
        self._last, self._used = time.monotonic(), time.process_time()

    def progress(self, step: int, steps: int, values: Mapping[str, float]) -> None:
        """The step is over: what ``train`` calls after each."""
        if "loss" not in values:
            return
        now, used = time.monotonic(), time.process_time()
        self.first_step_ended = self.first_step_ended or now
        spent = {"seconds": now - self._last, "cpu_seconds": used - self._used}
        self.steps.append({"step": step, **spent, **values})
        self._last, self._used = now, used

    def around(self, part: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """``function``, whose seconds are added to ``seconds[part]``; steps are counted from the end of its last call."""

        def timed(*arguments: Any, **options: Any) -> Any:
            began = time.monotonic()
            try:
                return function(*arguments, **options)
            finally:
                self._last, self._used = time.monotonic(), time.process_time()
                self.seconds[part] = self.seconds.get(part, 0.0) + self._last - began

        return timed

    def inside(self, part: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """``function``, whose seconds are added to ``own[part]`` of the step at hand."""

        def timed(*arguments: Any, **options: Any) -> Any:
            step, began = len(self.steps), time.perf_counter()
            try:
                return function(*arguments, **options)
            finally:
                self.own[part][step] += time.perf_counter() - began

        return timed

    def stand_before(self, sft: Any) -> None:
        """Take the place of what ``socrates_fast.train.sft`` calls."""
        from datasets import Dataset

        sft.examples_of = self.around("examples", sft.examples_of)
        sft.load = self.around("load", sft.load)
        Dataset.from_list = self.around("datasets", Dataset.from_list)
        sft._trainer = self.around("trainer", sft._trainer)
        sft.switches = self.around("switches", self._noting(sft.switches))
        sft.step_callback = self._timing(sft.step_callback)
        sft.Meter = lambda model: Counter(model, self)

    def _noting(self, switches: Callable[..., dict[str, tuple[str, str]]]) -> Callable[..., Any]:
        def noted(*arguments: Any) -> dict[str, tuple[str, str]]:
            self.switches = switches(*arguments)
            return self.switches

        return noted

    def _timing(self, step_callback: Callable[..., Any]) -> Callable[..., Any]:
        def made(*arguments: Any) -> Any:
            callback = step_callback(*arguments)
            for event in EVENTS:
                setattr(callback, event, self.inside("callback", getattr(callback, event)))
            return callback

        return made


class Counter(Meter):
    """The meter, which also counts rows and adds up token ids, so that two backends' batches can be compared."""

    def __init__(self, model: Any, watch: Watch) -> None:
        self._own = watch.inside("hook", super()._count)
        super().__init__(model)

    def _count(self, model: Any, args: Any, kwargs: dict[str, Any]) -> None:
        self._own(model, args, kwargs)
        ids, labels = kwargs.get("input_ids"), kwargs.get("labels")
        if ids is None or labels is None or not model.training:
            return
        mask = kwargs.get("attention_mask")
        answered = labels != -100
        self._add("rows", (answered[:, 1:] & ~answered[:, :-1]).sum())  # each row has one answer
        self._add("ids", (ids if mask is None or mask.dim() != 2 else ids * mask).sum())

    def read(self) -> dict[str, float]:
        """As the meter's, with ``rows``, the sum of ``ids``, and ``places``, padding among them."""
        more = {name: int(self._totals.get(name, 0)) for name in ("rows", "ids", "places")}
        return super().read() | more
