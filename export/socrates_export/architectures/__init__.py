"""What the export must know about each model architecture: a class per architecture, and the table of them.

To add one, write a class that does what ``Architecture`` says and enter it under its ``model_type``;
``docs/adding-an-architecture.md`` shows how.
"""

from pathlib import Path

from socrates_export.architectures.gemma import Gemma2, Gemma3, Gemma3Multimodal
from socrates_export.architectures.llama import Llama, Mistral
from socrates_export.architectures.phi import Phi3
from socrates_export.architectures.qwen import Qwen2, Qwen3
from socrates_export.architectures.spec import Architecture, Config
from socrates_fast.errors import ModelError

ARCHITECTURES: dict[str, Architecture] = {
    "qwen2": Qwen2(),
    "qwen3": Qwen3(),
    "llama": Llama(),
    "mistral": Mistral(),
    "gemma2": Gemma2(),
    "gemma3_text": Gemma3(),
    "gemma3": Gemma3Multimodal(),
    "phi3": Phi3(),
}
"""By the ``model_type`` of ``config.json``."""


def architecture_of(config: Config, path: Path) -> Architecture:
    """The architecture of the model whose ``config.json`` is ``path``.

    Raises:
        ModelError: the architecture is not supported, or not with this config.
    """
    architecture = ARCHITECTURES.get(str(config.get("model_type")))
    if architecture is None:
        raise ModelError(
            f"{path}: model_type {config.get('model_type')!r} cannot be exported; "
            f"supported: {', '.join(sorted(ARCHITECTURES))}"
        )
    if config.get("quantization_config"):
        raise ModelError(f"{path}: this base is quantised; give the original 16-bit model it was made from")
    try:
        complete = architecture.complete(config)
        reason = architecture.refuse(complete)
        if reason:
            raise ModelError(f"{path}: {reason}")
        architecture.metadata(complete), architecture.tensors(complete)
    except KeyError as error:
        raise ModelError(f"{path}: it does not say {error}") from error
    except (TypeError, ValueError, ArithmeticError) as error:
        raise ModelError(f"{path}: it does not describe a model ({error})") from error
    return architecture
