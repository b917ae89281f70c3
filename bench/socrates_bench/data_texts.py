"""Invented stimuli in SocSci210's form: a story, a question, an answer instruction in each of its surface forms.

Each instruction is made together with the scale that it states, so a reader of scales can be checked against it.
No text is from a real study.
"""

from dataclasses import dataclass
from random import Random

SHORTEST, LONGEST = 102, 4720
"""Characters of a stimulus."""

KINDS = {
    "5 levels": 28.0, "7 levels": 20.0, "0 to 100": 15.0, "2 options": 10.0, "4 levels": 8.0, "0 to 10": 8.0,
    "6 levels": 4.0, "4 options": 3.0, "open": 1.6, "10 levels": 1.0, "3 options": 0.9, "dollars": 1.2, "other": 0.6,
}  # fmt: skip
"""Kinds of scales, and how many rows of a hundred have them."""

_ENDS: dict[str, tuple[tuple[int, int], ...]] = {
    "5 levels": ((1, 5), (1, 5), (1, 5), (0, 4)), "7 levels": ((1, 7),), "0 to 100": ((0, 100),), "4 levels": ((1, 4),),
    "0 to 10": ((0, 10),), "6 levels": ((1, 6), (0, 5)), "10 levels": ((1, 10),),
    "dollars": ((0, 1200), (0, 2000), (0, 2800)), "other": ((0, 300), (0, 25_000), (0, 86_913)),
}  # fmt: skip
_RANGES = (
    "Only return an integer from {low} to {high}, nothing else.",
    "Only return an integer from {low} to {high}, where {low} means {a} and {high} means {b}, nothing else.",
    "Only return an integer from {low} to {high} ({low}={a}; {high}={b}), nothing else.",
    "Only return a number from {low} to {high}, nothing else.",
    "Only return an integer from {low} to {high}, where {low} = “{a}” and {high} = “{b}”, nothing else.",
    "Only return an integer from {low} to {high}, nothing else. {low} means {a} and {high} means {b}.",
    "Only return a number from {low} to {high}, where {low} means '{a}' and {high} means '{b}', nothing else.",
    'Only return an integer from {low} to {high}, where {low} means "{a}" and {high} means "{b}", nothing else.',
)
_HUNDRED = (
    "Only return an integer from {low} to {high}, where {low} means {a}, 50 means neutral, and {high} means {b}, nothing else.",
    "Only return an integer from {low} to {high} representing percent likelihood, nothing else.",
)
_AMOUNTS = (
    "Only return an integer from {low} to {high} representing dollars, nothing else.",
    "Only return an integer from {low} to {high}, nothing else.",
)
_OPEN = (
    "Only return an integer representing the estimated monthly hours saved, nothing else.",
    "Only return an integer representing the number of people, nothing else.",
    "Only return an integer representing the amount in dollars, nothing else.",
    "Only return an integer representing minutes per week, nothing else.",
)
_BANDS = (
    ("Only return an integer from 1 ($0) to 9 ($45), nothing else.", 9),
    ("Only return an integer from 1 ($0-$20) to 7 ($121-$140), nothing else.", 7),
)
_LABELS = (
    ("Strongly oppose", "Strongly support"), ("Not at all fair", "Extremely fair"), ("Extremely unlikely", "Extremely likely"),
    ("Never", "Always"), ("No trust at all", "Complete trust"), ("very cold", "very warm"), ("A great deal worse", "A great deal better"),
    ("Strongly disagree", "Strongly agree"), ("Not important", "Very important"), ("Very dissatisfied", "Very satisfied"),
)  # fmt: skip
_OPTIONS = (
    ("Yes", "No", "Not sure", "Prefer not to say"), ("Agree", "Disagree", "Neither", "Undecided"),
    ("the first scenario", "the second scenario", "both of them", "none of them"),
    ("Better", "Worse", "About the same", "Cannot tell"), ("Person A", "Person B", "Both", "Neither"),
)  # fmt: skip
_PEOPLE = ("Marlow", "Adeline", "Tobias", "Ingrid", "Rashad", "Colette", "Bastien", "Yolanda", "Pavel", "Winona", "Osman", "Tamsin")  # fmt: skip
_PLACES = ("Ashford", "Brookdale", "Clearwater", "Dunmore", "Eastfield", "Fairview", "Glenwood", "Hillcrest", "Kingsport",
           "Larkspur", "Millbrook", "Northgate", "Oakhurst", "Pinecrest", "Ridgefield", "Stonebridge")  # fmt: skip
_THINGS = (
    "bridge", "orchard", "bus line", "library", "harbor", "market hall", "clinic", "reservoir", "theater", "recycling yard",
    "greenhouse", "ferry", "playground", "sawmill", "observatory", "swimming lake", "bakery", "tram", "archive", "footpath",
    "power station", "music school", "fire house", "vineyard", "lighthouse", "laundry", "quarry", "day care", "print shop",
    "wind farm", "parking garage", "botanical garden", "fish ladder", "town square", "night train", "radio tower",
)  # fmt: skip
_QUALITIES = (
    "old", "crowded", "unpopular", "costly", "half-finished", "well-kept", "noisy", "privately owned", "remote", "celebrated",
    "flooded", "newly painted", "abandoned", "solar-powered", "shared", "temporary", "historic", "overlooked", "modern", "leaking",
    "award-winning", "narrow", "drafty", "volunteer-run", "heated", "fenced", "accessible", "windowless", "underused", "famous",
)  # fmt: skip
_GROUPS = (
    "shop owners", "retired nurses", "teachers", "commuters", "students", "farmers", "new residents", "council members", "parents",
    "night workers", "engineers", "tenants", "tourists", "cyclists", "grandparents", "volunteers", "bus drivers", "fishermen",
    "landlords", "musicians", "electricians", "neighbors", "pharmacists", "carpenters",
)  # fmt: skip
_ACTS = (
    "complained about", "paid for", "defended", "photographed", "voted against", "repaired", "argued over", "wrote letters about",
    "stopped using", "raised money for", "inspected", "made jokes about", "asked questions about", "moved closer to", "signed up for",
    "lost interest in", "took pride in", "measured", "campaigned for", "borrowed money for", "walked away from", "filmed",
)  # fmt: skip
_SENTENCES = (
    "In {place}, {group} {act} the {quality} {thing}.",
    "{person} says that the {quality} {thing} matters more than the {thing2}.",
    "Last {season}, {count} {group} {act} it.",
    "According to {person}, {group} and {group2} rarely agree on the {thing}.",
    "The {quality} {thing} of {place} costs {money} dollars a year.",
    "Some {group} {act} the {thing2}, while {group2} {act2} the {thing}.",
    "Nobody in {place} had expected that {group} would say so.",
    "A report by {group2} compares the {thing} with a {quality2} {thing2} in {place2}.",
    "{person} once {act} the {thing2} and still speaks of it every {season}.",
    "If nothing changes, the {quality} {thing} closes within {years} years.",
    "On average {count} people a day visit the {thing}, most of them {group}.",
    "{group2} from {place2} {act2} a {quality} {thing} and called it {quality2}.",
)
_QUESTIONS = (
    "How do you feel about the {quality} {thing}?", "What would you decide about the {thing} of {place}?",
    "How likely is it that {group} {act} the {thing}?", "What is your view of {person} after reading this?",
    "How much should {group} care about the {thing2}?", "How would you rate the {quality} {thing2}?",
    "Thinking of {group}, what comes closest to your opinion?", "How has the {thing} of {place2} changed for {group2}?",
)  # fmt: skip
_PROFILE = (
    ("Age", ("24", "31", "38", "45", "52", "59", "66", "73")),
    ("Trade", ("baker", "surveyor", "librarian", "welder", "pilot", "tailor", "chemist", "gardener", "printer", "clerk")),
    ("Town", _PLACES), ("Speaks", ("one language", "two languages", "three languages", "four languages", "many languages")),
    ("Owns", _THINGS), ("Known as", _QUALITIES),
)  # fmt: skip
"""Attributes of a person-specific profile, and their levels."""
_FRAME = 'You read "{}" and then were asked: "{}"'
_REQUEST = "Please answer in full honesty. "
PROFILES = 8 * 10 * len(_PLACES) * 5 * len(_THINGS) * len(_QUALITIES)
"""Different profiles."""
_STEP = 1_000_003
"""A prime that does not divide ``PROFILES``: numbers that follow one another give profiles that have little in common."""


@dataclass(frozen=True)
class Question:
    """An answer instruction and the scale that it states.

    Attributes:
        kind: a key of ``KINDS``.
        instruction: the text, from "Only return" on.
        low: smallest allowed answer.
        high: largest allowed answer.
        skip: an integer between them that is no allowed answer; ``high + 1`` if there is none.
    """

    kind: str
    instruction: str
    low: int
    high: int
    skip: int

    def off_scale(self) -> tuple[int, int, int, int]:
        """Four answers that it does not allow; the first two are usual codes of a missing answer."""
        codes = (98, 99) if self.high < 98 else (99_999, 99_999)
        return (*codes, self.skip, 10 * self.high + 1)


def make_question(kind: str, random: Random) -> Question:
    """An instruction of a kind, in one of its surface forms."""
    if kind == "open":
        return Question(kind, random.choice(_OPEN), 0, 10**9, 10**9 + 1)
    if kind.endswith("options"):
        return _options(kind, int(kind[0]), random)
    if kind == "other" and random.random() < 0.7:
        return _unusual(random)
    low, high = random.choice(_ENDS[kind])
    forms = {"0 to 100": (*_RANGES, *_HUNDRED * 3), "dollars": _AMOUNTS[:1], "other": _AMOUNTS}.get(
        kind, _RANGES
    )
    a, b = random.choice(_LABELS)
    return Question(kind, random.choice(forms).format(low=low, high=high, a=a, b=b), low, high, high + 1)


def _options(kind: str, count: int, random: Random) -> Question:
    """``count`` labelled options, numbered from 1."""
    labels = random.choice(_OPTIONS)[:count]
    pairs = list(enumerate(labels, 1))
    plain = [f"{number} for {label}" for number, label in pairs]
    quoted = [f"{number} for '{label}'" for number, label in pairs]
    forms = [_series(plain), _series(quoted), "; ".join(plain)]
    if count == 3:
        forms += [
            "1, 2, or 3",
            "1, 2, or 3, where " + _series([f"{n} means {label}" for n, label in pairs], "and"),
        ]
    return Question(kind, f"Only return {random.choice(forms)}, nothing else.", 1, count, count + 1)


def _series(parts: list[str], word: str = "or") -> str:
    return f" {word} ".join(parts) if len(parts) == 2 else f"{', '.join(parts[:-1])}, {word} {parts[-1]}"


def _unusual(random: Random) -> Question:
    """Dollar bands, options with a gap in their numbers, and options of which only the ends are named."""
    form = random.randrange(4)
    if form == 0:
        a, b, _, d = random.choice(_OPTIONS)
        return Question(
            "other", f"Only return 1 for '{a}', 2 for '{b}', or 4 for '{d}', nothing else.", 1, 4, 3
        )
    if form == 1:
        ends = "1 if you strongly agree, up to 4 if you strongly disagree"
        return Question("other", f"Only return {ends}, nothing else.", 1, 4, 5)
    text, high = _BANDS[form - 2]
    return Question("other", text, 1, high, high + 1)


class Story:
    """What the respondents of a study read: shared sentences, one that is the condition's, one that is the variant's.

    Args:
        random: where the words come from.
        length: characters that a stimulus shall have, about.
        arms: conditions that differ in their text; others repeat it.
        profiles: a variant is a profile of a person, else another sentence.
    """

    def __init__(self, random: Random, length: int, arms: int, profiles: bool) -> None:
        self._random = random
        self._profiles = profiles
        self._offset = random.randrange(PROFILES)
        self._shared: list[str] = []
        while sum(map(len, self._shared)) < length - 330 - (130 if profiles else 0):
            self._shared.append(self._sentence(_SENTENCES))
        self._arms = [self._sentence(_SENTENCES) for _ in range(arms)]
        self._variants: list[str] = [""] if length < 250 else [self._sentence(_SENTENCES)]
        self._short = length < 250

    def question(self) -> str:
        """A question of the study."""
        return self._sentence(_QUESTIONS)

    def stimulus(self, condition: int, variant: int, question: str, instruction: str) -> str:
        """The text of one condition and variant with one question."""
        arm = self._arms[condition % len(self._arms)]
        if self._profiles:
            told = f"You were shown a person with the following attributes: {self._profile(variant)} {arm}"
        elif self._short and variant == 0 and condition % len(self._arms) == 0:
            told = ""
        else:
            told = " ".join(part for part in (arm, self._variant(variant)) if part)
        read = " ".join([*self._shared, told]).strip()
        return _asked(read, f"{question} {instruction}")

    def _variant(self, number: int) -> str:
        while number >= len(self._variants):
            told = self._sentence(_SENTENCES)
            if told not in self._variants:  # else a person's second answer could repeat their first
                self._variants.append(told)
        return self._variants[number]

    def _profile(self, number: int) -> str:
        """The profile of a number: another one for every number below ``PROFILES``."""
        place = (number + self._offset) * _STEP % PROFILES
        told = []
        for name, levels in _PROFILE:
            place, level = divmod(place, len(levels))
            told.append(f"{name}: {levels[level]};")
        return " ".join(told)

    def _sentence(self, patterns: tuple[str, ...]) -> str:
        return sentence(patterns, self._random)


def _asked(read: str, question: str) -> str:
    """The text and its question, from ``SHORTEST`` to ``LONGEST`` characters; of a text that is too long its end."""
    if not read:
        return f"{_REQUEST * (1 + (SHORTEST - len(question) - 1) // len(_REQUEST))}{question}"
    room = LONGEST - len(_FRAME.format("", question))
    if len(read) > room:
        read = read[-room:].partition(" ")[2]
    return _FRAME.format(read, question)


def sentence(patterns: tuple[str, ...], random: Random) -> str:
    """One of the patterns with words in its gaps."""
    choose = random.choice
    text = choose(patterns).format(
        place=choose(_PLACES), place2=choose(_PLACES), group=choose(_GROUPS), group2=choose(_GROUPS), act=choose(_ACTS),
        act2=choose(_ACTS), quality=choose(_QUALITIES), quality2=choose(_QUALITIES), thing=choose(_THINGS),
        thing2=choose(_THINGS), person=choose(_PEOPLE), season=choose(("spring", "summer", "autumn", "winter")),
        count=random.randrange(30, 900), money=random.randrange(20, 900) * 1000, years=random.randrange(2, 9),
    )  # fmt: skip
    return text[0].upper() + text[1:]


def rationales(count: int, random: Random) -> list[str]:
    """Invented reasons for an answer, 400 to 1,500 characters each."""
    texts = []
    for _ in range(count):
        length, told = random.randrange(400, 1500), ""
        while len(told) < length:
            told += " " + sentence(_SENTENCES, random)
        texts.append(told.strip())
    return texts
