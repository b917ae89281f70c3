"""What every part of a recipe is, and the names that several parts share."""

from typing import Literal

from pydantic import BaseModel, ConfigDict

TINY = "tiny"
"""Name of the built-in base model, made on first use and needing no download."""

SYSTEM = (
    "You are simulating a survey respondent. Answer exactly as instructed, following the specified "
    "response format without additional commentary."
)
"""The published system line."""

PERSONA_FIELDS = (
    "age", "gender", "education", "employment", "marital_status", "ethnicity", "housing_ownership",
    "housing_type", "location", "metro_status", "income", "internet_access", "household_size", "party_id",
    "ideology", "phone_service",
)  # fmt: skip
"""SocSci210's 16 demographic fields, in the order in which the published prompt lists them."""

Order = Literal["persona_first", "stimulus_first"]
"""``persona_first`` as published; ``stimulus_first`` lets the people of one cell share most of the prompt."""


Quantisation = Literal[
    "f32", "f16", "bf16", "q8_0", "q6_k", "q5_k_m", "q5_k_s", "q4_k_m", "q4_k_s", "q4_0", "iq4_xs", "iq4_nl", "q3_k_m",
    "q2_k",
]  # fmt: skip
"""Types of GGUF that can be written."""

MergeBase = Literal["original", "nf4"]
"""Weights that an adapter is merged into."""


class Section(BaseModel):
    """A part of a recipe: read-only, and closed to keys it does not know."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", use_attribute_docstrings=True, protected_namespaces=()
    )
