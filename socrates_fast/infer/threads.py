"""Work done by several threads at the same time, with results as they come."""

import threading
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from queue import SimpleQueue
from typing import TypeVar

J = TypeVar("J")
R = TypeVar("R")


def concurrently(jobs: Iterable[J], work: Callable[[J], R], width: int) -> Iterator[tuple[J, R]]:
    """Each job with what ``work`` makes of it, in the order in which they end.

    Jobs are begun only as results are taken, so that a caller who stops reading stops the work: no more than
    ``2 * width`` jobs are ahead. The threads are daemons: neither Ctrl-C nor the end of the program waits for them.

    Args:
        jobs: read in the caller's thread.
        work: called in several threads.
        width: most jobs at the same time.

    Raises:
        BaseException: the first that ``work`` raises; only jobs that are ahead by then are still done.
    """
    todo: SimpleQueue[tuple[J] | None] = SimpleQueue()
    done: SimpleQueue[tuple[J, R] | BaseException] = SimpleQueue()

    def serve() -> None:
        while (entry := todo.get()) is not None:
            try:
                done.put((entry[0], work(entry[0])))
            except BaseException as error:  # noqa: BLE001 - the caller's thread raises it
                done.put(error)

    rest = iter(jobs)
    ahead = 0
    for job in islice(rest, 2 * width):
        todo.put((job,))
        ahead += 1
    threads = [threading.Thread(target=serve, daemon=True) for _ in range(min(width, ahead))]
    try:
        for thread in threads:
            thread.start()
        while ahead:
            outcome = done.get()
            ahead -= 1
            if isinstance(outcome, BaseException):
                raise outcome
            for following in islice(rest, 1):
                todo.put((following,))
                ahead += 1
            yield outcome
    finally:
        for _ in threads:
            todo.put(None)
