"""What a person is told while a model trains: loss, speed, time left, what it cost so far."""

import time
from collections import deque
from collections.abc import Callable, Mapping
from statistics import median

RECENT = 50
"""Steps whose median time and speed are told."""


class Pace:
    """Time left, from the median of recent steps: a checkpoint or another pause within one does not move it.

    Validations are timed apart, and those still to come are added.

    Args:
        validate_every: steps between validations; None where there are none.
    """

    def __init__(self, validate_every: int | None = None) -> None:
        self._every = validate_every
        self._steps: deque[float] = deque(maxlen=RECENT)
        self._validations: deque[float] = deque(maxlen=5)
        self._last: float | None = None

    def step(self, now: float) -> None:
        """An optimiser step ended at ``now``, in seconds of any clock; the first one only starts the measure."""
        self._note(self._steps, now)

    def validation(self, now: float) -> None:
        """The validation rows were gone through since the step before."""
        self._note(self._validations, now)

    def _note(self, spans: deque[float], now: float) -> None:
        if self._last is not None:
            spans.append(max(now - self._last, 0.0))
        self._last = now

    def left(self, step: int, steps: int) -> float | None:
        """Seconds from ``step`` to the last of ``steps``; None before two steps are over."""
        if not self._steps:
            return None
        left = max(steps - step, 0) * median(self._steps)
        if self._every and self._validations and steps > step:
            left += (steps // self._every - step // self._every) * median(self._validations)
        return left


class Told:
    """The line of progress; called with every step's values.

    Args:
        pace: of this training.
        usd_per_hour: price of the machine; None tells no cost, as nobody knows it better.
        before: seconds that earlier processes spent on this training, if it is resumed.
        clock: seconds.
    """

    def __init__(
        self,
        pace: Pace,
        usd_per_hour: float | None = None,
        before: float = 0.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._pace, self._price, self._clock = pace, usd_per_hour, clock
        self._before, self._began = before, clock()
        self._speeds: deque[float] = deque(maxlen=RECENT)
        self._losses: dict[str, float] = {}

    @property
    def seconds(self) -> float:
        """Spent on this training, by this process and those before it."""
        return self._before + self._clock() - self._began

    @property
    def usd(self) -> float | None:
        """Spent so far; None without a price."""
        return None if self._price is None else self.seconds * self._price / 3600

    def __call__(self, step: int, steps: int, values: Mapping[str, float]) -> str:
        """Like "loss 1.234, validation loss 1.300, 12,345 tokens/s, about 12 min left, $1.20 of about $3.40"."""
        if "loss" in values:
            self._pace.step(self._clock())
            if step == 1:  # it begins anew: what was spent on another training is not its cost
                self._before = 0.0
        elif "eval_loss" in values:
            self._pace.validation(self._clock())
        self._losses |= {name: values[name] for name in ("loss", "eval_loss") if name in values}
        if "tokens_per_second" in values:
            self._speeds.append(values["tokens_per_second"])
        return ", ".join(self._parts(self._pace.left(step, steps)))

    def _parts(self, left: float | None) -> list[str]:
        names = {"loss": "loss", "eval_loss": "validation loss"}
        parts = [f"{text} {self._losses[name]:.3f}" for name, text in names.items() if name in self._losses]
        if self._speeds:
            parts.append(f"{median(self._speeds):,.0f} tokens/s")
        if left is not None:
            parts.append(f"{about(left)} left")
        if self._price is not None and (spent := self.usd) is not None:
            whole = "" if left is None else f" of about {dollars(spent + left * self._price / 3600)}"
            parts.append(dollars(spent) + whole)
        return parts

    def cost(self) -> dict[str, float]:
        """``usd`` spent and ``usd_per_hour``, for the log; nothing without a price."""
        if self._price is None:
            return {}
        return {"usd": round(self.usd or 0.0, 4), "usd_per_hour": self._price}

    def end(self) -> str:
        """The same when it is over: time, speed and cost, of all processes that worked on it."""
        parts = [f"trained for {words(self.seconds)}"]
        if self._speeds:
            parts.append(f"{median(self._speeds):,.0f} tokens/s")
        if self.usd is not None:
            parts.append(f"{dollars(self.usd)} at {dollars(self._price or 0.0)} an hour")
        return ", ".join(parts)


def about(seconds: float) -> str:
    """A time that nobody knows exactly: "about 12 min"."""
    return f"about {words(seconds)}"


def words(seconds: float) -> str:
    """Like "40 s", "12 min" or "2 h 05 min"."""
    if seconds < 90:
        return f"{round(seconds)} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60:02d} min"


def dollars(amount: float) -> str:
    """Like $1.20."""
    return "under $0.01" if 0 < amount < 0.01 else f"${amount:,.2f}"
