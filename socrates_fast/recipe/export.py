"""Recipe options: the files that are written, their proof, and the evaluation."""

from pathlib import Path
from typing import Literal

from pydantic import Field, field_validator

from socrates_fast.bounds import DEFAULTS as BUILT_IN
from socrates_fast.recipe.section import MergeBase, Quantisation, Section


class Bounds(Section):
    """How far a file of one type may be from the model that was trained; null records without judging."""

    nmse: float | None = Field(None, gt=0)
    """Most normalised mean squared error of the logits: mean((file - original)^2) / mean(original^2)."""
    kl: float | None = Field(None, gt=0)
    """Most KL(original || file) of the answer distributions, in nats, mean over prompts."""
    wasserstein: float | None = Field(None, gt=0)
    """Most Wasserstein-1 distance of the answer distributions, as a share of the scale's range, mean over prompts."""
    top1: float | None = Field(None, ge=0, le=1)
    """Least share of prompts with the same most probable answer."""


class Parity(Section):
    """The gate: what an exported file is compared on, and the bounds that it must keep."""

    logits: bool = True
    """Compare logits and answers with the original weights and the adapter in float32 (needs the train extra)."""
    prompts: int = Field(4, ge=1)
    """Validation prompts whose logits are compared, each at up to 64 positions."""
    answers: int = Field(64, ge=0)
    """Validation prompts whose answer distributions are compared; the original computes each once, in float32."""
    bounds: dict[Quantisation, Bounds] = Field({}, validate_default=True)
    """What differs from the built-in bounds (see Exporting), by type: ``{q8_0: {kl: 0.01}}``."""

    @field_validator("bounds", mode="before")
    @classmethod
    def _over_the_built_in_ones(cls, given: object) -> object:
        if not isinstance(given, dict):
            return given
        return {
            kind: {**BUILT_IN.get(kind, {}), **own} if isinstance(own, dict) else own
            for kind, own in {**BUILT_IN, **given}.items()
        }


class Export(Section):
    """The files that are written."""

    quantisations: tuple[Quantisation, ...] = Field(("f16", "q8_0", "q4_k_m"), min_length=1)
    """Types of GGUF to write."""
    merge_base: MergeBase = "original"
    """What the adapter is added to: the original weights, or the nf4 weights that QLoRA's training saw."""
    imatrix: Literal["auto"] | Path | None = None
    """Importance matrix for types of few bits: auto collects one on training prompts, or a GGUF file."""
    calibration: int = Field(64, ge=1)
    """Training prompts that imatrix auto runs."""
    lora: bool = False
    """Also write the adapter itself as a GGUF, to be applied to a GGUF of the base."""
    parity: Parity = Parity()
    """The gate."""


class Evaluate(Section):
    """The evaluation."""

    quantisation: Quantisation = "q8_0"
    """Which of the exported files is evaluated."""
    base: bool = True
    """Evaluate the base model as well, exported in the same way."""
    limit: int | None = Field(None, ge=1)
    """Most test rows (chosen by hash); null takes all."""
    context: int | None = Field(None, ge=256)
    """llama.cpp's context, in tokens, shared by the prompts that are scored together; null for 4096 at most."""
    batch: int | None = Field(None, ge=64)
    """Most tokens per llama.cpp call; null for 512, or on a GPU what a short probe finds fastest."""
    threads: int | None = Field(None, ge=1)
    """CPU threads; null for what a short probe finds fastest."""
    gpu_layers: int | None = Field(None, ge=-1)
    """Layers on the GPU, where llama.cpp was built for one; -1 for all, null for as many as fit."""
    deterministic: bool = False
    """A row's figures do not depend, to the last bit, on what else is scored; slower."""
    reasonings: int = Field(1, ge=1)
    """Reasonings drawn before each answer where ``prompt.reasoning`` is on; the mean of their answer distributions counts."""
    min_people: int = Field(50, ge=2)
    """People below which a cell stays out of the headline figures: distances to so few answers are mostly chance."""
    groups: tuple[str, ...] = ("age", "gender", "education", "ethnicity", "income", "party_id", "ideology")
    """Demographic fields whose people's errors are compared, and from which the demographics baseline predicts."""
