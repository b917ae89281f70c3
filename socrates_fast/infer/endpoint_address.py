"""Where an endpoint is, and with which key it is asked."""

import os
from dataclasses import dataclass, field
from ipaddress import ip_address
from urllib.parse import SplitResult, urlsplit

from socrates_fast.errors import ModelError

KEY_VARIABLES = ("SOCRATES_FAST_API_KEY", "OPENAI_API_KEY")
"""Environment variables that may hold the key; the first one that is set wins, and an empty one means no key."""

_CHAT = "/chat/completions"


@dataclass(frozen=True)
class Address:
    """An endpoint's address.

    Attributes:
        url: up to and without ``/chat/completions`` and ``/models``; no slash at its end.
        model: named in the address ("URL#model"), or None.
        loopback: it is this machine.
    """

    url: str
    model: str | None
    loopback: bool


@dataclass(frozen=True)
class Key:
    """What the environment says of the key.

    Attributes:
        value: to be sent; "" for none. Never printed.
        source: where it comes from or why there is none, for messages.
    """

    value: str = field(repr=False)
    source: str


def read_address(text: str) -> Address:
    """Read ``http(s)://host[:port]/path[#model]``.

    Raises:
        ModelError: it is no such address, or it carries a password or a query (which are not repeated).
    """
    try:
        parts = urlsplit(text)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        raise ModelError(f"the endpoint's address cannot be read: {error}") from None
    _check(parts)
    path = parts.path.rstrip("/").removesuffix(_CHAT)
    url = f"{parts.scheme}://{parts.netloc}{path}"
    return Address(url, parts.fragment or None, _is_loopback(str(host)))


def _check(parts: SplitResult) -> None:
    host = parts.hostname or ""
    if parts.scheme not in ("http", "https") or not host or any(character.isspace() for character in host):
        raise ModelError(
            "an endpoint's address looks like https://api.openai.com/v1 or http://127.0.0.1:8080/v1"
        )
    if "@" in parts.netloc:
        raise ModelError(
            f"{parts.scheme}://{host}: no user name or password in an endpoint's address, please; "
            f"a key comes from the environment ({' or '.join(KEY_VARIABLES)})"
        )
    if parts.query:
        raise ModelError(
            f"{parts.scheme}://{host}{parts.path}: an endpoint's address has no part after a '?'"
        )


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def find_key(address: Address) -> Key:
    """The key from the environment. It is withheld from plain http to another machine, where anybody could read it.

    Raises:
        ModelError: it cannot be a key (it is not repeated).
    """
    name = next((name for name in KEY_VARIABLES if name in os.environ), None)
    value = os.environ[name].strip() if name else ""
    if not value:
        return Key("", f"no key was sent: set {' or '.join(KEY_VARIABLES)} in the environment")
    if not all("!" <= character <= "~" for character in value):
        raise ModelError(f"{name}: it holds spaces or other characters that no key has")
    if address.url.startswith("http://") and not address.loopback:
        return Key(
            "", f"the key in {name} was not sent: plain http to another machine can be overheard; use https"
        )
    return Key(value, f"the key comes from {name}")
