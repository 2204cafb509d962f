"""Where pixels go: one tiled BigTIFF with its pyramid (or a PNG), a preview beside it, and its record."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import Image

from ourgan.colour import srgb_profile
from ourgan.errors import OurganError
from ourgan.files import atomic_path, sha256, write_json

Pixels = NDArray[np.uint8]

TILE = 512  # pixels: one tile is what a viewer fetches, and the last level fits in one
PREVIEW = 2048
_DPI = 300
_BAND = 1024  # rows averaged at a time, so that a level costs little more than itself
_SUFFIXES = (".tif", ".tiff", ".png")


def check_output(path: str | os.PathLike[str], *, overwrite: bool = False, expected_bytes: int = 0) -> None:
    """See before hours of work that `path`, its preview and its record can be written.

    `expected_bytes`: an upper bound of what will be written; for 8-bit RGB, 3 H W and a half.
    Raises OurganError, one line: unknown suffix, missing or unwritable directory, existing output, or too
    little free space.
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
    for output in (path, *_beside(path)):
        if output.is_dir() or (output.exists() and not overwrite):
            raise OurganError(f"{output}: exists already; choose another name, or pass --overwrite")
    free = shutil.disk_usage(path.parent).free
    if free < expected_bytes:
        raise OurganError(
            f"{path}: needs {expected_bytes / 2**20:,.0f} MiB and {free / 2**20:,.0f} MiB are free; make room"
        )


def save_picture(path: str | os.PathLike[str], pixels: Pixels, record: dict[str, Any]) -> None:
    """Write pixels (H, W, 3) uint8, sRGB, as NAME.tif or NAME.png, with NAME.preview.jpg and NAME.json.

    The TIFF is a BigTIFF of 512-pixel tiles, deflated with a horizontal predictor, and holds every half-size
    level down to one tile as SubIFDs. The same pixels give the same bytes. NAME.json is `record` with the
    picture's file name, size and SHA-256; it comes last, so that where it is, all is there.

    Everything is written aside first and what stood there before is replaced only then. Raises OurganError
    if the disk fills up or refuses, leaving all as it was; see `check_output` for what can be known before.
    """
    path = Path(path)
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3 or not pixels.size:
        raise ValueError(f"pixels must be (H, W, 3) uint8, not {pixels.shape} {pixels.dtype}")
    json.dumps(record)  # a record that cannot be written should not be found out after the picture was
    preview, sidecar = _beside(path)
    try:
        with contextlib.ExitStack() as files:
            # Left in the opposite order: the picture gets its name first, its record last.
            aside_sidecar, aside_preview, aside = (
                files.enter_context(atomic_path(final)) for final in (sidecar, preview, path)
            )
            levels = _half_sizes(pixels)
            if path.suffix.lower() == ".png":
                _save(Image.fromarray(pixels), aside)
            else:
                _write_tiff(aside, levels)
            _write_preview(aside_preview, levels)
            height, width = pixels.shape[:2]
            facts = {"file": path.name, "width": width, "height": height}
            facts |= {"bytes": aside.stat().st_size, "sha256": sha256(aside)}
            write_json(aside_sidecar, {**record, "picture": facts})
    except OSError as error:
        reason = error.strerror or str(error)
        raise OurganError(f"{path}: cannot be written ({reason}); nothing was changed there") from error


def _beside(path: Path) -> tuple[Path, Path]:
    return path.with_name(f"{path.stem}.preview.jpg"), path.with_name(f"{path.stem}.json")


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


def _half_sizes(pixels: Pixels) -> list[Pixels]:
    levels = [pixels]
    while max(levels[-1].shape[:2]) > TILE:
        levels.append(half_size(levels[-1]))
    return levels


def _write_tiff(path: Path, levels: list[Pixels]) -> None:
    options: dict[str, Any] = {
        "photometric": "rgb",
        "tile": (TILE, TILE),
        "compression": "zlib",
        "predictor": True,
        "resolution": (_DPI, _DPI),
        "resolutionunit": "INCH",
        "iccprofile": srgb_profile(),
        "metadata": None,
    }
    with tifffile.TiffWriter(path, bigtiff=True) as tiff:
        tiff.write(levels[0], subifds=len(levels) - 1, software="ourgan", **options)
        for level in levels[1:]:
            tiff.write(level, subfiletype=tifffile.FILETYPE.REDUCEDIMAGE, **options)


def _write_preview(path: Path, levels: list[Pixels]) -> None:
    # From the smallest level that is large enough: not much is left to shrink, and nothing is enlarged.
    level = [level for level in levels if max(level.shape[:2]) >= PREVIEW or level is levels[0]][-1]
    image = Image.fromarray(level)
    image.thumbnail((PREVIEW, PREVIEW), Image.Resampling.LANCZOS)
    _save(image, path, quality=92)


def _save(image: Image.Image, path: Path, **options: Any) -> None:
    image.save(path, icc_profile=srgb_profile(), dpi=(_DPI, _DPI), **options)
