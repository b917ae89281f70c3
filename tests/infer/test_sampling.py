"""Free-text draws: that they follow the model's own distribution, depend on nothing else, and are read strictly."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from socrates_fast.data.scales import Scale, range_scale
from socrates_fast.errors import ScoringError
from socrates_fast.infer.gguf_model import GgufPredictor
from socrates_fast.infer.messages import Draws, Sample
from socrates_fast.infer.sampling import draw, drawn_distribution, nucleus, read_answer
from socrates_fast.infer.trie import TokenPath
from tests.infer.prompts import SCALES, make_prompts

ONE_TO_SEVEN = range_scale(1, 7)


@pytest.mark.parametrize(
    ("text", "answer"),
    [("5", 5), (" 5\n", 5), ("5.", 5), ("8", None), ("I say 5", None), ("5 or 6", None), ("5.5", None), ("", None),
     ("-1", None), ("٥", None), ("1" * 30, None)],
)  # fmt: skip
def test_answers_are_read_strictly(text: str, answer: int | None) -> None:
    assert read_answer(text, ONE_TO_SEVEN) == answer


def test_open_scales_read_what_is_between_the_bounds() -> None:
    assert [read_answer(text, Scale(-5, 1000, None)) for text in ("-5", "1000", "1001")] == [-5, 1000, None]


logits = st.lists(st.floats(-20, 5), min_size=1, max_size=40).map(np.array)


@given(logits, st.floats(0.1, 2), st.floats(0.01, 1))
def test_the_nucleus_is_the_fewest_tokens_that_suffice(
    logs: NDArray[np.float64], temperature: float, top_p: float
) -> None:
    weights = np.exp((logs - logs.max()) / temperature)
    weights /= weights.sum()
    tokens, cumulated = nucleus(logs, temperature, top_p)
    chosen = weights[tokens].sum()
    assert chosen >= top_p - 1e-9
    assert chosen - weights[tokens[-1]] < top_p  # without the last it would not
    assert cumulated[-1] == pytest.approx(1)
    assert weights[tokens].min() >= np.delete(weights, tokens).max(initial=0) - 1e-12


def test_draws_have_the_tempered_frequencies() -> None:
    """4,000 draws of two tokens each from a known table, against the tempered and cut table (chi-square)."""
    first = np.log(np.array([0.02, 0.5, 0.3, 0.18]))
    rows = {(): first, (1,): np.log(np.array([0.7, 0.1, 0.1, 0.1])), (2,): first[::-1], (3,): first}
    request = Sample((), 4000, 0.8, 0.95, 3, 2)

    def read(paths: list[TokenPath]) -> dict[TokenPath, NDArray[np.float64]]:
        return {path: rows[path] for path in paths}

    drawn = draw(request, np.array([9], np.int32), request.most, read, lambda token: token == 0)
    tokens, cumulated = nucleus(first, 0.8, 0.95)
    expected = dict(zip(tokens.tolist(), np.diff(cumulated, prepend=0.0), strict=True))
    for token, share in expected.items():
        count = sum(path[:1] == (token,) for path in drawn)
        assert abs(count - 4000 * share) < 4.5 * np.sqrt(4000 * share * (1 - share)) + 1
    assert all(len(path) <= 2 and 0 not in path for path in drawn)


def test_a_prompts_draws_are_its_own(gguf_file: Path) -> None:
    prompts = make_prompts(SCALES["1-7"])[:4]
    with GgufPredictor(gguf_file, context=1024, threads=1, deterministic=True) as loaded:
        together = loaded.sample(prompts, 12, seed=1)
        alone = loaded.sample(prompts[2:3], 12, seed=1)
        more = loaded.sample(prompts[2:3], 15, seed=1)
        other = loaded.sample(prompts[2:3], 12, seed=2)
    assert together[2] == alone[0]
    assert more[0].texts[:12] == alone[0].texts
    assert other != alone
    assert len({texts for draws in together for texts in draws.texts}) > 5


def test_many_cold_draws_agree_with_the_distribution(gguf_file: Path) -> None:
    """At temperature 1 and top_p 1 the draws that are answers have the exact distribution's frequencies."""
    (prompt,) = make_prompts(SCALES["1-7"])[:1]
    with GgufPredictor(gguf_file, context=1024, threads=1) as loaded:
        (exact,) = loaded.predict([prompt])
        (draws,) = loaded.sample([prompt], 3000, temperature=1.0, top_p=1.0, most=1)
    counts = {value: draws.answers.count(value) for value in exact.values.tolist()}
    for value, share in zip(exact.values.tolist(), exact.probabilities * exact.answer_mass, strict=True):
        assert abs(counts[value] - 3000 * share) < 4.5 * np.sqrt(3000 * share) + 2


def test_shares_of_draws() -> None:
    found = drawn_distribution(Draws(("2", "2", "7", "no"), (2, 2, 7, None)), ONE_TO_SEVEN)
    assert found is not None
    assert found.probabilities[[1, 6]].tolist() == [2 / 3, 1 / 3]
    assert found.answer_mass == 0.75
    assert np.isnan(found.unexplored)
    assert drawn_distribution(Draws(("no",), (None,)), ONE_TO_SEVEN) is None
    opened = drawn_distribution(Draws(("30", "5"), (30, 5)), Scale(0, 100, None))
    assert opened is not None
    assert opened.values.tolist() == [5, 30]


@pytest.mark.parametrize("settings", [{"top_p": 0.0}, {"temperature": 0.0}, {"most": 0}])
def test_settings_out_of_range(predictor: GgufPredictor, settings: dict[str, float]) -> None:
    with pytest.raises(ScoringError, match="must be"):
        predictor.sample(make_prompts(ONE_TO_SEVEN)[:1], 3, **settings)  # type: ignore[arg-type]
