"""Calls to an OpenAI-compatible endpoint: key, retries, and what comes back when it misbehaves."""

import json
import random
import re
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import cache
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

from socrates_fast.errors import ModelError, ScoringError
from socrates_fast.infer.endpoint_address import Address, Key
from socrates_fast.infer.endpoint_dialect import Dialect, Rejection
from socrates_fast.infer.endpoint_replies import Nonsense, read_fault

if TYPE_CHECKING:
    import ssl

    import httpx

T = TypeVar("T")

_NONSENSE_RETRIES = 2
_ABSENT_RETRIES = 2
_MOST_BYTES = 8 << 20
_LONGEST_BACKOFF = 60.0
_SHOWN = 200
_TRANSIENT = (408, 409, 425, 429)
_REJECTED = (400, 413, 422)
_UNSUPPORTED = re.compile("not support|unsupported", re.IGNORECASE)
"""In a message with HTTP 500 or 501: some servers say so where they should say 400."""


class EndpointDown(ScoringError):
    """Nothing further can be asked of an endpoint."""


class _Again(Exception):
    """A call that may succeed if it is repeated; the text says what happened.

    Attributes:
        after: seconds after which the endpoint wants to be asked again, if it told.
        connected: there was somebody to talk to.
    """

    def __init__(self, what: str, after: float | None = None, connected: bool = True) -> None:
        super().__init__(what)
        self.after = after
        self.connected = connected


@dataclass(frozen=True)
class Patience:
    """How long to wait, in seconds, and how often to try again.

    Attributes:
        timeout: for one reply.
        retries: further attempts after a failed one.
        backoff: before the first of them; each further one waits twice as long, minus up to half by chance.
        longest_wait: most that an endpoint may ask to wait for (Retry-After) before it counts as down.
    """

    timeout: float = 60.0
    retries: int = 6
    backoff: float = 1.0
    longest_wait: float = 120.0


class EndpointClient:
    """Asks one endpoint; threads may share it.

    Args:
        address: where it is. No redirect is followed: the key goes there and nowhere else.
        key: sent with each call, printed never.
        patience: see there.
        connections: most calls at the same time.

    Raises:
        ModelError: the environment's proxy or certificates cannot be used.
    """

    def __init__(self, address: Address, key: Key, patience: Patience, connections: int) -> None:
        import httpx

        self.url = address.url
        self.dialect = Dialect()
        self.calls = 0
        self.retries = 0
        self._key = key
        self._patience = patience
        self._understood = False
        self._stopped = threading.Event()
        self._lock = threading.Lock()
        self._resume = 0.0  # time.monotonic() before which the endpoint asked not to be called
        try:
            self._http = httpx.Client(
                headers={"Authorization": f"Bearer {key.value}"} if key.value else {},
                timeout=httpx.Timeout(patience.timeout, connect=min(patience.timeout, 15.0)),
                limits=httpx.Limits(max_connections=connections, max_keepalive_connections=connections),
                follow_redirects=False,
                trust_env=not address.loopback,  # this machine is not asked through a proxy
                verify=_certificates(),
            )
        except (ImportError, ValueError, OSError, httpx.InvalidURL) as error:
            raise ModelError(
                f"{self.url}: the proxy or the certificates that the environment names cannot be used: {error}"
            ) from error

    def models(self, read: Callable[[Any], T]) -> T:
        """GET /models.

        Raises:
            ScoringError: it fails.
        """
        return self._patiently("GET", "/models", None, read)

    def chat(self, wanted: Mapping[str, Any], read: Callable[[Any], T]) -> T:
        """POST /chat/completions with as much of ``wanted`` as the endpoint understands.

        Raises:
            EndpointDown: nothing further can be asked.
            Rejection: the endpoint refuses this body.
            ScoringError: it answered nonsense to this body, each time.
            Exception: whatever else ``read`` raises.
        """
        while True:
            body = self.dialect.body(wanted)
            try:
                return self._patiently("POST", "/chat/completions", body, read)
            except Rejection as rejection:
                self.dialect.learn(rejection, body)

    def close(self) -> None:
        """End the connections and the waiting."""
        self._stopped.set()
        self._http.close()

    def _patiently(self, method: str, path: str, body: Any, read: Callable[[Any], T]) -> T:
        attempt, nonsense = 0, 0
        while True:
            try:
                reply = read(self._decoded(method, path, body))
                self._understood = True
                return reply
            except Nonsense as error:
                nonsense += 1
                if nonsense > min(_NONSENSE_RETRIES, self._patience.retries):
                    self._give_up_nonsense(error)
                after = None
            except _Again as error:
                if attempt - nonsense >= self._most_retries(error):
                    self._give_up(str(error), attempt + 1)
                after = error.after
            attempt += 1
            self._wait(attempt, after)

    def _most_retries(self, error: _Again) -> int:
        """Who was never there will hardly come while we wait: the address is wrong, or the server not started."""
        most = self._patience.retries
        return most if error.connected or self._understood else min(_ABSENT_RETRIES, most)

    def _give_up(self, what: str, attempts: int) -> NoReturn:
        raise EndpointDown(
            f"{self.url}: {what}; given up after {attempts} attempt{'s' if attempts > 1 else ''}. Is the address "
            "right and the server running? If it is only slow or busy: ask less at once (concurrency), wait longer "
            "(timeout), try more often (retries)"
        )

    def _give_up_nonsense(self, error: Nonsense) -> NoReturn:
        kind = ScoringError if self._understood else EndpointDown
        hint = (
            ""
            if self._understood
            else ". Is it an OpenAI-compatible endpoint, and does its address end in /v1?"
        )
        raise kind(f"{self.url}: the reply makes no sense: {error}{hint}") from None

    def _wait(self, attempt: int, after: float | None) -> None:
        """Wait before another attempt: as long as the endpoint asked for, which holds for all threads, else longer each time."""
        with self._lock:
            self.retries += 1
            if after is not None:
                self._resume = max(self._resume, time.monotonic() + after)
        if not after:
            longest = min(self._patience.backoff * 2.0 ** (attempt - 1), _LONGEST_BACKOFF)
            self._sleep(longest * random.uniform(0.5, 1.0))

    def _sleep(self, seconds: float) -> None:
        if self._stopped.wait(max(0.0, seconds)):
            raise EndpointDown(f"{self.url}: this predictor is closed")

    def _decoded(self, method: str, path: str, body: Any) -> Any:
        self._sleep(self._resume - time.monotonic())
        with self._lock:
            self.calls += 1
        status, headers, text = self._call(method, path, body)
        if status != 200:
            self._complain(status, headers, text, body)
        try:
            return json.loads(text)
        except (ValueError, RecursionError):
            raise Nonsense(f"not JSON but {self._shown(text)}") from None

    def _call(self, method: str, path: str, body: Any) -> "tuple[int, httpx.Headers, str]":
        import httpx

        try:
            with self._http.stream(method, self.url + path, json=body) as response:
                return response.status_code, response.headers, self._read(response)
        except httpx.TimeoutException as error:
            raise _Again(f"no reply within {self._patience.timeout:g} s ({type(error).__name__})") from None
        except (httpx.RequestError, httpx.StreamError) as error:
            what = f"no reply: {self._shown(str(error) or type(error).__name__)}"
            raise _Again(what, connected=not isinstance(error, httpx.ConnectError)) from None

    def _read(self, response: "httpx.Response") -> str:
        """The body, which must come within the timeout as a whole and be of a sensible size."""
        last = time.monotonic() + self._patience.timeout
        content = b""
        for part in response.iter_bytes():
            content += part
            if len(content) > _MOST_BYTES:
                raise Nonsense(f"more than {_MOST_BYTES >> 20} MiB")
            if time.monotonic() > last:
                raise _Again(f"no whole reply within {self._patience.timeout:g} s")
        return content.decode("utf-8", "replace")

    def _complain(self, status: int, headers: "httpx.Headers", text: str, body: Any) -> NoReturn:
        """Make an exception of a reply to ``body`` that is not a success."""
        message, parameter, code = read_fault(text)
        what = f"HTTP {status}: {self._shown(message)}"
        if status in _REJECTED or (status in (500, 501) and _UNSUPPORTED.search(message)):
            raise Rejection(status, self._shown(message), parameter)
        if status == 429 and code == "insufficient_quota":
            raise EndpointDown(f"{self.url}: {what} (the account has no credit left)")
        if status in _TRANSIENT or status >= 500:
            after = _retry_after(headers.get("Retry-After"))
            if after is not None and after > self._patience.longest_wait:
                raise EndpointDown(f"{self.url}: {what}; it asks to come back in {after:.0f} s")
            raise _Again(what, after)
        raise EndpointDown(f"{self.url}: {what}. {self._advice(status, headers, body)}")

    def _advice(self, status: int, headers: "httpx.Headers", body: Any) -> str:
        model = (
            f"the model {body['model']}" if body else "its list of models; name one in the address (#MODEL)"
        )
        if status == 401:
            return f"The endpoint wants another key; {self._key.source}"
        if status == 403:
            return f"The endpoint forbids {model} to this key or from here; {self._key.source}"
        if status == 404:
            return f"It does not have {model}, or its address is another one (most end in /v1)"
        if 300 <= status < 400:
            target = self._shown(headers.get("Location", "").partition("?")[0])
            return f"It sends on to {target}, which is not followed; give the right address"
        return "This is not an error that goes away by itself"

    def _shown(self, text: str) -> str:
        """Text of theirs as it may be printed: on one line, short, without the key."""
        if self._key.value:
            text = text.replace(self._key.value, "***")
        line = "".join(character if character.isprintable() else " " for character in text)
        line = " ".join(line.split())
        return line if len(line) <= _SHOWN else line[:_SHOWN] + "..."


@cache
def _certificates() -> "ssl.SSLContext":
    """Whom to trust over https; reading them takes a while."""
    import httpx

    return httpx.create_ssl_context()


def _retry_after(text: str | None) -> float | None:
    """Seconds to wait, from the number or the date that a Retry-After header holds; None if it holds neither."""
    if text is None:
        return None
    try:
        return max(0.0, float(text))
    except ValueError:
        pass
    try:
        moment = parsedate_to_datetime(text)
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return max(0.0, (moment - datetime.now(UTC)).total_seconds())
