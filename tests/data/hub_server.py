"""A stand-in for the Hugging Face Hub on this machine, for downloads of a dataset, with its faults.

As the real one it lists a repository at a revision with sizes and hashes, answers for files in large-file storage with a
redirect to a store at another address (with the headers that offer Xet), and for small ones itself. The store knows ranges.
"""

import hashlib
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.message import Message
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from tests.local_server import serving

REPOSITORY, COMMIT, BRANCH = "anna/survey", "c0ffee" + "0" * 34, "main"
TOKEN = "hf_right"
SMALL = 2000
"""Files up to this size are kept in git."""


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def git_hash(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


@dataclass
class Hub:
    """The server's memory, and how it misbehaves.

    Attributes:
        files: contents by name.
        kept: what the store really gives, by name, where it is not that.
        sizes: what is stated, by name, where it is not true.
        closed: "", "private", or "gated" (its files need ``TOKEN``).
        statuses: answers to the next requests; 0 to answer well.
        cuts: after how many bytes the next transfers break off; None for whole ones.
        stalls: as ``cuts``, but the connection stays open and silent for ``silence`` seconds.
        ranges: whether the store knows them.
        lengths: whether the store says how much comes; if not, a cut looks like an end.
        garbage: the listing is a page for people.
        requests: (method, path, headers) of every request.
    """

    files: dict[str, bytes]
    kept: dict[str, bytes] = field(default_factory=dict)
    sizes: dict[str, int] = field(default_factory=dict)
    closed: str = ""
    statuses: list[int] = field(default_factory=list)
    cuts: list[int | None] = field(default_factory=list)
    stalls: list[int | None] = field(default_factory=list)
    silence: float = 0.5
    ranges: bool = True
    lengths: bool = True
    garbage: bool = False
    requests: list[tuple[str, str, Message]] = field(default_factory=list)
    endpoint: str = ""
    store: str = ""

    def transfers(self) -> list[tuple[str, int]]:
        """Name and first byte of every transfer from the store."""
        found = []
        for _, path, headers in self.requests:
            if path.startswith("/store/"):
                start = (headers["Range"] or "bytes=0-").removeprefix("bytes=").removesuffix("-")
                found.append((unquote(urlsplit(path).path.removeprefix("/store/")), int(start)))
        return found


class Handler(BaseHTTPRequestHandler):
    """One request, to the Hub or to its store."""

    protocol_version = "HTTP/1.1"
    hub: Hub

    def log_message(self, format: str, *args: object) -> None:
        """Nothing is printed."""

    def do_GET(self) -> None:
        self.hub.requests.append((self.command, self.path, self.headers))
        status = self.hub.statuses.pop(0) if self.hub.statuses else 0
        url = urlsplit(self.path)
        path = unquote(url.path)
        if status:
            self.answer(status, error="as the test asks")
        elif path.startswith("/store/"):
            self.transfer(path.removeprefix("/store/"))
        elif path.startswith("/api/datasets/"):
            name, _, revision = path.removeprefix("/api/datasets/").partition("/revision/")
            self.listing(name, revision, parse_qs(url.query))
        else:
            name, _, rest = path.removeprefix("/datasets/").partition("/resolve/")
            self.resolve(name, *rest.split("/", 1))

    do_HEAD = do_GET

    def answer(self, status: int, body: bytes = b"", error: str = "", **headers: str) -> None:
        self.send_response(status)
        if error:
            self.send_header("X-Error-Message", error)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def admitted(self, name: str, revision: str, gate: bool) -> bool:
        known = self.headers["Authorization"] == f"Bearer {TOKEN}"
        if self.headers["Authorization"] and not known:
            self.answer(401, error="Invalid credentials in Authorization header")
        elif name != REPOSITORY or (self.hub.closed == "private" and not known):
            status = 404 if known else 401
            self.answer(status, error="Repository not found", X_Error_Code="RepoNotFound")
        elif revision not in (COMMIT, BRANCH):
            self.answer(404, error=f"Invalid rev id: {revision}", X_Error_Code="RevisionNotFound")
        elif gate and self.hub.closed == "gated" and not known:
            self.answer(401, error="Access to this dataset is restricted", X_Error_Code="GatedRepo")
        else:
            return True
        return False

    def listing(self, name: str, revision: str, query: dict[str, list[str]]) -> None:
        if not self.admitted(name, revision, gate=False):
            return
        if self.hub.garbage:
            self.answer(200, b"<html>Welcome</html>")
            return
        assert query == {"blobs": ["true"]}, query
        siblings = [self.sibling(file, content) for file, content in self.hub.files.items()]
        said = {"id": name, "sha": COMMIT, "private": False, "tags": [], "siblings": siblings}
        self.answer(200, json.dumps(said).encode(), Content_Type="application/json")

    def sibling(self, name: str, content: bytes) -> dict[str, Any]:
        size = self.hub.sizes.get(name, len(content))
        stated = {"rfilename": name, "size": size, "blobId": git_hash(content)}
        if len(content) <= SMALL:
            return stated
        return {**stated, "lfs": {"sha256": sha256(content), "size": size, "pointerSize": 130}}

    def resolve(self, name: str, revision: str, file: str) -> None:
        if not self.admitted(name, revision, gate=True):
            return
        if file not in self.hub.files:
            self.answer(404, error="Entry not found", X_Error_Code="EntryNotFound")
            return
        content = self.hub.files[file]
        if len(content) <= SMALL:
            self.answer(
                200, self.hub.kept.get(file, content), ETag=f'"{git_hash(content)}"', X_Repo_Commit=COMMIT
            )
            return
        token = f'<{self.hub.endpoint}/api/datasets/{name}/xet-read-token/{COMMIT}>; rel="xet-auth"'
        self.answer(
            302, Location=f"{self.hub.store}/store/{file}?signature=0", X_Linked_Etag=f'"{sha256(content)}"',
            X_Linked_Size=str(len(content)), X_Xet_Hash=sha256(content), Link=token, X_Repo_Commit=COMMIT,
        )  # fmt: skip

    def transfer(self, name: str) -> None:
        whole = self.hub.kept.get(name, self.hub.files[name])
        asked = self.headers["Range"] if self.hub.ranges else None
        start = int(asked.removeprefix("bytes=").removesuffix("-")) if asked else 0
        if asked and start >= len(whole):
            self.answer(416, Content_Range=f"bytes */{len(whole)}")
            return
        self.send_response(206 if asked else 200)
        self.send_header(
            *("Content-Length", str(len(whole) - start)) if self.hub.lengths else ("Connection", "close")
        )
        if asked:
            self.send_header("Content-Range", f"bytes {start}-{len(whole) - 1}/{len(whole)}")
        self.end_headers()
        cut = self.hub.cuts.pop(0) if self.hub.cuts else None
        stall = self.hub.stalls.pop(0) if self.hub.stalls else None
        least = min(len(whole) if end is None else end for end in (cut, stall))
        self.wfile.write(whole[start : start + least])
        if stall is not None:
            time.sleep(self.hub.silence)
        self.close_connection = (cut, stall, self.hub.lengths) != (None, None, True)


@contextmanager
def running_hub(files: dict[str, bytes]) -> Iterator[Hub]:
    """A Hub and its store on free ports of this machine, gone afterwards."""
    hub = Hub(files)
    with serving(Handler, hub=hub) as port, serving(Handler, hub=hub) as store:
        hub.endpoint, hub.store = f"http://127.0.0.1:{port}", f"http://localhost:{store}"
        yield hub
