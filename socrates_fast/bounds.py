"""How far an exported file may be from the model that was trained, by type; ``export.parity.bounds`` changes it.

They find a file that is broken: rounding alone stays well below them, on trained models by four to a thousand times,
and even on small random ones, which amplify it (docs/exporting.md has the figures). Whether a type of few bits is good enough
for a question is for the person to say who asks it. ``top1`` is open: people's answers are nearly tied on many scales,
and a tie turns with the last bit.
"""

FIGURES = ("nmse", "kl", "wasserstein")


def _bounds(*values: float) -> dict[str, float | None]:
    return {**dict(zip(FIGURES, values, strict=True)), "top1": None}


_FIVE_BITS = _bounds(0.2, 0.3, 0.1)
_FOUR_BITS = _bounds(0.5, 0.8, 0.15)

DEFAULTS: dict[str, dict[str, float | None]] = {
    "f32": _bounds(1e-6, 1e-6, 1e-4),  # llama.cpp looks Gemma's GELU up in a table of float16: 1e-7
    "f16": _bounds(1e-4, 1e-4, 2e-3),
    "bf16": _bounds(1e-3, 5e-3, 0.01),
    "q8_0": _bounds(0.02, 0.05, 0.03),
    "q6_k": _bounds(0.1, 0.2, 0.08),
    "q5_k_m": _FIVE_BITS,
    "q5_k_s": _FIVE_BITS,
    "q4_k_m": _FOUR_BITS,
    "q4_k_s": _FOUR_BITS,
    "q4_0": _FOUR_BITS,
    "iq4_xs": _FOUR_BITS,
    "iq4_nl": _FOUR_BITS,
    "q3_k_m": _bounds(0.8, 1.0, 0.2),
    "q2_k": _bounds(1.3, 2.0, 0.2),
}
"""By type: NMSE of the logits, mean KL (nats) and mean Wasserstein-1 (share of the range) of the answers."""
