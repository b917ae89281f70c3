"""The predictor that asks an OpenAI-compatible HTTP endpoint: GPT-class models, llama-server, vLLM, ollama."""

import hashlib
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

from socrates_fast.errors import ModelError, ScoringError
from socrates_fast.infer import endpoint_replies as replies
from socrates_fast.infer.endpoint_address import find_key, read_address
from socrates_fast.infer.endpoint_client import EndpointClient, EndpointDown, Patience
from socrates_fast.infer.endpoint_dialect import Rejection
from socrates_fast.infer.endpoint_replies import Choice, NoLogprobs
from socrates_fast.infer.messages import Progress
from socrates_fast.infer.predictor import AnswerDistribution, Predictor, Result
from socrates_fast.infer.reasoning import refuse_reasoning
from socrates_fast.infer.threads import concurrently
from socrates_fast.prompt import Prompt

T = TypeVar("T")

_MOST_AT_ONCE = 100
"""Draws in one call: endpoints allow 128 or so."""
_TRIES_TO_START = 3
_SHOWN_MODELS = 12


@dataclass(frozen=True)
class EndpointStats:
    """Work asked for and work done; tokens are those that the endpoint says it counted.

    Attributes:
        prompts: prompts with a result, an error among them.
        unique: different ones among them.
        calls: HTTP calls, repeated ones included.
        retries: repeated ones among them.
        prompt_tokens: tokens of all prompts sent.
        cached_tokens: those among them that the endpoint had in its cache.
        completion_tokens: tokens of all answers.
        draws: answers drawn.
        off_scale: those among them that are integers off the scale.
        unparseable: those among them that are no integer.
    """

    prompts: int = 0
    unique: int = 0
    calls: int = 0
    retries: int = 0
    prompt_tokens: int = 0
    cached_tokens: int = 0
    completion_tokens: int = 0
    draws: int = 0
    off_scale: int = 0
    unparseable: int = 0

    @property
    def tokens_asked(self) -> int:
        """Tokens of prompts and answers."""
        return self.prompt_tokens + self.completion_tokens

    @property
    def tokens_computed(self) -> int:
        """Tokens of prompts and answers that did not come from the endpoint's cache."""
        return self.tokens_asked - self.cached_tokens


class EndpointPredictor(Predictor):
    """Asks an OpenAI-compatible endpoint (``POST {url}/chat/completions``).

    Where each allowed answer is one digit, and the endpoint shows the 20 likeliest first tokens, the distribution is
    theirs, at temperature 1. Elsewhere answers are drawn: shares of ``draws`` texts, each of which must be an integer.
    The key comes from the environment (SOCRATES_FAST_API_KEY, else OPENAI_API_KEY).

    Args:
        url: like "https://api.openai.com/v1", or with the model's name "https://api.openai.com/v1#gpt-4o".
        model: its name, else the one in ``url``, else the only one that the endpoint has.
        logprobs: "auto" reads log-probabilities where they decide, until the endpoint offers none; "never" draws.
        draws: answers drawn for a prompt.
        temperature: at which they are drawn; 0.6 is the published practice.
        top_p: nucleus from which they are drawn; 0.9 is the published practice.
        seed: what is drawn depends on it, the prompt and the draw's number, as far as the endpoint heeds seeds.
        concurrency: most calls at the same time.
        timeout: seconds for one reply.
        retries: further attempts after a failed call.
        backoff: seconds before the first further attempt; doubled for each.
        longest_wait: seconds; an endpoint that asks to come back later than that counts as down.
        answer_tokens: most tokens of a drawn answer; models that think first count their thoughts.
        progress: called after each different prompt, in the thread that reads the results; tokens are those so far.

    Raises:
        ModelError: the address, the model's name, a setting or the key cannot be used.
        ScoringError: the endpoint was asked for its models and does not answer.
    """

    def __init__(
        self,
        url: str,
        *,
        model: str | None = None,
        logprobs: Literal["auto", "never"] = "auto",
        draws: int = 20,
        temperature: float = 0.6,
        top_p: float = 0.9,
        seed: int = 0,
        concurrency: int = 8,
        timeout: float = 60.0,
        retries: int = 6,
        backoff: float = 1.0,
        longest_wait: float = 120.0,
        answer_tokens: int = 16,
        progress: Callable[[Progress], None] | None = None,
    ) -> None:
        if logprobs not in ("auto", "never"):
            raise ModelError(f'logprobs must be "auto" or "never", not {logprobs!r}')
        _check(1, draws=draws, concurrency=concurrency, answer_tokens=answer_tokens)
        _check(0, retries=retries, temperature=temperature, backoff=backoff, longest_wait=longest_wait)
        _check(1e-3, timeout=timeout)
        _check(1e-6, 1.0, top_p=top_p)
        address = read_address(url)
        key = find_key(address)
        patience = Patience(timeout, retries, backoff, longest_wait)
        self._client = EndpointClient(address, key, patience, concurrency)
        self._notes = [key.source] if "not sent" in key.source else []
        self._read_logprobs = logprobs == "auto"
        self._draws, self._seed, self._concurrency = draws, seed, concurrency
        self._sampling = {"temperature": temperature, "top_p": top_p, "max_tokens": answer_tokens}
        self._progress = progress
        self._counts: dict[str, int] = {}
        self._lock = threading.Lock()
        self._closed = False
        try:
            self.name = model or address.model or self._only_model()
        except BaseException:
            self.close()
            raise

    @property
    def notes(self) -> list[str]:
        """What is not as it was asked for, in words, once each: what the endpoint does not offer."""
        return [*self._notes, *self._client.dialect.notes]

    @property
    def stats(self) -> EndpointStats:
        """What has been asked for and done since the beginning."""
        with self._lock:
            return EndpointStats(**self._counts, calls=self._client.calls, retries=self._client.retries)

    def stream(self, prompts: Sequence[Prompt]) -> Iterator[tuple[int, Result]]:
        """Results as they become known; identical prompts are asked once.

        Raises:
            ScoringError: the endpoint is down, or refuses the key or the model.
        """
        if self._closed:
            raise ScoringError(f"{self._client.url}: this predictor is closed")
        refuse_reasoning(prompts, self.name)
        same: dict[Prompt, list[int]] = {}
        for number, prompt in enumerate(prompts):
            same.setdefault(prompt, []).append(number)
        done = 0
        for prompt, result in concurrently(same, self._result, self._concurrency):
            numbers = same[prompt]
            done += len(numbers)
            self._count(prompts=len(numbers), unique=1)
            self._report(done, len(prompts))
            for number in numbers:
                yield number, _numbered(result, number)

    def close(self) -> None:
        """End the connections; calls that still run are left to themselves. Safe to call again."""
        self._closed = True
        self._client.close()

    def _only_model(self) -> str:
        names = self._client.models(replies.read_models)
        if len(names) == 1:
            return names[0]
        shown = ", ".join(names[:_SHOWN_MODELS]) + (", ..." if len(names) > _SHOWN_MODELS else "")
        raise ModelError(
            f"{self._client.url}: it has {len(names)} models ({shown}); name one: {self._client.url}#MODEL"
            if names
            else f"{self._client.url}: it names no model; name one: {self._client.url}#MODEL"
        )

    def _report(self, done: int, prompts: int) -> None:
        if self._progress is not None:
            stats = self.stats
            self._progress(Progress(done, prompts, stats.tokens_computed, stats.tokens_asked, ()))

    def _count(self, **counts: int) -> None:
        with self._lock:
            for name, count in counts.items():
                self._counts[name] = self._counts.get(name, 0) + count

    def _result(self, prompt: Prompt) -> Result:
        """The distribution for one prompt, or why there is none; what ends the whole job is raised."""
        if prompt.scale.values is not None and not prompt.scale.values:
            return ScoringError("the scale allows no answer at all")
        try:
            if self._read_logprobs and replies.first_token_decides(prompt.scale):
                top = self._top(prompt)
                if top:
                    return replies.distribution_of_top(prompt.scale, top)
            return self._sampled(prompt)
        except EndpointDown:
            raise
        except Rejection as rejection:
            hint = "; its prompt is longer than the endpoint's context" if rejection.too_long else ""
            return ScoringError(f"{self._client.url} refuses it: {rejection}{hint}")
        except ScoringError as error:
            return error

    def _top(self, prompt: Prompt) -> replies.Top:
        """The likeliest first tokens; none if the endpoint does not show them, or the model never begins to answer."""
        for number in range(_TRIES_TO_START):
            if not self._client.dialect.understands("logprobs"):
                break
            # Temperature 1: some endpoints show the probabilities that they draw with.
            wanted = {
                "temperature": 1,
                "top_p": 1,
                "max_tokens": 1,
                "logprobs": True,
                "top_logprobs": replies.TOP,
            }
            try:
                top = self._ask(prompt, number, wanted, replies.read_top)
            except NoLogprobs:
                self._client.dialect.no_logprobs(
                    f"the endpoint shows no log-probabilities: {self._draws} answers are drawn for each prompt"
                )
                break
            if top:
                return top
        return []

    def _sampled(self, prompt: Prompt) -> AnswerDistribution:
        dialect = self._client.dialect
        choices: list[Choice] = []
        while (missing := self._draws - len(choices)) > 0:
            at_once = min(missing, _MOST_AT_ONCE) if dialect.understands("n") else 1
            wanted = {**self._sampling, **({"n": at_once} if at_once > 1 else {})}
            drawn = self._ask(prompt, len(choices), wanted, replies.read_texts)[:at_once]
            if len(drawn) < at_once:
                dialect.drop("n")
            choices += drawn
        counted = replies.tally(prompt.scale, choices)
        self._count(draws=len(choices), off_scale=counted.off_scale, unparseable=counted.unparseable)
        return replies.distribution_of_draws(prompt.scale, choices, counted)

    def _ask(self, prompt: Prompt, draw: int, wanted: Mapping[str, Any], read: Callable[[Any], T]) -> T:
        """One completion, or several; ``draw`` is the number of the first, from which its seed comes."""

        def read_and_count(reply: Any) -> T:
            usage = replies.read_usage(reply)  # counted, and paid for, even if the rest is nonsense
            self._count(
                prompt_tokens=usage.prompt, cached_tokens=usage.cached, completion_tokens=usage.completion
            )
            return read(reply)

        turns = [("system", prompt.system), ("user", prompt.user)]
        messages = [{"role": role, "content": _bytes(text).decode()} for role, text in turns if text]
        body = {"model": self.name, "messages": messages, **wanted, "seed": _seed(self._seed, prompt, draw)}
        return self._client.chat(body, read_and_count)


def _seed(seed: int, prompt: Prompt, draw: int) -> int:
    """A seed of 31 bits for one draw; what else is asked does not matter."""
    text = f"{seed}\0{draw}\0{prompt.system}\0{prompt.user}"
    return int.from_bytes(hashlib.sha256(_bytes(text)).digest()[:4], "big") >> 1


def _bytes(text: str) -> bytes:
    return text.encode(
        "utf-8", "replace"
    )  # halves of surrogate pairs, from a terminal that speaks something else


def _numbered(result: Result, number: int) -> Result:
    return ScoringError(f"prompt {number + 1}: {result}") if isinstance(result, ScoringError) else result


def _check(low: float, high: float = float("inf"), **settings: float) -> None:
    for name, value in settings.items():
        if not low <= value <= high or value == float("inf"):
            most = f" and at most {high:g}" if high < float("inf") else ""
            raise ModelError(f"{name} must be at least {low:g}{most}, not {value}")
