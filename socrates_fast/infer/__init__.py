"""Predictors: prompts in, answer distributions out."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from socrates_fast.errors import ModelError
from socrates_fast.infer.hub import is_hub_id
from socrates_fast.infer.predictor import AnswerDistribution, Predictor
from socrates_fast.prompt import PROMPT_KEY
from socrates_fast.recipe import PromptOptions

__all__ = ["AnswerDistribution", "Predictor", "load_predictor", "trained_prompt"]


def trained_prompt(model: str | Path, adapter: str | Path | None = None) -> PromptOptions:
    """The prompt options that a model was trained with; the published prompt where nothing says them.

    A GGUF carries them. Of an adapter that lies in a run's folder (``RUN/adapter``), given as the model or beside it,
    the run's ``recipe.yaml`` says them.

    Raises:
        ModelError: the file is not a whole GGUF, or what it carries is not understood.
        RecipeError: the run's recipe is not understood.
    """
    folder = Path(adapter or model)
    recipe = folder.absolute().parent / "recipe.yaml"
    if (folder / "adapter_config.json").is_file() and recipe.is_file():
        from socrates_fast.recipes import load

        return load(str(recipe)).prompt
    if not Path(model).is_file():
        return PromptOptions()
    from socrates_fast.infer.header import read_header

    text = read_header(Path(model)).metadata.get(PROMPT_KEY)
    try:
        return PromptOptions.model_validate_json(str(text)) if text is not None else PromptOptions()
    except ValueError as error:
        raise ModelError(f"{model}: {PROMPT_KEY} is not what this version writes: {error}") from error


_LLAMA_CPP = {
    "context",
    "batch",
    "threads",
    "gpu_layers",
    "exact",
    "deterministic",
    "probe",
    "open_share",
    "open_budget",
    "reasonings",
}
"""Settings of GgufPredictor that mean nothing to an endpoint."""

_HUGGING_FACE = {"adapter", "revision", "dtype", "load_in_4bit", "batch", "device", "progress"}
"""Settings of HuggingFacePredictor."""


def load_predictor(model: str | Path, **settings: Any) -> Predictor:
    """The predictor that ``model`` names: a baseline (``uniform``, ``midpoint``), the path of a ``.gguf``, a Hugging Face
    model, or an endpoint.

    Args:
        model: a baseline's name, the path of a file or of a model folder, an id on the Hugging Face Hub
            (``OWNER/NAME@COMMIT``), an adapter's folder, whose base is the one that it names, or the address of an
            OpenAI-compatible endpoint (``http(s)://...#model``).
        settings: of GgufPredictor (context, batch, threads, ...), HuggingFacePredictor (adapter, batch, device, ...) or
            EndpointPredictor (draws, ...); the latter two ignore those of others, baselines ignore all.

    Raises:
        ModelError: it names neither, or the file cannot be used.
        ScoringError: the worker process died.
    """
    from socrates_fast.infer.constant import BASELINES

    name, is_file = str(model), Path(model).is_file() or Path(model).suffix == ".gguf"
    if settings.get("adapter") is None:
        settings.pop("adapter", None)
    elif is_file or name in BASELINES or name.startswith(("http://", "https://")):
        raise ModelError(f"{name}: an adapter goes with a Hugging Face model, and this is none; leave it out")
    if name in BASELINES:
        return BASELINES[name]()
    if name.startswith(("http://", "https://")):
        from socrates_fast.infer.endpoint import EndpointPredictor

        return EndpointPredictor(name, **{key: settings[key] for key in settings.keys() - _LLAMA_CPP})
    if is_file:
        from socrates_fast.infer.gguf_model import GgufPredictor

        return GgufPredictor(model, **settings)
    if Path(model).is_dir() or is_hub_id(name.partition("@")[0]):
        return _hugging_face(name, settings)
    raise ModelError(
        f"{name}: neither a file, a model folder nor a baseline ({', '.join(BASELINES)}); of a model on the Hugging "
        "Face Hub, give OWNER/NAME@COMMIT"
    )


def _hugging_face(name: str, settings: Mapping[str, Any]) -> Predictor:
    """The predictor of a folder, of an adapter's folder on the base that it names, or of an id on the Hub."""
    from socrates_fast.infer.hf_load import is_adapter
    from socrates_fast.infer.hf_model import HuggingFacePredictor

    known = {key: value for key, value in settings.items() if key in _HUGGING_FACE}
    if is_adapter(Path(name)):
        if "adapter" in known:
            raise ModelError(
                f"{name}: an adapter itself; give its base's folder as the model, and one adapter"
            )
        return HuggingFacePredictor(None, **{**known, "adapter": name})
    base, at, revision = name.partition("@")
    if at and not Path(name).is_dir():
        return HuggingFacePredictor(base, **{**known, "revision": revision})
    return HuggingFacePredictor(name, **known)
