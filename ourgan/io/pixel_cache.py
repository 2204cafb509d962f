"""Large images that are computed tile by tile, once, and kept on the disk in this user's cache.

An image is a directory of three files: `about.json`, what decides its pixels; `pixels.raw`, its rows in 8
bits, of which only the tiles made so far take room on most disks; and `tiles.raw`, a checksum for each tile.
A tile counts once its checksum is written, after its pixels, and as long as it fits them: what is killed
loses the tile it was at, and a disk that is full or failing spoils none.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
import shutil
import threading
import weakref
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock
from numpy.typing import NDArray

from ourgan._core.arguments import parse_bytes
from ourgan._core.errors import OurganError
from ourgan._core.files import PARTIAL, cache_directory, refuse_unwritable, write_json

log = logging.getLogger(__name__)

LIMIT = 4 * 2**30  # bytes: six photos at 16,384 x 12,288; OURGAN_CACHE_LIMIT is another, such as 500M
ABOUT, PIXELS, TILES = "about.json", "pixels.raw", "tiles.raw"

Box = tuple[int, int, int, int]
"""(top, left, height, width), in pixels of the image."""


@dataclass(frozen=True)
class Kept:
    """One image in the cache.

    Attributes:
        directory: where it lies.
        about: what decides its pixels.
        bytes: that it takes on the disk.
        used: when it was last opened, in seconds since 1970.
    """

    directory: Path
    about: dict[str, Any]
    bytes: int
    used: float


def images_directory() -> Path:
    """Return the directory of all images; it may not exist yet."""
    return cache_directory() / "photos"


def limit() -> int:
    """Return how many bytes all images may take: OURGAN_CACHE_LIMIT, or LIMIT. Raises OurganError."""
    try:
        return parse_bytes(os.environ.get("OURGAN_CACHE_LIMIT") or str(LIMIT))
    except OurganError as error:
        raise OurganError(f"OURGAN_CACHE_LIMIT: {error}") from None


def kept_images() -> list[Kept]:
    """Return what is in the cache, the last used first."""
    found = []
    for about in images_directory().glob(f"*/{ABOUT}"):
        with contextlib.suppress(OSError, ValueError):  # removed at this moment, or damaged: it is made again
            taken = sum(_on_disk(file) for file in about.parent.iterdir())
            found.append(Kept(about.parent, json.loads(about.read_text()), taken, about.stat().st_mtime))
    return sorted(found, key=lambda kept: -kept.used)


def report() -> str:
    """Return a line for each image in the cache, and one with their sum."""
    images = kept_images()
    lines = [
        f"{kept.directory}: {kept.about.get('name')} at {'x'.join(map(str, kept.about.get('size', ())))}, "
        f"{kept.bytes / 2**20:,.0f} MiB, last used {datetime.fromtimestamp(kept.used):%Y-%m-%d %H:%M}"
        for kept in images
    ]
    total = sum(kept.bytes for kept in images) / 2**20
    return "\n".join(
        [*lines, f"{total:,.0f} MiB of {limit() / 2**20:,.0f}; `ourgan cache --clear` frees them"]
    )


def clear_images() -> int:
    """Remove all images and what is left of earlier ones; return how many bytes that frees.

    A picture that is being made from one keeps it until it is done.

    Raises:
        OurganError: if something cannot be removed.
    """
    freed = sum(kept.bytes for kept in kept_images())
    with refuse_unwritable(images_directory()):
        for directory in images_directory().glob("*/"):
            _remove(directory)
    return freed


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
        OurganError: in one line for a cache that cannot be written, or has no room for the whole image.
    """

    def __init__(self, about: Mapping[str, Any], size: tuple[int, int], side: int, name: str = "") -> None:
        self.size, self.side = size, side
        self.about = {**about, "size": [size[1], size[0]], "tile": side}
        key = hashlib.sha256(json.dumps(self.about, sort_keys=True).encode()).hexdigest()[:16]
        self.directory, self._lock = images_directory() / key, threading.Lock()
        self._sound: set[int] = set()  # tiles whose checksum was compared
        self._across = -(-size[1] // side)
        whole, tiles = 3 * size[0] * size[1], self._across * -(-size[0] // side)
        with self._writing():
            self._make_room(whole)
            self.directory.mkdir(parents=True, exist_ok=True)
            for part, length in ((PIXELS, whole), (TILES, 4 * tiles)):
                with (self.directory / part).open("ab") as opened:
                    opened.truncate(length)
            if not (self.directory / ABOUT).exists():
                write_json(self.directory / ABOUT, {"name": name, **self.about})
            os.utime(self.directory / ABOUT)
            self._process = FileLock(self.directory / ".lock", thread_local=False)
            # Kept open: who removes the image from the cache leaves it to those that are at it.
            self._files = [(self.directory / file).open("r+b", buffering=0) for file in (PIXELS, TILES)]
            for file in self._files:
                weakref.finalize(self, file.close)
            self.pixels: NDArray[np.uint8] = np.memmap(self._files[0], np.uint8, "r", shape=(*size, 3))
            self._sums: NDArray[np.uint32] = np.memmap(self._files[1], np.uint32, "r", shape=(tiles,))

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
    def alone(self) -> Iterator[None]:
        """Let no other thread or process make tiles of this image meanwhile."""
        with self._lock, self._process:
            yield

    def write(self, tile: Box, pixels: NDArray[np.uint8]) -> None:
        """Keep the pixels (height, width, 3) of a tile. Raises OurganError if they cannot be written."""
        top, left, height, width = tile
        if pixels.shape != (height, width, 3) or pixels.dtype != np.uint8:
            raise ValueError(f"a tile of {width}x{height} pixels, not {pixels.shape} {pixels.dtype}")
        rows, (file, sums) = np.ascontiguousarray(pixels), self._files
        with self._writing():
            for y, row in enumerate(rows, top):
                _write(file, 3 * (y * self.size[1] + left), row.tobytes())
            os.fsync(file.fileno())
            _write(sums, 4 * self._number(tile), np.uint32(_checksum(rows)).tobytes())
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

    def _writing(self) -> contextlib.AbstractContextManager[None]:
        return refuse_unwritable(self.directory, "make room there, or take detail network")

    def _make_room(self, whole: int) -> None:
        """Remove images that were not used for longest until this one is within the limit, and the disk's."""
        most, others = limit(), [kept for kept in kept_images() if kept.directory != self.directory]
        if whole > most:
            raise OurganError(
                f"{self.directory}: needs {whole / 2**20:,.0f} MiB, the cache's limit is {most / 2**20:,.0f} "
                "MiB: set OURGAN_CACHE_LIMIT, or take detail network"
            )
        while whole + sum(kept.bytes for kept in others) > most:
            log.info("%s: removed from the cache, see `ourgan cache`", others[-1].directory)
            _remove(others.pop().directory)
        there = next((path for path in (self.directory, *self.directory.parents) if path.exists()), Path())
        pixels = self.directory / PIXELS
        needed = whole - (_on_disk(pixels) if pixels.exists() else 0)
        if (free := shutil.disk_usage(there).free) < needed:
            raise OurganError(
                f"{self.directory}: needs {needed / 2**20:,.0f} MiB, {free / 2**20:,.0f} MiB are free: make "
                "room there, set XDG_CACHE_HOME to another disk, or take detail network"
            )


def _write(file: Any, offset: int, data: bytes) -> None:
    view = memoryview(data)
    file.seek(offset)
    while view:  # the last write before a disk is full may be a part
        view = view[file.write(view) :]


def _checksum(pixels: NDArray[np.uint8]) -> int:
    return zlib.crc32(pixels.tobytes()) or 1  # 0 says that a tile is not there


def _remove(directory: Path) -> None:
    """Remove an image; as one step, so that another process finds it whole or not at all."""
    aside = directory.with_name(f"{PARTIAL}{directory.name}")
    if not directory.name.startswith(PARTIAL):
        shutil.rmtree(aside, ignore_errors=True)
        directory = directory.rename(aside)
    shutil.rmtree(directory)


def _on_disk(file: Path) -> int:
    status = file.stat()
    return min(status.st_size, getattr(status, "st_blocks", status.st_size) * 512)  # holes take no room
