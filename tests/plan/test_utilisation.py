"""Which card a driver's name means, and the share of its peak: against the arithmetic by hand."""

import pytest

from socrates_fast.plan.gpus import GPUS
from socrates_fast.plan.utilisation import RECOMPUTED, card_of, peak_teraflops, utilisation


@pytest.mark.parametrize(
    ("driver", "key"),
    [
        ("NVIDIA A100-SXM4-80GB", "a100-80gb"), ("NVIDIA A100-SXM4-40GB", "a100-40gb"), ("Tesla T4", "t4"),
        ("NVIDIA A100 80GB PCIe", "a100-80gb"), ("NVIDIA H100 80GB HBM3", "h100"), ("NVIDIA H200", "h200"),
        ("NVIDIA GeForce RTX 4090", "rtx4090"), ("NVIDIA L4", "l4"), ("NVIDIA A10G", "a10g"),
        ("NVIDIA H100 PCIe", None), ("NVIDIA GeForce RTX 4090 D", None), ("NVIDIA L40S", None),
        ("NVIDIA GH200 480GB", None), ("AMD MI300X", None), ("", None), (None, None),
    ],
)  # fmt: skip
def test_cards_by_their_drivers_name(driver: str | None, key: str | None) -> None:
    assert card_of(driver) == key
    assert peak_teraflops(driver) == (GPUS[key].teraflops if key else None)


def test_share_of_the_peak() -> None:
    """10,000 tokens a second of a model of 14 billion parameters on a card of 989 * 10^12 operations a second."""
    assert utilisation(10_000, 14 * 10**9, 989) == pytest.approx(4 * 14e9 * 1e4 / 989e12)
    assert utilisation(10_000, 14 * 10**9, 989, RECOMPUTED) == pytest.approx(6 * 14e9 * 1e4 / 989e12)
