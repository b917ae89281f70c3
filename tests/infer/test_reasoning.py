"""Models that reason first: the answer is read after a reasoning that the model itself wrote."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from socrates_fast.data.scales import Scale, range_scale
from socrates_fast.errors import ScoringError
from socrates_fast.infer.gguf_model import GgufPredictor
from socrates_fast.infer.hf_model import HuggingFacePredictor
from socrates_fast.infer.predictor import AnswerDistribution
from socrates_fast.infer.reasoning import MOST_TOKENS, mixture, opened
from socrates_fast.prompt import Prompt
from tests.infer.prompts import make_prompts

SCALE = range_scale(1, 7)


def _asking(count: int) -> list[Prompt]:
    return [replace(prompt, reasons=True) for prompt in make_prompts(SCALE)[:count]]


@pytest.fixture(scope="module")
def twice(gguf_file: Path) -> GgufPredictor:
    return GgufPredictor(gguf_file, threads=1, exact=True, reasonings=2)


def test_the_answer_is_read_after_what_the_model_wrote(twice: GgufPredictor) -> None:
    prompts = _asking(3)
    found = twice.predict(prompts)
    drawn = [
        twice.sample(prompts, 1, temperature=1, top_p=1, seed=seed, most=MOST_TOKENS) for seed in range(2)
    ]
    for number, prompt in enumerate(prompts):
        texts = [draws[number].texts[0] for draws in drawn]
        assert texts[0] != texts[1]
        expected = mixture(twice.predict([opened(prompt, text) for text in texts]))
        assert isinstance(expected, AnswerDistribution)
        assert found[number].probabilities == pytest.approx(expected.probabilities, abs=1e-5)
        assert found[number].answer_mass == pytest.approx(expected.answer_mass, rel=1e-4)


def test_prompts_that_ask_for_none_stay_as_they_are(twice: GgufPredictor) -> None:
    plain = make_prompts(SCALE)[:2]
    alone = twice.predict(plain)
    mixed = twice.predict([*_asking(1), *plain])
    for one, other in zip(alone, mixed[1:], strict=True):
        assert one.probabilities == pytest.approx(other.probabilities, abs=1e-6)


def test_a_prompt_that_cannot_be_asked_does_not_stop_the_others(twice: GgufPredictor) -> None:
    long = replace(_asking(1)[0], user="word " * 9000)
    found = dict(twice.stream([long, *_asking(1)]))
    assert isinstance(found[0], ScoringError) and "tokens" in str(found[0])
    assert isinstance(found[1], AnswerDistribution)


def test_reasonings_that_did_not_end_are_counted(gguf_file: Path) -> None:
    """Random weights write no empty line, or seldom."""
    with GgufPredictor(gguf_file, threads=1) as fresh:
        assert fresh.notes == []
        assert all(each.answer_mass > 0 for each in fresh.predict(_asking(4)))
        [note] = fresh.notes
        assert "of 4 reasonings did not end" in note


def test_only_a_gguf_reasons(ours: HuggingFacePredictor) -> None:
    with pytest.raises(ScoringError, match=r"reasons before it answers .* only a GGUF"):
        ours.predict(_asking(1))


@given(
    st.lists(
        st.tuples(st.lists(st.floats(0.01, 1), min_size=3, max_size=3), st.floats(0.01, 1)),
        min_size=1,
        max_size=5,
    )
)
def test_a_mixture_weighs_each_draw_by_its_answer_mass(draws: list[tuple[list[float], float]]) -> None:
    values = np.array([1, 2, 3])
    parts = [AnswerDistribution(values, np.array(w) / sum(w), mass) for w, mass in draws]
    found = mixture(parts)
    assert isinstance(found, AnswerDistribution)
    joint = sum(part.probabilities * part.answer_mass for part in parts) / len(parts)
    assert found.answer_mass == pytest.approx(np.sum(joint))
    assert found.probabilities == pytest.approx(joint / np.sum(joint))
    assert found.probabilities.sum() == pytest.approx(1)


def test_open_answers_of_several_draws_are_put_together() -> None:
    parts = [
        AnswerDistribution(np.array([10, 20]), np.array([0.5, 0.5]), 0.8, 0.1),
        AnswerDistribution(np.array([20, 30]), np.array([0.25, 0.75]), 0.4, 0.3),
    ]
    found = mixture(parts)
    assert isinstance(found, AnswerDistribution)
    assert found.values.tolist() == [10, 20, 30]
    assert found.probabilities == pytest.approx(np.array([0.4, 0.5, 0.3]) / 1.2)
    assert found.answer_mass == pytest.approx(0.6)
    assert found.unexplored == pytest.approx(0.2)


def test_what_stands_after_the_reasoning_is_not_looked_at() -> None:
    prompt = Prompt("", "x", Scale(1, 2, (1, 2)), reasons=True)
    assert opened(prompt, "I am old,\nso no.\n\n2").opening == "I am old, so no.\n\n"
    assert opened(prompt, "cut off at the").opening == "cut off at the\n\n"
