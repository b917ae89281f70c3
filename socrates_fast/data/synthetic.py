"""A made-up survey in SocSci210's columns whose true answer distributions are known.

The response model, stated in full. A person with features ``x`` (ideology, age, education, gender, each in
[-1, 1]; 0 where the field is missing) who is asked task ``t`` in condition ``c`` of study ``s`` holds the position

    mu = logistic(a[s,t] + e[s,c,t] + w[s,t] . x)            in (0, 1)

and answers value ``j`` of a scale with ``k`` equally wide categories with the probability of an ordered probit

    P(j) = Phi((j+1)/k; mu, SPREAD) - Phi(j/k; mu, SPREAD)   (the outer categories take the tails)

On scales of more than 11 values, ``HEAPING`` of every answer's probability moves to the nearest multiple of ten, as
real people round. The text of the stimulus names the study's subject and the arm, so a model can learn ``a``,
``e`` and ``w`` from (prompt, answer) pairs and from nothing else.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.special import ndtr

from socrates_fast.data.scales import Scale, parse_scale
from socrates_fast.data.schema import SOCSCI210
from socrates_fast.prompt import persona_text, user_text
from socrates_fast.recipe import Synthetic

SPREAD = 0.13
"""Standard deviation of the answer around the person's position, as a share of the scale."""
HEAPING = 0.8
INTERCEPT_SD, EFFECT_SD, WEIGHT_SD = 1.3, 0.6, 0.3
"""Spread, in logits, of the tasks' intercepts, of the arms' effects and of the features' weights."""

_PLACES = ("Ashford", "Brookdale", "Clearwater", "Dunmore", "Eastfield", "Fairview", "Glenwood", "Hillcrest")
SUBJECTS = (
    "free bus rides for students", "a longer school day", "a tax on sugary drinks",
    "solar panels on public roofs", "a ban on leaf blowers", "night trains to the coast",
    "a four day work week", "cameras in public parks",
)  # fmt: skip
"""What the studies are about."""
OTHER_SUBJECTS = (
    "a new football stadium", "meals without meat at school", "lower speed limits in town",
    "a public swimming lake", "paid leave for new parents", "voting from the age of sixteen",
    "a fee for plastic bags", "robots in nursing homes", "a wind farm on the hill", "free museum entry",
    "phones locked away at school", "a toll on the old bridge", "shops open on Sundays",
    "bicycle lanes on main street", "a curfew for teenagers", "rent control downtown",
)  # fmt: skip
"""Subjects that no recipe's studies are about: the built-in base model is pre-trained on these."""
_ARMS = (
    "The mayor is in favor of it.", "Most doctors are against it.", "It would be paid for by a new tax.",
    "A company offers to pay for it.", "A neighboring town tried it and stopped.",
    "A neighboring town tried it with success.", "It would begin next month.", "Nobody knows what it will cost.",
)  # fmt: skip
_QUESTIONS = (
    ("How strongly do you support or oppose {subject}?", "strongly oppose", "strongly support"),
    ("How fair is {subject} to people like you?", "not fair at all", "very fair"),
    ("How likely is it that {subject} will work well?", "not likely at all", "extremely likely"),
    ("How much would {subject} change your daily life?", "not at all", "a great deal"),
    ("How much do you trust the people who propose {subject}?", "not at all", "completely"),
)
_INSTRUCTIONS = (
    "Only return an integer from 1 to 7, where 1 means {low} and 7 means {high}, nothing else.",
    "Only return an integer from 1 to 5, where 1 means {low} and 5 means {high}, nothing else.",
    "Only return an integer from 0 to 10, where 0 means {low} and 10 means {high}, nothing else.",
    "Only return 1 for {low} or 2 for {high}, nothing else.",
    "Only return an integer from 0 to 100, where 0 means {low} and 100 means {high}, nothing else.",
)
_IDEOLOGY = ("Very Liberal", "Somewhat Liberal", "Moderate", "Somewhat Conservative", "Very Conservative")
_EDUCATION = (
    "Less than high school", "High school graduate or equivalent",
    "Vocational/tech school/some college/associates", "Bachelor's degree",
    "Post grad study/professional degree",
)  # fmt: skip
_OTHER_FIELDS: dict[str, tuple[tuple[Any, ...], float]] = {
    "employment": (("Employed as paid employee", "Self-employed", "Retired", "Not working"), 0.4),
    "marital_status": (("Married", "Never married", "Divorced", "Widowed"), 0.6),
    "ethnicity": (("White", "Black", "Hispanic", "Asian"), 0.8),
    "housing_ownership": (("Owned or being bought by you", "Rented for cash"), 0.8),
    "housing_type": (("A one-family house", "A building with 2 or more apartments"), 0.8),
    "location": (("Ohio", "Texas", "New Jersey", "Oregon", "Georgia", "California"), 0.5),
    "metro_status": (("Metro Area", "Non-Metro Area"), 0.8),
    "income": (("10-14K", "30-39K", "50-74K", "75-99K", "100-124K", "200K+"), 0.3),
    "internet_access": (("Internet Household", "Non-internet household"), 0.8),
    "household_size": ((1, 2, 3, 4, 5), 0.7),
    "party_id": (("Strong Democrat", "Lean Democrat", "Don't Lean/Independent/None", "Strong Republican"), 0.7),
    "phone_service": (("Cellphone only", "Landline and cellphone"), 0.8),
}  # fmt: skip
"""Fields without an influence on the answer: their texts and how often they are missing."""


@dataclass(frozen=True)
class SyntheticSurvey:
    """Rows in SocSci210's columns, and what is true of them.

    Attributes:
        rows: the columns of ``schema.SOCSCI210``, nothing else.
        truth: ``study_id``, ``sample_id``, ``values`` and ``truth`` (their probabilities) of every row.
    """

    rows: pl.DataFrame
    truth: pl.DataFrame


def answer_probabilities(position: float, scale: Scale) -> NDArray[np.float64]:
    """Probabilities of ``scale.values`` for a person at ``position`` in (0, 1); see the module's formula."""
    values = np.asarray(scale.values)
    edges = np.arange(1, len(values)) / len(values)
    below = ndtr((edges - position) / SPREAD)
    probabilities = np.diff(np.concatenate([[0.0], below, [1.0]]))
    if len(values) <= 11:
        return probabilities
    heaped = np.zeros_like(probabilities)
    nearest = np.clip((values + 5) // 10 * 10, values[0], values[-1]) - values[0]
    np.add.at(heaped, nearest, HEAPING * probabilities)
    return heaped + (1 - HEAPING) * probabilities


def generate(options: Synthetic, subjects: Sequence[str] = SUBJECTS) -> SyntheticSurvey:
    """Make the survey that ``options`` describe; the same arguments give the same survey.

    Args:
        options: numbers of studies, people and tasks, and the seed.
        subjects: what the studies are about, taken in turn.
    """
    rng = np.random.default_rng(options.seed)
    rows: list[dict[str, Any]] = []
    truths: list[dict[str, Any]] = []
    for number in range(options.studies):
        study = _Study(rng, f"syn{number:02d}", subjects[number % len(subjects)], options.tasks)
        for participant in range(options.people):
            study.interview(rng, participant, rows, truths)
    return SyntheticSurvey(
        pl.DataFrame(rows, schema=SOCSCI210),
        pl.DataFrame(truths, schema_overrides={"values": pl.List(pl.Int64)}),
    )


class _Study:
    """One study's texts and parameters."""

    def __init__(self, rng: np.random.Generator, name: str, subject: str, tasks: int) -> None:
        self.name = name
        self.subject = subject
        self.place = str(rng.choice(_PLACES))
        self.arms = [str(arm) for arm in rng.choice(_ARMS, size=int(rng.integers(2, 4)), replace=False)]
        self.questions = rng.permutation(len(_QUESTIONS))[:tasks]
        self.instructions = rng.permutation(len(_INSTRUCTIONS))[:tasks]
        self.intercepts = rng.normal(0, INTERCEPT_SD, tasks)
        self.effects = rng.normal(0, EFFECT_SD, (len(self.arms), tasks))
        self.weights = rng.normal(0, WEIGHT_SD, (tasks, 4))
        self.samples = 0

    def stimulus(self, condition: int, task: int) -> str:
        """The text that a respondent of this condition reads before answering this task."""
        question, low, high = _QUESTIONS[self.questions[task]]
        instruction = _INSTRUCTIONS[self.instructions[task]].format(low=low, high=high)
        vignette = f"You read: “{self.place} plans {self.subject}. {self.arms[condition]}”"
        return f"{vignette} {question.format(subject=self.subject)} {instruction}"

    def interview(
        self,
        rng: np.random.Generator,
        participant: int,
        rows: list[dict[str, Any]],
        truths: list[dict[str, Any]],
    ) -> None:
        """Draw a person, put them in an arm, and append their answer to every task."""
        demographic, features = _person(rng)
        condition = int(rng.integers(len(self.arms)))
        for task in range(len(self.intercepts)):
            stimulus = self.stimulus(condition, task)
            logit = self.intercepts[task] + self.effects[condition, task] + self.weights[task] @ features
            scale = parse_scale(stimulus)
            assert scale is not None and scale.values is not None  # our own texts: always a closed scale
            truth = answer_probabilities(float(1 / (1 + np.exp(-logit))), scale)
            response = int(rng.choice(scale.values, p=truth))
            row = {
                "study_id": self.name,
                "sample_id": self.samples,
                "participant": participant,
                "condition_num": condition,
                "task_num": task,
                "demographic": demographic,
                "stimuli": stimulus,
                "prompt": user_text(persona_text(demographic), stimulus, "persona_first"),
                "response": response,
                "reasoning": _reasoning(demographic, self.subject, response, scale),
            }
            rows.append(row)
            truths.append({"study_id": self.name, "sample_id": self.samples,
                           "values": list(scale.values), "truth": truth.tolist()})  # fmt: skip
            self.samples += 1


def _reasoning(demographic: dict[str, Any], subject: str, response: int, scale: Scale) -> str:
    """What would lead this person to this answer: written knowing it, as SocSci210's reasonings are."""
    low, high = scale.low, scale.high
    third = min(2, 3 * (response - low) // (high - low + 1))
    view = str(demographic["ideology"] or "no settled views").lower()
    stance = ("I would rather not see", "I am of two minds about", "I am glad of")[third]
    return f"At {demographic['age']}, and with {view} in politics, {stance} {subject}."


def _person(rng: np.random.Generator) -> tuple[dict[str, Any], NDArray[np.float64]]:
    """A persona with missing fields, and its features (ideology, age, education, gender)."""
    ideology, education = int(rng.integers(5)), int(rng.integers(5))
    age, woman = int(rng.integers(18, 90)), bool(rng.integers(2))
    features = np.array([(ideology - 2) / 2, (age - 54) / 36, (education - 2) / 2, 1.0 if woman else -1.0])
    shown = rng.random(4) >= np.array([0.2, 0.0, 0.1, 0.1])
    person: dict[str, Any] = {
        "age": age,
        "ideology": _IDEOLOGY[ideology] if shown[0] else None,
        "education": _EDUCATION[education] if shown[2] else None,
        "gender": ("Female" if woman else "Male") if shown[3] else None,
    }
    for name, (texts, missing) in _OTHER_FIELDS.items():
        choice = texts[int(rng.integers(len(texts)))]
        person[name] = None if rng.random() < missing else choice
    return person, features * shown
