"""What a person sees while work goes on: messages and progress on stderr, nothing on stdout."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.progress import Progress, ProgressColumn

Advance = Callable[[int, int, str], None]
"""``advance(step, steps, text)``."""

DRAW_SECONDS = 0.1
"""Between two changes of a bar."""

LINE_SECONDS = 60.0
"""Between two lines of progress where there is no terminal."""

SPEED_SECONDS = 120.0
"""Time left is told from the speed of so many seconds."""


class Console:
    """Messages and progress bars on stderr.

    Args:
        quiet: show nothing.
    """

    def __init__(self, quiet: bool = False) -> None:
        from rich.console import Console as RichConsole

        self.rich = RichConsole(stderr=True, quiet=quiet, highlight=False, soft_wrap=True)

    def say(self, text: str) -> None:
        """Print one message."""
        self.rich.print(text, markup=False)

    @contextmanager
    def steps(self, title: str, own_time: bool = False) -> Iterator[Advance]:
        """Progress in steps, from the first one on: a bar with the time left on a terminal, else lines.

        Args:
            own_time: the text tells the time left better than the bar can.
        """
        from rich.progress import Progress

        columns, told, spoke = _columns(12 if own_time else 24, not own_time), "", time.monotonic()
        with Progress(
            *columns, console=self.rich, transient=True, disable=not self.rich.is_terminal
        ) as progress:
            task = progress.add_task(title, total=None, text="", visible=False)

            def advance(step: int, steps: int, text: str) -> None:
                nonlocal told, spoke
                told = text or told
                progress.update(task, completed=step, total=steps, visible=True, text=told)
                if not self.rich.is_terminal and time.monotonic() - spoke >= LINE_SECONDS:
                    spoke = time.monotonic()
                    self.say(", ".join(filter(None, (f"{title}: {step:,}/{steps:,}", told))))

            yield advance

    @contextmanager
    def rows(self, title: str, total: int, done: int = 0) -> Iterator["Rows"]:
        """Progress over ``total`` rows, ``done`` of which were done before: a bar on a terminal, else lines."""
        from rich.progress import Progress

        shown = self.rich.is_terminal and not self.rich.quiet
        with Progress(
            *_columns(12), console=self.rich, disable=not shown, speed_estimate_period=SPEED_SECONDS
        ) as bar:
            rows = Rows(self, bar, title, total, done)
            yield rows
            rows.end()


class Rows:
    """How far rows are that are done window by window; see ``Console.rows``.

    Attributes:
        done: rows that are done.
        tokens_computed: by the predictor, since this began.
        tokens_asked: tokens that the rows have, each alone.
    """

    def __init__(self, console: Console, bar: "Progress", title: str, total: int, done: int) -> None:
        self._console, self._bar, self._title, self._total = console, bar, title, total
        self._task = bar.add_task(title, total=total, completed=done, text="")
        self._first, self._window = done, done
        self.done = done
        self._computed, self._asked = 0, 0
        self.tokens_computed, self.tokens_asked = 0, 0
        self._began = self._spoke = time.monotonic()
        self._drawn = 0.0

    def reach(self, done: int) -> None:
        """``done`` rows of the window are known; it never goes back."""
        self.done = max(self.done, self._window + done)
        self._show()

    def tokens(self, computed: int, asked: int, since_start: bool = False) -> None:
        """So many tokens were computed of so many asked, in the window or since this began; it never goes back."""
        before = (0, 0) if since_start else (self._computed, self._asked)
        self.tokens_computed = max(self.tokens_computed, before[0] + computed)
        self.tokens_asked = max(self.tokens_asked, before[1] + asked)
        self._show()

    def _show(self) -> None:
        now = time.monotonic()
        if now - self._drawn >= DRAW_SECONDS:
            self._drawn = now
            self._draw()
        if now - self._spoke >= LINE_SECONDS and not self._console.rich.is_terminal:
            self._speak()

    def next_window(self) -> None:
        """What comes from now on is of another window."""
        self._window, self._computed, self._asked = self.done, self.tokens_computed, self.tokens_asked

    @property
    def seconds(self) -> float:
        """Since this began."""
        return max(time.monotonic() - self._began, 1e-9)

    def speed(self) -> str:
        """Rows a second since this began, and the tokens."""
        text = f"{(self.done - self._first) / self.seconds:,.1f} rows/s"
        if self.tokens_asked:
            share = self.tokens_computed / self.tokens_asked
            text += f", {self.tokens_computed:,} of {self.tokens_asked:,} tokens computed ({share:.0%})"
        return text

    def figures(self) -> dict[str, float]:
        """Seconds, rows a second and tokens, since this began."""
        return {
            "seconds": round(self.seconds, 3),
            "rows_per_second": round((self.done - self._first) / self.seconds, 3),
            "tokens_asked": self.tokens_asked,
            "tokens_computed": self.tokens_computed,
        }

    def _draw(self) -> None:
        share = self.tokens_computed / self.tokens_asked if self.tokens_asked else 0.0
        tokens = f", {share:.0%} of {_short(self.tokens_asked)} tokens" if self.tokens_asked else ""
        speed = (self.done - self._first) / self.seconds
        self._bar.update(self._task, completed=self.done, text=f"{speed:,.1f} rows/s{tokens}")

    def _speak(self) -> None:
        self._spoke = time.monotonic()
        speed = (self.done - self._first) / self.seconds
        left = (self._total - self.done) / speed if speed else None
        told = f", {duration(left)} left" if left else ""
        self._console.say(f"{self._title}: {self.done:,}/{self._total:,} rows, {self.speed()}{told}")

    def end(self) -> None:
        """Show how it ended."""
        self._draw()
        if not self._console.rich.is_terminal:
            self._speak()


def _columns(width: int = 24, left: bool = True) -> "tuple[ProgressColumn, ...]":
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.table import Column

    return (
        TextColumn("{task.description}"), BarColumn(bar_width=width), MofNCompleteColumn(),
        *([TimeRemainingColumn()] if left else []),
        TextColumn("{task.fields[text]}", table_column=Column(overflow="fold")),  # a narrow terminal takes two lines
    )  # fmt: skip


def _short(count: int) -> str:
    """Like 51.8k or 1.2M."""
    for unit, name in ((10**9, "G"), (10**6, "M"), (10**3, "k")):
        if count >= unit:
            return f"{count / unit:.1f}{name}"
    return str(count)


def duration(seconds: float) -> str:
    """Like 2:05:07."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02d}:{rest:02d}"
