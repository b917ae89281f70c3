"""A float32 forward pass of a model whose weights stay in memory as the checkpoint stores them.

A 16-bit weight is a float32 with bits to spare, so it is widened just before its part of the model (the embedding,
one decoder layer, the output matrix) is computed, and put back after. The results are those of a model loaded in
float32, bit for bit, at half its memory: 2 bytes a parameter and one part in float32.
"""

from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

from socrates_export.source.safetensors import folder_tensors
from socrates_fast.optional import need

_NARROW = {"BF16": "bfloat16", "F16": "float16"}


def load(base: Path) -> Any:
    """The causal language model in ``base``, its weights in their own type; float32 if that is not one of 16 bits.

    Raises:
        ModelError: there are no whole safetensors.
    """
    import torch
    import transformers

    stored = {tensor.dtype for tensor in folder_tensors(base).values()}
    narrow = _NARROW.get(next(iter(stored))) if len(stored) == 1 else None
    dtype = getattr(torch, narrow or "float32")
    model = transformers.AutoModelForCausalLM.from_pretrained(
        base, dtype=dtype, local_files_only=True, trust_remote_code=False,
        attn_implementation="eager",  # the others leave out the cap on Gemma 2's attention
    )  # fmt: skip
    if narrow:
        _renew_buffers(model)
    return model.eval()


def _renew_buffers(model: Any) -> None:
    """Constants that the model computes itself (Gemma's embedding scale), in float32 and not rounded to 16 bits."""
    import torch
    import transformers

    accelerate = need("accelerate", "computing the original model", extra="train")
    with accelerate.init_empty_weights(include_buffers=False):
        exact = transformers.AutoModelForCausalLM.from_config(model.config, dtype=torch.float32)
    stored = model.state_dict().keys()
    for name, buffer in exact.named_buffers():
        if name not in stored:
            model.get_buffer(name).data = buffer


def widen(model: Any, names: Collection[str]) -> None:
    """Keep the tensors of these names in float32: an adapter replaces them by float32 ones of its own."""
    for name in names:
        parameter = model.get_parameter(name)
        parameter.data = parameter.data.float()


def widen_when_computed(model: Any) -> None:
    """Have every part of ``model`` computed in float32, whatever its weights are stored in."""
    import torch

    def before(module: Any, _: Any) -> None:
        narrow = [p for p in module.parameters() if p.is_floating_point() and p.dtype != torch.float32]
        module.stored = [(parameter, parameter.data) for parameter in narrow]
        for parameter in narrow:
            parameter.data = parameter.data.float()

    def after(module: Any, *_: Any) -> None:
        for parameter, data in module.stored:
            parameter.data = data

    for part in _parts(model):
        part.register_forward_pre_hook(before)
        part.register_forward_hook(after)


def _parts(model: Any) -> Iterator[Any]:
    """The layers, and what stands beside them."""
    from torch.nn import ModuleList

    for child in model.children():
        if isinstance(child, ModuleList):
            yield from child
        elif any(isinstance(module, ModuleList) for module in child.modules()):
            yield from _parts(child)
        else:
            yield child
