"""Prompts that the scoring tests share."""

from socrates_fast.data.scales import Scale, range_scale
from socrates_fast.prompt import Prompt, persona_text, user_text
from socrates_fast.recipe import Order

SYSTEM = "You are simulating a survey respondent. Answer exactly as instructed."
STIMULI = [
    "A city plans to close its main street to cars. How much do you support the plan?",
    "A city plans to close its main street to buses. How much do you support the plan?",
    "A friend lends you 20 dollars. How grateful are you?",
]
PERSONAS = [
    {"age": age, "gender": gender, "party_id": party}
    for age, gender in ((23, "Female"), (61, "Male"))
    for party in ("Democrat", "Republican", None)
]
SCALES = {
    "1-7": range_scale(1, 7),
    "0-10": range_scale(0, 10),
    "0-100": range_scale(0, 100),
    "-3..3": range_scale(-3, 3),
    "1,2,4": Scale(1, 4, (1, 2, 4), {1: "Yes", 2: "No", 4: "Refused"}),
}


def make_prompts(scale: Scale, order: Order = "stimulus_first") -> list[Prompt]:
    """Every persona with every stimulus, person by person."""
    return [
        Prompt(SYSTEM, user_text(persona_text(persona), stimulus, order), scale)
        for persona in PERSONAS
        for stimulus in STIMULI
    ]
