"""Model folders from the Hugging Face Hub, at a pinned revision."""

from collections.abc import Sequence
from pathlib import Path

from socrates_fast.errors import ModelError

MODEL = [
    "*.json", "*.safetensors", "*.jinja", "tokenizer.model", "README.md", "LICENSE*", "LICENCE*", "COPYING*", "NOTICE*",
]  # fmt: skip
"""Files of a model: no code, and no weights but safetensors."""
TOKENIZER = ["tokenizer*.json", "special_tokens_map.json", "config.json", "*.jinja", "tokenizer.model"]
"""Files that say how a model's prompts are written, without its weights."""


def is_hub_id(name: str) -> bool:
    """Whether ``name`` has the form of an id on the Hub, OWNER/NAME."""
    return not name.startswith((".", "/", "~")) and name.count("/") == 1


def downloaded(name: str, revision: str, setting: str = "", files: Sequence[str] = MODEL) -> Path:
    """The folder of the model ``name`` at ``revision``, from the Hub or from its cache on this machine.

    Args:
        name: OWNER/NAME.
        revision: a commit.
        setting: the option that names the model, for the message.
        files: patterns of the files that are wanted.

    Raises:
        ModelError: it cannot be had.
    """
    import httpx
    from huggingface_hub import errors, snapshot_download

    try:
        return Path(snapshot_download(name, revision=revision, allow_patterns=list(files)))
    except (
        httpx.HTTPError, errors.HfHubHTTPError, errors.HFValidationError, errors.OfflineModeIsEnabled,
        errors.LocalEntryNotFoundError,
    ) as error:  # fmt: skip
        place = f"{setting}: " if setting else ""
        raise ModelError(
            f"{place}{name} at {revision} cannot be had from the Hugging Face Hub ({error}); check id, revision, "
            f"network and access (huggingface-cli login), or set {setting or 'it'} to a local folder"
        ) from error
