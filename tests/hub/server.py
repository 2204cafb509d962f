"""A small Hub on loopback, for its real client: what it asks to list, download, create and commit.

Plain HTTP in place of the chunked storage. Everything the client asks besides is a 404.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit

from hub.repositories import LARGE, Repository, checksum

CLIENT_PATIENCE = 5.0
TOKEN = "hf_of_a_test"
KINDS = {"models": "model", "datasets": "dataset", "spaces": "space"}


@dataclass
class Hub:
    """What the server holds and what it was asked, and the faults it is told to have.

    `status` other than 200 is the answer to everything; `statuses` are those of the next requests.
    `bodies` holds, for a file's name, the bodies of successive GETs in place of the right one, the last of
    which repeats; `headers` replaces headers of its answer. `hold_uploads` makes an upload wait.
    """

    endpoint: str = ""
    repositories: dict[tuple[str, str], Repository] = field(default_factory=dict)
    requests: list[tuple[str, str]] = field(default_factory=list)
    status: int = 200
    statuses: list[int] = field(default_factory=list)
    bodies: dict[str, list[bytes]] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)
    uploads: dict[str, bytes] = field(default_factory=dict)
    upload_begun: threading.Event = field(default_factory=threading.Event)
    hold_uploads: bool = False

    def publish(self, name: str, files: dict[str, bytes], oid: str = "", **what: Any) -> Repository:
        """Commit `files` to a repository, which is made if need be; `what` are fields of it."""
        kind = what.get("kind", "model")
        repository = self.repositories.setdefault((kind, name), Repository(name, **what))
        repository.commit(files, oid)
        return repository

    def methods(self, file: str) -> list[str]:
        """The methods of the requests for `file`, in order."""
        return [method for method, path in self.requests if path.endswith(f"/{file}")]


class Handler(BaseHTTPRequestHandler):
    """One request; `self.hub` is that of the server."""

    timeout = CLIENT_PATIENCE
    hub: Hub

    def handle_request(self) -> None:
        path = unquote(urlsplit(self.path).path)
        self.hub.requests.append((self.command, path))
        body = self._read()
        status = self.hub.statuses.pop(0) if self.hub.statuses else self.hub.status
        if status != 200:
            return self._send(status, headers={"Retry-After": "0"} if status == 429 else {})
        for method, pattern, answer in ROUTES:
            if self.command in method and (match := re.fullmatch(pattern, path)):
                return answer(self, *match.groups(), body)
        return self._send(404)

    do_GET = do_HEAD = do_POST = do_PUT = handle_request

    def resolve(self, prefix: str | None, name: str, revision: str, file: str, body: bytes) -> None:
        kind = KINDS.get((prefix or "").strip("/"), "model")
        if (repository := self._readable(kind, name)) is None:
            return
        if repository.gated:
            return self._send(403, headers={"X-Error-Code": "GatedRepo"})
        if (commit := repository.at(revision)) is None:
            return self._send(404, headers={"X-Error-Code": "RevisionNotFound"})
        if file not in commit.files:
            return self._send(404, headers={"X-Error-Code": "EntryNotFound", "X-Repo-Commit": commit.oid})
        content = sent = commit.files[file]
        if self.command == "GET" and (bodies := self.hub.bodies.get(file)):
            sent = bodies.pop(0) if len(bodies) > 1 else bodies[0]
        etag = f'"{checksum(file, content)}"'
        self._send(200, sent, {"X-Repo-Commit": commit.oid, "ETag": etag, **self.hub.headers})

    def info(self, kind: str, name: str, revision: str | None, body: bytes) -> None:
        if (repository := self._readable(KINDS[kind], name)) is None:
            return
        if (commit := repository.at(revision or "main")) is None:
            return self._send(404, headers={"X-Error-Code": "RevisionNotFound"})
        self._json(repository.info(commit))

    def tree(self, kind: str, name: str, revision: str, body: bytes) -> None:
        if (repository := self._readable(KINDS[kind], name)) is not None:
            commit = repository.at(revision)
            assert commit is not None
            self._json(repository.tree(commit))

    def whoami(self, body: bytes) -> None:
        if self._may_write():
            self._json({"name": "someone", "type": "user"})

    def validate_yaml(self, body: bytes) -> None:
        self._json({"errors": [], "warnings": []})

    def create(self, body: bytes) -> None:
        if not self._may_write():
            return
        asked = json.loads(body)
        name = f"{asked['organization']}/{asked['name']}"
        if ("model", name) in self.hub.repositories:
            return self._json({"error": "it exists", "url": f"{self.hub.endpoint}/{name}"}, 409)
        self.hub.publish(name, {".gitattributes": b""}, private=asked.get("visibility") == "private")
        self._json({"url": f"{self.hub.endpoint}/{name}"})

    def preupload(self, name: str, body: bytes) -> None:
        def mode(path: str) -> dict[str, Any]:
            return {
                "path": path,
                "shouldIgnore": False,
                "uploadMode": "lfs" if path.endswith(LARGE) else "regular",
            }

        self._json({"files": [mode(file["path"]) for file in json.loads(body)["files"]]})

    def batch(self, name: str, body: bytes) -> None:
        def action(wanted: dict[str, Any]) -> dict[str, Any]:
            if wanted["oid"] in self.hub.uploads:
                return wanted
            return {**wanted, "actions": {"upload": {"href": f"{self.hub.endpoint}/lfs/{wanted['oid']}"}}}

        self._json(
            {"transfer": "basic", "objects": [action(wanted) for wanted in json.loads(body)["objects"]]}
        )

    def store(self, oid: str, body: bytes) -> None:
        if hashlib.sha256(body).hexdigest() != oid:
            return self._send(400)
        self.hub.uploads[oid] = body
        self._send(200)

    def commit(self, name: str, body: bytes) -> None:
        repository = self.hub.repositories["model", name]
        lines = [json.loads(line) for line in body.splitlines()]
        files = dict(repository.files)
        for line in lines:
            value = line["value"]
            if line["key"] == "header" and value["parentCommit"] != repository.commits[-1].oid:
                return self._send(412)
            if line["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                files[value["path"]] = self.hub.uploads[value["oid"]]
            elif line["key"] == "deletedFile":
                del files[value["path"]]
        made = repository.commit(files)
        self._json({"commitUrl": f"{self.hub.endpoint}/{name}/commit/{made.oid}", "commitOid": made.oid})

    def _readable(self, kind: str, name: str) -> Repository | None:
        """The repository, or None after an answer: like the Hub, 401 also for what is not there."""
        repository = self.hub.repositories.get((kind, name))
        known = self.headers.get("Authorization") == f"Bearer {TOKEN}"
        if repository is not None and (known or not repository.private):
            return repository
        self._send(404 if known else 401, headers={"X-Error-Code": "RepoNotFound"})
        return None

    def _may_write(self) -> bool:
        if allowed := self.headers.get("Authorization") == f"Bearer {TOKEN}":
            return allowed
        self._send(401)
        return False

    def _read(self) -> bytes:
        if self.command == "PUT":
            self.hub.upload_begun.set()
            if self.hub.hold_uploads:
                self.rfile.read()  # until the other side has gone
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        chunks = []
        while size := int(self.rfile.readline(), 16):
            chunks.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(chunks)

    def _json(self, value: Any, status: int = 200) -> None:
        self._send(status, json.dumps(value).encode(), {"Content-Type": "application/json"})

    def _send(self, status: int, body: bytes = b"", headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Stay silent; `Hub.requests` is the log."""


REPO = r"([\w.-]+/[\w.-]+)"
ROUTES = (
    ("HEAD GET", rf"/(datasets/|spaces/)?{REPO}/resolve/([^/]+)/(.+)", Handler.resolve),
    ("GET", rf"/api/(models|datasets|spaces)/{REPO}(?:/revision/(.+))?", Handler.info),
    ("GET", rf"/api/(models|datasets)/{REPO}/tree/(.+)", Handler.tree),
    ("GET", r"/api/whoami-v2", Handler.whoami),
    ("POST", r"/api/validate-yaml", Handler.validate_yaml),
    ("POST", r"/api/repos/create", Handler.create),
    ("POST", rf"/api/models/{REPO}/preupload/main", Handler.preupload),
    ("POST", rf"/{REPO}\.git/info/lfs/objects/batch", Handler.batch),
    ("PUT", r"/lfs/([0-9a-f]{64})", Handler.store),
    ("POST", rf"/api/models/{REPO}/commit/main", Handler.commit),
)


@contextmanager
def serve() -> Iterator[Hub]:
    """Run a Hub on a free port until the block ends."""
    hub = Hub()
    handler = type("Handler", (Handler,), {"hub": hub})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    hub.endpoint = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
