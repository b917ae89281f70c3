"""What a person who named a folder may have meant: the files in it that a model can be."""

from pathlib import Path


def models_in(folder: Path) -> str:
    """The end of a message that names the GGUF files and the predictions in ``folder``; "" if there are none."""
    if not folder.is_dir():
        return ""
    found = [*sorted(folder.glob("*.gguf")), *folder.glob("predictions.parquet")]
    return f"; it is a folder: did you mean {' or '.join(map(str, found))}?" if found else ""


def no_model_in(folder: Path, missing: str) -> str:
    """Why a folder without the file ``missing`` is no model."""
    return f"{folder}: no {missing}" + (models_in(folder) or "; is this a Hugging Face model folder?")
