"""Which parameters an endpoint understands: found out from its refusals, once, and remembered."""

import re
import threading
from collections.abc import Mapping
from typing import Any

from socrates_fast.infer.endpoint_replies import NoLogprobs

LOGPROBS = frozenset({"logprobs", "top_logprobs"})
_ALIASES = {"n_cmpl": "n"}  # llama-server's own name for it
_DROPPED = {
    "n": "the endpoint draws one answer a call, so each prompt is sent as often as answers are drawn",
    "seed": "the endpoint takes no seed: a repetition draws other answers",
    "temperature": "the endpoint takes no temperature: answers are drawn at its own",
    "top_p": "the endpoint takes no top_p: answers are drawn with its own",
}


_CONTEXT = re.compile(r"context.?(?:length|size|window)", re.IGNORECASE)


class Rejection(Exception):
    """HTTP 400, 413 or 422.

    Attributes:
        status: of the reply.
        message: the endpoint's own words.
        parameter: which one the reply names as its cause, if it does in so many words.
        too_long: the prompt is longer than the endpoint's context.
    """

    def __init__(self, status: int, message: str, parameter: str | None = None) -> None:
        super().__init__(f"HTTP {status}: {message}")
        self.status = status
        self.message = message
        self.parameter = parameter
        self.too_long = _CONTEXT.search(message) is not None

    def culprit(self, sent: Mapping[str, Any]) -> str | None:
        """The parameter of ``sent`` that the endpoint complains of, or None."""
        if self.too_long:  # such messages speak of max_tokens as well
            return None
        names = {**{name: name for name in sent}, **_ALIASES}
        if self.parameter in names:
            return names[self.parameter]
        found = [(place, names[name]) for name in names if (place := _mention(name, self.message)) >= 0]
        return min(found)[1] if found else None


def _mention(name: str, text: str) -> int:
    """Where ``text`` names a parameter, or -1; a name that is also a word must stand in quotes."""
    pattern = rf"[\"'`]{name}[\"'`]" if name in ("n", "seed", "model") else rf"(?<![\w]){name}(?![\w])"
    found = re.search(pattern, text)
    return found.start() if found else -1


class Dialect:
    """What an endpoint has been found to understand; threads share it."""

    def __init__(self) -> None:
        self.notes: list[str] = []
        """What is not as it was asked for, in words, once each."""
        self._refused: set[str] = set()
        self._lock = threading.Lock()

    def understands(self, name: str) -> bool:
        """Whether a parameter has not been refused yet."""
        return name not in self._refused

    def body(self, wanted: Mapping[str, Any]) -> dict[str, Any]:
        """``wanted`` in the words that the endpoint understands."""
        renamed = {} if self.understands("max_tokens") else {"max_tokens": "max_completion_tokens"}
        return {
            renamed.get(name, name): value
            for name, value in wanted.items()
            if name in renamed or name not in self._refused
        }

    def learn(self, rejection: Rejection, sent: Mapping[str, Any]) -> None:
        """Stop sending the parameter that the endpoint refused.

        Raises:
            Rejection: it names none, or one that cannot be left out.
            NoLogprobs: it names those.
        """
        name = rejection.culprit(sent)
        if name in LOGPROBS:
            raise NoLogprobs from rejection
        if name is None or name not in {*_DROPPED, "max_tokens"}:
            raise rejection
        self.drop(name)

    def drop(self, name: str) -> None:
        """Do without a parameter from now on, and note what that means."""
        with self._lock:
            if name not in self._refused and name in _DROPPED:
                self.notes.append(_DROPPED[name])
            self._refused.add(name)

    def no_logprobs(self, note: str) -> None:
        """Do without log-probabilities from now on, and note it."""
        with self._lock:
            if not self._refused >= LOGPROBS:
                self.notes.append(note)
            self._refused |= LOGPROBS
