"""The rows that ``bench score`` asks for: made-up people, each asked the same ten tasks, in SocSci210's form and order.

Stimuli of about 250 tokens that share little with one another, personas of about 130, scales mixed.
"""

from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from itertools import pairwise, takewhile
from typing import Any

import numpy as np

from socrates_fast.data.prepared import make_prompt
from socrates_fast.data.scales import Scale, parse_scale
from socrates_fast.errors import DataError
from socrates_fast.prompt import Prompt
from socrates_fast.recipe import Order, PromptOptions

TASKS = (
    ("a toll on the old bridge", "Only return an integer from 1 to 7, where 1 means Strongly oppose and 7 means Strongly support, nothing else."),
    ("free museum entry for students", "Only return an integer from 0 to 100 representing percent likelihood, nothing else."),
    ("lower speed limits in town", "Only return an integer from 1 to 5, where 1 means Not at all fair and 5 means Extremely fair, nothing else."),
    ("robots in nursing homes", "Only return 1 for Yes or 2 for No, nothing else."),
    ("a wind farm on the hill", "Only return an integer from 1 to 7, where 1 means Extremely unlikely and 7 means Extremely likely, nothing else."),
    ("phones locked away at school", "Only return an integer from 0 to 10, where 0 means No trust at all and 10 means Complete trust, nothing else."),
    ("paid leave for new parents", "Only return 1 for 'Very dissatisfied', 2 for 'Dissatisfied', 3 for 'Satisfied', or 4 for 'Very satisfied', nothing else."),
    ("a curfew for teenagers", "Only return an integer from 1 to 5, where 1 means Never and 5 means Always, nothing else."),
    ("rent control downtown", "Only return an integer from 1 to 7, where 1 means Not at all and 7 means A great deal, nothing else."),
    ("a fee for plastic bags", "Only return an integer from 0 to 100, where 0 means very cold, 50 means neutral, and 100 means very warm, nothing else."),
)  # fmt: skip
"""What each task is about, and its answer instruction."""
_SENTENCES = (
    "For several years the people of {town} have argued about {subject}.",
    "The proposal was first put forward by {name}, a retired engineer who has lived there since {year}.",
    "At a public meeting in the town hall, about {crowd} residents listened to both sides for most of the evening.",
    "Those in favor said that {subject} would make daily life easier for families and cost less than expected.",
    "Those against said that nobody had asked the shop owners, and that the money was needed for the hospital.",
    "An independent report estimated the yearly cost at {cost} dollars, to be paid from local taxes.",
    "A neighboring county tried something similar in {later}, and opinions about the result still differ.",
    "{name} told a reporter that the decision should not be delayed any longer.",
    "The council will vote on the plan next month, after a second hearing in the school gymnasium.",
    "If the vote fails, the plan cannot be brought forward again for {delay} years.",
)
_TOWNS = ("Ashford", "Brookdale", "Clearwater", "Dunmore", "Eastfield", "Fairview", "Glenwood", "Hillcrest")
_NAMES = ("Jaime Ortega", "Michelle Brandt", "Peter Okafor", "Linda Chu", "Samuel Whitfield", "Rosa Delgado")
_LEVELS: dict[str, tuple[str | None, ...]] = {
    "gender": ("Female", "Male"),
    "education": ("High school graduate or equivalent", "Bachelor's degree",
                  "Vocational/tech school/some college/associates", "Post grad study/professional degree"),
    "employment": ("Employed as paid employee", "Self-employed", "Not working - retired",
                   "Not working - looking for work"),
    "marital_status": ("Married", "Never married", "Divorced", "Widowed"),
    "ethnicity": ("White, non-Hispanic", "Hispanic", "Black, non-Hispanic", None, None, None, None),
    "housing_ownership": ("Owned or being bought by you or someone in your household", "Rented for cash", None),
    "housing_type": ("A one-family house detached from any other house", "A building with 2 or more apartments", None, None),
    "location": ("New Jersey", "Texas", "Ohio", "California", "Florida", "Washington"),
    "metro_status": ("Metro Area", "Non-Metro Area"),
    "income": ("10-14K", "30-39K", "50-74K", "75-99K", "125-149K"),
    "internet_access": ("Internet Household", "Non-Internet Household"),
    "party_id": ("Strong Democrat", "Lean Republican", "Moderate Republican", "Don't Lean/Independent/None"),
    "ideology": ("Very Liberal", "Moderate", "Conservative", "Extremely Conservative"),
    "phone_service": ("Cellphone only", "Have a landline, but mostly use cellphone", None),
}  # fmt: skip


def people(count: int) -> list[dict[str, Any]]:
    """The demographics of ``count`` people; the first ones are the same for every count."""
    return [_person(np.random.default_rng([7, number])) for number in range(count)]


def _person(random: np.random.Generator) -> dict[str, Any]:
    chosen = {field: levels[int(random.integers(len(levels)))] for field, levels in _LEVELS.items()}
    return {"age": int(random.integers(18, 90)), "household_size": int(random.integers(1, 7)), **chosen}


@cache
def stimuli() -> tuple[tuple[str, Scale], ...]:
    """The ten tasks' stimuli and their scales, as the project reads them from the text."""
    found = []
    for number, (subject, instruction) in enumerate(TASKS):
        text = _stimulus(np.random.default_rng([11, number]), subject, instruction)
        scale = parse_scale(text)
        if scale is None:
            raise DataError(f"task {number}: no scale in: {instruction}")
        found.append((text, scale))
    return tuple(found)


def _stimulus(random: np.random.Generator, subject: str, instruction: str) -> str:
    first, *rest = _SENTENCES
    sentences = [first, *(rest[int(place)] for place in random.permutation(len(rest)))]
    story = " ".join(sentences).format(
        subject=subject, town=_TOWNS[int(random.integers(len(_TOWNS)))],
        name=_NAMES[int(random.integers(len(_NAMES)))], year=int(random.integers(1950, 1999)),
        crowd=int(random.integers(40, 400)), cost=int(random.integers(20, 900)) * 1000,
        later=int(random.integers(2001, 2020)), delay=int(random.integers(2, 9)),
    )  # fmt: skip
    return f'You read "{story}" and then were asked: "What do you think about {subject}? {instruction}"'


def prompts_of_people(count: int, order: Order) -> list[Prompt]:
    """The prompts of ``count`` people, person by person as SocSci210's rows are."""
    options = PromptOptions(order=order)
    return [
        make_prompt(person, text, scale, options) for person in people(count) for text, scale in stimuli()
    ]


def tree_nodes(rows: Iterable[tuple[Sequence[int], Iterable[Sequence[int]]]]) -> tuple[int, int]:
    """Nodes of the prefix tree of token sequences: of the prompts alone, and with the steps into their answers.

    Args:
        rows: of each row the prompt's tokens and the tokens of each allowed answer. An answer's last token is
            never decoded, only those before it.
    """
    children: dict[tuple[int, int], int] = {}
    prompts = 0
    pending = []
    for ids, answers in rows:
        end = _insert(children, 0, ids)
        pending.append((end, [answer[:-1] for answer in answers]))
    prompts = len(children)
    for end, steps in pending:
        for step in steps:
            _insert(children, end, step)
    return prompts, len(children)


def _insert(children: dict[tuple[int, int], int], node: int, ids: Iterable[int]) -> int:
    """Walk from ``node`` along ``ids``, making what is missing; the node at the end."""
    for token in ids:
        node = children.setdefault((node, token), len(children) + 1)
    return node


def row_by_row(rows: Sequence[Sequence[int]]) -> int:
    """Tokens to compute if each row reuses only the beginning that it shares with the row before it."""
    total = 0
    before: Sequence[int] = ()
    for row in rows:
        shared = takewhile(lambda pair: pair[0] == pair[1], zip(row, before, strict=False))
        total += len(row) - sum(1 for _ in shared)
        before = row
    return total


def batches(items: Sequence[Any], pieces: int) -> Iterator[Sequence[Any]]:
    """``items`` in ``pieces`` runs of nearly equal length."""
    bounds = np.linspace(0, len(items), pieces + 1).round().astype(int)
    for start, stop in pairwise(bounds):
        yield items[int(start) : int(stop)]
