"""Tiles of a finished picture."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Hashable
from typing import Any

import numpy as np
import tifffile

from ourgan._core.errors import OurganError
from ourgan.explorer.deep_zoom.source import Tile, TileSource
from ourgan.explorer.state.background import ByteCache
from ourgan.io.tiff import Pixels


class PictureSource(TileSource):
    """A finished picture, the tiled TIFF with its smaller levels that `OurGAN.synthesize` writes.

    Args:
        path: of the file.
        cache: of its tiles.

    Raises:
        OurganError: in one line for a file that is missing, damaged or something else.
    """

    def __init__(self, path: str | os.PathLike[str], cache: ByteCache) -> None:
        super().__init__(cache)
        self.note = "the file is being read"
        self._path, self._lock = os.fspath(path), threading.Lock()
        # Kept open: should another picture take this name, the tiles still are those of one picture.
        self._file = self._read(lambda: tifffile.TiffFile(self._path))
        try:
            levels = self._read(lambda: [level.keyframe for level in self._file.series[0].levels])
            self._pages: list[Any] = levels[::-1]
            self._check()
        except OurganError:
            self.close()
            raise
        self.tile = self._pages[0].tilewidth
        self.shapes = [page.shape[:2] for page in self._pages]

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._file.close()

    def _check(self) -> None:
        side, shapes = self._pages[0].tilewidth, [page.shape[:2] for page in self._pages]
        form = {(p.is_tiled, p.tilewidth, p.tilelength, p.dtype, p.shape[2:]) for p in self._pages}
        halves = [(-(-height // 2), -(-width // 2)) for height, width in shapes[1:]]
        if form != {(True, side, side, np.dtype(np.uint8), (3,))} or shapes[:-1] != halves:
            raise OurganError(f"{self._path}: no RGB tiles in levels; write it with `ourgan synthesize`")

    def _read(self, read: Callable[[], Any]) -> Any:
        """Return what `read` returns; OurganError in one line where the file is not as it should be."""
        try:
            return read()
        except OSError as error:
            raise OurganError(f"{self._path}: cannot be read ({error.strerror or error})") from None
        except Exception as error:  # of damaged bytes, tifffile and zlib raise a dozen kinds
            raise OurganError(
                f"{self._path}: not a readable TIFF ({type(error).__name__}); make it again"
            ) from error

    def _block(self, tile: Tile) -> Tile:
        return tile

    def _key(self, block: Tile) -> Hashable:
        return self._path, id(self._file), block

    def _make(self, block: Tile) -> Pixels:
        level, x, y = block
        page = self._pages[level]
        index = y * -(-page.imagewidth // self.tile) + x

        def read() -> Pixels:
            with self._lock:
                file = self._file.filehandle
                file.seek(page.dataoffsets[index])
                data = file.read(page.databytecounts[index])
            return page.decode(data, index)[0][0]

        pixels = self._read(read)
        height, width = page.shape[0] - y * self.tile, page.shape[1] - x * self.tile
        return np.ascontiguousarray(pixels[:height, :width])

    def _cut(self, _tile: Tile, block: Pixels) -> Pixels:
        return block
