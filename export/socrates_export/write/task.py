"""What the child process does to write files: open the model, then one pass."""

import time
from collections.abc import Mapping
from pathlib import Path

from socrates_export.architectures.spec import Metadata
from socrates_export.source.merged import open_merged
from socrates_export.write.files import model_metadata, write_files
from socrates_export.write.imatrix import read_imatrix

REPORT_S = 0.2


def write(
    base: str,
    adapter: str | None,
    merge_base: str,
    name: str,
    extra: Metadata,
    files: Mapping[str, str],
    imatrix: str | None,
    threads: int,
) -> None:
    """Write ``files`` (paths by type) of base + adapter; prints how far it is.

    Args:
        base: the base model's folder.
        adapter: the adapter's folder, or None.
        merge_base: ``original`` or ``nf4``, see ``open_merged``.
        name: of the model.
        extra: further GGUF keys.
        files: paths by type.
        imatrix: a GGUF importance matrix, or None.
        threads: 0 for one per core.

    Raises:
        SocratesError: see ``open_merged``, ``read_imatrix`` and ``write_files``.
    """
    model = open_merged(Path(base), Path(adapter) if adapter else None, merge_base)
    metadata = {**model_metadata(model, name), **extra}
    matrix = read_imatrix(Path(imatrix)) if imatrix else None
    told = 0.0

    def report(done: int, total: int) -> None:
        nonlocal told
        if done == total or time.monotonic() - told > REPORT_S:
            told = time.monotonic()
            print(done, total, flush=True)

    write_files(model, metadata, {kind: Path(path) for kind, path in files.items()}, matrix, threads, report)
