"""The endpoint predictor against a local endpoint whose distributions are known."""

import math
import random
from typing import Any

import numpy as np
import pytest

from socrates_fast.data.scales import Scale, range_scale
from socrates_fast.errors import ModelError, ScoringError
from socrates_fast.infer import load_predictor
from socrates_fast.infer.endpoint import EndpointPredictor
from socrates_fast.infer.endpoint_replies import (
    Choice,
    NoLogprobs,
    Nonsense,
    Usage,
    distribution_of_top,
    first_token_decides,
    read_top,
    read_usage,
    tally,
)
from socrates_fast.infer.messages import Progress
from socrates_fast.infer.predictor import AnswerDistribution, Result
from socrates_fast.prompt import Prompt
from tests.infer.endpoint_server import Answers, Fault, Serve, refusal, tempered, top_tokens

SEVEN = range_scale(1, 7)
ELEVEN = range_scale(0, 10)
PLAIN = {"1": 0.1, "2": 0.2, " 2": 0.1, "7": 0.35, "70": 0.05}


@pytest.fixture
def standin(start: Serve) -> Serve:
    """Starts endpoints that answer from ``PLAIN``, or as told."""
    return lambda answers=lambda user: PLAIN, **more: start(answers, **more)


def by_text(user: str) -> Answers:
    """A distribution of its own for each text."""
    chance = random.Random(user)
    weights = [chance.random() for _ in range(11)]
    return {str(value): 0.9 * weight / sum(weights) for value, weight in enumerate(weights)}


def questions(scale: Scale, count: int) -> list[Prompt]:
    return [Prompt("", f"question {number}", scale) for number in range(count)]


def test_reads_log_probabilities(standin: Serve) -> None:
    endpoint = standin()
    with EndpointPredictor(endpoint.url) as predictor:
        (found,) = predictor.predict([Prompt("Be honest.", "How much?", SEVEN)])
    np.testing.assert_allclose(found.probabilities * 0.75, [0.1, 0.3, 0, 0, 0, 0, 0.35])
    assert found.answer_mass == pytest.approx(0.75)
    shown = sum(probability for _, probability in top_tokens(PLAIN, 20))
    assert found.unexplored == pytest.approx(1 - shown) and 0.1 < found.unexplored < 0.2
    (body,) = endpoint.asked
    assert body["messages"] == [
        {"role": "system", "content": "Be honest."},
        {"role": "user", "content": "How much?"},
    ]
    asked = {key: body[key] for key in ("temperature", "top_p", "max_tokens", "logprobs", "top_logprobs")}
    assert asked == {"temperature": 1, "top_p": 1, "max_tokens": 1, "logprobs": True, "top_logprobs": 20}
    assert predictor.notes == []


@pytest.mark.parametrize("seed", range(20))
def test_distribution_of_top_is_the_sum_over_tokens(seed: int) -> None:
    """Against a sum over all pairs, on random tokens, some of which are answers with spaces around."""
    chance = random.Random(seed)
    texts = list({chance.choice(["", " ", "\n"]) + str(chance.randint(0, 12)) for _ in range(30)})[:20]
    weights = [chance.random() ** 3 for _ in texts]
    top = [(text, weight / sum(weights) * 0.9) for text, weight in zip(texts, weights, strict=True)]
    values = tuple(sorted(chance.sample(range(10), 4)))
    try:
        found = distribution_of_top(Scale(values[0], values[-1], values), top)
    except ScoringError:
        assert not any(int(text) in values for text in texts)
        return
    mass = [sum(p for text, p in top if int(text) == value) for value in values]
    assert found.values.tolist() == list(values)
    np.testing.assert_allclose(found.probabilities * found.answer_mass, mass)
    assert found.probabilities.sum() == pytest.approx(1)
    assert found.unexplored == pytest.approx(0.1)


def completion(top: list[tuple[Any, Any]], text: str = "7") -> dict[str, Any]:
    entries = [{"token": token, "logprob": logprob} for token, logprob in top]
    logprobs = {"content": [{"token": text, "top_logprobs": entries}]}
    return {"choices": [{"message": {"content": text}, "logprobs": logprobs}]}


def test_token_that_was_drawn_does_not_count_beside_the_likeliest() -> None:
    top = [(f"w{index}", math.log(0.04)) for index in range(20)]
    found = read_top(completion([("7", math.log(0.001)), *top]))
    assert [text for text, _ in found] == [text for text, _ in top]
    np.testing.assert_allclose([probability for _, probability in found], 0.04)


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        (completion([("7", math.nan)]), Nonsense),
        (completion([("7", 0.7)]), Nonsense),
        (completion([("7", "high")]), Nonsense),
        (completion([("7", None)]), Nonsense),
        (completion([(7, -1.0)]), Nonsense),
        (completion([("7", -0.1), ("8", -0.1)]), Nonsense),
        (completion([]), NoLogprobs),
        ({"choices": [{"message": {"content": "7"}, "logprobs": None}]}, NoLogprobs),
        ({"choices": [{"message": {"content": "7"}, "logprobs": {"content": "no"}}]}, NoLogprobs),
        ({"choices": [{"message": {"content": "7"}, "logprobs": {"content": [3]}}]}, NoLogprobs),
        ({"choices": [{"message": {"content": 7}}]}, Nonsense),
        ({"choices": [{"text": "7"}]}, Nonsense),
        ({"choices": ["7"]}, Nonsense),
        ({"choices": {}}, Nonsense),
        ({"choices": []}, Nonsense),
        ({"error": "busy"}, Nonsense),
        ([], Nonsense),
        (None, Nonsense),
    ],
)
def test_replies_that_are_not_log_probabilities(reply: Any, kind: type[Exception]) -> None:
    with pytest.raises(kind):
        read_top(reply)


def test_replies_without_a_first_token() -> None:
    """A model that says nothing; llama-cpp-python, which leaves out a token that it takes for the beginning of a text."""
    assert read_top({"choices": [{"message": {"content": "7"}, "logprobs": {"content": []}}]}) == []
    silent: list[Any] = [None, {}, {"content": None}, {"content": []}]
    for logprobs in silent:
        assert read_top({"choices": [{"message": {"content": ""}, "logprobs": logprobs}]}) == []


def test_usage_is_read_where_it_is_told() -> None:
    for usage in (
        None,
        3,
        {},
        {"prompt_tokens": "many"},
        {"prompt_tokens": -1, "prompt_tokens_details": None},
    ):
        assert read_usage({"usage": usage}) == read_usage(None)
    told = {"prompt_tokens": 9, "completion_tokens": 2, "prompt_tokens_details": {"cached_tokens": 4}}
    assert read_usage({"usage": told}) == Usage(9, 4, 2)


def test_which_scales_the_first_token_decides() -> None:
    assert first_token_decides(SEVEN) and first_token_decides(Scale(1, 4, (1, 2, 4)))
    for scale in (ELEVEN, range_scale(-3, 3), Scale(10, 30, (10, 20, 30)), Scale(1, 5, None)):
        assert not first_token_decides(scale)


def test_none_of_the_likeliest_is_an_answer(standin: Serve) -> None:
    endpoint = standin(lambda user: {"As": 0.6, " an": 0.2})
    with EndpointPredictor(endpoint.url) as predictor, pytest.raises(ScoringError) as error:
        predictor.predict([Prompt("", "?", SEVEN)])
    assert str(error.value).startswith("prompt 1: none of the 20 likeliest first tokens is an allowed answer")
    assert "'As' (60%)" in str(error.value)


def counts(scale: Scale, *choices: Choice) -> tuple[list[int | None], int, int]:
    """What the choices answer, those off the scale, those unparseable."""
    found = tally(scale, choices)
    return list(found.draws.answers), found.off_scale, found.unparseable


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("7", 7),
        (" 7\n", 7),
        ("7.", 7),
        ("-2", -2),
        ("7.0", None),
        ("7 out of 10", None),
        ("", None),
        ("９", None),
    ],
)
def test_a_draw_is_an_integer_or_nothing(text: str, answer: int | None) -> None:
    scale = range_scale(-10, 10)
    assert counts(scale, Choice(text, False)) == ([answer], 0, int(answer is None))
    assert counts(scale, Choice(text, True)) == ([None], 0, 1)  # cut off: who knows what follows


def test_draws_off_the_scale_are_counted_apart() -> None:
    drawn = [Choice(text, False) for text in ("1", "3", "4", "9", "no")]
    assert counts(Scale(1, 4, (1, 2, 4)), *drawn) == ([1, None, 4, None, None], 2, 1)
    assert counts(Scale(2, 8, None), *drawn) == ([None, 3, 4, None, None], 2, 1)


def test_draws_come_from_the_tempered_distribution(standin: Serve) -> None:
    endpoint = standin(lambda user: {"0": 0.1, "3": 0.25, "10": 0.3, "11": 0.15, "well": 0.15})
    with EndpointPredictor(endpoint.url, draws=3000) as predictor:
        (found,) = predictor.predict([Prompt("", "?", ELEVEN)])
        stats = predictor.stats
    expected = tempered(endpoint.answers(""), 0.6, 0.9)
    on_scale: dict[str, float] = {text: expected[text] for text in ("0", "3", "10") if text in expected}
    assert found.answer_mass == pytest.approx(sum(on_scale.values()), abs=0.04)
    for value, probability in zip(found.values.tolist(), found.probabilities.tolist(), strict=True):
        truth = on_scale.get(str(value), 0.0) / sum(on_scale.values())
        assert probability == pytest.approx(truth, abs=0.04 if truth else 0), value
    assert math.isnan(found.unexplored)
    assert found.values.tolist() == list(range(11))
    assert [body["n"] for body in endpoint.asked] == [100] * 30
    assert (stats.draws, stats.calls) == (3000, 31)
    assert stats.off_scale + stats.unparseable == round(3000 * (1 - found.answer_mass))
    assert min(stats.off_scale, stats.unparseable) > 100


def results(predictor: EndpointPredictor, prompts: list[Prompt]) -> dict[str, list[float]]:
    with predictor:
        found = predictor.predict(prompts)
    pairs = zip(prompts, found, strict=True)
    return {prompt.user: item.probabilities.tolist() for prompt, item in pairs}


@pytest.mark.parametrize("many", [True, False])
def test_a_result_does_not_depend_on_the_job(standin: Serve, many: bool) -> None:
    endpoint = standin(by_text, many=many)
    prompts = questions(ELEVEN, 6)
    together = results(EndpointPredictor(endpoint.url, concurrency=6), prompts)
    alone = [results(EndpointPredictor(endpoint.url, concurrency=1), [prompt]) for prompt in prompts[::-1]]
    assert together == {user: found for single in alone for user, found in single.items()}
    assert results(EndpointPredictor(endpoint.url, seed=1), prompts) != together
    assert len({str(found) for found in together.values()}) == 6


def test_an_endpoint_that_draws_one_at_a_time(standin: Serve) -> None:
    for more in ({"many": False}, {"refuses": {"n": refusal("n")}}):
        endpoint = standin(**more)
        with EndpointPredictor(endpoint.url, draws=9, concurrency=1) as predictor:
            found = predictor.predict(questions(ELEVEN, 2))
            assert predictor.stats.draws == 18
            assert predictor.notes == [
                "the endpoint draws one answer a call, so each prompt is sent as often as answers are drawn"
            ]
        assert sum("n" in body for body in endpoint.asked) == 1
        seeds = [body["seed"] for body in endpoint.asked if "n" not in body]
        assert len(set(seeds)) == len(seeds) >= 17
        assert all(round(item.answer_mass * 9, 6) == round(item.answer_mass * 9) for item in found)


def test_open_scales_are_drawn(standin: Serve) -> None:
    endpoint = standin(lambda user: {"200": 0.4, "35": 0.3, "-5": 0.2, "some": 0.1})
    with EndpointPredictor(endpoint.url, draws=100, temperature=1.0, top_p=1.0) as predictor:
        (found,) = predictor.predict([Prompt("", "How many dollars?", Scale(0, 10**9, None))])
    assert found.values.tolist() == [35, 200]
    assert found.probabilities.sum() == pytest.approx(1)
    assert found.answer_mass == pytest.approx(0.7, abs=0.15)


def test_no_useful_draw_shows_one(standin: Serve) -> None:
    endpoint = standin(
        lambda user: {"I am a language model and " + "so on " * 50: 1.0} if "?" in user else by_text(user)
    )
    prompts = [Prompt("", text, ELEVEN) for text in ("this", "that?")]
    with EndpointPredictor(endpoint.url) as predictor:
        found = dict(predictor.stream(prompts))
    assert isinstance(found[0], AnswerDistribution) and isinstance(found[1], ScoringError)
    assert str(found[1]).startswith("prompt 2: none of 20 drawn answers is an integer from 0 to 10")
    assert "'I am a language model and so on" in str(found[1]) and len(str(found[1])) < 200
    with pytest.raises(ScoringError, match="no answer at all"), EndpointPredictor(endpoint.url) as predictor:
        predictor.predict([Prompt("", "?", Scale(0, 0, ()))])


@pytest.mark.parametrize(
    "more",
    [
        {"logprobs": False},
        {"refuses": {"logprobs": refusal("logprobs")}},
        {"refuses": {"top_logprobs": refusal("top_logprobs", "top_logprobs: at most 5")}},
        {"faults": [Fault(500, "logprobs is not supported for models created with logits_all=False")]},
    ],
)
def test_without_log_probabilities_answers_are_drawn(standin: Serve, more: dict[str, Any]) -> None:
    endpoint = standin(**more)
    with EndpointPredictor(endpoint.url, model="standin", concurrency=1) as predictor:
        found = predictor.predict(questions(SEVEN, 3))
        assert predictor.notes == [
            "the endpoint shows no log-probabilities: 20 answers are drawn for each prompt"
        ]
    assert all(math.isnan(item.unexplored) for item in found)
    assert ["logprobs" in body for body in endpoint.asked] == [True, False, False, False]


def test_logprobs_never(standin: Serve) -> None:
    endpoint = standin()
    with EndpointPredictor(endpoint.url, logprobs="never") as predictor:
        predictor.predict([Prompt("", "?", SEVEN)])
    assert [body["n"] for body in endpoint.asked] == [20]


def test_a_model_that_says_nothing_is_asked_again_then_drawn(standin: Serve) -> None:
    endpoint = standin(ends_at_once=2)
    with EndpointPredictor(endpoint.url) as predictor:
        (found,) = predictor.predict([Prompt("", "?", SEVEN)])
        assert found.answer_mass == pytest.approx(0.75) and predictor.notes == []
    assert len({body["seed"] for body in endpoint.asked}) == 3
    silent = standin(ends_at_once=3)
    with EndpointPredictor(silent.url) as predictor:
        (found,) = predictor.predict([Prompt("", "?", SEVEN)])
    assert math.isnan(found.unexplored)


def test_identical_prompts_are_asked_once(standin: Serve) -> None:
    endpoint = standin(by_text, delay=0.03)
    prompts = questions(SEVEN, 8) * 3
    reports: list[Progress] = []
    with EndpointPredictor(endpoint.url, concurrency=4, progress=reports.append) as predictor:
        found: list[tuple[int, Result]] = list(predictor.stream(prompts))
        stats = predictor.stats
    assert sorted(number for number, _ in found) == list(range(24))
    assert len(endpoint.asked) == 8 and 2 <= endpoint.most_at_once <= 4
    results = dict(found)
    assert all(results[number] is results[number + 8] is results[number + 16] for number in range(8))
    assert [report.prompts_done for report in reports] == [3, 6, 9, 12, 15, 18, 21, 24]
    assert (stats.prompts, stats.unique, stats.calls) == (24, 8, 9)
    assert (stats.prompt_tokens, stats.cached_tokens, stats.completion_tokens) == (800, 480, 8)
    assert (reports[-1].tokens_asked, reports[-1].tokens_computed, reports[-1].prompts) == (808, 328, 24)


def test_the_model_is_named_or_the_only_one(standin: Serve) -> None:
    endpoint = standin(models=("a/b:7b", "c"))
    for predictor in (EndpointPredictor(f"{endpoint.url}#c"), EndpointPredictor(endpoint.url, model="c")):
        with predictor:
            predictor.predict([Prompt("", "?", SEVEN)])
            assert predictor.name == endpoint.asked[-1]["model"] == "c"
    with pytest.raises(ModelError, match=r"2 models \(a/b:7b, c\); name one: .*/v1#MODEL"):
        EndpointPredictor(endpoint.url)
    with pytest.raises(ModelError, match="names no model"):
        EndpointPredictor(standin(models=()).url)
    with EndpointPredictor(standin(models=("only",)).url) as predictor:
        assert predictor.name == "only"


def test_loads_by_address(standin: Serve) -> None:
    endpoint = standin()
    with load_predictor(f"{endpoint.url}/#standin", context=512, threads=1, draws=3) as predictor:
        assert isinstance(predictor, EndpointPredictor)
        predictor.predict([Prompt("", "half of a pair: \ud83d", ELEVEN)])
    assert endpoint.asked[0]["n"] == 3
    assert endpoint.asked[0]["messages"][0]["content"] == "half of a pair: ?"
    with pytest.raises(ScoringError, match="is closed"):
        predictor.predict([Prompt("", "?", SEVEN)])


@pytest.mark.parametrize("settings", [{"draws": 0}, {"concurrency": 0}, {"timeout": 0}, {"retries": -1},
                                      {"temperature": -1}, {"top_p": 0}, {"top_p": 1.1}, {"backoff": math.nan},
                                      {"timeout": math.inf}, {"answer_tokens": 0}, {"logprobs": "always"}])  # fmt: skip
def test_settings_are_checked(settings: dict[str, Any]) -> None:
    with pytest.raises(ModelError, match=f"{next(iter(settings))} must be"):
        EndpointPredictor("http://127.0.0.1:9/v1", model="m", **settings)
