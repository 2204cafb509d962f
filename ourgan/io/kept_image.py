"""A large image that is computed tile by tile, once, and kept on the disk.

It is a directory of three files: `about.json`, what decides its pixels; `pixels.raw`, its rows in 8 bits, of
which only the tiles made so far take room on most disks; and `tiles.raw`, a checksum for each tile. A tile
counts once its checksum is written, after its pixels, and as long as it fits them: what is killed loses the
tile it was at, and a disk that is full or failing spoils none.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
import threading
import weakref
import zlib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
from filelock import FileLock
from numpy.typing import NDArray

from ourgan._core.files import refuse_unwritable, write_json
from ourgan.io.pixel_cache import ABOUT, images_directory, make_room

log = logging.getLogger(__name__)

PIXELS, TILES = "pixels.raw", "tiles.raw"

Box = tuple[int, int, int, int]
"""(top, left, height, width), in pixels of the image."""


class KeptImage:
    """An image whose tiles are kept on the disk, for any threads and processes at once.

    Args:
        about: what decides the pixels, in JSON values; another one is another image.
        size: (height, width).
        side: of a tile.
        name: for people.

    Attributes:
        about: what decides the pixels, the sizes included.
        pixels: (H, W, 3) uint8, mapped from the disk; anything where a tile has not been made.

    Raises:
        OurganError: in one line for a cache that cannot be written, or has no room for the whole image. A
            whole one may lie where it can only be read.
    """

    def __init__(self, about: Mapping[str, Any], size: tuple[int, int], side: int, name: str = "") -> None:
        self.size, self.side = size, side
        self.about = {**about, "size": [size[1], size[0]], "tile": side}
        key = hashlib.sha256(json.dumps(self.about, sort_keys=True).encode()).hexdigest()[:16]
        self.directory, self._lock = images_directory() / key, threading.Lock()  # of the files' positions
        self._sound: set[int] = set()  # tiles whose checksum was compared
        self._across = -(-size[1] // side)
        lengths = {PIXELS: 3 * size[0] * size[1], TILES: 4 * self._across * -(-size[0] // side)}
        mode = "r+b"
        with self._writing():
            try:
                self._prepare(lengths, name)
            except OSError:
                if not self._is_complete(lengths):
                    raise
                mode = "rb"
            # Kept open: who removes the image from the cache leaves it to those that are at it.
            self._files = [(self.directory / file).open(mode, buffering=0) for file in lengths]
            for file in self._files:
                weakref.finalize(self, file.close)
            self.pixels: NDArray[np.uint8] = np.memmap(self._files[0], np.uint8, "r", shape=(*size, 3))
            self._sums: NDArray[np.uint32] = np.memmap(self._files[1], np.uint32, "r")

    def tiles(self) -> list[Box]:
        """Return all tiles, row by row."""
        height, width = self.size
        return [
            (y, x, min(self.side, height - y), min(self.side, width - x))
            for y in range(0, height, self.side)
            for x in range(0, width, self.side)
        ]

    def missing(self, tiles: Iterable[Box]) -> list[Box]:
        """Return those of `tiles` that are not there, or not as they were written."""
        return [tile for tile in tiles if not self._has(tile)]

    @contextlib.contextmanager
    def alone(self, tile: Box) -> Iterator[None]:
        """Let no other thread or process make this tile meanwhile; others they may."""
        if not self.directory.exists():  # removed from the cache: nobody else finds it
            yield
            return
        # With one lock for all tiles who makes the whole image would starve who wants a few of them.
        with self._writing(), FileLock(self.directory / f".lock-{self._number(tile)}"):
            yield

    def write(self, tile: Box, pixels: NDArray[np.uint8]) -> None:
        """Keep the pixels (height, width, 3) of a tile. Raises OurganError if they cannot be written."""
        top, left, height, width = tile
        if pixels.shape != (height, width, 3) or pixels.dtype != np.uint8:
            raise ValueError(f"a tile of {width}x{height} pixels, not {pixels.shape} {pixels.dtype}")
        file, sums = self._files
        with self._writing(), self._lock:
            for y, row in enumerate(pixels, top):
                _write(file, 3 * (y * self.size[1] + left), row.tobytes())
            os.fsync(file.fileno())
            _write(sums, 4 * self._number(tile), np.uint32(_checksum(pixels)).tobytes())
            os.fsync(sums.fileno())
        self._sound.add(self._number(tile))

    def _has(self, tile: Box) -> bool:
        number = self._number(tile)
        if number in self._sound:
            return True
        if not self._sums[number]:
            return False
        top, left, height, width = tile
        if _checksum(self.pixels[top : top + height, left : left + width]) != self._sums[number]:
            log.warning("%s: damaged at (%d, %d), made again", self.directory / PIXELS, left, top)
            return False
        self._sound.add(number)
        return True

    def _number(self, tile: Box) -> int:
        return tile[0] // self.side * self._across + tile[1] // self.side

    def _prepare(self, lengths: Mapping[str, int], name: str) -> None:
        make_room(self.directory, lengths[PIXELS])
        self.directory.mkdir(parents=True, exist_ok=True)
        for part, length in lengths.items():
            with (self.directory / part).open("ab") as file:
                file.truncate(length)
        if not (self.directory / ABOUT).exists():
            write_json(self.directory / ABOUT, {"name": name, **self.about})
        os.utime(self.directory / ABOUT)

    def _is_complete(self, lengths: Mapping[str, int]) -> bool:
        files = {self.directory / part: length for part, length in lengths.items()}
        if any(not file.is_file() or file.stat().st_size != length for file, length in files.items()):
            return False
        return bool(np.fromfile(self.directory / TILES, np.uint32).all())

    def _writing(self) -> contextlib.AbstractContextManager[None]:
        return refuse_unwritable(self.directory, "make room there, or take detail network")


def _write(file: Any, offset: int, data: bytes) -> None:
    view = memoryview(data)
    file.seek(offset)
    while view:  # the last write before a disk is full may be a part
        view = view[file.write(view) :]


def _checksum(pixels: NDArray[np.uint8]) -> int:
    return zlib.crc32(pixels.tobytes()) or 1  # 0 says that a tile is not there
