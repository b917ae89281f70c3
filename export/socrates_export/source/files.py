"""Reads the files of a model folder: JSON, and bytes at a place of a large file."""

import json
import os
import threading
import weakref
from collections import Counter
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from socrates_fast.errors import ModelError

JSON_BYTES = 256 * 2**20
"""Most bytes of a JSON file that is read (a tokenizer of 260,000 tokens has 35 million)."""


def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object; for ``object_pairs_hook``.

    Raises:
        ValueError: it has a name twice, of which ``json`` alone would silently drop one.
    """
    found = dict(pairs)
    if len(found) < len(pairs):
        [(name, _)] = Counter(name for name, _ in pairs).most_common(1)
        raise ValueError(f"{name} is named twice")
    return found


def read_json(path: Path) -> dict[str, Any]:
    """The JSON object in ``path``.

    Raises:
        ModelError: there is no such file, or it holds no JSON object.
    """
    try:
        if path.exists() and not path.is_file():
            raise ModelError(f"{path}: not a file")
        if path.stat().st_size > JSON_BYTES:
            raise ModelError(f"{path}: {path.stat().st_size:,} bytes are too many for a JSON file")
        content = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError) as error:
        raise ModelError(f"{path.parent}: no {path.name}; is this the right folder?") from error
    except OSError as error:
        raise ModelError(f"{path}: cannot be read ({error.strerror})") from error
    except (ValueError, RecursionError) as error:
        raise ModelError(f"{path}: not JSON ({error})") from error
    if not isinstance(content, dict):
        raise ModelError(f"{path}: a JSON object was expected, not {type(content).__name__}")
    return content


class OpenFile:
    """A file that is opened when it is first read, and then stays open until nobody refers to it.

    Several threads may read at once: every read says where.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.Lock()
        self._descriptor = -1

    def read_into(self, target: NDArray[Any], offset: int) -> None:
        """Fill ``target`` (contiguous) with the bytes from ``offset`` on.

        Raises:
            ModelError: the file cannot be read, or ends before.
        """
        if not target.size:
            return
        view = memoryview(target.data).cast("B")
        while view:
            try:
                count = os.preadv(self._opened(), [view], offset)
            except OSError as error:
                raise ModelError(f"{self.path}: cannot be read ({error.strerror})") from error
            if not count:
                raise ModelError(f"{self.path}: truncated: it ends at byte {offset}")
            view, offset = view[count:], offset + count

    def _opened(self) -> int:
        if self._descriptor < 0:
            with self._lock:
                if self._descriptor < 0:
                    descriptor = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
                    weakref.finalize(self, os.close, descriptor)
                    self._descriptor = descriptor
        return self._descriptor
