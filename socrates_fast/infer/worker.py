"""The child process that holds llama.cpp: ``python -m socrates_fast.infer.worker``.

llama.cpp can abort its process; here it takes only this one along. Messages (messages.py) come in on stdin and
go out on what was stdout; anything that llama.cpp prints goes to stderr. The child ends with its parent.
"""

import ctypes
import os
import queue
import signal
import sys
import threading
import traceback
from functools import partial
from types import FrameType
from typing import BinaryIO

from socrates_fast.errors import SocratesError
from socrates_fast.infer.messages import (
    Failed,
    Sample,
    Score,
    Scored,
    Settings,
    read_message,
    write_message,
)

_PR_SET_PDEATHSIG = 1


def main() -> None:
    """Serve until the parent closes our stdin."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to the parent, which kills us
    replies = _claim_stdout()
    _end_with_parent()
    requests: queue.SimpleQueue[object] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(sys.stdin.buffer, requests), daemon=True).start()
    serve(requests, replies)


def _claim_stdout() -> BinaryIO:
    """Take stdout for messages alone; whatever prints to it from now on reaches stderr."""
    replies = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    return replies


def _end_with_parent() -> None:
    """On Linux, be told of the parent's death even if someone else holds our stdin open."""
    if not sys.platform.startswith("linux"):
        return
    parent = os.getppid()

    def check(_signal: int, _frame: FrameType | None) -> None:
        # The signal also comes when only the thread that started us ends: then we go on.
        if os.getppid() != parent:
            os._exit(1)

    signal.signal(signal.SIGUSR1, check)
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGUSR1)


def _listen(stream: BinaryIO, requests: "queue.SimpleQueue[object]") -> None:
    """Queue messages; when the parent closes the pipe, end at once, also in the middle of a decode."""
    while (message := read_message(stream)) is not None:
        requests.put(message)
    os._exit(0)


def serve(requests: "queue.SimpleQueue[object]", replies: BinaryIO) -> None:
    """Load what the first message says, then answer requests; an error of one does not end the next."""
    from socrates_fast.infer.library import LlamaModel
    from socrates_fast.infer.scorer import Scorer

    scorer: Scorer | None = None
    report = partial(write_message, replies)
    while True:
        message = requests.get()
        try:
            if isinstance(message, Settings):
                model = LlamaModel(message)
                scorer = Scorer(model, message.deterministic)
                write_message(replies, model.info)
            elif isinstance(message, Score) and scorer is not None:
                write_message(replies, Scored(scorer.score(message, report)))
            elif isinstance(message, Sample) and scorer is not None:
                write_message(replies, Scored(scorer.sample(message, report)))
        except SocratesError as error:
            write_message(replies, Failed(type(error).__name__, str(error)))
        except Exception:  # noqa: BLE001 - a bug: the parent raises it with this traceback
            write_message(replies, Failed("", traceback.format_exc()))


if __name__ == "__main__":
    main()
