"""What the worker tells its parent while a request is at work."""

from collections.abc import Callable, Sequence

from socrates_fast.errors import ScoringError
from socrates_fast.infer.messages import Draws, Progress, Results, Stats
from socrates_fast.infer.predictor import Result


class Feed:
    """What is told of a request while it is at work: how far it is, and its results.

    Args:
        numbers: of the request's prompts in the whole job.
        total: prompts of that.
        strict: raise the first error instead of telling it.
        report: takes what is told.
        spent: tokens computed and seconds of decoding so far, over all requests.
    """

    def __init__(
        self,
        numbers: Sequence[int],
        total: int,
        strict: bool,
        report: Callable[[Progress], None],
        spent: Callable[[], tuple[int, float]],
    ) -> None:
        self._numbers, self._total = numbers, total
        self._strict, self._report, self._spent = strict, report, spent
        self._before = spent()
        self._results: list[tuple[int, Result | Draws]] = []
        self._done = total - len(numbers)
        self.asked = 0
        """Tokens that the request takes (see Stats)."""

    def settle(self, numbers: Sequence[int], result: Result | Draws) -> None:
        """The result of some identical prompts, which are named by their places in the request.

        Raises:
            ScoringError: it is one, and the request is strict; with the first prompt's number, counted from 1.
        """
        if isinstance(result, ScoringError):
            result = ScoringError(f"prompt {self._numbers[numbers[0]] + 1} of {self._total}: {result}")
            if self._strict:
                raise result
        self._results += [(self._numbers[number], result) for number in numbers]
        self._done += len(numbers)

    def tell(self, current: Sequence[int]) -> None:
        """Report progress and the results so far; ``current`` are the prompts that are decoded next."""
        numbers = tuple(self._numbers[number] for number in current)
        computed = self._spent()[0] - self._before[0]
        results = Results.of(self._results)
        self._report(Progress(self._done, self._total, computed, self.asked, numbers, results))
        self._results.clear()

    def finished(self, unique: int) -> Stats:
        """Report what is left; the work that was done for ``unique`` different prompts."""
        self.tell(())
        computed, seconds = self._spent()
        return Stats(
            len(self._numbers), unique, self.asked, computed - self._before[0], seconds - self._before[1]
        )
