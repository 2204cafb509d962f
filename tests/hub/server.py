"""A Hub on loopback, just enough of it for its real client to download one file after another.

`HEAD` and `GET /{repository}/resolve/{revision}/{file}` as the client expects them: the commit, an
ETag and a length in the headers, plain HTTP instead of chunked storage. Everything else is a 404.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

CLIENT_PATIENCE = 5.0


@dataclass
class FakeHub:
    """What the server serves and what it was asked.

    `bodies` holds, for each path, the answers to successive GETs; the last one repeats. `status` other
    than 200 is the answer to everything.
    """

    endpoint: str
    bodies: dict[str, list[bytes]] = field(default_factory=dict)
    requests: list[tuple[str, str]] = field(default_factory=list)
    status: int = 200

    def publish(self, repository: str, revision: str, file: str, *bodies: bytes) -> None:
        """Serve `bodies` one after another under this name."""
        self.bodies[f"/{repository}/resolve/{revision}/{file}"] = list(bodies)

    def methods(self, file: str) -> list[str]:
        """The methods of the requests for `file`, in order."""
        return [method for method, path in self.requests if path.endswith(f"/{file}")]


@contextmanager
def serve() -> Iterator[FakeHub]:
    """Run a FakeHub on a free port until the block ends."""
    hub = FakeHub("")

    class Handler(BaseHTTPRequestHandler):
        timeout = CLIENT_PATIENCE

        def do_HEAD(self) -> None:
            self._answer(body_too=False)

        def do_GET(self) -> None:
            self._answer(body_too=True)

        def _answer(self, body_too: bool) -> None:
            hub.requests.append((self.command, self.path))
            bodies = hub.bodies.get(self.path)
            if hub.status != 200 or bodies is None:
                self.send_response(hub.status if hub.status != 200 else 404)
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            body = bodies.pop(0) if body_too and len(bodies) > 1 else bodies[0]
            self.send_response(200)
            self.send_header("X-Repo-Commit", self.path.split("/resolve/")[1].split("/")[0])
            self.send_header("ETag", f'"{hashlib.sha1(body).hexdigest()}"')
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if body_too:
                self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Stay silent; `FakeHub.requests` is the log."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    hub.endpoint = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
