"""Instructions in all forms: read exactly, or not at all."""

import re

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from socrates_fast.data.scales import OPEN_HIGH, declared_scale, parse_scale
from tests.data.scale_texts import LABELS, MADE, Made, bands, ladders, lists, options, ranges

FORMS = [
    ("an integer from 1 to 7, where 1 means X and 7 means Y", "1-7", {1: "X", 7: "Y"}),
    ("an integer from 1 to 5 (1=low; 5=high)", "1-5", {1: "low", 5: "high"}),
    ("an integer from 1 ($0-$20) to 7 (more than $120), nothing else.", "1-7", {1: "$0-$20", 7: "more than $120"}),
    ("a number from 1 to 6, nothing else.", "1-6", {}),
    ("1 for 'A', 2 for 'B', or 4 for 'D', nothing else.", "1,2,4", {1: "A", 2: "B", 4: "D"}),
    ("1 for A; 2 for B", "1,2", {1: "A", 2: "B"}),
    ("1, 2, or 3, nothing else.", "1,2,3", {}),
    ("a number from 1 to 4, where 1 = “bad” and 4 = “good”", "1-4", {1: "bad", 4: "good"}),
    ("an integer from 0 to 100, where 0 means no, 50 means so-so, and 100 means yes", "0-100",
     {0: "no", 50: "so-so", 100: "yes"}),
    ("an integer from 1 to 3, nothing else, where 1 means “Agree,” 2 means “Disagree,” and 3 means “Not sure.”", "1-3",
     {1: "Agree", 2: "Disagree", 3: "Not sure"}),
    ("1 if you never ride, up to 4 if you ride daily, nothing else.", "1-4", {1: "you never ride", 4: "you ride daily"}),
    ("an integer from 0 to 100 representing percent likelihood, nothing else.", "0-100", {}),
    ("an integer from 0% to 100%.", "0-100", {}),
    ("an integer from $0 to $1,200 representing dollars, nothing else.", "0-1200", {}),
    ("an integer between −3 (worse) and +3 (better)", "-3..3", {-3: "worse", 3: "better"}),
    ("an integer from very cold (1) to very warm (9), nothing else.", "1-9", {1: "very cold", 9: "very warm"}),
    ("a number on a 7-point scale from 1 (never) to 7 (always)", "1-7", {1: "never", 7: "always"}),
    ("1 to accept or 2 to reject, nothing else.", "1,2", {1: "accept", 2: "reject"}),
    ("'1' for Yes or '0' for No", "0,1", {0: "No", 1: "Yes"}),
    ("1 (Yes), 2 (No), or 8 (I don't know)", "1,2,8", {1: "Yes", 2: "No", 8: "I don't know"}),
    ("1 for 'A’s plan: 2 for 1' or 2 for 'B's plan, from 3 to 9'", "1,2",
     {1: "A's plan: 2 for 1", 2: "B's plan, from 3 to 9"}),
    ("an integer from 1 to 9, where 1 = $0, 2 = $5, ..., 9 = $40.", "1-9", {1: "$0", 2: "$5", 9: "$40"}),
    ("an integer representing the minutes you wait, nothing else.", "open", {}),
]  # fmt: skip


@pytest.mark.parametrize(("words", "scale", "labels"), FORMS)
def test_a_known_form(words: str, scale: str, labels: dict[int, str]) -> None:
    found, true = (
        parse_scale(f"Of 30 people 12 came. Was it “fair”? Only return {words}"),
        declared_scale(scale),
    )
    assert found is not None
    assert (found.low, found.high, found.values) == (true.low, true.high, true.values)
    assert found.labels == labels


BEFORE = [
    ("On a scale from 1 (not bad) to 5 (very bad), how bad is it?", {1: "not bad", 5: "very bad"}),
    ("With 1 being too dry and 5 being too wet, how was May?", {1: "too dry", 5: "too wet"}),
    ("Between 1 = “cold” and 5 = “hot”, how was it?", {1: "cold", 5: "hot"}),
    ("From worthless (1) to worthy (5), what was it?", {}),  # a sentence's capital: not the known form
    ("Is it, from worthless (1) to worthy (5), good?", {1: "worthless", 5: "worthy"}),
    ("(1 = Strongly disagree, 5 = Strongly agree)", {1: "Strongly disagree", 5: "Strongly agree"}),
    ("1 means none at all, 3 means some, 5 means a lot.", {1: "none at all", 3: "some", 5: "a lot"}),
    ("On a scale from 1 (bad) to 7 (good), how is it?", {}),
    ("Where 1 means no and 9 means yes, is it?", {}),
    ("1 means bad in Ohio, 1 means good in Utah, 5 means none.", {}),
]


@pytest.mark.parametrize(("context", "labels"), BEFORE)
def test_labels_may_stand_before_the_instruction_and_the_range_may_not(
    context: str, labels: dict[int, str]
) -> None:
    found = parse_scale(f"{context} Only return an integer from 1 to 5, nothing else.")
    assert found is not None and found.values == (1, 2, 3, 4, 5)
    assert found.labels == labels
    assert parse_scale(f"{context} Only return an integer, nothing else.") is None


NOT_READ = [
    "an integer from 7 to 1.", "an integer from 10 (best) to 1 (worst).", "a number from 0.0 to 1.0", "a number from 1 to 6.5",
    "an integer from 1 to 5, or 9 if unsure.", "an integer from 1 to 5 (or 98 to skip), nothing else.",
    "an integer from 1 to 5, nothing else. If you don't know, return 9.", "an integer from 1 to 7 on a scale from 0 to 10.",
    "an integer from 1 to 7, where 7 means best, on a scale from 0 to 10.", "an integer from 1 to 4: 1 for A, 2 for B, or 4 for D.",
    "an integer from 0 to 10, where 1 means bad and 10 means good.", "an integer from 1 to 5, where 1 is bad and 6 is good.",
    "1 for Yes, 2 No, 3 for Maybe.", "1 for Yes; 2 for No; 3 Unsure.", "1 for low, 2 for medium, high 3.",
    "1 for never, 2 for rarely, ..., 5 for always.", "1 for A, 2 for B, and so on.", "1, 2, 3, ..., 7.",
    "1 for strongly disagree and 7 for strongly agree.", "a number, where 1 means low and 7 means high.",
    "an integer, where 0 means none, 50 means half, and 100 means all.", "0 for none, 50 for half, 100 for all.",
    "an integer representing hours, where 0 means none and 1 means an hour.", "an even integer from 0 to 10.",
    "an integer from 0 to 100 in steps of ten.", "an integer from 1 to 10 million.", "an integer from 18 to 65+.", "2-3 words.",
    "an integer from 1 to 5 excluding 3.", "1-3 or 5.", "3 words.", "a number on a 5-point scale from 1 to 7.",
    "an integer from 1 to 5 where 5 means high, or zero if none.", "1 for Yes, 2 for No, or zero if unsure.",
    "an integer from 1 to 7, where 1 means A and 7 means B. Return 8 for neither.", "1 for Yes or 2 for No, from 1 to 7.",
    "an integer from one to seven.", "1 for Yes", "1 for Yes or 1 for No", "an integer from 3 to 3.", "1 for A, 2 for , 3 for C",
    "an integer from 0 to 99999999999999999999.", "an integer from 1 to 3 for each of the 5 candidates.", "",
]  # fmt: skip


@pytest.mark.parametrize("words", NOT_READ)
def test_what_is_not_clear_is_not_read(words: str) -> None:
    assert parse_scale(f"How is it, from 1 to 7? Only return {words}") is None


@settings(max_examples=400)
@given(made=MADE)
def test_the_true_scale_or_none(made: Made) -> None:
    found = parse_scale(made.text)
    assert found is None or (found.low, found.high, found.values) == (
        made.scale.low,
        made.scale.high,
        made.scale.values,
    ), made.text


@pytest.mark.parametrize(
    "form",
    [ranges(), bands(), options(clear=True), ladders(), lists()],
    ids=["range", "band", "option", "ladder", "list"],
)
def test_the_published_forms_are_read_with_their_labels(form: st.SearchStrategy[Made]) -> None:
    @settings(max_examples=150)
    @given(made=form)
    def holds(made: Made) -> None:
        found = parse_scale(made.text)
        assert found is not None, made.text
        assert found.values == made.scale.values, made.text
        if made.labels:
            assert found.labels == made.labels, made.text

    holds()


@given(
    made=MADE,
    extra=st.sampled_from((
        ", or {} if you are unsure", " (or {})", ". Return {} if you skip it.", "; {} means refused", "; {} for refused",
        ", nothing else. If you do not know: {}.", ", or {}", " or {} (not sure)", ", and {} otherwise", ". {} = none of it",
    )),
    code=st.sampled_from((-9, -1, 0, 8, 9, 13, 77, 98, 99, 999, 99999)),
)  # fmt: skip
@settings(max_examples=300)
def test_a_further_answer_is_never_lost(made: Made, extra: str, code: int) -> None:
    found = parse_scale(made.text.rstrip(".”") + extra.format(code))
    assert found is None or found.values is None or code in found.values, made.text + extra.format(code)


@given(made=MADE, second=st.sampled_from((" on a scale from {} to {}", ", between {} and {}", " ({}-{})", ". Rate it from {} to {}.")),
       low=st.integers(-2, 3), width=st.integers(2, 12))  # fmt: skip
@settings(max_examples=200)
def test_two_ranges_are_never_one_of_them(made: Made, second: str, low: int, width: int) -> None:
    found = parse_scale(made.text.rstrip(".”)") + second.format(low, low + width))
    assert found is None or found.values == made.scale.values == tuple(range(low, low + width + 1))


@given(made=options(), drop=st.integers(0, 4))
@settings(max_examples=200)
def test_an_option_without_its_word_is_never_lost(made: Made, drop: int) -> None:
    instruction = made.text[made.text.rindex("Only return") :]
    words = list(re.finditer(r"(?<=\d)( for | if | = |=)", instruction))
    cut = words[drop % len(words)]
    found = parse_scale(instruction[: cut.start()] + " " + instruction[cut.end() :])
    assert found is None or found.values == made.scale.values, instruction


PIECES = (
    "Only return ", "an integer ", "from ", "between ", "1 ", "7 ", "to ", "and ", "or ", "for ", "means ", "= ", "( ", ") ", ", ", "; ",
    "nothing else ", "“Yes” ", "'no' ", '"', "’", "2 ", "3-5 ", "$1,000 ", "0.5 ", "-3 ", "where ", ". ", "– ", "100% ", "never ",
    "representing dollars ", "up to ", "scale ", "7-point ",
)  # fmt: skip


def straight(text: str) -> str:
    return re.sub("[“”]", '"', re.sub("[‘’]", "'", text))


@settings(max_examples=600)
@given(
    text=st.one_of(
        MADE.map(lambda made: made.text), st.lists(st.sampled_from(PIECES), max_size=25).map("".join)
    )
)
@example(text="Only return 1 for ’2 or’ 3")
def test_quotes_and_white_space_change_nothing(text: str) -> None:
    scale = parse_scale(text)
    assert parse_scale(straight(text)) == scale
    assert parse_scale(re.sub(" ", " \n\u00a0", text)) == scale
    assert parse_scale(text.replace("-", "‑")) == scale
    if scale is not None and scale.kind != "open":
        assert scale.low < scale.high
        assert scale.values is None or list(scale.values) == sorted(set(scale.values))
        assert set(scale.labels) <= set(range(scale.low, scale.high + 1))
        assert all(label and label == label.strip() for label in scale.labels.values())


@given(text=st.text(st.sampled_from("0123456789 .,;:()'\"-–$%aforti=\x00"), max_size=80))
def test_nothing_breaks_it(text: str) -> None:
    scale = parse_scale("Only return " + text)
    assert scale is None or scale.low < scale.high <= max(OPEN_HIGH, 10**15)


def test_every_label_is_used() -> None:
    """The made-up labels are read one by one, so that a law that skips some of them shows."""
    for label in LABELS:
        found = parse_scale(f"Only return 1 for {label} or 2 for “{label} too”, nothing else.")
        assert found is not None and found.labels == {1: label, 2: f"{label} too"}
