"""An OpenAI-compatible endpoint on this machine that draws from known distributions, and can misbehave."""

import json
import math
import random
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

KEY = "sk-test-0123456789abcdef"

Answers = Mapping[str, float]
"""Probability of each text that the model may answer with; the rest is spread over words."""


@dataclass(frozen=True)
class Fault:
    """One reply that is not what was asked for.

    Attributes:
        status: of the reply; 0 cuts the connection off in the middle of it.
        text: body; "{key}" becomes the key that was sent.
        headers: further ones.
        seconds: to wait before, and between each byte of the body.
        drip: wait between the bytes as well.
    """

    status: int = 200
    text: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    seconds: float = 0.0
    drip: bool = False


def refusal(parameter: str, message: str | None = None) -> str:
    """OpenAI's words for a parameter that a model does not take."""
    text = message or f"Unsupported parameter: '{parameter}' is not supported with this model."
    error = {
        "message": text,
        "type": "invalid_request_error",
        "param": parameter,
        "code": "unsupported_parameter",
    }
    return json.dumps({"error": error})


@dataclass
class Standin:
    """What the endpoint does, and what it was asked.

    Attributes:
        answers: the distribution of the answer's text (which is one token) to a user's text.
        models: their names.
        key: the key that it wants; "" for none.
        logprobs: it shows log-probabilities.
        many: it draws ``n`` answers in a call.
        refuses: parameters that it refuses, with the body of the refusal.
        ends_at_once: number of first calls in which the model says nothing at all.
        faults: what happens first, call by call; None is a normal reply.
        delay: seconds that a normal reply takes.
    """

    answers: Callable[[str], Answers]
    models: tuple[str, ...] = ("standin",)
    key: str = ""
    logprobs: bool = True
    many: bool = True
    refuses: Mapping[str, str] = field(default_factory=dict)
    ends_at_once: int = 0
    faults: list[Fault | None] = field(default_factory=list)
    delay: float = 0.0
    url: str = ""
    asked: list[dict[str, Any]] = field(default_factory=list)
    sent: list[dict[str, str]] = field(default_factory=list)
    times: list[float] = field(default_factory=list)
    at_once: int = 0
    most_at_once: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)


def top_tokens(answers: Answers, count: int) -> list[tuple[str, float]]:
    """The likeliest tokens; what ``answers`` leaves over is spread over 50 words."""
    left = 1 - sum(answers.values())
    words = {f"word{index}": left / 50 for index in range(50)}
    return sorted({**answers, **words}.items(), key=lambda entry: -entry[1])[:count]


def tempered(answers: Answers, temperature: float, top_p: float) -> dict[str, float]:
    """What a sampler draws from: each probability to the power of 1/T, then the nucleus."""
    powers = {text: p ** (1 / temperature) for text, p in top_tokens(answers, 1000) if p > 0}
    total = sum(powers.values())
    kept, mass = {}, 0.0
    for text, power in sorted(powers.items(), key=lambda entry: -entry[1]):
        if mass >= top_p:
            break
        kept[text] = power / total
        mass += power / total
    return {text: p / mass for text, p in kept.items()}


def _completion(standin: Standin, body: Mapping[str, Any], silent: bool) -> dict[str, Any]:
    answers = standin.answers(body["messages"][-1]["content"])
    count = body.get("n", 1) if standin.many else 1
    drawn = tempered(answers, body.get("temperature", 1.0), body.get("top_p", 1.0))
    chance = random.Random(body.get("seed", 0))
    texts = [""] * count if silent else chance.choices(list(drawn), list(drawn.values()), k=count)
    choices: list[dict[str, Any]] = [
        {
            "index": index,
            "finish_reason": "stop",
            "message": {"role": "assistant", "content": text},
            "logprobs": None,
        }
        for index, text in enumerate(texts)
    ]
    if body.get("logprobs") and standin.logprobs and not silent:
        top = [
            {"token": token, "logprob": math.log(p) if p else -9999.0}
            for token, p in top_tokens(answers, body["top_logprobs"])
        ]
        for choice, text in zip(choices, texts, strict=True):
            choice["logprobs"] = {"content": [{"token": text, "logprob": -1.0, "top_logprobs": top}]}
    usage = {"prompt_tokens": 100, "completion_tokens": count, "prompt_tokens_details": {"cached_tokens": 60}}
    return {"object": "chat.completion", "choices": choices, "usage": usage}


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    standin: Standin

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def do_GET(self) -> None:
        self.standin.sent.append(dict(self.headers))
        if not self._fails(self._fault()) and self._allowed():
            self._send(200, json.dumps({"data": [{"id": name} for name in self.standin.models]}))

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        fault, number = self._note(body)
        try:
            if self._fails(fault) or not self._allowed():
                return
            refused = next((name for name in self.standin.refuses if name in body), None)
            if refused:
                self._send(400, self.standin.refuses[refused])
            elif body["model"] not in self.standin.models:
                self._send(404, json.dumps({"error": {"message": "no such model"}}))
            else:
                time.sleep(self.standin.delay)
                reply = _completion(self.standin, body, number < self.standin.ends_at_once)
                self._send(200, json.dumps(reply))
        finally:
            with self.standin.lock:
                self.standin.at_once -= 1

    def _note(self, body: dict[str, Any]) -> tuple[Fault | None, int]:
        standin = self.standin
        with standin.lock:
            standin.asked.append(body)
            standin.sent.append(dict(self.headers))
            standin.times.append(time.monotonic())
            standin.at_once += 1
            standin.most_at_once = max(standin.most_at_once, standin.at_once)
            return (standin.faults.pop(0) if standin.faults else None), len(standin.asked) - 1

    def _fault(self) -> Fault | None:
        with self.standin.lock:
            return self.standin.faults.pop(0) if self.standin.faults else None

    def _allowed(self) -> bool:
        if not self.standin.key or self.headers["Authorization"] == f"Bearer {self.standin.key}":
            return True
        self._fails(Fault(401, "Incorrect API key provided: {key}"))
        return False

    def _fails(self, fault: Fault | None) -> bool:
        if fault is None:
            return False
        time.sleep(fault.seconds)
        text = (
            fault.text.format(key=(self.headers["Authorization"] or "").removeprefix("Bearer "))
            if "{key}" in fault.text
            else fault.text
        )
        if fault.status == 0:
            self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{")
            self.close_connection = True
        elif fault.drip:
            self._drip(text, fault.seconds)
        else:
            self._send(fault.status, text, fault.headers)
        return True

    def _drip(self, text: str, seconds: float) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        for character in text:
            time.sleep(seconds)
            try:
                self.wfile.write(character.encode())
            except OSError:  # the caller has had enough
                return

    def _send(self, status: int, text: str, headers: Mapping[str, str] | None = None) -> None:
        content = text.encode()
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        try:
            self.wfile.write(content)
        except OSError:
            return


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A caller who has gone is none."""


@contextmanager
def serve(standin: Standin) -> Iterator[Standin]:
    """Serve it on a free port of 127.0.0.1; ``standin.url`` is its address."""
    handler = type("Handler", (_Handler,), {"standin": standin})
    with _Server(("127.0.0.1", 0), handler) as server:
        standin.url = f"http://127.0.0.1:{server.server_port}/v1"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        try:
            yield standin
        finally:
            server.shutdown()
            thread.join()


Serve = Callable[..., Standin]
"""Starts an endpoint: ``Standin``'s arguments."""
