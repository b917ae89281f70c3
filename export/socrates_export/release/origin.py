"""What is known of the base model, each fact from a file that states it: its id, its licence, its legal texts.

Nothing is guessed. In particular ``_name_or_path`` of ``config.json`` is not read: it names what the folder's own
weights were once loaded from, which for a fine-tuned base is another model.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from socrates_export.source.base import BaseModel
from socrates_export.source.files import read_json
from socrates_export.source.lora import CONFIG
from socrates_fast.errors import ModelError
from socrates_fast.recipe import Recipe

LEGAL = ("LICENSE*", "LICENCE*", "COPYING*", "NOTICE*")
"""Names of files that must travel with copies of a model."""

CARD = "README.md"

_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
_SNAPSHOT = re.compile(r"models--(?P<owner>.+?)--(?P<name>.+)/snapshots/(?P<revision>[0-9a-f]{40})$")
"""Where huggingface_hub keeps what it has downloaded."""


@dataclass(frozen=True)
class Origin:
    """The base model, as far as its files, the adapter and the recipe tell; "" or empty where they do not.

    Attributes:
        id: on the Hugging Face Hub.
        revision: commit of ``id``.
        license: the Hub's name of the licence.
        license_name: its own name, where the Hub has none.
        license_link: where it can be read.
        languages: codes of the base's languages.
        legal: files of the base's folder that must travel with copies.
    """

    id: str
    revision: str
    license: str
    license_name: str
    license_link: str
    languages: list[str]
    legal: list[Path]


def origin_of(base: BaseModel, adapter: Path | None, recipe: Recipe | None) -> Origin:
    """What is known of ``base``; ``adapter`` is the PEFT folder that was trained on it, if one was."""
    card = front_matter(base.folder / CARD)
    identity, revision = _identity(base.folder, adapter, recipe)
    return Origin(
        identity,
        revision,
        ", ".join(_texts(card.get("license") or base.config.get("license"))),
        ", ".join(_texts(card.get("license_name"))),
        ", ".join(_texts(card.get("license_link"))),
        _texts(card.get("language")),
        legal_files(base.folder),
    )


def legal_files(folder: Path) -> list[Path]:
    """Licence and notice files of a model folder, by name."""
    return sorted({file for pattern in LEGAL for file in folder.glob(pattern) if file.is_file()})


def front_matter(path: Path) -> Mapping[str, Any]:
    """The YAML at the head of a model card; empty if there is no card, or it has none that can be read."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
        end = lines.index("---", 1) if lines and lines[0] == "---" else 0
        content = yaml.safe_load("\n".join(lines[1:end]))
    except (OSError, ValueError, yaml.YAMLError):  # a base's card decides nothing that may stop an export
        return {}
    return content if isinstance(content, dict) else {}


def _texts(value: Any) -> list[str]:
    values = value if isinstance(value, list) else [value]
    return [text for text in values if isinstance(text, str) and text]


def _identity(folder: Path, adapter: Path | None, recipe: Recipe | None) -> tuple[str, str]:
    """Id and revision: of the recipe, of the download, or the id that the adapter names."""
    if recipe is not None and recipe.model.revision is not None and _ID.fullmatch(recipe.model.base):
        return recipe.model.base, recipe.model.revision
    download = _SNAPSHOT.search(folder.absolute().as_posix())
    if download:
        return f"{download['owner']}/{download['name']}", download["revision"]
    named = str(_adapter_config(adapter).get("base_model_name_or_path") or "")
    is_id = bool(_ID.fullmatch(named)) and not Path(named).exists()
    return (named if is_id else "", "")


def _adapter_config(adapter: Path | None) -> Mapping[str, Any]:
    if adapter is None:
        return {}
    try:
        return read_json(adapter / CONFIG)
    except ModelError:  # whoever reads the adapter itself will say what is wrong with it
        return {}
