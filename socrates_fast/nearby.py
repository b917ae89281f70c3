"""What a person who named a folder may have meant: the files in it that a model can be."""

from pathlib import Path


def models_in(folder: Path) -> str:
    """A sentence that names the GGUF files and the predictions in ``folder``, to end a message with; "" if there are none."""
    if not folder.is_dir():
        return ""
    found = [*sorted(folder.glob("*.gguf")), *folder.glob("predictions.parquet")]
    if not found:
        return ""
    return f". It is a folder; did you mean {' or '.join(map(str, found))}?"


def no_model_in(folder: Path, missing: str) -> str:
    """Why a folder without the file ``missing`` is no model."""
    return f"{folder}: no {missing}; is this a Hugging Face model folder?" + models_in(folder).removeprefix(
        "."
    )
