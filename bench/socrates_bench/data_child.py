"""A process that prepares data, or reads the scales of all rows, and says how long it took; ``children`` speaks to it.

It keeps to ``cores`` processors, which polars' threads then number too, and imports its work only after that.
"""

import os
import re
import time
from pathlib import Path
from typing import Any

from socrates_bench.children import Answer, serve


def start(shards: str, by: str, cores: int) -> tuple[dict[str, Any], Answer]:
    """Get ready.

    Args:
        shards: folder of the rows.
        by: what the split keeps whole.
        cores: processors to use at most.
    """
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:cores])
    started = time.monotonic()
    import polars as pl

    import socrates_fast.data.prepare  # noqa: F401 - what is imported now is not in the measured seconds

    def answer(do: str, **job: Any) -> dict[str, Any]:
        return _prepare(Path(shards), by, **job) if do == "prepare" else _scales(Path(shards))

    seconds = time.monotonic() - started
    return {"pid": os.getpid(), "threads": pl.thread_pool_size(), "import_seconds": seconds}, answer


def _prepare(shards: Path, by: str, share: float, out: str) -> dict[str, Any]:
    """Prepare a folder as ``data prepare`` does; seconds, and what the process did in them."""
    from socrates_fast.data.prepare import prepare
    from socrates_fast.recipe import Recipe

    recipe = Recipe.model_validate(
        {
            "name": "bench",
            "data": {"source": "files", "path": shards, "share": share, "split": {"by": by}},
        }
    )
    said: list[str] = []
    used, written, began = _processor_seconds(), _written(), time.monotonic()
    prepare(recipe, Path(out), said.append)
    return {
        "seconds": time.monotonic() - began, "cpu_seconds": _processor_seconds() - used,
        "bytes_written": _written() - written, "said": [text.replace(f"{out}/", "") for text in said],
    }  # fmt: skip


def _scales(shards: Path) -> dict[str, Any]:
    """Read the scale of every row as ``prepare`` does, without anything else; reading the files is not counted."""
    from socrates_fast.data.scale_table import scales_of
    from socrates_fast.data.sources import open_files

    rows, read, handed, seconds = 0, 0, 0, 0.0
    texts: set[int] = set()
    for batch in open_files(shards).batches(("stimuli",)):
        began = time.monotonic()
        distinct = batch["stimuli"].unique()
        table = scales_of(distinct)
        found = batch.join(table, on="stimuli", how="left", maintain_order="left")
        seconds += time.monotonic() - began
        rows, handed, read = rows + batch.height, handed + len(distinct), read + found["low"].count()
        texts.update(distinct.hash())
    return {
        "rows": rows,
        "rows_with_a_scale": read,
        "texts": len(texts),
        "texts_in_batches": handed,
        "seconds": seconds,
    }


def _processor_seconds() -> float:
    times = os.times()
    return times.user + times.system


def _written() -> int:
    """Bytes that this process has given to the system to write."""
    found = re.search(r"wchar: (\d+)", Path("/proc/self/io").read_text(encoding="ascii"))
    return int(found[1]) if found else 0


if __name__ == "__main__":
    serve(start)
