"""A Hugging Face model, with an adapter if there is one, loaded for scoring."""

import json
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from socrates_fast.errors import ModelError
from socrates_fast.infer.hub import downloaded, is_hub_id
from socrates_fast.nearby import no_model_in
from socrates_fast.optional import need

_FEATURE = "scoring a Hugging Face model"
DTYPES = ("auto", "float32", "bfloat16", "float16")
CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
_WRAPPERS = r"(?<![^.])(?:_orig_mod|_fsdp_wrapped_module|_checkpoint_wrapped_module)\."
"""Names that compiling, sharding and checkpointing put into those of modules; PEFT would not find the tensors."""


def is_adapter(folder: Path) -> bool:
    """Whether ``folder`` holds an adapter and no model."""
    return (folder / CONFIG).is_file() and not (folder / "config.json").is_file()


def find_base(base: str | Path | None, adapter: Path | None, revision: str | None) -> Path:
    """The folder of the base model: given, downloaded at its revision, or the one that the adapter names.

    Raises:
        ModelError: there is none, or an id on the Hub comes without a revision.
    """
    if base is None:
        if adapter is None:
            raise ModelError("neither a model nor an adapter is given")
        name = str(_adapter_config(adapter).get("base_model_name_or_path") or "")
        if not name or not Path(name).is_dir():
            raise ModelError(
                f"{adapter}: its base model is {name or 'not named'!r}, which is no folder here; name the base's folder as "
                "the model, and this one as its adapter"
            )
        return Path(name)
    folder = Path(base).expanduser()
    if folder.is_dir():
        return folder
    if not is_hub_id(str(base)):
        raise ModelError(f"{base}: no such folder, and not an id on the Hugging Face Hub (OWNER/NAME)")
    if revision is None:
        raise ModelError(
            f"{base} is not a folder here; if it is meant on the Hugging Face Hub, pin it with a commit: {base}@COMMIT "
            "(revision=COMMIT in Python)"
        )
    return downloaded(str(base), revision)


def load(folder: Path, adapter: Path | None, dtype: str, load_in_4bit: bool, device: str | None) -> Any:
    """The causal language model in ``folder``, with its adapter applied as in training (not merged).

    Only safetensors are read, and no code of the folder is run.

    Args:
        folder: the base model's.
        adapter: a PEFT adapter's, or None.
        dtype: of the weights and the arithmetic, one of ``DTYPES``; "auto" is float32 on a CPU, else 16 bits.
        load_in_4bit: quantise the base's layers to NF4, as QLoRA does.
        device: PyTorch's name; None for CUDA where there is some, else the CPU.

    Raises:
        ModelError: the folder or the adapter cannot be used, or they do not fit each other.
        MissingDependency: a package is not installed.
    """
    torch = need("torch", _FEATURE, "train")
    transformers = need("transformers", _FEATURE, "train")
    if dtype not in DTYPES:
        raise ModelError(f"dtype must be one of {', '.join(DTYPES)}, not {dtype!r}")
    if not (folder / "config.json").is_file():
        raise ModelError(no_model_in(folder, "config.json"))
    place = _device(device)
    kind = getattr(torch, _narrowest(place) if dtype == "auto" else dtype)
    with _faults(folder, "Transformers cannot load it"):
        config = transformers.AutoConfig.from_pretrained(
            folder, local_files_only=True, trust_remote_code=False
        )
        model, info = transformers.AutoModelForCausalLM.from_pretrained(
            folder, config=config, dtype=kind, local_files_only=True, trust_remote_code=False, use_safetensors=True,
            output_loading_info=True, **_attention(config), **_quantisation(load_in_4bit, kind, place),
        )  # fmt: skip
    absent = sorted([*info["missing_keys"], *info["mismatched_keys"]], key=str)
    if absent:  # Transformers would go on with random numbers
        raise ModelError(f"{folder}: {len(absent)} tensors are missing or misshapen, first {absent[0]}")
    if not load_in_4bit:
        with _faults(folder, f"it does not fit on {place}"):
            model = model.to(place)
    return (adapted(model, adapter) if adapter is not None else model).eval()


def adapted(model: Any, adapter: Path) -> Any:
    """``model`` with the adapter in the folder ``adapter``.

    Raises:
        ModelError: the folder holds none, or one for another model.
        MissingDependency: peft is not installed.
    """
    peft = need("peft", _FEATURE, "train")
    _adapter_config(adapter)
    if not (adapter / WEIGHTS).is_file():
        raise ModelError(f"{adapter}: no {WEIGHTS}; save the adapter with PEFT's save_pretrained")
    mapping = {**getattr(model, "_checkpoint_conversion_mapping", {}), _WRAPPERS: ""}
    with _faults(adapter, "it is not an adapter of this base model"), warnings.catch_warnings():
        warnings.filterwarnings("error", message="Found missing adapter keys")
        return peft.PeftModel.from_pretrained(
            model, str(adapter), torch_device=str(model.device), key_mapping=mapping
        )


def causal_model(model: Any) -> Any:
    """The model under PEFT's wrapper, adapter in place; itself if there is no wrapper.

    Raises:
        ModelError: the adapter works on prompts instead of layers.
    """
    if not hasattr(model, "get_base_model"):
        return model
    if getattr(model.active_peft_config, "is_prompt_learning", False):
        raise ModelError("the adapter writes prompts of its own (prompt learning), which is not scored")
    return model.get_base_model()


def _adapter_config(adapter: Path) -> dict[str, Any]:
    path = adapter / CONFIG
    if not path.is_file():
        raise ModelError(f"{adapter}: no {CONFIG}; is this an adapter's folder?")
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except ValueError as error:
        raise ModelError(f"{path}: not JSON ({error})") from error


def _device(name: str | None) -> str:
    import torch

    if name is None:
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.empty(0, device=name)
    except (RuntimeError, AssertionError, NotImplementedError) as error:  # torch without CUDA asserts
        reason = str(error).splitlines()[0]
        raise ModelError(f"the device {name!r} cannot be used here: {reason}") from error
    return name


def _narrowest(device: str) -> str:
    """The type that is fast on ``device`` and wide enough there."""
    import torch

    if device == "cpu":
        return "float32"
    if device.startswith("cuda") and torch.cuda.is_bf16_supported(including_emulation=False):
        return "bfloat16"
    return "float16"


def _attention(config: Any) -> dict[str, str]:
    """Other kinds of attention leave out the cap that Gemma 2 puts on it."""
    capped = getattr(config.get_text_config(), "attn_logit_softcapping", None)
    return {"attn_implementation": "eager"} if capped else {}


def _quantisation(load_in_4bit: bool, kind: Any, device: str) -> dict[str, Any]:
    if not load_in_4bit:
        return {}
    from transformers import BitsAndBytesConfig

    need("bitsandbytes", f"{_FEATURE} in 4 bits", "train")
    form = BitsAndBytesConfig(
        load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True, bnb_4bit_compute_dtype=kind
    )  # fmt: skip
    return {"quantization_config": form, "device_map": {"": device}}


@contextmanager
def _faults(folder: Path, what: str) -> Iterator[None]:
    """Say which folder an error of the libraries is about."""
    from safetensors import SafetensorError

    try:
        yield
    except (OSError, ValueError, KeyError, RuntimeError, UserWarning, SafetensorError) as error:
        reason = str(error).strip().splitlines() or [type(error).__name__]
        raise ModelError(f"{folder}: {what}: {reason[0]}") from error
