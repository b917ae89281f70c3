"""llama.cpp's own source, from the source distribution of the pinned llama-cpp-python: converter and test vocabularies.

Looked for in the folder that SOCRATES_SDIST names (the unpacked distribution), else in the cache, else downloaded there
by pip. The converter is run, never copied.
"""

import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from importlib.metadata import version
from pathlib import Path

WANTED = ("convert_hf_to_gguf.py", "convert_lora_to_gguf.py", "conversion/", "gguf-py/", "models/ggml-vocab-",
          "models/templates/")  # fmt: skip


def llama_source() -> Path:
    """The folder ``vendor/llama.cpp`` of the source distribution.

    Raises:
        RuntimeError: it cannot be downloaded.
    """
    given = os.environ.get("SOCRATES_SDIST")
    if given:
        return Path(given) / "vendor" / "llama.cpp"
    release = f"llama_cpp_python-{version('llama-cpp-python')}"
    cache = Path(os.environ.get("SOCRATES_FAST_CACHE") or Path.home() / ".cache" / "socrates-fast")
    folder = cache / release
    if not folder.is_dir():
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache) as place:
            _unpack(_download(release, Path(place)), Path(place))
            (Path(place) / release).replace(folder)
    return folder / "vendor" / "llama.cpp"


def _download(release: str, place: Path) -> Path:
    requirement = f"llama-cpp-python=={release.rpartition('-')[2]}"
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps",
               "--no-binary", "llama-cpp-python", "--dest", str(place), requirement]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    found = list(place.glob("*.tar.gz"))
    if not found:
        raise RuntimeError(f"cannot download the source of {requirement}:\n{done.stderr[-1000:]}")
    return found[0]


def _unpack(archive: Path, place: Path) -> None:
    """Write the files that are wanted; ``extractall`` has no ``filter`` before Python 3.11.4."""
    with tarfile.open(archive) as tar:
        for member in tar:
            target = (place / member.name).resolve()
            wanted = member.name.partition("/vendor/llama.cpp/")[2].startswith(WANTED)
            content = tar.extractfile(member) if wanted and member.isfile() else None
            if content and target.is_relative_to(place.resolve()):
                target.parent.mkdir(parents=True, exist_ok=True)
                with content, target.open("wb") as file:
                    shutil.copyfileobj(content, file)
