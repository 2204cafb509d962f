"""Scenes redrawn from the photo's patches, and pictures made of the photo's own pixels."""

from __future__ import annotations

import dataclasses
import logging
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor
from tqdm.auto import tqdm

from ourgan._core.errors import OurganError
from ourgan.io.model_photo import ModelPhoto
from ourgan.io.pixels import from_uint8, to_uint8
from ourgan.io.read import read_image
from ourgan.projection.carry import Pieces, bands, carry, pieces_of, windows_needed
from ourgan.projection.project import Projection, Schedule, large_enough, project, refine
from ourgan.projection.search import Pixels, resized
from ourgan.upscale.crop import Box, check_box
from ourgan.upscale.enlarged_photo import EnlargedPhoto, steps_beyond
from ourgan.upscale.upscaler import Upscaler

log = logging.getLogger(__name__)

REFINED = 4  # times step 1: where pieces are cut, 1K
ROWS = 64  # of a band
WIDEST = 2**15 - 1  # of a picture at 1K: fields are 16-bit
Size = tuple[int, int]


@dataclass(frozen=True, eq=False)
class PhotoPatches:
    """A photo of which scenes and pictures are made.

    Attributes:
        photo: its file.
        pixels: (H, W, 3) uint8.
        size: (height, width) at the scene's scale.
        schedule: of the projection.
    """

    photo: ModelPhoto
    pixels: Pixels
    size: Size
    schedule: Schedule = field(default_factory=Schedule)

    @classmethod
    def read(cls, photo: ModelPhoto, size: Size, scene: Size, novelty: float | None = None) -> PhotoPatches:
        """Read a photo that has `size` at the scale of a `scene`; refuse one that is smaller than that."""
        pixels = _read(photo)
        height, width = pixels.shape[:2]
        if height < size[0] or width < size[1]:
            raise OurganError(
                f"{photo.path}: {width}x{height} pixels, the scene shows it at {size[1]}x{size[0]}: "
                "take scene drawn"
            )
        large = REFINED * max(*size, *scene) > WIDEST
        if large or not large_enough(scene, size):
            limit = f"large to be redrawn, {WIDEST // REFINED} at most" if large else "small to be redrawn"
            raise OurganError(f"a scene of {scene[1]}x{scene[0]} pixels is too {limit}: take scene drawn")
        return cls(photo, pixels, size, Schedule() if novelty is None else Schedule(novelty=novelty))

    def describe(self) -> dict[str, Any]:
        """Return the photo and the settings of the projection in JSON values."""
        height, width = self.pixels.shape[:2]
        photo = {"file": self.photo.path.name, "sha256": self.photo.sha256, "pixels": [width, height]}
        return {"photo": photo, "projection": dataclasses.asdict(self.schedule)}

    def enlarged(self, upscaler: Upscaler | None, steps: Sequence[int]) -> EnlargedPhoto | None:
        """Return the photo enlarged by networks as pictures of these steps show it, nothing of it made yet.

        None where its own pixels are enough, interpolated by BEYOND at most. Raises OurganError where they
        are not and there is no upscaler, for weights that cannot be had, and a cache that cannot be written.
        """
        (height, width), (tall, wide) = self.pixels.shape[:2], self._scaled(4 ** len(steps))
        beyond = steps_beyond((height, width), (tall, wide), steps)
        if not beyond:
            return None
        if upscaler is None:
            raise OurganError(
                f"{self.photo.path}: {width}x{height} pixels, too few for detail without networks at this "
                f"size, which shows the photo at {wide}x{tall}: take detail network, or a smaller size"
            )
        return EnlargedPhoto.of(self.photo, self.pixels, upscaler, beyond, (tall, wide))

    def project(self, scene: Float[Tensor, "3 h w"]) -> Projection:
        """Return a scene of step 1 redrawn from the photo's patches."""
        start = time.monotonic()
        made = project(to_uint8(scene), self.pixels, self.schedule, size=self.size, threads=_threads())
        log.info("scene redrawn from %s in %.0f s", self.photo.path.name, time.monotonic() - start)
        return made

    def pieces(self, scene: Float[Tensor, "3 h w"]) -> Pieces:
        """Return a scene as pieces of the photo, four times as large."""
        fine = refine(self.project(scene), self.pixels, self.schedule, factor=REFINED, threads=_threads())
        return pieces_of(fine, self.pixels, threads=_threads())

    def scaled(self, scale: int) -> Pixels:
        """Return the photo at `scale` times its size of step 1, as pictures of that scale show it."""
        return resized(self.pixels, self._scaled(scale))

    def _scaled(self, scale: int) -> Size:
        return scale * self.size[0], scale * self.size[1]


@dataclass(frozen=True, eq=False)
class PhotoRows:
    """The rows of a picture that is made of a photo's pixels.

    Attributes:
        patches: the photo.
        scene: in [0, 1], as step 1 drew it.
        scale: 4, 16 or 64: of the picture to the scene.
        enlarged: the photo, where its own pixels are too few.
    """

    patches: PhotoPatches
    scene: Float[Tensor, "3 h w"]
    scale: int
    enlarged: EnlargedPhoto | None = None

    def describe(self) -> dict[str, Any]:
        """Return the photo's (width, height) in the picture and how it got them, in JSON values.

        The rest is in `PhotoPatches.describe`.
        """
        height, width = self.patches.size
        shown = {"photo_shown_at": [self.scale * width, self.scale * height]}
        return shown if self.enlarged is None else {**shown, "photo_enlarged": self.enlarged.describe()}

    def rows(self, first: int, _: Path | None, progress: bool) -> Iterator[NDArray[Any]]:
        """Yield (n, W, 3) uint8 from row `first` on, the same wherever it begins.

        While the photo is being enlarged n is 0: whoever takes the rows sees that work goes on, and may stop.
        """
        height, width = (self.scale * length for length in self.scene.shape[1:])
        if first >= height:
            return
        pieces, factor = self.patches.pieces(self.scene), self.scale // REFINED
        if self.enlarged is None:
            photo = self.patches.scaled(self.scale)
        else:
            side, strip = self.enlarged.kept.side, ROWS * factor
            boxes = ((top, 0, min(strip, height - top), width) for top in range(first, height, strip))
            wanted = {tile for box in boxes for tile in windows_needed(pieces, factor, box, side)}
            for _tile in self.enlarged.make(sorted(wanted), progress=progress):
                yield np.empty((0, width, 3), np.uint8)
            photo = self.enlarged.pixels
        made = bands(pieces, photo, factor, rows=ROWS, first=first, threads=_threads())
        with tqdm(total=height, initial=first, desc="detail", unit="row", disable=not progress) as bar:
            for band in made:
                yield band
                bar.update(len(band))


def window(pieces: Pieces, photo: Pixels | EnlargedPhoto, scale: int, box: Box) -> Float[Tensor, "3 h w"]:
    """Return the pixels `box` of a picture, in [0, 1]: exactly those that `PhotoRows` has.

    Args:
        pieces: of the scene.
        photo: as `PhotoPatches.scaled` or `enlarged` gives it; of this the tiles that the window shows are
            made.
        scale: of the picture to the scene.
        box: (x, y, w, h), pixels of the picture.

    Raises:
        CropError: for a window that is not within the picture.
        OurganError: as `EnlargedPhoto.make` does.
    """
    factor, (x, y, width, height) = scale // REFINED, box
    check_box(box, factor * pieces.labels.shape[0], factor * pieces.labels.shape[1])
    place = (y, x, height, width)
    if isinstance(photo, EnlargedPhoto):
        for _ in photo.make(windows_needed(pieces, factor, place, photo.kept.side)):
            pass
        photo = photo.pixels
    return from_uint8(carry(pieces, photo, factor, place, threads=_threads()))


@lru_cache(1)
def _read(photo: ModelPhoto) -> Pixels:
    image = read_image(photo.path)
    # In strips: rounded as a whole it would take three times the memory of its floats.
    return np.concatenate([to_uint8(strip) for strip in image.split(256, dim=1)])


def _threads() -> int:
    return torch.get_num_threads()
