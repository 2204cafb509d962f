"""Pictures in tiles (level, x, y), and those of a scene that exists only as a seed.

Level 0 is the smallest picture; each level is twice as wide and high as the one before.
"""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Hashable
from typing import Any

from jaxtyping import Float
from torch import Tensor

from ourgan._core.errors import check_choice
from ourgan.config import SIZES, steps_of
from ourgan.explorer.state.background import ByteCache
from ourgan.explorer.state.switches import project
from ourgan.io.pixels import digest, to_uint8
from ourgan.io.tiff import Pixels, Shape, half_size
from ourgan.pipeline import OurGAN
from ourgan.upscale.detail import Wish

Tile = tuple[int, int, int]
"""(level, x, y): column and row count tiles, not pixels."""

SCENE_TILE = 256  # pixels
# What is computed at once: four tiles of a level, which are one of the level above. A window of 512 pixels
# takes less than twice the time of one of 256, because both need the same pixels of context around.
BLOCK = 512
NOTES = {
    "network": "the first of a scene take up to a minute on two cores: how far the networks look is measured "
    "once",
    "photo": "the first of a scene take some seconds: it is redrawn from the photo once",
}
CACHE_BYTES = 192 * 2**20  # of pixels: half of a 16K picture of the shipped model


class TileSource(ABC):
    """A picture whose tiles are computed or read on request.

    Tiles are cut from blocks, which are what a subclass makes and the cache keeps.

    Args:
        cache: of blocks; sources may share one.

    Attributes:
        shapes: (height, width) of every level, the smallest first.
        tile: side of a tile in pixels; those at the right and bottom end with the picture.
        note: what a person should know who waits for long.
    """

    shapes: list[Shape]
    tile: int
    note: str

    def __init__(self, cache: ByteCache) -> None:
        self._cache = cache

    def __contains__(self, tile: Tile) -> bool:
        level, x, y = tile
        if not 0 <= level < len(self.shapes):
            return False
        height, width = self.shapes[level]
        return 0 <= x * self.tile < width and 0 <= y * self.tile < height

    def find(self, tile: Tile) -> Pixels | None:
        """Return the tile if its block is in the cache, else None; takes no time."""
        pixels = self._cache.find(self._key(self._block(tile)))
        return None if pixels is None else self._cut(tile, pixels)

    def pixels(self, tile: Tile) -> Pixels:
        """Return the tile, (up to `tile`, up to `tile`, 3) uint8; seconds, unless it is in the cache."""
        block = self._block(tile)
        return self._cut(tile, self._cache.find_or_make(self._key(block), lambda: self._make(block)))

    def close(self) -> None:
        """Release what is open; no tile can be requested afterwards."""
        return

    @abstractmethod
    def _block(self, tile: Tile) -> Tile:
        """Return the block that a tile is cut from."""

    @abstractmethod
    def _key(self, block: Tile) -> Hashable:
        """Return the name of a block in the cache."""

    @abstractmethod
    def _make(self, block: Tile) -> Pixels:
        """Compute or read a block; raise OurganError, one line, where that fails."""

    @abstractmethod
    def _cut(self, tile: Tile, block: Pixels) -> Pixels:
        """Return a tile from the pixels of its block."""


class SceneSource(TileSource):
    """The picture that `OurGAN.synthesize` would make, without making it.

    Level 0 is step 1 and every second level one step more; in between, four pixels of the next are averaged,
    as in the pyramid of a finished picture. The pictures of steps 1 and 2 are made whole, larger ones in
    blocks.

    Args:
        model: draws.
        seed: of the scene.
        size: "1k", "4k" or "16k".
        cache: of blocks.
        width: of the scene in pixels of step 1; the photo's own when None.
        image: a picture in [0, 1] to be upscaled in place of the scene that the seed draws.
        scene: "drawn" by step 1, "projected", or "auto", see `OurGAN.synthesize`.
        detail: by the "network", of the "photo", or "auto".
        photo: file of the model's photo.

    Raises:
        OurganError: for an unknown size, and for a scene and a detail that cannot be had at it.
    """

    def __init__(
        self,
        model: OurGAN,
        seed: int,
        size: str,
        cache: ByteCache,
        *,
        width: int | None = None,
        image: Float[Tensor, "3 h w"] | None = None,
        scene: str = "drawn",
        detail: str = "network",
        photo: str | os.PathLike[str] | None = None,
    ) -> None:
        check_choice("size", size, SIZES)
        super().__init__(cache)
        self._model, self._seed, self._width, self._image = model, seed, width, image
        height, own = model.generator.sizes[-1]
        base = (height, width or own) if image is None else (image.shape[1], image.shape[2])
        self.shapes = [(base[0] << level, base[1] << level) for level in range(2 * SIZES[size] + 1)]
        look = model.look(Wish(scene, detail, photo), base, steps_of(size))
        self.tile, self.note = SCENE_TILE, NOTES[look.detail]
        self._way: dict[str, Any] = {"scene": look.scene, "detail": look.detail, "photo": photo}
        self._scene = (seed, width, None if image is None else digest(image), look.scene, look.detail)

    def _block(self, tile: Tile) -> Tile:
        """Return (how many steps of x4, column, row)."""
        level, x, y = tile
        if level < 3:
            return (level + 1) // 2, 0, 0
        shift = 1 - level % 2
        return (level + 1) // 2, x >> shift, y >> shift

    def _key(self, block: Tile) -> Hashable:
        return self._scene, block

    def _make(self, block: Tile) -> Pixels:
        steps, x, y = block
        height, width = self.shapes[2 * steps]
        if steps == 0:
            drawn = self._image
            if drawn is None:
                drawn = self._model.sample(self._seed, width=self._width)
            projected = self._way["scene"] == "projected"
            return to_uint8(project(self._model, drawn, self._way["photo"]) if projected else drawn)
        box = (0, 0, width, height)
        if steps > 1:
            left, top = BLOCK * x, BLOCK * y
            box = (left, top, min(BLOCK, width - left), min(BLOCK, height - top))
        size = next(name for name, count in SIZES.items() if count == steps)
        return to_uint8(
            self._model.crop(self._seed, size, box, width=self._width, image=self._image, **self._way)
        )

    def _cut(self, tile: Tile, block: Pixels) -> Pixels:
        level, x, y = tile
        reduction = 1 + level % 2
        column, row = (0, 0) if level < 3 else (BLOCK * index for index in self._block(tile)[1:])
        side = self.tile * reduction
        top, left = side * y - row, side * x - column
        part = block[top : top + side, left : left + side]
        return half_size(part) if reduction == 2 else part
