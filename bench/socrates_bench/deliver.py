"""What a bench's verb does with the lines: kept in a file and printed as they come, or as a table at the end."""

import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import TextIO

from socrates_bench.record import Measurement, append, lines


def deliver(found: Iterable[Measurement], as_json: bool, out: Path | None) -> None:
    """Take a bench's lines as it measures.

    Args:
        found: the lines.
        as_json: print each as JSON on stdout at once; otherwise tables of all of them, also of a bench that fails later.
        out: file to add each line to at once.
    """
    kept: list[Measurement] = []
    with _own_stdout() as stdout:
        try:
            for one in found:
                kept.append(one)
                if out is not None:
                    append(out, [one])
                if as_json:
                    print(lines([one]), end="", file=stdout, flush=True)
        finally:
            if kept and not as_json:
                from socrates_bench.report.tables import tables

                print(tables(kept), end="", file=stdout, flush=True)


@contextmanager
def _own_stdout() -> Iterator[TextIO]:
    """Stdout for us alone: whatever libraries print there meanwhile goes to stderr."""
    sys.stdout.flush()
    own = os.dup(1)
    os.dup2(2, 1)
    try:
        with os.fdopen(own, "w", encoding="utf-8", closefd=False) as stream, redirect_stdout(sys.stderr):
            yield stream
    finally:
        sys.stdout.flush()
        os.dup2(own, 1)
        os.close(own)
