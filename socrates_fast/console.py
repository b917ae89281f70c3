"""What a person sees while work goes on: messages and progress on stderr, nothing on stdout."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

Advance = Callable[[int, int, str], None]
"""``advance(step, steps, text)``."""


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
    def steps(self, title: str) -> Iterator[Advance]:
        """A progress bar with steps and time left that appears with the first step."""
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        columns = (
            TextColumn("{task.description}"), BarColumn(bar_width=24), MofNCompleteColumn(),
            TimeRemainingColumn(), TextColumn("{task.fields[text]}"),
        )  # fmt: skip
        with Progress(*columns, console=self.rich, transient=True) as progress:
            task = progress.add_task(title, total=None, text="", visible=False)

            def advance(step: int, steps: int, text: str) -> None:
                progress.update(task, completed=step, total=steps, visible=True)
                if text:
                    progress.update(task, text=text)

            yield advance
