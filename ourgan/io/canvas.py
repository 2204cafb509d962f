"""Where pixels go: one tiled BigTIFF with its pyramid (or a PNG), a preview beside it, and its record.

Rows arrive from top to bottom and are on disk soon after, in a directory beside the picture-to-be:
`.NAME.tif.unfinished/` with `run.json`, which says what is being drawn, and one file for each finished row
of tiles. Such a file gets its name only once its bytes are on the disk, so the names are the journal: after
a crash at any moment they tell where to go on. The last act puts them together and removes them.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import struct
import tempfile
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ourgan._core.errors import OurganError
from ourgan._core.files import PARTIAL, atomic_path, sha256, write_json
from ourgan.io.tiff import (
    TILE,
    Pixels,
    decode,
    encode,
    half_size,
    level_shapes,
    write_png,
    write_preview,
    write_tiff,
)

_SUFFIXES = (".tif", ".tiff", ".png")
_RUN = "run.json"


def check_output(
    path: str | os.PathLike[str],
    *,
    overwrite: bool = False,
    resume: bool = False,
    shape: tuple[int, int] | None = None,
) -> None:
    """See before hours of work that `path`, its preview and its record can be written.

    `shape`: (height, width) of the picture, for the space it may take: its levels, twice, because they are
    put together from finished rows that are on the disk already. Raises OurganError, one line: unknown
    suffix, missing or unwritable directory, an output or an unfinished one that exists, too little space.
    """
    path = Path(path)
    if path.suffix.lower() not in _SUFFIXES:
        raise OurganError(f"{path}: pictures are written as .tif or .png; choose one of these")
    if not path.parent.is_dir():
        raise OurganError(f"{path}: there is no directory {path.parent}; make it first")
    try:
        with tempfile.TemporaryFile(dir=path.parent):
            pass
    except OSError as error:
        raise OurganError(f"{path}: {path.parent} cannot be written ({error.strerror})") from None
    unfinished = _unfinished(path)
    begun = unfinished.is_dir()
    if begun and not (resume or overwrite):
        raise OurganError(
            f"{path}: was begun and not finished; pass --resume to go on, --overwrite to start again"
        )
    for output in (path, *_beside(path)):
        # An unfinished picture may have been killed between its last renames: then its own files are there.
        if output.is_dir() or (output.exists() and not (overwrite or (resume and begun))):
            raise OurganError(f"{output}: exists already; choose another name, or pass --overwrite")
    if shape is not None:
        free = shutil.disk_usage(path.parent).free
        there = sum(file.stat().st_size for file in unfinished.iterdir()) if begun else 0
        needed = sum(2 * 3 * height * width for height, width in level_shapes(*shape)) - there
        if free < needed:
            raise OurganError(
                f"{path}: may need {needed / 2**20:,.0f} MiB, {free / 2**20:,.0f} MiB are free; make room"
            )


class Canvas:
    """A picture that is drawn row by row, from top to bottom, and survives whatever stops it.

    `rows`: how many are safely on the disk; the next to `append` is this one. `identity`: what makes the
    pixels, in JSON values; an unfinished picture with another is not continued. See `check_output` for what
    is refused beforehand.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        height: int,
        width: int,
        identity: Mapping[str, Any] | None = None,
        *,
        resume: bool = False,
        overwrite: bool = False,
    ) -> None:
        self.path = Path(path)
        check_output(self.path, overwrite=overwrite, resume=resume, shape=(height, width))
        self.shapes = level_shapes(height, width)
        self.height, self.width = height, width
        self._parts = _unfinished(self.path)
        self._strip = np.empty((TILE, width, 3), np.uint8)
        self._filled = 0
        described = {"height": height, "width": width, **(identity or {})}
        described = json.loads(json.dumps(described))  # as it will be read again
        for left_over in self.path.parent.glob(f"{PARTIAL}*-{self.path.name}"):
            left_over.unlink(missing_ok=True)
        with self._writing():
            if resume and (self._parts / _RUN).exists():
                self._check_identity(described)
            else:
                self.discard()
                self._parts.mkdir()
                write_json(self._parts / _RUN, described)
        self.rows = min(self._finished_strips() * TILE, height)

    def append(self, pixels: Pixels) -> None:
        """The next rows, (n, W, 3) uint8. Raises OurganError if they cannot be written."""
        if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[1:] != (self.width, 3):
            raise ValueError(f"rows must be (n, {self.width}, 3) uint8, not {pixels.shape} {pixels.dtype}")
        if self.rows + self._filled + len(pixels) > self.height:
            raise ValueError(f"more rows than {self.height}")
        while len(pixels):
            part = pixels[: TILE - self._filled]
            self._strip[self._filled : self._filled + len(part)] = part
            self._filled, pixels = self._filled + len(part), pixels[len(part) :]
            if self._filled == TILE or self.rows + self._filled == self.height:
                with self._writing():
                    self._write(0, self.rows // TILE, self._strip[: self._filled])
                self.rows, self._filled = self.rows + self._filled, 0

    def finish(self, record: dict[str, Any]) -> None:
        """Make the picture of its rows, NAME.preview.jpg and NAME.json beside it; then forget the rows.

        The record comes last: where it is, all is there. Raises OurganError if something cannot be written;
        what stood there before is then as it was, and the rows are kept.
        """
        if self.rows < self.height:
            raise ValueError(f"only {self.rows} rows of {self.height} are there")
        json.dumps(record)  # what cannot be written should not be found out after the picture was
        preview, sidecar = _beside(self.path)
        with self._writing(), contextlib.ExitStack() as files:
            # Left in the opposite order: the picture gets its name first, its record last.
            aside_sidecar, aside_preview, aside = (
                files.enter_context(atomic_path(final)) for final in (sidecar, preview, self.path)
            )
            for level in range(1, len(self.shapes)):
                for index in range(-(-self.shapes[level][0] // TILE)):
                    self._write(level, index, half_size(self._pair(level - 1, index)))
            if self.path.suffix.lower() == ".png":
                write_png(aside, self.shapes[0], self._strips(0))
            else:
                write_tiff(aside, self.shapes, self._tiles)
            write_preview(aside_preview, self.shapes, self._strips)
            facts = {"file": self.path.name, "width": self.width, "height": self.height}
            facts |= {"bytes": aside.stat().st_size, "sha256": sha256(aside)}
            write_json(aside_sidecar, {**record, "picture": facts})
        self.discard()

    def discard(self) -> None:
        """Remove what is unfinished."""
        shutil.rmtree(self._parts, ignore_errors=True)

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            reason = error.strerror or str(error)
            raise OurganError(
                f"{self.path}: cannot be written ({reason}); finished rows are kept: "
                "repair that, for example make room, and repeat with --resume"
            ) from error

    def _check_identity(self, described: dict[str, Any]) -> None:
        try:
            begun = json.loads((self._parts / _RUN).read_text(encoding="utf-8"))
        except ValueError:
            begun = None
        if not isinstance(begun, dict):
            raise OurganError(f"{self._parts / _RUN}: damaged; pass --overwrite to start again")
        for key in sorted(begun.keys() | described.keys()):
            if begun.get(key) != described.get(key):
                raise OurganError(
                    f"{self.path}: was begun with {key} {begun.get(key)}, this is {described.get(key)}; "
                    "use the same again, or --overwrite to start anew"
                )

    def _file(self, level: int, index: int) -> Path:
        return self._parts / f"level{level}-{index:05d}.tiles"

    def _write(self, level: int, index: int, strip: NDArray[np.uint8]) -> None:
        tiles = encode(strip)
        with atomic_path(self._file(level, index)) as temporary:
            temporary.write_bytes(struct.pack(f"<{len(tiles)}Q", *map(len, tiles)) + b"".join(tiles))

    def _read(self, level: int, index: int) -> list[bytes]:
        count = -(-self.shapes[level][1] // TILE)
        data = self._file(level, index).read_bytes()
        tiles, start = [], 8 * count
        for length in struct.unpack_from(f"<{count}Q", data):
            tiles.append(data[start : start + length])
            start += length
        if start != len(data):
            raise ValueError("a file of another length than its tiles")
        return tiles

    def _decoded(self, level: int, index: int) -> Pixels:
        height, width = self.shapes[level]
        return decode(self._read(level, index), min(TILE, height - index * TILE), width)

    def _pair(self, level: int, index: int) -> Pixels:
        strips = range(2 * index, min(2 * index + 2, -(-self.shapes[level][0] // TILE)))
        return np.concatenate([self._decoded(level, strip) for strip in strips])

    def _tiles(self, level: int) -> Iterator[bytes]:
        for index in range(-(-self.shapes[level][0] // TILE)):
            yield from self._read(level, index)

    def _strips(self, level: int) -> Iterator[Pixels]:
        for index in range(-(-self.shapes[level][0] // TILE)):
            yield self._decoded(level, index)

    def _finished_strips(self) -> int:
        """How many rows of tiles are there and whole, from the top without a gap."""
        for index in range(-(-self.height // TILE)):
            try:
                self._decoded(0, index)
            except (OSError, ValueError, struct.error, zlib.error):
                return index
        return -(-self.height // TILE)


def save_picture(path: str | os.PathLike[str], pixels: Pixels, record: dict[str, Any]) -> None:
    """Write pixels (H, W, 3) uint8, sRGB, that are in memory already: see `Canvas`. Replaces what is there.

    The same pixels give the same bytes. Raises OurganError if that cannot be, leaving all as it was.
    """
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3 or not pixels.size:
        raise ValueError(f"pixels must be (H, W, 3) uint8, not {pixels.shape} {pixels.dtype}")
    json.dumps(record)
    canvas = Canvas(path, *pixels.shape[:2], overwrite=True)
    try:
        canvas.append(pixels)
        canvas.finish(record)
    except BaseException:
        canvas.discard()
        raise


def _beside(path: Path) -> tuple[Path, Path]:
    return path.with_name(f"{path.stem}.preview.jpg"), path.with_name(f"{path.stem}.json")


def _unfinished(path: Path) -> Path:
    return path.with_name(f".{path.name}.unfinished")
