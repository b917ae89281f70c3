"""SHA256SUMS, which ``sha256sum -c`` checks, and the moving of a release to its folder.

The list is also how a later export knows which texts in the folder are an export's own and unchanged: only those may
be replaced. At every moment of the moving each such text that is there is in the list that is there, so an export
that is killed does not block the next.
"""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from socrates_fast.errors import ExportError
from socrates_fast.runs import sha256_file, write_text

SUMS = "SHA256SUMS"
PARITY = "parity.json"

_LINE = re.compile(r"(?P<escaped>\\?)(?P<hash>[0-9a-f]{64})  (?P<name>.+)")
_ESCAPES = {"\\": "\\\\", "\n": "\\n", "\r": "\\r"}


def write_sums(folder: Path, files: Iterable[Path], known: Mapping[str, str]) -> Path:
    """Write SHA256SUMS of ``files``, which are in ``folder``; ``known`` hashes, by name, are not computed again."""
    hashes = {file.name: known.get(file.name) or sha256_file(file) for file in files}
    path = folder / SUMS
    write_text(path, "".join(_line(name, hashes[name]) for name in sorted(hashes)))
    return path


def _line(name: str, sha256: str) -> str:
    # As sha256sum writes it: a backslash in front says that the name is escaped.
    escaped = "".join(_ESCAPES.get(c, c) for c in name)
    mark = "\\" if escaped != name else ""
    return f"{mark}{sha256}  {escaped}\n"


def read_sums(folder: Path) -> dict[str, str]:
    """Hashes by name of an export's SHA256SUMS; empty if there is none, or it is not one that an export wrote."""
    path = folder / SUMS
    if not path.is_file():
        return {}
    lines = path.read_text(encoding="utf-8", errors="replace").split("\n")
    found = [_LINE.fullmatch(line) for line in lines[:-1]]
    sums = {_unescape(line): line["hash"] for line in found if line is not None}
    return sums if len(sums) == len(found) and PARITY in sums else {}


def _unescape(line: re.Match[str]) -> str:
    if not line["escaped"]:
        return line["name"]
    plain = {escaped: c for c, escaped in _ESCAPES.items()}
    return re.sub(r"\\.", lambda found: plain.get(found[0], found[0]), line["name"])


def check_free(out: Path, names: Iterable[str]) -> None:
    """Refuse to replace a text that no export wrote, or that was changed since: a person's own README, say.

    Args:
        out: the folder that a release will be moved to.
        names: of the release's texts.

    Raises:
        ExportError: there is such a text in ``out``.
    """
    own = read_sums(out)
    for name in [*names, SUMS]:
        path = out / name
        if not path.exists() or (name == SUMS and own):
            continue
        if own.get(name) is None or not path.is_file() or sha256_file(path) != own[name]:
            raise ExportError(
                f"{path} would be replaced, and it is not what an export wrote there; move it away or name another "
                "folder with --out"
            )


def deliver(folder: Path, out: Path, files: Iterable[Path]) -> list[Path]:
    """Move a release's ``files`` from ``folder`` to ``out``; the files there.

    Old texts go first, then the new SHA256SUMS takes the place of the old, then come the files that it lists. Until
    all are there, ``sha256sum -c`` says which are missing.
    """
    names = [file.name for file in files]
    # An old verdict must not stand beside a new file, not even for a moment.
    (out / PARITY).unlink(missing_ok=True)
    for old in read_sums(out):
        if not old.endswith(".gguf"):
            (out / old).unlink(missing_ok=True)
    ordered = sorted(names, key=lambda name: (name != SUMS, not name.endswith(".gguf"), name))
    return [(folder / name).replace(out / name) for name in ordered]
