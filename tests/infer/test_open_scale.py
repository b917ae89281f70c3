"""Open numeric answers: against brute force without a model, and against the closed trie and Hugging Face with one."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from socrates_fast.data.scales import Scale, range_scale
from socrates_fast.errors import ScoringError
from socrates_fast.infer.gguf_model import GgufPredictor
from socrates_fast.infer.messages import OpenOptions
from socrates_fast.infer.open_scale import Expansion, Numerals, is_numeral
from socrates_fast.infer.predictor import AnswerDistribution
from socrates_fast.infer.scorer import WIDE
from socrates_fast.prompt import Prompt
from tests.infer.prompts import SYSTEM

END = 5000
TEXTS = {number: str(number) for number in range(1000)} | {2000: "-"}
TEXTS |= {3000 + n: f"{n:02}" for n in range(10)} | {4000 + n: f"{n:03}" for n in range(100)}
"""Digits up to three in a token, as in Llama 3; the token of a number is the number."""
TOKENS = {text: token for token, text in TEXTS.items()}
SINGLE = {**{digit: str(digit) for digit in range(10)}, 2000: "-"}


def in_threes(text: str) -> list[int]:
    """Three digits at a time from the left; a minus sign apart."""
    sign = [2000] if text.startswith("-") else []
    digits = text.lstrip("-")
    return sign + [TOKENS[digits[start : start + 3]] for start in range(0, len(digits), 3)]


def one_by_one(text: str) -> list[int]:
    """Digits alone, as in Qwen 2, after a token for the space that stands before each text."""
    return [4999, *(2000 if letter == "-" else int(letter) for letter in text)]


MANY = Numerals(0, 4999, SINGLE, one_by_one, END)
TOKENIZERS = {"three digits": in_threes, "one digit": one_by_one}


class Model:
    """Log probabilities of the columns after each path: random, but always the same for the same path."""

    def __init__(self, columns: NDArray[np.int64], seed: int) -> None:
        self.columns, self.seed = columns, seed

    def logs(self, path: Sequence[int]) -> NDArray[np.float64]:
        random = np.random.default_rng((self.seed, *path))
        weights = random.dirichlet(
            np.full(len(self.columns) + 1, 0.05)
        )  # the last stands for all other tokens
        found: NDArray[np.float64] = np.log(np.maximum(weights[:-1], 1e-300))
        return found


def expand(numerals: Numerals, model: Model, options: OpenOptions) -> AnswerDistribution:
    """The expansion of one prompt that ``model`` answers."""
    expansion = Expansion(numerals, options)
    while paths := expansion.next_paths():
        for path, reach in paths.items():
            expansion.take(path, reach, model.logs(path))
    return expansion.distribution(None)


def brute_force(model: Model, tokenize: Any, low: int, high: int) -> dict[int, float]:
    """The probability of every integer between the bounds, each from its own whole token path."""
    place = {token: at for at, token in enumerate(model.columns.tolist())}
    paths = [tuple(tokenize(str(value))) for value in range(low, high + 1)]
    inner = {path[:depth] for path in paths for depth in range(len(path))}
    found = {}
    for value in range(low, high + 1):
        path = paths[value - low]
        logs = [model.logs(path[:at])[place[token]] for at, token in enumerate(path)]
        if path in inner:
            logs.append(model.logs(path)[place[END]])
        found[value] = math.exp(math.fsum(logs))
    return found


@settings(max_examples=30, deadline=None)
@given(st.sampled_from(list(TOKENIZERS)), st.integers(-30, 5), st.integers(6, 130), st.integers(0, 2**32 - 1))
def test_all_of_it_equals_brute_force(name: str, low: int, high: int, seed: int) -> None:
    tokenize = TOKENIZERS[name]
    texts = TEXTS if name == "three digits" else SINGLE
    numerals = Numerals(low, high, texts, tokenize, END)
    model = Model(numerals.columns, seed)
    expected = brute_force(model, tokenize, low, high)
    total = sum(expected.values())
    found = expand(numerals, model, OpenOptions(1 - 1e-12, 100_000))
    assert found.answer_mass == pytest.approx(min(total, 1), rel=1e-6)
    for value, probability in zip(found.values.tolist(), found.probabilities.tolist(), strict=True):
        assert probability == pytest.approx(expected[value] / total, rel=1e-6, abs=1e-9)


@settings(max_examples=20, deadline=None)
@given(st.sampled_from([0.5, 0.9, 0.99]), st.integers(1, 60), st.integers(0, 2**32 - 1))
def test_what_was_not_looked_at_is_bounded(share: float, budget: int, seed: int) -> None:
    model = Model(MANY.columns, seed)
    whole = expand(MANY, model, OpenOptions(1 - 1e-9, 100_000))
    try:
        part = expand(MANY, model, OpenOptions(share, budget))
    except ScoringError as error:
        assert f"none of the {budget} likeliest" in str(error)
        return
    assert part.answer_mass <= whole.answer_mass + 1e-9
    assert whole.answer_mass <= part.answer_mass + part.unexplored + 1e-6
    assert np.all(np.diff(part.values) > 0)
    covered = part.answer_mass / (part.answer_mass + part.unexplored)
    unlimited = expand(MANY, model, OpenOptions(share, 100_000))
    assert covered >= share - 1e-9 or unlimited.answer_mass > part.answer_mass


def test_numerals_without_leading_zeros_or_detours() -> None:
    numerals = Numerals(-20, 1234, TEXTS, in_threes, END)
    first = {numerals.text(child.path): child for child in numerals.children(())}
    assert first["0"].goes_on is False
    assert first["-"].value is None
    assert first["123"].goes_on is True
    assert first["124"].goes_on is False  # 1240 is above the scale
    assert "00" not in first
    assert [numerals.text(child.path) for child in numerals.children((12,))] == []  # 123 is one token
    assert [child.value for child in numerals.children((123,))] == [1230, 1231, 1232, 1233, 1234]
    below = {numerals.text(child.path): child.goes_on for child in numerals.children((2000,))}
    assert below == {f"-{n}": n in (1, 2) for n in range(1, 21)}


def test_tokens_that_can_be_part_of_an_integer() -> None:
    assert [text for text in ("7", "-", "-3", "12", "", "a7", "٣", "7.", " 7") if is_numeral(text)] == [
        "7", "-", "-3", "12",
    ]  # fmt: skip


@pytest.mark.parametrize(("low", "high"), [(0, 100), (-12, 35)])
def test_an_open_scale_finds_what_the_closed_one_has(
    gguf_file: Any, predictor: GgufPredictor, low: int, high: int
) -> None:
    text = "How many dollars would you pay? Only return an integer, nothing else."
    (closed,) = predictor.predict([Prompt(SYSTEM, text, range_scale(low, high))])
    with GgufPredictor(
        gguf_file, context=1024, threads=1, exact=True, open_share=0.9999, open_budget=5000
    ) as thorough:
        (found,) = thorough.predict([Prompt(SYSTEM, text, Scale(low, high, None))])
    assert found.unexplored < 1e-3 * found.answer_mass
    assert found.answer_mass + found.unexplored >= closed.answer_mass - 1e-6
    expected = dict(zip(closed.values.tolist(), closed.probabilities * closed.answer_mass, strict=True))
    for value, probability in zip(
        found.values.tolist(), found.probabilities * found.answer_mass, strict=True
    ):
        assert probability == pytest.approx(expected[value], abs=1e-6)


def test_a_budget_ends_it_and_the_rest_is_reported(gguf_file: Any) -> None:
    prompt = Prompt(SYSTEM, "How many dollars?", Scale(0, 10**9, None))
    with GgufPredictor(gguf_file, context=1024, threads=1, open_budget=5) as hasty:
        (few,) = hasty.predict([prompt])
        asked = hasty.stats.tokens_asked
    with GgufPredictor(gguf_file, context=1024, threads=1, open_budget=200) as patient:
        (many,) = patient.predict([prompt])
        assert patient.stats.tokens_asked > asked
    assert few.unexplored > many.unexplored > 0
    assert len(few.values) < len(many.values)
    assert few.answer_mass < many.answer_mass <= few.answer_mass + few.unexplored + 1e-3


def test_very_wide_scales_are_expanded_too(gguf_file: Any) -> None:
    wide = range_scale(0, WIDE)
    assert wide.values is not None
    with GgufPredictor(gguf_file, context=1024, threads=1, open_budget=50) as loaded:
        (found,) = loaded.predict([Prompt(SYSTEM, "How many?", wide)])
    assert found.values.tolist() == list(wide.values)
    assert found.probabilities.sum() == pytest.approx(1)
    assert 0 < found.unexplored < 1


@pytest.mark.parametrize(
    ("settings_", "words"), [({"open_share": 1.5}, "open_share must be"), ({"open_budget": 0}, "open_budget")]
)
def test_settings_out_of_range(gguf_file: Any, settings_: dict[str, Any], words: str) -> None:
    with pytest.raises(ScoringError, match=words):
        GgufPredictor(gguf_file, threads=1, **settings_)
