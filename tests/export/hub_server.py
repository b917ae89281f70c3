"""A stand-in for the Hugging Face Hub on this machine, for uploads: what huggingface_hub asks of it, and nothing else.

Large files take the way of git-lfs (batch, PUT, verify), small ones come in the commit. It checks what it is sent as
the Hub does: token, owner, front matter, sha256.
"""

import base64
import hashlib
import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any

import yaml

from tests.local_server import Refused, serving

TOKEN, OWNER = "hf_right", "anna"
LARGE = 4096


@dataclass
class Repository:
    """A repository: who sees it, and its files."""

    private: bool
    files: dict[str, bytes] = field(default_factory=dict)
    commits: int = 0


@dataclass
class Hub:
    """The server's memory.

    Attributes:
        repositories: by name.
        objects: contents of large files by sha256, in a commit or not yet.
        cuts: how many PUTs are still to be cut off in the middle.
        status: refuses everything with this status; 0 to answer.
        requests: method and path of every request.
    """

    endpoint: str = ""
    repositories: dict[str, Repository] = field(default_factory=dict)
    objects: dict[str, bytes] = field(default_factory=dict)
    requests: list[tuple[str, str]] = field(default_factory=list)
    cuts: int = 0
    status: int = 0

    def puts(self) -> int:
        """How often a large file was sent."""
        return sum(method == "PUT" for method, _ in self.requests)


def front_matter(content: str) -> dict[str, Any]:
    """The card's front matter, as the Hub demands it."""
    match = re.match(r"---\n(.*?)\n---\n", content, re.DOTALL)
    if match is None:
        raise Refused(400, "no front matter")
    try:
        found = yaml.safe_load(match[1])
    except yaml.YAMLError as error:
        raise Refused(400, str(error)) from error
    if not isinstance(found, dict):
        raise Refused(400, "the front matter is not a mapping")
    return found


class Handler(BaseHTTPRequestHandler):
    """One request."""

    protocol_version = "HTTP/1.1"
    hub: Hub

    def log_message(self, format: str, *args: object) -> None:
        """Nothing is printed."""

    def answer(self, status: int, content: Any = None) -> None:
        body = json.dumps(content if content is not None else {}).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        if status >= 400:
            self.send_header("X-Error-Message", content["error"].splitlines()[0])
        self.end_headers()
        self.wfile.write(body)

    def handle_any(self) -> None:
        self.hub.requests.append((self.command, self.path))
        size = int(self.headers.get("Content-Length") or 0)
        if self.command == "PUT" and self.hub.cuts > 0:
            self.hub.cuts -= 1
            self.rfile.read(size // 2)
            self.close_connection = True
            self.connection.close()  # with bytes unread, so the other side sees a reset
            return
        body = (
            self._chunked() if self.headers.get("Transfer-Encoding") == "chunked" else self.rfile.read(size)
        )
        try:
            self.answer(200, self.route(body))
        except Refused as refused:
            faults = {"error": str(refused), "errors": [{"message": str(refused)}], **refused.more}
            self.answer(refused.status, faults)

    do_GET = do_POST = do_PUT = handle_any

    def _chunked(self) -> bytes:
        whole = b""
        while size := int(self.rfile.readline(), 16):
            whole += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return whole

    def route(self, body: bytes) -> Any:
        if self.command == "PUT":  # its address is secret enough, as that of the real storage
            return self.put(self.path.rpartition("/")[2], body)
        if self.headers.get("Authorization") != f"Bearer {TOKEN}":
            raise Refused(401, "Invalid credentials in Authorization header")
        if self.hub.status:
            raise Refused(self.hub.status, "as the test asks")
        asked = body if b"\n" in body else json.loads(body or b"{}")
        name = "[^/]+/[^/]+"
        routes: tuple[tuple[str, Callable[..., Any]], ...] = (
            (r"/api/repos/create", self.create),
            (r"/api/validate-yaml", self.validate),
            (rf"/api/models/({name})", self.info),
            (rf"/api/models/({name})/preupload/main", self.preupload),
            (rf"/({name})\.git/info/lfs/objects/batch", self.batch),
            (r"/verify/(\w+)", self.verify),
            (rf"/api/models/({name})/commit/main", self.commit),
        )
        for pattern, answer in routes:
            match = re.fullmatch(pattern, self.path)
            if match:
                return answer(*match.groups(), asked)
        raise Refused(404, f"nothing at {self.path}")

    def repository(self, name: str) -> Repository:
        if name not in self.hub.repositories:
            raise Refused(404, "Repository not found")
        return self.hub.repositories[name]

    def create(self, asked: Any) -> Any:
        name = f"{asked['organization']}/{asked['name']}"
        if asked["organization"] != OWNER:
            raise Refused(403, f"you may not create repositories of {asked['organization']}")
        if name in self.hub.repositories:
            raise Refused(409, "You already created this model repo", url=f"{self.hub.endpoint}/{name}")
        self.hub.repositories[name] = Repository(asked["visibility"] == "private")
        return {"url": f"{self.hub.endpoint}/{name}"}

    def validate(self, asked: Any) -> Any:
        front_matter(asked["content"])
        return {"warnings": [], "errors": []}

    def info(self, name: str, asked: Any) -> Any:
        return {
            "id": name,
            "private": self.repository(name).private,
            "sha": "0" * 40,
            "tags": [],
            "siblings": [],
        }

    def preupload(self, name: str, asked: Any) -> Any:
        self.repository(name)
        return {
            "files": [
                {
                    "path": file["path"],
                    "uploadMode": "lfs" if file["size"] > LARGE else "regular",
                    "shouldIgnore": False,
                }
                for file in asked["files"]
            ]
        }

    def batch(self, name: str, asked: Any) -> Any:
        assert asked["operation"] == "upload" and asked["hash_algo"] == "sha256"
        return {"transfer": "basic", "objects": [self.action(wanted) for wanted in asked["objects"]]}

    def action(self, wanted: Any) -> Any:
        known = {"oid": wanted["oid"], "size": wanted["size"]}
        if wanted["oid"] in self.hub.objects:
            return known
        href = f"{self.hub.endpoint}/put/{wanted['oid']}"
        verify = f"{self.hub.endpoint}/verify/{wanted['oid']}"
        return {**known, "actions": {"upload": {"href": href}, "verify": {"href": verify}}}

    def put(self, oid: str, body: bytes) -> Any:
        if hashlib.sha256(body).hexdigest() != oid:
            raise Refused(400, "the content is not what was announced")
        self.hub.objects[oid] = body
        return {}

    def verify(self, oid: str, asked: Any) -> Any:
        if len(self.hub.objects.get(oid, b"")) != asked["size"]:
            raise Refused(404, "nothing was uploaded")
        return {}

    def commit(self, name: str, asked: Any) -> Any:
        repository = self.repository(name)
        lines = [json.loads(line) for line in asked.splitlines()]
        assert lines[0]["key"] == "header"
        for line in lines[1:]:
            value = line["value"]
            if line["key"] == "file":
                repository.files[value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                repository.files[value["path"]] = self.hub.objects[value["oid"]]
            else:
                raise Refused(400, f"unknown operation {line['key']}")
        repository.commits += 1
        oid = f"{repository.commits:040x}"
        return {"commitUrl": f"{self.hub.endpoint}/{name}/commit/{oid}", "commitOid": oid}


@contextmanager
def running_hub() -> Iterator[Hub]:
    """A Hub on a free port of this machine, gone afterwards."""
    hub = Hub()
    with serving(Handler, hub=hub) as port:
        hub.endpoint = f"http://127.0.0.1:{port}"
        yield hub
