"""Predictors: prompts in, answer distributions out."""

from pathlib import Path
from typing import Any

from socrates_fast.errors import ModelError
from socrates_fast.infer.predictor import AnswerDistribution, Predictor
from socrates_fast.prompt import PROMPT_KEY
from socrates_fast.recipe import PromptOptions

__all__ = ["AnswerDistribution", "Predictor", "load_predictor", "trained_prompt"]


def trained_prompt(model: str | Path) -> PromptOptions:
    """The prompt options that a GGUF carries; the published prompt for other files and for baselines.

    Raises:
        ModelError: the file is not a whole GGUF, or what it carries is not understood.
    """
    if not Path(model).is_file():
        return PromptOptions()
    from socrates_fast.infer.header import read_header

    text = read_header(Path(model)).metadata.get(PROMPT_KEY)
    try:
        return PromptOptions.model_validate_json(str(text)) if text is not None else PromptOptions()
    except ValueError as error:
        raise ModelError(f"{model}: {PROMPT_KEY} is not what this version writes: {error}") from error


_LLAMA_CPP = {"context", "batch", "threads", "gpu_layers", "exact", "deterministic"}
"""Settings of GgufPredictor that mean nothing to an endpoint."""


def load_predictor(model: str | Path, **settings: Any) -> Predictor:
    """The predictor that ``model`` names: a baseline (``uniform``, ``midpoint``) or the path of a ``.gguf``.

    Args:
        model: a baseline's name or a path.
        settings: of GgufPredictor (context, batch, threads, ...); baselines have none and ignore them.

    Raises:
        ModelError: it names neither, or the file cannot be used.
        ScoringError: the worker process died.
    """
    from socrates_fast.infer.constant import BASELINES

    name = str(model)
    if name in BASELINES:
        return BASELINES[name]()
    if name.startswith(("http://", "https://")):
        from socrates_fast.infer.endpoint import EndpointPredictor

        return EndpointPredictor(name, **{key: settings[key] for key in settings.keys() - _LLAMA_CPP})
    path = Path(model)
    if path.is_file() or path.suffix == ".gguf":
        from socrates_fast.infer.gguf_model import GgufPredictor

        return GgufPredictor(path, **settings)
    known = ", ".join(BASELINES)
    if path.is_dir():
        raise ModelError(
            f"{name}: this version scores GGUF files and baselines ({known}), not model folders; "
            f"make a GGUF first: socrates-fast export --base {name} --out DIR"
        )
    raise ModelError(
        f"{name}: neither a file nor a baseline ({known}). This version scores GGUF files; of a model on "
        "the Hugging Face Hub, download the folder and run: socrates-fast export --base DIR --out DIR"
    )
