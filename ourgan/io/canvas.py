"""Where pixels go: one tiled TIFF with its pyramid (or a PNG), a preview beside it, and its record.

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
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ourgan._core.errors import OurganError
from ourgan._core.files import PARTIAL, atomic_path, refuse_unwritable, sha256, write_json
from ourgan.io.tiff import TILE, Pixels, Strips, level_shapes, write_png, write_preview, write_tiff

_SUFFIXES = (".tif", ".tiff", ".png")
_RUN = "run.json"


def check_output(
    path: Path, shape: tuple[int, int], *, overwrite: bool = False, resume: bool = False
) -> None:
    """See before hours of work that a picture, its preview and its record can be written.

    Args:
        path: of the picture.
        shape: its (height, width), for the space it may take: its levels, twice, because they are put
            together from finished rows that are on the disk already.
        overwrite: replace what is there.
        resume: go on with what is unfinished there.

    Raises:
        OurganError: for an unknown suffix, a missing or unwritable directory, an output or an unfinished one
            that exists, and too little space.
    """
    if path.suffix.lower() not in _SUFFIXES:
        raise OurganError(f"{path}: pictures are written as .tif or .png; choose one of these")
    if not path.parent.is_dir():
        raise OurganError(f"{path}: there is no directory {path.parent}; make it first")
    try:
        with tempfile.TemporaryFile(dir=path.parent):
            pass
    except OSError as error:
        raise OurganError(f"{path}: {path.parent} cannot be written ({error.strerror})") from None
    unfinished = _hidden(path, "unfinished")
    begun = unfinished.is_dir()
    if begun and not (resume or overwrite):
        raise OurganError(
            f"{path}: was begun and not finished; pass --resume to go on, --overwrite to start again"
        )
    for output in (path, *_beside(path)):
        # An unfinished picture may have been killed between its last renames: then its own files are there.
        if output.is_dir() or (output.exists() and not (overwrite or (resume and begun))):
            raise OurganError(f"{output}: exists already; choose another name, or pass --overwrite")
    free = shutil.disk_usage(path.parent).free
    there = sum(file.stat().st_size for file in unfinished.rglob("*")) if begun else 0
    needed = sum(2 * 3 * height * width for height, width in level_shapes(*shape)) - there
    if free < needed:
        raise OurganError(
            f"{path}: may need {needed / 2**20:,.0f} MiB, {free / 2**20:,.0f} MiB are free; make room"
        )


class MemoryCanvas:
    """A picture in memory that is drawn like a `Canvas`.

    Attributes:
        pixels: (H, W, 3) uint8.
        rows: how many are there; the next to `append` is this one.
    """

    directory = None  # it keeps nothing anywhere

    def __init__(self, height: int, width: int) -> None:
        self.pixels, self.rows = np.empty((height, width, 3), np.uint8), 0

    def begin(self, _: Mapping[str, Any]) -> int:
        """Return the next row, which is the first one."""
        return 0

    def append(self, pixels: Pixels) -> None:
        """Add the next rows, (n, W, 3)."""
        self.pixels[self.rows : self.rows + len(pixels)] = pixels
        self.rows += len(pixels)

    def finish(self, _: dict[str, Any]) -> Pixels:
        """Return the picture."""
        return self.pixels


class Canvas:
    """A picture that is drawn row by row, from top to bottom, and survives whatever stops it.

    `resume`: go on with what is unfinished there; `overwrite`: replace what is there; `parts`: into how many
    the rows are cut for workers, which always go on. Nothing is written before `begin`. Raises OurganError,
    see `check_output`.

    Attributes:
        rows: how many are safely on the disk; the next to `append` is this one.
        directory: what is unfinished, removed in the end.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        height: int,
        width: int,
        *,
        resume: bool = False,
        overwrite: bool = False,
        parts: int | None = None,
    ) -> None:
        if parts is not None and not 1 <= parts <= height:
            raise OurganError(f"parts {parts}: use 1 to {height}, the picture's rows")
        # Who asks to go on does not want hours of another picture to be thrown away, with --overwrite or not.
        self._replace, self._resume = overwrite and not resume, resume or parts is not None
        self.path, self.height, self.width, self.rows = Path(path), height, width, 0
        check_output(self.path, (height, width), overwrite=overwrite, resume=self._resume)
        self._advice = "repeat with --resume" if parts is None else "repeat the command"
        self.directory = _hidden(self.path, "unfinished")
        self._strips = Strips(self.directory, height, width)
        self._strip = np.empty((TILE, width, 3), np.uint8)
        self._filled = 0

    def begin(self, identity: Mapping[str, Any] | None = None) -> int:
        """Make room for the rows, or find those of the run that is continued; return the next row.

        Args:
            identity: what decides the pixels, in JSON values.

        Raises:
            OurganError: if what is to be continued has another identity, or nothing can be written.
        """
        run = {"height": self.height, "width": self.width, **(identity or {})}
        run = json.loads(json.dumps(run))  # as it will be read again
        with self._writing():
            for left_over in self.path.parent.glob(f"{PARTIAL}*-{self.path.name}"):
                left_over.unlink(missing_ok=True)
            if not (self._resume and self._continues(run)):
                self.discard()
                self.directory.mkdir()
                write_json(self.directory / _RUN, run)
        self.rows = min(self._strips.finished() * TILE, self.height)
        return self.rows

    def append(self, pixels: Pixels) -> None:
        """Add the next rows, (n, W, 3) uint8. Raises OurganError if they cannot be written."""
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
                    self._strips.write(0, self.rows // TILE, self._strip[: self._filled])
                self.rows, self._filled = self.rows + self._filled, 0

    def finish(self, record: dict[str, Any]) -> Path:
        """Make the picture of its rows, NAME.preview.jpg and NAME.json beside it; then forget the rows.

        The record comes last: where it is, all is there. If something cannot be written, what stood there
        before is as it was, and the rows are kept.

        Args:
            record: how the picture was made, in JSON values.

        Returns:
            Where it is.

        Raises:
            OurganError: if something cannot be written.
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
            for level in range(1, len(self._strips.shapes)):
                self._strips.halve(level)
            write = write_png if self.path.suffix.lower() == ".png" else write_tiff
            write(aside, self._strips)
            write_preview(aside_preview, self._strips)
            picture = {"file": self.path.name, "width": self.width, "height": self.height}
            picture |= {"bytes": aside.stat().st_size, "sha256": sha256(aside)}
            write_json(aside_sidecar, {**record, "picture": picture})
        self.discard()
        return self.path

    def discard(self) -> None:
        """Remove what is unfinished; as one step, so that a crash within it leaves no picture half begun."""
        discarded = _hidden(self.path, "discarded")
        shutil.rmtree(discarded, ignore_errors=True)
        if self.directory.is_dir():
            self.directory.rename(discarded)
            shutil.rmtree(discarded, ignore_errors=True)

    def _writing(self) -> contextlib.AbstractContextManager[None]:
        advice = f"finished rows are kept: repair that, for example make room, and {self._advice}"
        return refuse_unwritable(self.path, advice)

    def _continues(self, run: dict[str, Any]) -> bool:
        """Whether the unfinished picture is this one; if there is another that may not be replaced, raise."""
        file = self.directory / _RUN
        try:
            begun = json.loads(file.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return False
        except ValueError:
            begun = None
        if begun == run or self._replace:
            return begun == run
        if not isinstance(begun, dict):
            raise OurganError(f"{file}: damaged; pass --overwrite to start again")
        key = next(key for key in sorted(begun.keys() | run.keys()) if begun.get(key) != run.get(key))
        raise OurganError(
            f"{self.path}: was begun with {key} {begun.get(key)}, this is {run.get(key)}; "
            "use the same again, or --overwrite to start anew"
        )


def open_canvas(
    out: str | os.PathLike[str] | None, height: int, width: int, **options: Any
) -> Canvas | MemoryCanvas:
    """Return where a picture is drawn: a `Canvas` of the file `out`, or without one a `MemoryCanvas`."""
    return MemoryCanvas(height, width) if out is None else Canvas(out, height, width, **options)


def _beside(path: Path) -> tuple[Path, Path]:
    return path.with_name(f"{path.stem}.preview.jpg"), path.with_name(f"{path.stem}.json")


def _hidden(path: Path, what: str) -> Path:
    return path.with_name(f".{path.name}.{what}")
