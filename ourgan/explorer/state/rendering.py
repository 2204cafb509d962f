"""A scene at its full size, beside everything else: with progress, and an end when somebody wants it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path

from torch import Tensor

from ourgan._core.errors import OurganError
from ourgan.explorer.state.session import Session
from ourgan.explorer.state.uploads import safe_name
from ourgan.explorer.state.worker import Deliver
from ourgan.io.pixels import digest

PAUSE = 0.25  # seconds between two reports


class Cancelled(OurganError):
    """The person changed their mind."""


class Render:
    """One rendering in a thread of its own.

    Args:
        session: whose scene, as it is now, is rendered by the model shown now.
        size: "1k", "4k" or "16k".
        name: of the file, in the session's directory; a mark of the pixels is added, so that the same scene
            goes on where it was cancelled and another never takes its place.
        deliver: how reports come back, see `ourgan.explorer.state.worker.into_this_loop`.
        progress: `progress(rows, of)`, now and then.
        ended: `ended(path, None)`, or `ended(None, error)`; Cancelled when it was cancelled.

    Raises OurganError if the session's directory cannot be made.
    """

    def __init__(
        self,
        session: Session,
        size: str,
        name: str,
        deliver: Deliver,
        progress: Callable[[int, int], None],
        ended: Callable[[Path | None, Exception | None], None],
    ) -> None:
        self._model, self._scene, self._size = session.model, session.scene, size
        self._drawn, self._name = session.drawn, safe_name(name)
        self._directory = session.directory()
        self._deliver, self._progress, self._ended = deliver, progress, ended
        self._stop = threading.Event()
        self._reported = 0.0
        self._thread = threading.Thread(target=self._run, name="ourgan-render", daemon=True)
        self._thread.start()

    def cancel(self) -> None:
        """Stop at the next rows; what is done stays on the disk, to go on from."""
        self._stop.set()

    def running(self) -> bool:
        """Whether it has not ended."""
        return self._thread.is_alive()

    def wait(self) -> None:
        """Return when it has ended."""
        self._thread.join()

    def _run(self) -> None:
        path: Path | None = None
        error: Exception | None = None
        try:
            path = self._render()
        except Exception as caught:
            error = caught
        self._deliver(lambda: self._ended(path, error))

    def _render(self) -> Path:
        image = self._drawn(self._model, self._scene)
        path = self._directory / f"{self._name}-{mark(image)}-{self._size}.tif"
        if path.with_suffix(".json").exists():  # written last: where it is, all is there
            raise OurganError(f"{path}: this scene is there already, at this size")
        self._model.synthesize(
            self._scene.seed, self._size, path, width=self._scene.width, image=image,
            resume=True, progress=False, watch=self._watch,
        )  # fmt: skip
        return path

    def _watch(self, rows: int, of: int) -> None:
        if self._stop.is_set():
            raise Cancelled("cancelled; render the same scene again to go on from there")
        now = time.monotonic()
        if now - self._reported > PAUSE or rows == of:
            self._reported = now
            self._deliver(lambda: self._progress(rows, of))


def mark(image: Tensor) -> str:
    """Eight characters that tell a picture of step 1 from others."""
    return digest(image)[:8]
