"""GPUs: what they compute, how fast they read their memory, how much of it there is.

Peaks and bandwidths are the vendor's data sheets (dense, 16 bit, accumulated in float32, no sparsity; SXM where there are
several). Memory is what torch can allocate, which is less than the name says.
"""

import difflib
from dataclasses import dataclass

from socrates_fast.errors import RecipeError
from socrates_fast.plan.ranges import Range

DEFAULT = "a100-80gb"


@dataclass(frozen=True)
class Gpu:
    """A card.

    Attributes:
        name: as people know it.
        teraflops: dense 16-bit peak, 10^12 operations a second.
        bandwidth: of its memory, 10^9 bytes a second.
        memory: GiB that a program can have.
        efficiency: share of the peak that large matrix products reach in training, recomputation included: fitted to
            the published runs of ``calibration.py`` where there are any for the card.
        published: whether there are.
        bfloat16: whether it computes in bfloat16, and so (compute capability 8.0 on) has FlashAttention 2.
    """

    name: str
    teraflops: float
    bandwidth: float
    memory: float
    efficiency: Range
    published: bool = False
    bfloat16: bool = True


_SERVER, _DESKTOP = Range(0.42, 0.62), Range(0.65, 0.92)
_BETWEEN = Range(0.30, 0.70)
"""No published run to fit: what servers' and desktops' cards reach, taken together, and less at the low end."""

GPUS = {
    "t4": Gpu("T4", 65, 300, 14.6, Range(0.20, 0.55), bfloat16=False),
    "l4": Gpu("L4", 121, 300, 22.0, _BETWEEN),
    "a10g": Gpu("A10G", 70, 600, 22.0, _BETWEEN),
    "rtx3090": Gpu("RTX 3090", 71, 936, 23.5, _BETWEEN),
    "rtx4090": Gpu("RTX 4090", 165, 1008, 23.5, _DESKTOP, published=True),
    "rtx5090": Gpu("RTX 5090", 209, 1792, 31.3, _DESKTOP, published=True),
    "a100-40gb": Gpu("A100-40GB", 312, 1555, 39.3, _SERVER),
    "a100-80gb": Gpu("A100-80GB", 312, 2039, 79.1, _SERVER, published=True),
    "h100": Gpu("H100", 989, 3350, 79.1, _SERVER, published=True),
    "h200": Gpu("H200", 989, 4800, 139.7, _SERVER, published=True),
}
"""By the name that ``--gpu`` takes, from small to large."""

_OTHER_NAMES = {
    "a100": "a100-80gb",
    "a100-40": "a100-40gb",
    "a100-80": "a100-80gb",
    "a10": "a10g",
    "h100-80gb": "h100",
}


def gpu_of(name: str) -> str:
    """The key of a card, however it is written ("A100 80GB", "RTX-4090", "4090").

    Raises:
        RecipeError: none is called that; the message names the nearest.
    """
    plain = name.lower().replace(" ", "-").replace("_", "-").removeprefix("nvidia-")
    for candidate in (plain, plain.replace("rtx-", "rtx"), f"rtx{plain}", _OTHER_NAMES.get(plain, "")):
        if candidate in GPUS:
            return candidate
    near = difflib.get_close_matches(plain, GPUS, n=1, cutoff=0.4)
    hint = f" (did you mean {near[0]}?)" if near else ""
    raise RecipeError(f"--gpu {name}: not in the table{hint}; it has {', '.join(GPUS)}")


def checked_price(usd_per_hour: float | None) -> float | None:
    """A machine's price in dollars an hour, as it was given.

    Raises:
        RecipeError: it is below 0, or no number.
    """
    if usd_per_hour is not None and not 0 <= usd_per_hour < float("inf"):
        raise RecipeError(f"--usd-per-hour {usd_per_hour:g}: a price is 0 or more")
    return usd_per_hour
