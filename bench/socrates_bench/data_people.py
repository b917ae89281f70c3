"""Made-up respondents with the vocabularies and the gaps of SocSci210's 16 fields."""

import numpy as np
import polars as pl

from socrates_fast.data.schema import DEMOGRAPHIC
from socrates_fast.prompt import PERSONA_HEAD

VOCABULARY = {
    "education": (
        "Less than high school", "Some high school (no diploma)", "High school graduate or equivalent",
        "Vocational/tech school/some college/associates", "Bachelor's degree", "Post grad study/professional degree",
    ),
    "employment": (
        "Employed as paid employee", "Self-employed", "Not working - retired", "Not working - looking for work",
        "Not working - disabled", "Not working - on temporary layoff", "Not working - other",
    ),
    "ethnicity": ("White, non-Hispanic", "Hispanic", "Black, non-Hispanic", "Asian, non-Hispanic", "Other, non-Hispanic"),
    "gender": ("Female", "Male"),
    "housing_ownership": (
        "Owned or being bought by you or someone in your household", "Rented for cash", "Occupied without payment of cash rent",
    ),
    "housing_type": (
        "A one-family house detached from any other house", "A one-family house attached to one or more houses",
        "A building with 2 or more apartments", "A mobile home or trailer",
    ),
    "ideology": (
        "Very Liberal", "Somewhat Liberal", "Moderate", "Somewhat Conservative", "Very Conservative", "Extremely Liberal",
        "Liberal", "Conservative", "Extremely Conservative", "Declined to Answer",
    ),
    "income": (
        "<5K", "5-9K", "10-14K", "15-19K", "20-29K", "30-39K", "40-49K", "50-74K", "75-99K", "100-124K", "125-149K",
        "150-175K+", "175-200K+", "200K+",
    ),
    "internet_access": ("Internet Household", "Non-Internet Household"),
    "location": (
        "Alabama", "Arizona", "California", "Colorado", "Florida", "Georgia", "Illinois", "Indiana", "Kentucky", "Maryland",
        "Massachusetts", "Michigan", "Minnesota", "Missouri", "New Jersey", "New York", "North Carolina", "Ohio", "Oregon",
        "Pennsylvania", "Tennessee", "Texas", "Virginia", "Washington", "Wisconsin",
    ),
    "marital_status": ("Married", "Never married", "Divorced", "Widowed", "Living with partner", "Separated"),
    "metro_status": ("Metro Area", "Non-Metro Area"),
    "party_id": (
        "Strong Democrat", "Moderate Democrat", "Lean Democrat", "Don't Lean/Independent/None", "Lean Republican",
        "Moderate Republican", "Strong Republican",
    ),
    "phone_service": ("Cellphone only", "Have a landline, but mostly use cellphone", "Have a landline and a cellphone", "Landline only"),
}  # fmt: skip
"""The texts of each field that is not a number."""
PRESENT = {
    "age": 1.0, "income": 1.0, "education": 0.98, "ideology": 0.65, "gender": 0.64, "employment": 0.63, "party_id": 0.31,
    "ethnicity": 0.23, "housing_ownership": 0.77, "housing_type": 0.77, "metro_status": 0.77, "internet_access": 0.77,
    "phone_service": 0.77, "household_size": 0.77, "marital_status": 0.64, "location": 0.64,
}  # fmt: skip
"""Share of the rows in which a field is not null."""
ANSWERED = 0.98
"""Share of a study's people for whom a field is known, if the study has it at all and not everyone has it."""
_NUMBERS = {"age": (13, 97), "household_size": (1, 9)}


def fields_of_studies(rows: np.ndarray, random: np.random.Generator) -> list[frozenset[str]]:
    """By study, the fields that it has: whole studies lack a field, so that ``PRESENT`` holds over all rows.

    Args:
        rows: of each study.
    """
    found: list[set[str]] = [set() for _ in rows]
    for name, share in PRESENT.items():
        order = random.permutation(len(rows))
        before = (np.cumsum(rows[order]) - rows[order] / 2) / rows.sum()
        for study in order[before < share / ANSWERED]:
            found[study].add(name)
    return [frozenset(names) for names in found]


def people(count: int, fields: frozenset[str], random: np.random.Generator) -> pl.DataFrame:
    """``count`` people: the 16 fields in their order, and ``persona``, the text that a prompt begins with."""
    columns = {name: _column(name, count, name in fields, random) for name in DEMOGRAPHIC.to_schema()}
    frame = pl.DataFrame(columns)
    bullets = [pl.format(f"- {name.replace('_', ' ').title()}: {{}}", pl.col(name)) for name in columns]
    persona = pl.concat_str(pl.lit(PERSONA_HEAD), *bullets, separator="\n", ignore_nulls=True)
    return frame.with_columns(persona=persona)


def _column(name: str, count: int, known: bool, random: np.random.Generator) -> pl.Series:
    if not known:
        return pl.Series(name, [None], dtype=DEMOGRAPHIC.to_schema()[name]).new_from_index(0, count)
    if name in _NUMBERS:
        values = pl.Series(name, random.integers(*_NUMBERS[name], count), dtype=pl.Int64)
    else:
        words = VOCABULARY[name]
        values = pl.Series(name, words).gather(random.integers(len(words), size=count))
    if PRESENT[name] == 1:
        return values
    return (
        values.to_frame()
        .select(pl.when(pl.lit(pl.Series(random.random(count) < ANSWERED))).then(pl.col(name)))
        .to_series()
    )
