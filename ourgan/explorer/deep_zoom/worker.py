"""Tiles that are in view: those in the cache at once, the rest one after another on one thread."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence

from ourgan._core.errors import OurganError
from ourgan.explorer.deep_zoom.source import Tile, TileSource
from ourgan.io.pixels import encode_png

log = logging.getLogger(__name__)


class TileWorker:
    """Make the tiles of one source that are wanted now.

    A view says with `want` which tiles it lacks; what it no longer names is dropped before it is begun, so
    that after a pan nothing out of sight is computed. Small levels come first: they cost least and show most.
    The thread begins with the first tile that has to be made and ends with the last.

    Args:
        source: of the tiles.
        answer: called with (tile, PNG bytes), on the thread of `want` for what is in the cache, else on the
            worker's.
        fail: called with (tile, one line) instead, for a tile that cannot be made.
    """

    def __init__(
        self,
        source: TileSource,
        answer: Callable[[Tile, bytes], None],
        fail: Callable[[Tile, str], None],
    ) -> None:
        self.source = source
        self._answer, self._fail = answer, fail
        self._wanted: dict[str, list[Tile]] = {}
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._closed = False

    def want(self, view: str, tiles: Sequence[Tile]) -> None:
        """Set all tiles that `view` lacks from now on, the most wanted first."""
        with self._lock:
            if self._closed:
                return
            self._wanted.pop(view, None)
            if tiles:
                self._wanted[view] = list(tiles)
        for tile in tiles:
            if tile not in self.source:
                self._forget(tile)
                self._fail(tile, f"tile {tile} is not within the picture")
        self._answer_found()
        with self._lock:
            if self._next() is not None and not self._running():
                self._thread = threading.Thread(target=self._work, name="ourgan-tiles", daemon=True)
                self._thread.start()

    def close(self) -> None:
        """Answer no more; a tile that is being made is finished and dropped, then the thread ends."""
        with self._lock:
            self._closed = True
            self._wanted.clear()
            if not self._running():
                self.source.close()

    def join(self, timeout: float | None = None) -> bool:
        """Wait until nothing is being made, or `timeout` seconds; return whether nothing is."""
        thread = self._thread
        if thread is not None:
            thread.join(timeout)
        return thread is None or not thread.is_alive()

    def _running(self) -> bool:
        return self._thread is not None and self._thread.is_alive()

    def _work(self) -> None:
        while True:
            with self._lock:
                tile = self._next()
                if tile is None:
                    self._thread = None  # within the lock: what is wanted from now on begins another
                    if self._closed:
                        self.source.close()
                    return
            self._make(tile)

    def _make(self, tile: Tile) -> None:
        try:
            png = encode_png(self.source.pixels(tile))
        except Exception as error:
            if not isinstance(error, OurganError):
                log.exception("tile %s cannot be made", tile)
            text = str(error) if isinstance(error, OurganError) else f"{type(error).__name__}: {error}"
            if self._forget(tile):
                self._fail(tile, text)
        else:
            if self._forget(tile):
                self._answer(tile, png)
            self._answer_found()

    def _next(self) -> Tile | None:
        wanted = [
            (tile[0], index, tile) for tiles in self._wanted.values() for index, tile in enumerate(tiles)
        ]
        return min(wanted)[2] if wanted else None

    def _answer_found(self) -> None:
        """Answer everything wanted whose pixels are in the cache: one block makes five tiles."""
        with self._lock:
            wanted = {tile for tiles in self._wanted.values() for tile in tiles}
        for tile in sorted(wanted):
            pixels = self.source.find(tile)
            if pixels is not None:
                png = encode_png(pixels)
                if self._forget(tile):
                    self._answer(tile, png)

    def _forget(self, tile: Tile) -> bool:
        """Remove a tile from all lists; return whether it still was on one."""
        with self._lock:
            wanted = any(tile in tiles for tiles in self._wanted.values())
            left = {view: [t for t in tiles if t != tile] for view, tiles in self._wanted.items()}
            self._wanted = {view: tiles for view, tiles in left.items() if tiles}
            return wanted
