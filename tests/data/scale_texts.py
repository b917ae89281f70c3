"""Made-up answer instructions whose true scale is known, in every form that is read."""

from dataclasses import dataclass

from hypothesis import strategies as st

from socrates_fast.data.scales import Scale, range_scale

LABELS = (
    "Strongly disagree", "not at all", "Very likely", "Yes, definitely", "Neither agree nor disagree", "Never",
    "I don't know", "A great deal (or more)", "18 to 24 years", "$1,000 to $5,000", "2-3 times a week", "more than $5,001",
    "a 6.5% tax", "stay-at-home parent", "somewhat - but rarely", "3 or 4 drinks", "the U.S. Senate", "over 30 minutes",
    "people I talk to", "up to an hour", "Plan B, with 200 jobs", "both for and against", "10% or less", "[his/her] job",
    "the option for all", "from time to time", "zero to none",
)  # fmt: skip
"""Labels as people write them, with numbers, commas and link words in them."""
TOPICS = ("support", "percent likelihood", "dollars", "how much you agree", "the number of hours per day")
VIGNETTES = (
    "", "How likely is it? ", "In 2019, from 3 to 900 people came, 1 for free and 2 for $5. What do you think? ",
    "You read “Rate us from 1 to 10 (1 = bad, 10 = good)” in a paper. Do you trust it? ",
    "Between 18 and 24 of 30 were hired; 7 means luck. “Is that fair?” ",
)  # fmt: skip
QUOTES = (("", ""), ('"', '"'), ("“", "”"), ("'", "'"), ("‘", "’"))


@dataclass(frozen=True)
class Made:
    """A stimulus and its true scale.

    Attributes:
        text: the stimulus.
        low: smallest answer.
        values: all answers.
        labels: labels that are written in it.
    """

    text: str
    values: tuple[int, ...]
    labels: dict[int, str]

    @property
    def scale(self) -> Scale:
        """The true scale."""
        whole = range_scale(self.values[0], self.values[-1], self.labels)
        return (
            whole
            if whole.values == self.values
            else Scale(min(self.values), max(self.values), self.values, self.labels)
        )


def _ending(draw: st.DrawFn, body: str, labelled: str) -> str:
    """The instruction with its labels before or after "nothing else", or without it."""
    form = draw(st.sampled_from(("before", "after", "without", "parentheses")))
    if not labelled:
        return body + draw(
            st.sampled_from((", nothing else.", ", nothing else.”", ".", "", " and nothing else"))
        )
    if form == "before":
        return f"{body}, where {labelled}, nothing else."
    if form == "after":
        return f"{body}, nothing else, where {labelled}."
    if form == "parentheses":
        return f"{body}, nothing else. ({labelled})"
    return f"{body} where {labelled}."


@st.composite
def ranges(draw: st.DrawFn) -> Made:
    """A range of integers, with labels on none, the ends, the ends and the middle, or all of it."""
    low = draw(st.sampled_from((0, 1, -3, -5, 10)))
    high = low + draw(st.sampled_from((1, 2, 3, 4, 6, 10, 20, 100, 2800)))
    lead = draw(st.sampled_from(("an integer from {} to {}", "a number between {} and {}", "an integer {}–{}",
                                 "a whole number on a scale of {} to {}", "an integer ({}-{})", "a number from {} through {}")))  # fmt: skip
    body = "Only return " + lead.format(_number(draw, low), _number(draw, high))
    middle = [(low + high) // 2] if (low + high) % 2 == 0 else []
    which = draw(st.sampled_from(("none", "ends", "middle", "all")))
    given = {
        "none": [],
        "ends": [low, high],
        "middle": sorted({low, *middle, high}),
        "all": range(low, high + 1),
    }[which]
    if len(given) > 11:
        given = [low, high]
    labels = dict(zip(given, draw(st.permutations(LABELS)), strict=False))
    style = draw(st.integers(0, len(QUOTES) - 1))
    says = draw(st.sampled_from((" means ", " = ", "=", " is ", " corresponds to ")))
    if which == "none" and draw(st.booleans()):
        body += f" representing {draw(st.sampled_from(TOPICS))}"
    text = _ending(draw, body, _joined(draw, labels, says, style, ("and",)))
    return Made(draw(st.sampled_from(VIGNETTES)) + text, tuple(range(low, high + 1)), labels)


def _number(draw: st.DrawFn, value: int) -> str:
    written = f"{value:,}" if draw(st.booleans()) else str(value)
    return written.replace("-", "−") if draw(st.booleans()) else written


def _joined(draw: st.DrawFn, labels: dict[int, str], says: str, style: int, links: tuple[str, ...]) -> str:
    before, after = QUOTES[style]
    parts = [f"{value}{says}{before}{label}{after}" for value, label in labels.items()]
    separator = draw(st.sampled_from((", ", "; ")))
    if len(parts) < 2:
        return "".join(parts)
    link = draw(st.sampled_from(links))
    last = draw(st.sampled_from((f"{separator}{link} ", f" {link} "))) if link else separator
    return separator.join(parts[:-1]) + last + parts[-1]


@st.composite
def bands(draw: st.DrawFn) -> Made:
    """A range with a label in parentheses after, or before, each end."""
    low, high = draw(st.sampled_from(((1, 7), (1, 9), (0, 10), (-3, 3))))
    first, last = draw(
        st.sampled_from((("$0", "$45"), ("$0-$20", "more than $120"), ("never", "always"), ("0%", "100%")))
    )
    body = draw(st.sampled_from((f"from {low} ({first}) to {high} ({last})", f"between {low} ({first}) and {high} ({last})",
                                 f"{low} ({first}) to {high} ({last})")))  # fmt: skip
    text = draw(st.sampled_from(VIGNETTES)) + _ending(draw, f"Only return an integer {body}", "")
    return Made(text, tuple(range(low, high + 1)), {low: first, high: last})


@st.composite
def options(draw: st.DrawFn, clear: bool = False) -> Made:
    """Labelled options, the last two joined by "or" where values are left out.

    Args:
        draw: hypothesis' own.
        clear: where values are left out, the labels have no numbers in them, which might be those.
    """
    values = draw(
        st.sampled_from(
            ((1, 2), (0, 1), (1, 0), (1, 2, 3), (1, 2, 3, 4, 5), (1, 2, 4), (1, 5), (1, 2, 98), (3, 2, 1))
        )
    )
    contiguous = max(values) - min(values) + 1 == len(values)
    texts = [label for label in LABELS if contiguous or not clear or not set(label) & set("0123456789")]
    labels = dict(zip(values, draw(st.permutations(texts)), strict=False))
    says = draw(st.sampled_from((" for ", " if ", " = ", "=")))
    body = _joined(
        draw,
        labels,
        says,
        draw(st.integers(0, len(QUOTES) - 1)),
        ("or", "and", "") if contiguous else ("or",),
    )
    text = draw(st.sampled_from(VIGNETTES)) + _ending(draw, "Only return " + body, "")
    return Made(text, tuple(sorted(values)), dict(sorted(labels.items())))


@st.composite
def ladders(draw: st.DrawFn) -> Made:
    """A range by its labelled ends: "1 if never, up to 4 if always"."""
    high = draw(st.integers(3, 11))
    first, last = draw(st.permutations(LABELS))[:2]
    link = draw(st.sampled_from((", up to", " up to", " through", " to")))
    says = draw(st.sampled_from(("for", "if")))
    text = _ending(draw, f"Only return 1 {says} {first}{link} {high} {says} {last}", "")
    return Made(text, tuple(range(1, high + 1)), {1: first, high: last})


@st.composite
def lists(draw: st.DrawFn) -> Made:
    """Bare answers: "1, 2, or 3"."""
    values = tuple(sorted(draw(st.sets(st.integers(-2, 12), min_size=2, max_size=7))))
    *most, last = map(str, values)
    text = _ending(
        draw, f"Only return {', '.join(most)}{draw(st.sampled_from((', or ', ' or ', ', ')))}{last}", ""
    )
    return Made(draw(st.sampled_from(VIGNETTES)) + text, values, {})


MADE = st.one_of(ranges(), bands(), options(), ladders(), lists())
