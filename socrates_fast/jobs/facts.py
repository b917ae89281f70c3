"""What a job is: input, model, prompt and settings. A folder that holds another job is not gone on with."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from socrates_fast.errors import SocratesError
from socrates_fast.jobs.source import Source
from socrates_fast.jobs.store import JOB, PREDICTIONS
from socrates_fast.runs import environment, sha256_file

GGUF_PACKAGES, FOLDER_PACKAGES = ("llama-cpp-python",), ("torch", "transformers", "peft")
"""Packages that compute a GGUF's and a Hugging Face folder's results: one job must not mix versions of them."""


def identity(
    source: Source, model: str, adapter: Path | None, prompt: Mapping[str, Any], settings: Mapping[str, Any]
) -> dict[str, Any]:
    """Everything that the results depend on, as JSON-able values."""
    versions = environment()
    packages = GGUF_PACKAGES if Path(model).is_file() else FOLDER_PACKAGES if Path(model).is_dir() else ()
    return {
        "input": {file.name: sha256_file(file) for file in source.files},
        "model": _model_facts(model),
        "adapter": _model_facts(str(adapter)) if adapter else None,
        "prompt": dict(prompt),
        "settings": dict(settings),
        "versions": {
            "socrates_fast": versions["socrates_fast"],
            **{name: versions["packages"][name] for name in packages if name in versions["packages"]},
        },
    }


def _model_facts(model: str) -> dict[str, Any]:
    path = Path(model)
    if path.is_file():
        return {"file": path.name, "sha256": sha256_file(path)}
    if path.is_dir():
        return {
            "folder": path.name,
            "files": {file.name: _file_facts(file) for file in sorted(path.iterdir())},
        }
    return {"name": model}


def _file_facts(file: Path) -> Any:
    if file.suffix in (".json", ".jinja", ".model", ".txt"):
        return sha256_file(file)
    status = file.stat()  # hashing weights of 28 GB at every start would take a minute
    return [status.st_size, status.st_mtime_ns]


def read_job(folder: Path) -> dict[str, Any] | None:
    """``job.json`` of a folder, None if it has none.

    Raises:
        SocratesError: it is damaged, or the folder holds something else than a job.
    """
    path = folder / JOB
    if not path.exists():
        foreign = sorted(file.name for file in folder.iterdir() if not file.name.startswith("."))
        if foreign:
            raise SocratesError(
                f"{folder} holds other files ({', '.join(foreign[:3])}); name a new or empty folder"
            )
        return None
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise SocratesError(f"{path}: damaged ({error}); delete the folder to start again") from error
    if not isinstance(content, dict) or not isinstance(content.get("job"), dict):
        raise SocratesError(f"{path}: not of a job; name another folder with --out")
    return content


def check_same(folder: Path, there: Mapping[str, Any], asked: Mapping[str, Any]) -> None:
    """Refuse to go on with another job's folder.

    Raises:
        SocratesError: what differs.
    """
    before, now = dict(_flat("", there)), dict(_flat("", json.loads(json.dumps(asked))))
    differs = [
        f"{name}: {_shown(before.get(name))} there, {_shown(now.get(name))} now"
        for name in dict.fromkeys([*before, *now])
        if before.get(name) != now.get(name)
    ]
    if differs:
        listed = "\n".join(
            [*differs[:8], *([f"... and {len(differs) - 8} more"] if len(differs) > 8 else [])]
        )
        raise SocratesError(f"{folder} holds another job:\n{listed}\nname another folder with --out")


def _flat(name: str, value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict) and value:
        for key, below in value.items():
            yield from _flat(f"{name}{': ' if name else ''}{key}", below)
    else:
        yield name, value


def _shown(value: Any) -> str:
    text = "nothing" if value is None else str(value)
    return text if len(text) <= 40 else f"{text[:12]}..."


def is_complete(folder: Path, job: Mapping[str, Any]) -> bool:
    """Whether the job is closed and its file is as it was written."""
    path, closed = folder / PREDICTIONS, job.get("predictions")
    if not closed or not path.is_file() or path.stat().st_size != closed["bytes"]:
        return False
    return sha256_file(path) == str(closed["sha256"])
