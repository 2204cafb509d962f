"""The way from one seed to another, as a moving picture."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from PIL import Image
from torch import Tensor

from ourgan._core.errors import OurganError, check_choice
from ourgan._core.files import atomic_path
from ourgan.explorer.state.scene import Scene, between
from ourgan.explorer.state.uploads import free_path
from ourgan.io.pixels import to_uint8

FRAMES = 16  # between the seeds and at them; the play button and the slider stop at the same places
MILLISECONDS = 90
FORMATS = ("gif", "webp")


def frames(scene: Scene, to_seed: int) -> list[Scene]:
    """The scenes on the way from the scene's seed to `to_seed`, both ends included."""
    return [between(scene, to_seed, step / (FRAMES - 1)) for step in range(FRAMES)]


def save_animation(pictures: Sequence[Tensor], directory: Path, name: str, kind: str) -> Path:
    """Write pictures (3, H, W) in [0, 1] as "gif" or "webp", there and back without end; returns the path.

    Raises OurganError for another kind, or if it cannot be written.
    """
    check_choice("animation as", kind, FORMATS)
    there = [Image.fromarray(to_uint8(picture)) for picture in pictures]
    first, *rest = [*there, *there[-2:0:-1]]
    path = free_path(directory, name, f".{kind}")
    try:
        with atomic_path(path) as temporary:
            first.save(
                temporary, format=kind, save_all=True, append_images=rest, duration=MILLISECONDS, loop=0
            )
    except OSError as error:
        raise OurganError(f"{path}: cannot be written ({error.strerror or error})") from error
    return path
