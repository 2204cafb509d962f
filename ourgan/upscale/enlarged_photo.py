"""A photo beyond its own size: enlarged by the networks of a model, once for all pictures.

The enlarged photo is made of fixed tiles, each a function of the photo, the weights and its place alone: the
network sees MARGIN pixels of the photo about it, as far as there are any. So the whole photo, a window's
few tiles and what a killed run goes on with are the same bits, in any order. They are kept on the disk.
"""

from __future__ import annotations

import functools
import logging
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from tqdm.auto import tqdm

from ourgan._core.devices import dtype_name
from ourgan.io.kept_image import Box, KeptImage
from ourgan.io.model_photo import ModelPhoto
from ourgan.io.pixels import from_uint8, to_uint8
from ourgan.upscale.bands import BandPlan, upscale_in_bands
from ourgan.upscale.noise import add_noise
from ourgan.upscale.schedule import rows_of
from ourgan.upscale.upscaler import Upscaler

log = logging.getLogger(__name__)

FORMAT = 1  # of what follows: another one is another photo
CORE = 256  # LR pixels that a tile is of. Larger ones compute less twice, and a window waits longer for one.
# LR pixels that are computed with it, which makes 1.56 times the work that bands of the whole photo are. On a
# photo's forest a tile's edge then differs from one with 80 by 2.4 8-bit levels on average (1 % by more than
# 10), in its sky by 0.2; with 16 by 6.4 and 0.5, with 48 by 1.0 and 0.1, in bfloat16.
MARGIN = 32
BAND = 32  # LR rows at a time: little memory, and as fast as a tile at once
BEYOND = 4 / 3  # of what pixels there are, at most, by interpolation: more would be soft
SEED = 0  # of the noise of Eq. 4, for networks that have learned with it

Pixels = NDArray[np.uint8]
Size = tuple[int, int]


def steps_beyond(photo: Size, shown: Size, steps: Sequence[int]) -> list[int]:
    """Return the last of a picture's `steps` that a photo has to be enlarged by.

    Args:
        photo: its (height, width).
        shown: those at which the picture shows it.
        steps: of the picture, the paper's numbers; there are enough for any photo as large as the scene.
    """
    ratio = max(shown[0] / photo[0], shown[1] / photo[1])
    count = max(0, math.ceil(math.log(ratio / BEYOND, 4) - 1e-9)) if ratio > BEYOND else 0
    return list(steps)[len(steps) - count :]


@dataclass(frozen=True, eq=False)
class EnlargedPhoto:
    """A photo that networks enlarge, tile by tile, as far as its pixels are wanted.

    Attributes:
        source: what is enlarged: pixels (H, W, 3), or the photo enlarged by the step before.
        upscaler: whose network it is.
        step: its number.
        kept: the result; its `pixels` are mapped from the disk.
    """

    source: Pixels | EnlargedPhoto
    upscaler: Upscaler
    step: int
    kept: KeptImage

    @classmethod
    def of(
        cls, photo: ModelPhoto, pixels: Pixels, upscaler: Upscaler, steps: Sequence[int], shown: Size
    ) -> EnlargedPhoto:
        """Return a photo enlarged by steps of x4 to `shown`; nothing is computed yet.

        Args:
            photo: its file.
            pixels: (H, W, 3), what is in it.
            upscaler: the networks.
            steps: their numbers, one or more; the last one's result is brought to the size wanted.
            shown: (height, width).

        Raises:
            OurganError: for weights that cannot be had, and a cache that cannot be written.
        """
        source: Pixels | EnlargedPhoto = pixels
        for number in steps:
            height, width = _size(source)
            size = shown if number == steps[-1] else (4 * height, 4 * width)
            about = {"photo": photo.sha256, **_decides(upscaler, [n for n in steps if n <= number])}
            side = max(64, CORE * size[1] // width // 64 * 64)
            source = cls(source, upscaler, number, KeptImage(about, size, side, photo.path.name))
        assert isinstance(source, EnlargedPhoto)
        return source

    def describe(self) -> dict[str, Any]:
        """Return what decides the pixels, in JSON values."""
        return self.kept.about

    @property
    def pixels(self) -> Pixels:
        """The pixels (H, W, 3); those of tiles that `make` has made count."""
        return self.kept.pixels

    def make(self, tiles: Iterable[Box], *, progress: bool = False) -> Iterator[Box]:
        """Make those of `tiles` that are not there, and yield each.

        Raises:
            OurganError: for a disk that is full, and values that are not finite.
        """
        missing = self.kept.missing(tiles)
        if not missing:
            return
        log.info(
            "%d of %d tiles of the photo are enlarged and kept in %s, for all pictures of this size",
            len(missing), len(self.kept.tiles()), self.kept.directory,
        )  # fmt: skip
        with tqdm(missing, desc="photo enlarged", unit="tile", disable=not progress) as bar:
            for tile in bar:
                with self.kept.alone(tile):
                    if self.kept.missing([tile]):  # not made by another process since
                        self.kept.write(tile, self._tile(tile))
                yield tile

    def _read(self, box: Box) -> Pixels:
        top, left, height, width = box
        source = self.source
        if isinstance(source, EnlargedPhoto):
            for _ in source.make(tile for tile in source.kept.tiles() if _meet(tile, box)):
                pass
            source = source.pixels
        return source[top : top + height, left : left + width]

    @torch.no_grad()
    def _tile(self, tile: Box) -> Pixels:
        step = self.upscaler.step(self.step)
        size, multiple = _size(self.source), step.network.size_multiple
        spans = [
            _span(tile[axis], tile[axis + 2], size[axis], self.kept.size[axis], multiple) for axis in (0, 1)
        ]
        (top, height, y), (left, width, x) = spans
        image = from_uint8(self._read((top, left, height, width)))
        image = add_noise(image, SEED, self.step, step.noise_std, top=top, left=left)
        plan = BandPlan(height, width, BAND)
        bands = upscale_in_bands(step.network, functools.partial(rows_of, image), plan)
        enlarged = np.concatenate([to_uint8(band.clamp_(0, 1)) for band in bands])
        place = x[0], y[0], x[1], y[1]
        return np.asarray(
            Image.fromarray(enlarged).resize((tile[3], tile[2]), Image.Resampling.BICUBIC, place)
        )


def _decides(upscaler: Upscaler, steps: Sequence[int]) -> dict[str, Any]:
    """Return what decides the pixels beside the photo and the sizes, in JSON values."""
    settings, networks = upscaler.settings, [upscaler.network(step) for step in steps]
    return {
        "format": FORMAT,
        "backbone": settings.backbone,
        "noise_std": settings.noise_std,
        "device": upscaler.device.type,
        "weights": [source.sha256 for _, source in networks],
        "dtype": [dtype_name(next(network.parameters()).dtype) for network, _ in networks],
        "margin": MARGIN,
    }


def _size(image: Pixels | EnlargedPhoto) -> Size:
    height, width = image.pixels.shape[:2] if isinstance(image, EnlargedPhoto) else image.shape[:2]
    return height, width


def _span(
    start: int, length: int, source: int, target: int, multiple: int
) -> tuple[int, int, tuple[float, float]]:
    """Return where the network's window begins, its length, and where the tile lies within what it makes."""
    first, last = start * source / target, (start + length) * source / target
    outer = max(0, math.floor(first) - MARGIN)
    outer -= outer % multiple
    end = math.ceil(last) + MARGIN
    end = min(source, end + -end % multiple)
    return outer, end - outer, (4 * (first - outer), min(4 * (last - outer), 4.0 * (end - outer)))


def _meet(tile: Box, box: Box) -> bool:
    return all(tile[k] < box[k] + box[k + 2] and box[k] < tile[k] + tile[k + 2] for k in (0, 1))
