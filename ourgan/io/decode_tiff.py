"""TIFFs that Pillow does not read: float RGB, 16-bit planes, big-endian white-is-zero, other compressions."""

from __future__ import annotations

import contextlib
import logging
from pathlib import Path
from typing import IO, Any

import numpy as np
import tifffile
from numpy.typing import NDArray

from ourgan.io.colour_tags import colours_of_tags
from ourgan.io.decoded import Decoded, is_level, valid_orientation
from ourgan.io.formats import refuse_raw
from ourgan.io.pillow_limits import ImageError, check_size

log = logging.getLogger(__name__)

_FULL_SCALES = {np.dtype("u1"): 255, np.dtype("u2"): 65535}
_FULL_SCALES |= dict.fromkeys((np.dtype("f2"), np.dtype("f4"), np.dtype("f8")), 1)
_COLOURS = {0: "L", 1: "L", 2: "RGB"}
# Those whose decoders give no more bytes than a tile has. Coded pictures within a TIFF are not among them.
_COMPRESSIONS = (1, 5, 8, 32773, 32946, 34925, 50000)
_PREDICTORS = (1, 2, 3)
_ORIENTATION, _PROFILE = 274, 34675


def decode(path: Path, file: IO[bytes], size: int) -> Decoded:
    """Read a TIFF with tifffile.

    Args:
        path: of the file, for messages.
        file: the same, open.
        size: of the file in bytes.

    Raises:
        ImageError: for a kind of pixels or a compression that is not read; anything else for damage.
    """
    file.seek(0)
    with tifffile.TiffFile(file) as tiff:
        if _holds_several(tiff):
            log.warning("%s: holds several pictures; the first is taken", path)
        page = tiff.pages.first
        assert isinstance(page, tifffile.TiffPage)
        tags = {tag.code: tag.value for tag in page.tags}
        _check(path, file, page, tags)
        # Of a segment that is missing or cut off, tifffile would make zeros.
        for offset, count in zip(page.dataoffsets, page.databytecounts, strict=True):
            if count == 0 or offset + count > size:
                raise ValueError("pixels are missing")
        pixels = page.asarray()
        if not pixels.size or pixels.shape != page.shape:
            raise ValueError("pixels are missing")
    pixels = np.moveaxis(pixels, 0, -1) if page.axes == "SYX" else pixels.reshape(*pixels.shape[:2], -1)
    full_scale, inverted = _FULL_SCALES[page.dtype], page.photometric == tifffile.PHOTOMETRIC.MINISWHITE

    def rows(top: int, bottom: int) -> NDArray[Any]:
        band = pixels[top:bottom]
        if inverted:
            colour = (full_scale - band[..., :1]).astype(band.dtype)
            band = np.concatenate([colour, band[..., 1:]], axis=-1)
        with np.errstate(over="ignore"):  # infinite, and refused as that
            return band.astype(np.float32) if band.dtype.kind == "f" else band

    colours = colours_of_tags(path, tags, floats=pixels.dtype.kind == "f")
    return Decoded(
        pixels.shape[0],
        pixels.shape[1],
        _COLOURS[int(page.photometric)],
        full_scale,
        rows,
        alpha=_alpha_is_last(page),
        profile=colours.profile,
        said_by=colours.said_by,
        orientation=valid_orientation(path, tags.get(_ORIENTATION, 1)),
    )


def _holds_several(tiff: tifffile.TiffFile) -> bool:
    with contextlib.suppress(IndexError):
        second = tiff.pages.get(1, aspage=True)
        return isinstance(second, tifffile.TiffPage) and not is_level(second.subfiletype)
    return False


def _alpha_is_last(page: tifffile.TiffPage) -> bool:
    return page.samplesperpixel in (2, 4) and page.extrasamples == (tifffile.EXTRASAMPLE.UNASSALPHA,)


def _check(path: Path, file: IO[bytes], page: tifffile.TiffPage, tags: dict[int, Any]) -> None:
    """Refuse what is not read, before memory is taken for it."""
    # A tag may hold many numbers, and a tuple times a number is a longer tuple: gigabytes of it.
    if not (isinstance(page.imagewidth, int) and isinstance(page.imagelength, int)):
        raise ValueError("its width and height are not two numbers")
    file.seek(0)
    kinds = {code: _number(tags.get(code)) for code in (50706, 262, 254, 330)}
    refuse_raw(path, file.read(16), kinds)
    colour = _COLOURS.get(int(page.photometric))
    if (
        colour is None
        or page.axes not in ("YX", "YXS", "SYX")
        or page.dtype not in _FULL_SCALES
        or page.samplesperpixel - _alpha_is_last(page) != len(colour)
    ):
        kind = f"{page.dtype} {page.axes} {page.photometric!r}"
        raise ImageError(f"{path}: pixels of kind {kind} are not read; save it as 16-bit RGB")
    for tag, what, read in ((259, "compression", _COMPRESSIONS), (317, "predictor", _PREDICTORS)):
        value = _number(tags.get(tag, 1))
        if value not in read:
            raise ImageError(f"{path}: {_name(what, value)}, which is not read; save it with LZW or deflate")
    item = np.dtype(page.dtype).itemsize * page.samplesperpixel
    check_size(path, page.imagewidth, page.imagelength, bytes_a_pixel=item)


def _number(value: Any) -> Any:
    return value[0] if isinstance(value, tuple) and value else value


def _name(what: str, value: Any) -> str:
    """Return what its pixels are stored with, in words."""
    kinds = tifffile.COMPRESSION if what == "compression" else tifffile.PREDICTOR
    try:
        name = kinds(value).name
    except ValueError:
        name = str(value)
    return f"a TIFF whose pixels are stored with {what} {name}"
