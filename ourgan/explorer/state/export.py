"""What leaves the explorer: files under safe names, animations, and renderings at full size."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from jaxtyping import Float
from PIL import Image
from torch import Tensor

from ourgan._core.errors import OurganError, check_choice
from ourgan._core.files import atomic_path, refuse_unwritable
from ourgan.explorer.state.background import Dispatch
from ourgan.explorer.state.scene import Scene, interpolate
from ourgan.explorer.state.session import Session
from ourgan.io.pixels import digest, to_uint8

MAX_NAME = 60
FRAMES = 16  # from one seed to the other, both included; the play button and the slider stop at the same ones
MILLISECONDS = 90  # of each frame
FORMATS = ("gif", "webp")
PAUSE = 0.25  # seconds between two reports of a rendering


def safe_name(text: str) -> str:
    """Return a file name without suffix for what a person typed: letters, digits, "-" and "_", 60 at most."""
    name = re.sub(r"[^A-Za-z0-9_-]+", "-", text).strip("-")[:MAX_NAME]
    return name or "scene"


def free_path(directory: Path, name: str, suffix: str) -> Path:
    """Return `directory`/NAME`suffix`, or NAME-2, NAME-3, ... where that exists: nothing is overwritten."""
    name = safe_name(name)
    number, path = 2, directory / f"{name}{suffix}"
    while path.exists():
        path = directory / f"{name}-{number}{suffix}"
        number += 1
    return path


def frames(scene: Scene, to_seed: int) -> list[Scene]:
    """Return the FRAMES scenes on the way from the scene's seed to another, both ends included."""
    return [interpolate(scene, to_seed, index / (FRAMES - 1)) for index in range(FRAMES)]


def save_animation(pictures: Sequence[Float[Tensor, "3 h w"]], directory: Path, name: str, kind: str) -> Path:
    """Write pictures as an animation that runs there and back without end; return its path.

    Args:
        pictures: in [0, 1], all of one size.
        directory: where the file goes.
        name: of the file, as a person typed it.
        kind: "gif" or "webp".

    Raises:
        OurganError: for another kind, or if the file cannot be written.
    """
    check_choice("animation as", kind, FORMATS)
    forward = [Image.fromarray(to_uint8(picture)) for picture in pictures]
    first, *rest = [*forward, *forward[-2:0:-1]]
    path = free_path(directory, name, f".{kind}")
    with refuse_unwritable(path), atomic_path(path) as temporary:
        first.save(temporary, format=kind, save_all=True, append_images=rest, duration=MILLISECONDS, loop=0)
    return path


def short_digest(image: Float[Tensor, "3 h w"]) -> str:
    """Return eight characters that tell a picture of step 1 from others."""
    return digest(image)[:8]


class Cancelled(OurganError):
    """The person changed their mind."""


class Render:
    """One rendering in a thread of its own, which `start` begins.

    Args:
        session: whose scene, as it is now, is rendered by the model and with the switches of now.
        size: "1k", "4k" or "16k".
        name: of the file, in the session's directory; a digest of the scene's pixels and the switches are
            added, so that the same picture goes on where it was cancelled and another never takes its place.
        dispatch: runs the reports; see `ourgan.explorer.state.background.dispatch_to_loop`.
        progress: `progress(rows, of)`, now and then.
        ended: `ended(path, None)`, or `ended(None, error)`; Cancelled when it was cancelled.

    Raises:
        OurganError: if the session's directory cannot be made.
    """

    def __init__(
        self,
        session: Session,
        size: str,
        name: str,
        dispatch: Dispatch,
        progress: Callable[[int, int], None],
        ended: Callable[[Path | None, Exception | None], None],
    ) -> None:
        self._model, self._scene, self._size = session.model, session.scene, size
        self._draw, self._name, self._switches = session.draw, safe_name(name), session.switches
        self._directory = session.directory()
        self._dispatch, self._progress, self._ended = dispatch, progress, ended
        self._stop = threading.Event()
        self._reported = 0.0
        self._thread = threading.Thread(target=self._run, name="ourgan-render", daemon=True)

    def start(self) -> None:
        """Begin; apart from the making, because a report may come before the caller knows the object."""
        self._thread.start()

    def cancel(self) -> None:
        """Stop at the next rows; what is done stays on the disk, to go on from."""
        self._stop.set()

    def running(self) -> bool:
        """Return whether it has not ended."""
        return self._thread.is_alive()

    def wait(self) -> None:
        """Wait until it has ended."""
        self._thread.join()

    def _run(self) -> None:
        path: Path | None = None
        error: Exception | None = None
        try:
            path = self._render()
        except Exception as caught:
            error = caught
        self._dispatch(lambda: self._ended(path, error))

    def _render(self) -> Path:
        image = self._draw(self._model, self._scene)
        drawn = self._switches.scene == "drawn"
        way = "" if drawn else f"-{self._switches.scene}-{self._switches.detail}"
        path = self._directory / f"{self._name}-{short_digest(image)}-{self._size}{way}.tif"
        if path.with_suffix(".json").exists():  # written last: where it is, all is there
            raise OurganError(f"{path}: this scene is there already, at this size")
        self._model.synthesize(
            self._scene.seed, self._size, path, width=self._scene.width, image=image,
            resume=True, progress=False, watch=self._watch, **self._switches.options(),
        )  # fmt: skip
        return path

    def _watch(self, rows: int, of: int) -> None:
        if self._stop.is_set():
            raise Cancelled("cancelled; render the same scene again to go on from there")
        now = time.monotonic()
        if now - self._reported > PAUSE or rows == of:
            self._reported = now
            self._dispatch(lambda: self._progress(rows, of))
