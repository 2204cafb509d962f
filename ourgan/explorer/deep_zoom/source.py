"""Pictures in tiles (level, x, y), and those of a scene that exists only as a seed.

Level 0 is the smallest picture; each level is twice as wide and high as the one before.
"""

from __future__ import annotations

import io
from abc import ABC, abstractmethod
from collections.abc import Hashable

import torch
from PIL import Image
from torch import Tensor

from ourgan._core.errors import check_choice
from ourgan.config import SIZES
from ourgan.explorer.state.cache import Cache
from ourgan.io.pixels import digest, to_uint8
from ourgan.io.tiff import Pixels, Shape, half_size
from ourgan.pipeline import OurGAN

Tile = tuple[int, int, int]
"""(level, x, y): column and row count tiles, not pixels."""

SCENE_TILE = 256  # pixels
# What is computed at once: four tiles of a level, which are one of the level above. A window of 512 pixels
# takes less than twice the time of one of 256, because both need the same pixels of context around.
BLOCK = 512
NOTE = "the first of a scene take up to a minute on two cores: how far the networks look is measured once"
CACHE_BYTES = 192 * 2**20  # of pixels: half of a 16K picture of the shipped model


class TileSource(ABC):
    """A picture whose tiles are made when asked for.

    Attributes:
        shapes: (height, width) of every level, the smallest first.
        tile: side of a tile in pixels; those at the right and bottom end with the picture.
        note: what a person should know who waits for long.
    """

    shapes: list[Shape]
    tile: int
    note: str

    def __init__(self, cache: Cache) -> None:
        self._cache = cache

    def __contains__(self, tile: Tile) -> bool:
        level, x, y = tile
        if not 0 <= level < len(self.shapes):
            return False
        height, width = self.shapes[level]
        return 0 <= x * self.tile < width and 0 <= y * self.tile < height

    def held(self, tile: Tile) -> Pixels | None:
        """The tile, if that takes no time."""

        def missing() -> Tensor:
            raise KeyError

        block = self._block(tile)
        try:
            return self._cut(tile, self._cache.get(self._key(block), missing).numpy())
        except KeyError:
            return None

    def pixels(self, tile: Tile) -> Pixels:
        """The tile, (up to `tile`, up to `tile`, 3) uint8. May take seconds; raises what `_make` raises."""
        block = self._block(tile)
        made = self._cache.get(self._key(block), lambda: torch.from_numpy(self._make(block)))
        return self._cut(tile, made.numpy())

    def close(self) -> None:
        """Give back what is open; no tile can be asked for afterwards."""
        return

    @abstractmethod
    def _block(self, tile: Tile) -> Tile:
        """What has to be made for a tile."""

    @abstractmethod
    def _key(self, block: Tile) -> Hashable:
        """The name of a block in the cache."""

    @abstractmethod
    def _make(self, block: Tile) -> Pixels: ...

    @abstractmethod
    def _cut(self, tile: Tile, block: Pixels) -> Pixels: ...


class SceneSource(TileSource):
    """The picture that `OurGAN.synthesize` would make, without making it.

    Level 0 is step 1 and every second level one step more; in between, four pixels of the next are averaged,
    as in the pyramid of a finished picture. The pictures of steps 1 and 2 are made whole, larger ones in
    blocks. `size`, `width`, `image`: see `OurGAN.synthesize`. Raises OurganError for an unknown size.
    """

    def __init__(
        self,
        model: OurGAN,
        seed: int,
        size: str,
        cache: Cache,
        *,
        width: int | None = None,
        image: Tensor | None = None,
    ) -> None:
        check_choice("size", size, SIZES)
        super().__init__(cache)
        self.tile, self.note = SCENE_TILE, NOTE
        self._model, self._seed, self._width, self._image = model, seed, width, image
        height, own = model.generator.sizes[-1]
        base = (height, width or own) if image is None else (image.shape[1], image.shape[2])
        self.shapes = [(base[0] << level, base[1] << level) for level in range(2 * SIZES[size] + 1)]
        drawn = None if image is None else digest(image)
        self._scene = (seed, width, drawn)

    def _block(self, tile: Tile) -> Tile:
        """(how many steps of x4, column, row)."""
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
            if self._image is not None:
                return to_uint8(self._image)
            return to_uint8(self._model.sample(self._seed, width=self._width))
        box = (0, 0, width, height)
        if steps > 1:
            left, top = BLOCK * x, BLOCK * y
            box = (left, top, min(BLOCK, width - left), min(BLOCK, height - top))
        size = next(name for name, count in SIZES.items() if count == steps)
        return to_uint8(self._model.crop(self._seed, size, box, width=self._width, image=self._image))

    def _cut(self, tile: Tile, block: Pixels) -> Pixels:
        level, x, y = tile
        reduction = 1 + level % 2
        column, row = (0, 0) if level < 3 else (BLOCK * place for place in self._block(tile)[1:])
        side = self.tile * reduction
        top, left = side * y - row, side * x - column
        part = block[top : top + side, left : left + side]
        return half_size(part) if reduction == 2 else part


def to_png(pixels: Pixels) -> bytes:
    """A tile as bytes that every browser reads, without loss: at 100 % one looks at single pixels."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, format="png", compress_level=1)
    return file.getvalue()
