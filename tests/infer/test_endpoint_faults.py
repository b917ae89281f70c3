"""An endpoint that is down, slow, busy, closed to us, or answers nonsense; and what becomes of the key."""

import json
import logging
import os
import re
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest

from socrates_fast.data.scales import range_scale
from socrates_fast.errors import ModelError, ScoringError
from socrates_fast.infer.endpoint import EndpointPredictor
from socrates_fast.infer.endpoint_address import find_key, read_address
from socrates_fast.infer.endpoint_client import EndpointDown
from socrates_fast.infer.predictor import AnswerDistribution
from socrates_fast.prompt import Prompt
from tests.infer.endpoint_server import KEY, Fault, Serve, Standin, refusal

SEVEN, ELEVEN = range_scale(1, 7), range_scale(0, 10)
PLAIN = {"1": 0.25, "7": 0.75}
HTML = "<html><body>It works!</body></html>"


@pytest.fixture
def standin(start: Serve) -> Serve:
    """Starts endpoints that answer from ``PLAIN``."""
    return lambda **more: start(lambda user: PLAIN, **more)


def ask(endpoint: Standin, *prompts: Prompt, **settings: Any) -> list[AnswerDistribution]:
    """The answers, with waits of milliseconds and one call at a time."""
    chosen = {"model": "standin", "backoff": 0.002, "concurrency": 1, "timeout": 5.0, **settings}
    with EndpointPredictor(endpoint.url, **chosen) as predictor:
        return predictor.predict(prompts or [Prompt("", "?", SEVEN)])


@pytest.mark.parametrize(
    "fault",
    [
        Fault(429, "slow down"),
        Fault(429, "slow down", {"Retry-After": "0"}),
        Fault(429, "slow down", {"Retry-After": "when I say so"}),
        Fault(500, "Traceback"),
        Fault(503, HTML, {"Retry-After": "Tue, 24 Nov 2020 01:18:19 GMT"}),
        Fault(408),
        Fault(0),
        Fault(200, HTML),
        Fault(200, "[" * 100_000),
        Fault(200, '{"choices": []}'),
        Fault(200, '{"error": {"message": "overloaded"}}'),
    ],
    ids=lambda fault: f"{fault.status} {fault.text[:12]}",
)
def test_what_passes_is_tried_again(standin: Serve, fault: Fault) -> None:
    endpoint = standin(faults=[fault, fault])
    (found,) = ask(endpoint)
    assert found.probabilities.tolist() == [0.25, 0, 0, 0, 0, 0, 0.75]
    assert len(endpoint.asked) == 3
    assert endpoint.asked[0] == endpoint.asked[2]


@pytest.mark.parametrize("drip", [False, True])
def test_a_slow_reply_is_asked_for_again(standin: Serve, drip: bool) -> None:
    slow = Fault(200, "{" + " " * 50, seconds=0.04, drip=True) if drip else Fault(200, "{}", seconds=0.5)
    endpoint = standin(faults=[slow])
    begin = time.monotonic()
    ask(endpoint, timeout=0.15)
    assert time.monotonic() - begin < 1.5 and len(endpoint.asked) == 2
    with pytest.raises(EndpointDown, match=r"within 0\.15 s.*given up after 1 attempt\. "):
        ask(standin(faults=[slow]), timeout=0.15, retries=0)


def test_waits_grow(standin: Serve) -> None:
    endpoint = standin(faults=[Fault(500)] * 4)
    ask(endpoint, backoff=0.03)
    waits = [after - before for before, after in zip(endpoint.times, endpoint.times[1:], strict=False)]
    assert all(wait > 0.015 * 2**index for index, wait in enumerate(waits))


@pytest.mark.parametrize("as_date", [False, True])
def test_an_endpoint_says_when_to_come_back(standin: Serve, as_date: bool) -> None:
    """All threads wait for it; a date has whole seconds, so that half a second is left of it at least."""
    when = format_datetime(datetime.now(UTC) + timedelta(seconds=1.5), usegmt=True)
    busy = Fault(429, "slow down", {"Retry-After": when if as_date else "0.4"})
    endpoint = standin(faults=[busy])
    ask(endpoint, *(Prompt("", f"{number}", SEVEN) for number in range(3)), concurrency=1)
    assert endpoint.times[1] - endpoint.times[0] > (0.3 if as_date else 0.39)
    with pytest.raises(EndpointDown, match="asks to come back in 3600 s"):
        ask(standin(faults=[Fault(429, "daily limit", {"Retry-After": "3600"})]))


def test_gives_up_with_what_and_where(standin: Serve) -> None:
    endpoint = standin(faults=[Fault(503, "the model is\nloading " + "still " * 99)] * 9)
    with pytest.raises(EndpointDown) as error:
        ask(endpoint, retries=2)
    message = str(error.value)
    assert message.startswith(f"{endpoint.url}: HTTP 503: the model is loading still still")
    assert "...; given up after 3 attempts. Is the address right and the server running?" in message
    assert len(message) < 600 and len(endpoint.asked) == 3


def test_nobody_there() -> None:
    predictor = EndpointPredictor("http://127.0.0.1:9/v1", model="m", backoff=0.001)
    with predictor, pytest.raises(EndpointDown, match=r"http://127.0.0.1:9/v1: no reply: .*after 3 attempts"):
        predictor.predict([Prompt("", "?", SEVEN)])
    with pytest.raises(ScoringError, match="no reply"):
        EndpointPredictor("http://127.0.0.1:9/v1", backoff=0.001, retries=0)


def test_nonsense_is_told(standin: Serve) -> None:
    """All of it at first ends the job; for one prompt among others it is that prompt's result."""
    with pytest.raises(EndpointDown, match=r"no sense: not JSON but <html><body>It works.*OpenAI-compatible"):
        ask(standin(faults=[Fault(200, HTML)] * 9))
    endpoint = standin(faults=[None, *[Fault(200, '{"choices": [3]}')] * 3])
    prompts = [Prompt("", text, SEVEN) for text in ("first", "second", "third")]
    with EndpointPredictor(endpoint.url, model="standin", concurrency=1, backoff=0.001) as predictor:
        found = dict(predictor.stream(prompts))
    assert [isinstance(found[number], ScoringError) for number in range(3)] == [False, True, False]
    assert re.match("prompt 2: .*no sense: a choice has no message", str(found[1]))


def test_a_flood_is_cut_off(standin: Serve) -> None:
    with pytest.raises(EndpointDown, match="more than 8 MiB"):
        ask(standin(faults=[Fault(200, "x" * (9 << 20))]), retries=0)


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (Fault(403, "not in your country"), r"forbids the model standin.*no key was sent: set SOCRATES_FAST_API_KEY or"),
        (Fault(404, '{"error": "no such model"}'), "HTTP 404: no such model. It does not have the model standin"),
        (Fault(402, "pay first"), "HTTP 402: pay first"),
        (Fault(429, '{"error": {"message": "quota", "code": "insufficient_quota"}}'), "no credit left"),
        (Fault(308, "", {"Location": "https://elsewhere.example/v1?token=abc"}), r"on to https://elsewhere.example/v1, "),
    ],
    ids=repr,
)  # fmt: skip
def test_what_does_not_pass_ends_the_job(standin: Serve, fault: Fault, said: str) -> None:
    endpoint = standin(faults=[fault] * 9)
    with pytest.raises(EndpointDown, match=said):
        ask(endpoint, *(Prompt("", f"{number}", SEVEN) for number in range(50)))
    assert len(endpoint.asked) <= 2  # the one ahead of the first may have begun


@pytest.mark.parametrize(
    ("reply", "before", "after"),
    [
        (refusal("max_tokens", "'max_tokens' is not supported. Use 'max_completion_tokens' instead."),
         "max_tokens", "max_completion_tokens"),
        (refusal("temperature", "Unsupported value: 'temperature' does not support 0.6"), "temperature", None),
        ('{"error": {"message": "top_p is not a parameter of this model"}}', "top_p", None),
        ('{"detail": [{"loc": ["body", "seed"], "msg": "Extra inputs are not permitted", "input": 1}]}', "seed", None),
        ("Field 'n_cmpl': Value must be between 1 <= value <= 1, but got 20", "n", None),
    ],
    ids=["max_tokens", "temperature", "top_p", "seed", "n"],
)  # fmt: skip
def test_a_refused_parameter_is_left_out_from_then_on(
    standin: Serve, reply: str, before: str, after: str | None
) -> None:
    endpoint = standin(refuses={before: reply})
    with EndpointPredictor(endpoint.url, draws=5, logprobs="never", concurrency=1) as predictor:
        predictor.predict([Prompt("", "?", SEVEN), Prompt("", "??", SEVEN)])
        assert len(predictor.notes) == (0 if after else 1)
    assert [before in body for body in endpoint.asked] == [True] + [False] * (len(endpoint.asked) - 1)
    assert set(endpoint.asked[1]) == set(endpoint.asked[0]) - {before} | ({after} if after else set())


def test_other_refusals_belong_to_their_prompt(standin: Serve) -> None:
    """Messages about the context speak of max_tokens, too, and must not change what is asked for."""
    long = "'max_tokens' is too large: 1. This model's maximum context length is 4096 tokens"
    endpoint = standin(
        faults=[None, Fault(400, long), Fault(413, "too large"), Fault(400, refusal("messages"))]
    )
    prompts = [Prompt("", f"{number}", SEVEN) for number in range(5)]
    with EndpointPredictor(endpoint.url, model="standin", concurrency=1) as predictor:
        found = dict(predictor.stream(prompts))
        assert predictor.notes == []
    assert [isinstance(found[number], ScoringError) for number in range(5)] == [
        False,
        True,
        True,
        True,
        False,
    ]
    assert str(found[1]).endswith("its prompt is longer than the endpoint's context")
    assert "prompt 3:" in str(found[2]) and "HTTP 413: too large" in str(found[2])
    assert all(body.keys() == endpoint.asked[0].keys() for body in endpoint.asked)
    with pytest.raises(
        ScoringError, match="max_completion_tokens is bad"
    ):  # what it is renamed to is refused as well
        ask(standin(refuses={"max_tokens": refusal("max_tokens"),
                             "max_completion_tokens": refusal("max_completion_tokens", "max_completion_tokens is bad")}))  # fmt: skip


def test_models_that_think_first(standin: Serve) -> None:
    cut = {"choices": [{"message": {"content": None}, "finish_reason": "length"}] * 5}
    with pytest.raises(ScoringError, match=r"cut off before their first word.*answer_tokens=4096"):
        ask(standin(faults=[Fault(200, json.dumps(cut))]), Prompt("", "?", ELEVEN), draws=5)


def test_the_key_is_sent_and_never_shown(
    standin: Serve, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The endpoint echoes the key in its refusal, in another error, and in a page of nonsense."""
    caplog.set_level(logging.DEBUG)
    endpoint = standin(key="another")
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    for fault in (None, Fault(500, "bad {key}"), Fault(200, "<b>{key}</b>"), Fault(400, "no {key}")):
        endpoint.faults = [fault] * 9
        with pytest.raises(ScoringError) as error:
            ask(endpoint, retries=1)
        assert KEY not in "".join(map(repr, (error.value, error.value.__cause__, error.value.__context__)))
        assert ("***" in str(error.value)) and endpoint.sent[-1]["Authorization"] == f"Bearer {KEY}"
        if fault is None:
            assert "HTTP 401" in str(error.value) and "the key comes from OPENAI_API_KEY" in str(error.value)
    assert KEY not in caplog.text and KEY not in repr(find_key(read_address(endpoint.url)))
    assert "/chat/completions" in caplog.text  # something was logged at all
    endpoint.faults = [Fault(302, "", {"Location": f"https://elsewhere.example/{KEY}"})]
    with pytest.raises(EndpointDown, match=r"on to https://elsewhere.example/\*\*\*, "):
        ask(endpoint)
    endpoint.key = KEY
    assert ask(endpoint)


def test_no_redirect_is_followed(standin: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    other = standin()
    for status in (301, 302, 307, 308):
        endpoint = standin(faults=[Fault(status, "", {"Location": f"{other.url}/chat/completions"})])
        with pytest.raises(
            EndpointDown, match=f"HTTP {status}.*which is not followed; give the right address"
        ):
            ask(endpoint)
    assert other.sent == []


def test_where_the_key_comes_from(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SOCRATES_FAST_API_KEY", "OPENAI_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    safe = read_address("https://api.example/v1")
    assert find_key(safe).value == ""
    monkeypatch.setenv("OPENAI_API_KEY", "general\n")
    assert find_key(safe).value == "general"
    monkeypatch.setenv("SOCRATES_FAST_API_KEY", "special")
    assert find_key(safe).value == "special" and "SOCRATES_FAST_API_KEY" in find_key(safe).source
    for address in ("http://127.0.0.1:1/v1", "http://localhost/v1", "http://[::1]:8/v1"):
        assert find_key(read_address(address)).value == "special"
    for address in ("http://gpu-box:8080/v1", "http://10.0.0.3/v1", "http://localhost.example/v1"):
        withheld = find_key(read_address(address))
        assert withheld.value == "" and "was not sent" in withheld.source
        with EndpointPredictor(address, model="m") as predictor:
            assert predictor.notes == [withheld.source]
    monkeypatch.setenv("SOCRATES_FAST_API_KEY", "")
    assert find_key(safe).value == ""
    monkeypatch.setenv("SOCRATES_FAST_API_KEY", "two words")
    with pytest.raises(ModelError, match="SOCRATES_FAST_API_KEY: it holds spaces") as error:
        find_key(safe)
    assert "two words" not in str(error.value)


@pytest.mark.parametrize(
    ("text", "url", "model"),
    [
        ("https://api.openai.com/v1#gpt-4o", "https://api.openai.com/v1", "gpt-4o"),
        ("http://127.0.0.1:8080/v1/", "http://127.0.0.1:8080/v1", None),
        ("http://[::1]:8080", "http://[::1]:8080", None),
        ("https://host/openai/v1/chat/completions#org/model:7b", "https://host/openai/v1", "org/model:7b"),
    ],
)
def test_addresses(text: str, url: str, model: str | None) -> None:
    address = read_address(text)
    assert (address.url, address.model) == (url, model)


@pytest.mark.parametrize("text", ["https://", "https://me:secret@host/v1", "https://secret@host/v1", "http://host:99999/v1",
                                  "https://host/v1?key=secret", "http://[::1/v1", "ftp://host/v1", "https://a b/v1"])  # fmt: skip
def test_addresses_that_are_refused(text: str) -> None:
    with pytest.raises(ModelError) as error:
        read_address(text)
    assert "secret" not in str(error.value)


@pytest.mark.parametrize("value", ["socks9://127.0.0.1:9", "http://[::1"])
def test_a_proxy_that_cannot_be_used(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("ALL_PROXY", value)
    with pytest.raises(ModelError, match="the proxy or the certificates"):
        EndpointPredictor("https://api.example/v1", model="m")


def test_who_stops_reading_stops_the_work(standin: Serve) -> None:
    endpoint = standin()
    with EndpointPredictor(endpoint.url, concurrency=2) as predictor:
        results = predictor.stream([Prompt("", f"{number}", SEVEN) for number in range(100)])
        next(results)
        time.sleep(0.1)
        assert len(endpoint.asked) <= 5


def test_ctrl_c_does_not_wait_for_replies(standin: Serve) -> None:
    endpoint = standin(delay=20.0)
    script = (
        "import sys\n"
        f"sys.path[:0] = {sys.path!r}\n"
        "from socrates_fast.infer import load_predictor\n"
        "from socrates_fast.prompt import Prompt\n"
        "from socrates_fast.data.scales import range_scale\n"
        f"with load_predictor('{endpoint.url}') as predictor:\n"
        "    predictor.predict([Prompt('', str(number), range_scale(1, 7)) for number in range(50)])\n"
    )
    process = subprocess.Popen([sys.executable, "-c", script], stderr=subprocess.PIPE, env={**os.environ})
    while endpoint.at_once < 8:
        assert process.poll() is None
        time.sleep(0.01)
    begin = time.monotonic()
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=10)
    assert time.monotonic() - begin < 3
    assert errors.strip().endswith(b"KeyboardInterrupt") and len(endpoint.asked) == 8
