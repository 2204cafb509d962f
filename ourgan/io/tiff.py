"""A picture in rows of tiles, its half-size levels, and the files made of them: TIFF, PNG, preview.

Everything here works on one row of tiles at a time, so that memory does not depend on a picture's height.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import Image

from ourgan._core.files import atomic_path
from ourgan.io.pixels import srgb_profile

Pixels = NDArray[np.uint8]
Shape = tuple[int, int]

TILE = 512  # pixels: one tile is what a viewer fetches, and the last level fits in one
PREVIEW = 2048
CLASSIC = 2**32 - 2**20  # bytes that the offsets of a classic TIFF reach, with room to spare
_DIRECTORY = 4096  # bytes of a level's tags beside its profile and the places of its tiles, at most
_BAND = 128  # rows averaged at a time, so that a level costs little more than itself


def level_shapes(height: int, width: int) -> list[Shape]:
    """Return (height, width) of every level, each half of the one before, down to one tile."""
    shapes = [(height, width)]
    while max(shapes[-1]) > TILE:
        shapes.append(((shapes[-1][0] + 1) // 2, (shapes[-1][1] + 1) // 2))
    return shapes


def half_size(pixels: Pixels) -> Pixels:
    """Average 2 x 2 pixels of (H, W, 3) uint8, rounding half up; an odd last row or column counts twice."""
    height, width = pixels.shape[:2]
    half = np.empty(((height + 1) // 2, (width + 1) // 2, 3), np.uint8)
    for top in range(0, height, _BAND):
        band = pixels[top : top + _BAND]
        band = np.pad(band, ((0, len(band) % 2), (0, width % 2), (0, 0)), mode="edge").astype(np.uint16)
        band = band[0::2] + band[1::2]
        half[top // 2 : top // 2 + len(band)] = (band[:, 0::2] + band[:, 1::2] + 2) // 4
    return half


def encode(strip: Pixels) -> list[bytes]:
    """Return a row of tiles, (up to TILE, W, 3), as TIFF stores them: full size, predictor, deflate."""
    tiles = []
    for left in range(0, strip.shape[1], TILE):
        tile = strip[:, left : left + TILE]
        tile = np.pad(tile, ((0, TILE - tile.shape[0]), (0, TILE - tile.shape[1]), (0, 0)), mode="edge")
        tile[:, 1:] -= tile[:, :-1].copy()  # modulo 256
        tiles.append(zlib.compress(tile.tobytes(), 6))
    return tiles


def decode(tiles: Sequence[bytes], height: int, width: int) -> Pixels:
    """Return the row of tiles, (height, width, 3), of which `encode` made these."""
    strip = np.empty((TILE, len(tiles) * TILE, 3), np.uint8)
    for index, data in enumerate(tiles):
        tile = np.frombuffer(zlib.decompress(data), np.uint8).reshape(TILE, TILE, 3)
        np.cumsum(tile, axis=1, dtype=np.uint8, out=strip[:, index * TILE : (index + 1) * TILE])
    return strip[:height, :width]


class Strips:
    """Rows of tiles of a picture and its levels, a file each in a directory: `levelN-MMMMM.tiles`.

    A file is whole or absent: the lengths of its encoded tiles, eight bytes each, then the tiles.

    Args:
        directory: of the files.
        height: of the picture in pixels.
        width: of the same.

    Attributes:
        shapes: (height, width) of every level.
    """

    def __init__(self, directory: Path, height: int, width: int) -> None:
        self.shapes = level_shapes(height, width)
        self._directory = directory

    def count(self, level: int) -> int:
        """Return the number of rows of tiles of a level."""
        return -(-self.shapes[level][0] // TILE)

    def write(self, level: int, index: int, strip: Pixels) -> None:
        """Write a row of tiles, (up to TILE, W, 3)."""
        tiles = encode(strip)
        with atomic_path(self._file(level, index)) as temporary:
            temporary.write_bytes(struct.pack(f"<{len(tiles)}Q", *map(len, tiles)) + b"".join(tiles))

    def halve(self, level: int) -> None:
        """Write a level from the one before it."""
        for index in range(self.count(level)):
            pair = range(2 * index, min(2 * index + 2, self.count(level - 1)))
            self.write(level, index, half_size(np.concatenate([self.read(level - 1, n) for n in pair])))

    def finished(self) -> int:
        """Return how many rows of tiles of the picture are there and whole, from the top without a gap."""
        for index in range(self.count(0)):
            try:
                self.read(0, index)
            except (OSError, ValueError, struct.error, zlib.error):
                return index
        return self.count(0)

    def read(self, level: int, index: int) -> Pixels:
        """Return the pixels of a row of tiles; one of the errors above if it is not there and whole."""
        height, width = self.shapes[level]
        return decode(self._encoded(level, index), min(TILE, height - index * TILE), width)

    def pixels(self, level: int) -> Iterator[Pixels]:
        """Iterate over the pixels of a level, a row of tiles at a time."""
        return (self.read(level, index) for index in range(self.count(level)))

    def tiles(self, level: int) -> Iterator[bytes]:
        """Iterate over the encoded tiles of a level, row by row."""
        for index in range(self.count(level)):
            yield from self._encoded(level, index)

    def stored_bytes(self) -> int:
        """Return the bytes of all levels as they lie here: their tiles, and eight more for each."""
        levels = range(len(self.shapes))
        files = (self._file(level, index) for level in levels for index in range(self.count(level)))
        return sum(file.stat().st_size for file in files)

    def _file(self, level: int, index: int) -> Path:
        return self._directory / f"level{level}-{index:05d}.tiles"

    def _encoded(self, level: int, index: int) -> list[bytes]:
        count, data = -(-self.shapes[level][1] // TILE), self._file(level, index).read_bytes()
        tiles, start = [], 8 * count
        for length in struct.unpack_from(f"<{count}Q", data):
            tiles.append(data[start : start + length])
            start += length
        if start != len(data):
            raise ValueError("a file of another length than its tiles")
        return tiles


def write_tiff(path: Path, strips: Strips) -> None:
    """Write a TIFF of tiles, with its smaller levels as the pages behind it: so most viewers find them.

    It is a classic TIFF, which every program opens, as long as its offsets reach; above that a BigTIFF.
    """
    options: dict[str, Any] = {
        "dtype": np.uint8,
        "photometric": "rgb",
        "tile": (TILE, TILE),
        "compression": "zlib",
        "predictor": True,
        "iccprofile": srgb_profile(),
        "metadata": None,
    }
    directories = len(strips.shapes) * (len(srgb_profile()) + _DIRECTORY)
    with tifffile.TiffWriter(path, bigtiff=strips.stored_bytes() + directories > CLASSIC) as tiff:
        for level, shape in enumerate(strips.shapes):
            # No resolution: what is drawn has no size in inches.
            own = {"subfiletype": tifffile.FILETYPE.REDUCEDIMAGE} if level else {"software": "ourgan"}
            tiff.write(strips.tiles(level), shape=(*shape, 3), **own, **options)


def write_png(path: Path, strips: Strips) -> None:
    """Write a PNG, a row of tiles at a time; Pillow would want all rows at once."""
    height, width = strips.shapes[0]
    with path.open("wb") as file:

        def chunk(kind: bytes, data: bytes) -> None:
            file.write(struct.pack(">I", len(data)) + kind + data)
            file.write(struct.pack(">I", zlib.crc32(kind + data)))

        file.write(b"\x89PNG\r\n\x1a\n")
        chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
        chunk(b"iCCP", b"sRGB\0\0" + zlib.compress(srgb_profile()))
        deflate = zlib.compressobj(6)
        for strip in strips.pixels(0):
            rows = np.empty((len(strip), 1 + 3 * width), np.uint8)
            rows[:, 0] = 1  # filter "Sub": each byte less that of the pixel to the left
            rows[:, 1:] = strip.reshape(len(strip), -1)
            rows[:, 4:] -= strip[:, :-1].reshape(len(strip), -1)
            chunk(b"IDAT", deflate.compress(rows.tobytes()))
        chunk(b"IDAT", deflate.flush())
        chunk(b"IEND", b"")


def write_preview(path: Path, strips: Strips) -> None:
    """Write a JPEG of at most PREVIEW pixels, from the smallest level that is not smaller than that."""
    level = max((n for n, shape in enumerate(strips.shapes) if max(shape) >= PREVIEW), default=0)
    image = Image.fromarray(np.concatenate(list(strips.pixels(level))))
    image.thumbnail((PREVIEW, PREVIEW), Image.Resampling.LANCZOS)
    image.save(path, format="JPEG", quality=92, icc_profile=srgb_profile())
