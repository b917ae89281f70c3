"""Share of a GPU's peak that a training uses (MFU; Chowdhery et al., arXiv 2204.02311), and which card a driver names.

The training's log, ``bench train`` and the plan's own records take card, peak and operations from here.
"""

import re

from socrates_fast.plan.gpus import GPUS

FORWARD_BACKWARD, RECOMPUTED = 4, 6
"""Floating-point operations per token and parameter that it is multiplied with: 2 forward and 2 back through the
activations, as the base's own gradients are not needed (2 more if they were); and 2 more to recompute the activations.
Attention between tokens and the adapter are left out: 1% at these lengths."""

_OTHER_PEAKS = re.compile(r"\b(H\d00 (PCIe|NVL)|\d0\d0 (Ti|D|SUPER|Laptop))\b")
"""Siblings of the table's cards whose peak is another."""


def card_of(driver: str | None) -> str | None:
    """The key of a card by the name that its driver gives ("NVIDIA A100-SXM4-80GB"); None if the table lacks it."""
    if driver is None or _OTHER_PEAKS.search(driver):
        return None
    for key, card in GPUS.items():
        if all(re.search(rf"\b{part}\b", driver) for part in card.name.split("-")):
            return key
    return None


def peak_teraflops(driver: str | None) -> float | None:
    """The dense 16-bit peak of a card by its driver's name, in 10^12 operations a second; None if the table lacks it."""
    key = card_of(driver)
    return GPUS[key].teraflops if key else None


def utilisation(
    tokens_per_second: float, multiplied: int, teraflops: float, operations: int = FORWARD_BACKWARD
) -> float:
    """Share of the peak.

    Args:
        tokens_per_second: that are no padding, on one GPU.
        multiplied: parameters that each token is multiplied with: the blocks' matrices and the output matrix.
        teraflops: peak of the GPU, 10^12 operations a second.
        operations: per token and parameter; ``RECOMPUTED`` counts recomputed activations as well (HFU).
    """
    return operations * multiplied * tokens_per_second / (1e12 * teraflops)
