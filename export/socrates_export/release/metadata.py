"""The ``general.*`` keys of a GGUF: what the model is, of what it was made, and how to sample from it.

Names as in llama.cpp's gguf-py/gguf/constants.py, values as its converter finds them where both know something.
"""

from math import prod
from pathlib import Path

from socrates_export.architectures.spec import Metadata
from socrates_export.release.modelfile import NO_TRUNCATION
from socrates_export.release.origin import Origin, origin_of
from socrates_export.source.base import BaseModel
from socrates_export.source.lora import WEIGHTS
from socrates_fast import __version__
from socrates_fast.recipe import Recipe
from socrates_fast.runs import sha256_file

HUB = "https://huggingface.co"
TAGS = ["gguf", "llama.cpp", "survey-experiments", "text-generation"]

_SAMPLING = {"temperature": "temp", "repeat_penalty": "penalty_repeat"}
"""llama.cpp's names of sampling options, where they are not Ollama's."""


def general_metadata(
    base: BaseModel, name: str, adapter: Path | None, recipe: Recipe | None = None
) -> Metadata:
    """The ``general.*`` and ``socrates_fast.*`` keys that say what the model is; keys of unknown facts are left out.

    Not among them is ``general.name``, which llama.cpp reads more into (see ``vocabulary.fitting_name``).

    Args:
        base: the base model.
        name: of the exported model.
        adapter: folder of the PEFT adapter, or None.
        recipe: that trained the adapter, if it is at hand.
    """
    origin = origin_of(base, adapter, recipe)
    keys: Metadata = {
        "general.description": _description(origin, adapter),
        **_naming(base, origin, name, adapter),
        "general.license": origin.license,
        "general.license.name": origin.license_name,
        "general.license.link": origin.license_link,
        **_base_keys(origin),
        "general.tags": TAGS,
        # What the base speaks is known of an adapter's model no more than what else it can.
        "general.languages": [] if adapter else origin.languages,
        **sampling_keys(),
        "socrates_fast.version": __version__,
    }
    if adapter is not None and (adapter / WEIGHTS).is_file():
        keys["socrates_fast.adapter.sha256"] = sha256_file(adapter / WEIGHTS)
    return {key: value for key, value in keys.items() if value not in ("", [])}


def sampling_keys() -> Metadata:
    """Keys by which llama.cpp samples from the model's own distribution, unless it is told otherwise."""
    return {
        f"general.sampling.{_SAMPLING.get(option, option)}": value if option == "top_k" else float(value)
        for option, value in NO_TRUNCATION.items()
    }


def parameters_of(base: BaseModel) -> int:
    """Number of elements of all tensors that are written, which is what llama.cpp counts."""
    return sum(prod(spec.shape) for spec in base.specs)


def _description(origin: Origin, adapter: Path | None) -> str:
    what = origin.id or "a base model"
    if adapter is None:
        return f"{what}, exported by socrates-fast with its weights unchanged"
    return f"{what}, fine-tuned with LoRA to answer survey questions as a described person would, by socrates-fast"


def _naming(base: BaseModel, origin: Origin, name: str, adapter: Path | None) -> Metadata:
    from gguf import Metadata as Names
    from gguf import size_label

    total = parameters_of(base)
    _, _, basename, finetune, version, size = Names.get_model_id_components(origin.id or None, total)
    return {
        "general.basename": basename or "",
        "general.finetune": name if adapter else finetune or "",
        "general.version": version or "",
        "general.size_label": size or size_label(total, total, 0, 0),
    }


def _base_keys(origin: Origin) -> Metadata:
    """The base model's keys; none if it is not known which it is."""
    if not origin.id:
        return {}
    from gguf import Metadata as Names

    owner, _, name = origin.id.partition("/")
    return {
        "general.base_model.count": 1,
        "general.base_model.0.name": Names.id_to_title(name),
        "general.base_model.0.organization": Names.id_to_title(owner),
        "general.base_model.0.version": origin.revision,
        "general.base_model.0.repo_url": f"{HUB}/{origin.id}",
    }
