"""What an endpoint replies, read with suspicion: log-probabilities, drawn texts, usage, models."""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from socrates_fast.data.scales import Scale
from socrates_fast.errors import ScoringError
from socrates_fast.infer.messages import Draws
from socrates_fast.infer.predictor import AnswerDistribution
from socrates_fast.infer.sampling import drawn_distribution, read_answer

TOP = 20
"""Likeliest tokens that are asked for: the most that OpenAI's API shows."""

_TOLERANCE = 1e-3  # of a sum of probabilities that somebody has rounded
_ANY = Scale(-(10**18), 10**18, None)
_SHOWN = 60


class Nonsense(Exception):
    """A reply that is not what the API says; the text tells what is wrong with it."""


class NoLogprobs(Exception):
    """A reply without the log-probabilities that were asked for."""


@dataclass(frozen=True)
class Choice:
    """One drawn answer: its text, and whether it was cut off at the limit of tokens."""

    text: str
    cut: bool


@dataclass(frozen=True)
class Usage:
    """Tokens that a reply says it took: of the prompt, of those from a cache, and of the answers."""

    prompt: int = 0
    cached: int = 0
    completion: int = 0


Top = list[tuple[str, float]]
"""Likeliest first tokens: text and probability, likeliest first."""


def read_usage(reply: Any) -> Usage:
    """The usage that a reply tells; zeros where it tells none."""
    usage = _get(reply, "usage")
    cached = _get(_get(usage, "prompt_tokens_details"), "cached_tokens")
    counts = (_get(usage, "prompt_tokens"), cached, _get(usage, "completion_tokens"))
    return Usage(*(count if isinstance(count, int) and count > 0 else 0 for count in counts))


def read_models(reply: Any) -> list[str]:
    """The models' names in a reply to GET /models."""
    listed = _get(reply, "data")
    if not isinstance(listed, list):
        raise Nonsense("it lists no models")
    return [name for name in (_get(model, "id") for model in listed) if isinstance(name, str) and name]


def read_texts(reply: Any) -> list[Choice]:
    """The drawn answers. One without text (a refusal, a model that only thought) has the text ""."""
    return [Choice(_text(choice), _get(choice, "finish_reason") == "length") for choice in _choices(reply)]


def read_top(reply: Any) -> Top:
    """The likeliest first tokens, or none: if the model ended its answer before the first, or the list is empty.

    Raises:
        Nonsense: not a completion, or these cannot be probabilities.
        NoLogprobs: they were left out.
    """
    choice = _choices(reply)[0]
    content = _get(_get(choice, "logprobs"), "content")
    if content == [] or not (content or _text(choice)):
        return []
    top = _get(content[0], "top_logprobs") if content and isinstance(content, list) else None
    if not isinstance(top, list) or not top:
        raise NoLogprobs
    # Some add the token that they drew, which would make the result depend on the draw.
    found = sorted(map(_entry, top), key=lambda entry: -entry[1])[:TOP]
    total = sum(probability for _, probability in found)
    if total > 1 + _TOLERANCE:
        raise Nonsense(f"its likeliest tokens have a probability of {total:.3g} together")
    return found


def _entry(entry: Any) -> tuple[str, float]:
    token, logarithm = _get(entry, "token"), _get(entry, "logprob")
    if not isinstance(token, str) or isinstance(logarithm, bool) or not isinstance(logarithm, int | float):
        raise Nonsense("its log-probabilities are not pairs of a token and a number")
    if math.isnan(logarithm) or logarithm > _TOLERANCE:
        raise Nonsense(f"it has a log-probability of {logarithm}")
    return token, math.exp(min(logarithm, 0.0))


def _choices(reply: Any) -> list[Any]:
    choices = _get(reply, "choices")
    if not isinstance(choices, list) or not choices:
        raise Nonsense("it has no choices")
    return choices


def _text(choice: Any) -> str:
    message = _get(choice, "message")
    if not isinstance(message, dict):
        raise Nonsense("a choice has no message")
    content = message.get("content")
    if content is not None and not isinstance(content, str):
        raise Nonsense("a message's content is not text")
    return content or ""


def _get(value: Any, name: str) -> Any:
    return value.get(name) if isinstance(value, dict) else None


def read_fault(text: str) -> tuple[str, str | None, str | None]:
    """The message, the parameter and the code in the body of an error, in the shapes that are about."""
    try:
        reply = json.loads(text)
    except (ValueError, RecursionError):
        return text, None, None
    error = reply.get("error", reply) if isinstance(reply, dict) else reply
    if not isinstance(error, dict):
        return str(error), None, None
    detail = error.get("detail")
    if isinstance(detail, list) and detail and isinstance(detail[0], dict):  # FastAPI's
        place = detail[0].get("loc")
        return str(detail[0].get("msg")), str(place[-1]) if isinstance(place, list) and place else None, None
    parameter, code = error.get("param"), error.get("code")
    message = error.get("message", detail)
    return (
        text if message is None else str(message),
        parameter if isinstance(parameter, str) else None,
        str(code),
    )


def first_token_decides(scale: Scale) -> bool:
    """Whether each allowed answer is a single digit, which is one token everywhere and begins no other answer."""
    return bool(scale.values) and scale.low >= 0 and scale.high <= 9


def distribution_of_top(scale: Scale, top: Top) -> AnswerDistribution:
    """The answer distribution that the likeliest first tokens tell; "7" and " 7" are the same answer.

    Raises:
        ScoringError: none of them is an allowed answer.
    """
    values = np.array(scale.values, dtype=np.int64)
    place = {str(value): index for index, value in enumerate(values.tolist())}
    mass = np.zeros(len(values))
    for token, probability in top:
        if token.strip() in place:
            mass[place[token.strip()]] += probability
    if not mass.any():
        likeliest = ", ".join(f"{token!r} ({probability:.0%})" for token, probability in top[:3])
        raise ScoringError(
            f"none of the {len(top)} likeliest first tokens is an allowed answer; they begin with {likeliest}. "
            'Answers can be drawn instead (logprobs="never"), or the question may need clearer instructions'
        )
    shown = sum(probability for _, probability in top)
    return AnswerDistribution(values, mass / mass.sum(), min(1.0, float(mass.sum())), max(0.0, 1.0 - shown))


@dataclass(frozen=True)
class Tally:
    """Drawn answers, counted.

    Attributes:
        draws: the texts and what they answer.
        off_scale: number of integers off the scale.
        unparseable: number of texts that are no integer, or were cut off.
    """

    draws: Draws
    off_scale: int
    unparseable: int


def tally(scale: Scale, choices: Sequence[Choice]) -> Tally:
    """Read each drawn text: the whole of it is an integer, or it is unparseable."""
    texts = tuple(choice.text for choice in choices)
    answers = tuple(None if choice.cut else read_answer(choice.text, scale) for choice in choices)
    integers = sum(not choice.cut and read_answer(choice.text, _ANY) is not None for choice in choices)
    allowed = sum(answer is not None for answer in answers)
    return Tally(Draws(texts, answers), integers - allowed, len(texts) - integers)


def distribution_of_draws(scale: Scale, choices: Sequence[Choice], counted: Tally) -> AnswerDistribution:
    """Shares of the drawn answers; of an open scale, on the integers that were drawn.

    Raises:
        ScoringError: no draw is an allowed answer.
    """
    found = drawn_distribution(counted.draws, scale)
    if found is None:
        raise ScoringError(_useless(scale, choices))
    return found


def _useless(scale: Scale, choices: Sequence[Choice]) -> str:
    if all(choice.cut and not choice.text.strip() for choice in choices):
        return (
            f"all {len(choices)} drawn answers were cut off before their first word, as with models that think "
            "first; allow more tokens (answer_tokens=4096) or switch the thinking off"
        )
    text = " ".join(max((choice.text for choice in choices), key=len).split())
    shown = text if len(text) <= _SHOWN else text[:_SHOWN] + "..."
    return (
        f"none of {len(choices)} drawn answers is an integer from {scale.low} to {scale.high} that the question "
        f"allows; one of them: {shown!r}"
    )
