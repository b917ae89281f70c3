"""The reference of the parity gate: base + adapter by Transformers and PEFT, in float32, on the CPU.

Runs in a child process, so that nothing has patched Transformers and its memory is given back.
"""

from collections.abc import Sequence
from importlib.util import find_spec

import numpy as np

from socrates_fast.errors import MissingDependency
from socrates_fast.optional import need

_FEATURE = "comparing logits with the original model"
_PACKAGES = ("torch", "transformers", "peft")


def check_installed() -> None:
    """Refuse now rather than after hours of writing.

    Raises:
        MissingDependency: a package that computes the reference is not installed.
    """
    missing = [package for package in _PACKAGES if find_spec(package) is None]
    if missing:
        raise MissingDependency(
            f"{_FEATURE} needs {', '.join(missing)}, not installed here. Install with: "
            'pip install "socrates-fast[train]", or pass --set export.parity.logits=false to check the '
            "tokens only"
        )


def reference(
    base: str,
    adapter: str | None,
    sequences: Sequence[Sequence[int]],
    positions: Sequence[Sequence[int]],
    out: str,
) -> None:
    """Write to ``out`` (npz, keys "0", "1", ...) each sequence's logits at its ``positions``.

    Each array is float32, shape (positions, vocabulary). ``base`` and ``adapter`` are folders.

    Raises:
        MissingDependency: a package is not installed.
    """
    torch = need("torch", _FEATURE, extra="train")
    transformers = need("transformers", _FEATURE, extra="train")
    model = transformers.AutoModelForCausalLM.from_pretrained(
        base, dtype=torch.float32, local_files_only=True, trust_remote_code=False
    )
    if adapter is not None:
        peft = need("peft", _FEATURE, extra="train")
        model = peft.PeftModel.from_pretrained(model, adapter, torch_device="cpu").merge_and_unload()
    model.eval()
    arrays = {}
    with torch.inference_mode():
        for index, (sequence, wanted) in enumerate(zip(sequences, positions, strict=True)):
            output = model(torch.tensor([sequence]), logits_to_keep=torch.tensor(wanted))
            arrays[str(index)] = output.logits[0].numpy()
    np.savez(out, **arrays)
