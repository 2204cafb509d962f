"""Read the numbers in a picture file, with every limit in force; colours are converted later."""

from __future__ import annotations

import contextlib
import importlib
import logging
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile, UnidentifiedImageError
from PIL.ExifTags import Base as Exif

from ourgan.io import decode_tiff
from ourgan.io.colour_tags import said_of_colours
from ourgan.io.decoded import Decoded, is_level, valid_orientation
from ourgan.io.formats import FORMATS, HEAD, READ, kind_of, refusal, refuse_raw
from ourgan.io.pillow_limits import ImageError, check_size, pillow_as_documented

log = logging.getLogger(__name__)

# What this Pillow's libtiff decodes: raw, LZW, JPEG, deflate, PackBits and those of fax machines.
_PILLOW_TIFF = (1, 2, 3, 4, 5, 7, 8, 32771, 32773, 32946)
_TIFF_TAGS = (50706, 262, 254, 330)


def decode(path: Path) -> Decoded:
    """Read a whole picture file of a format in `formats`; raise ImageError, one line, for anything else."""
    try:
        size = path.stat().st_size
        file = path.open("rb")
    except OSError as error:
        raise ImageError(f"{path}: cannot be read ({error.strerror}); give the path of a picture") from None
    with file:
        if size == 0:
            raise ImageError(f"{path}: empty file; give a {READ} picture")
        head = file.read(HEAD)
        formats = _formats(path, head)
        with _explain_errors(path, size), pillow_as_documented():
            try:
                image = Image.open(file, formats=formats)
            except UnidentifiedImageError:
                if formats == ("TIFF",):
                    return decode_tiff.decode(path, file, size)
                raise
            if formats == ("TIFF",):
                refuse_raw(path, head, {tag: _tiff_tag(image, tag) for tag in _TIFF_TAGS})
                deep_planes = _tiff_tag(image, 284) == 2 and _tiff_tag(image, 258) == 16
                # Pillow takes 16-bit planes for 8-bit ones.
                if deep_planes or _tiff_tag(image, 259) not in (None, *_PILLOW_TIFF):
                    return decode_tiff.decode(path, file, size)
            return _decode_pillow(path, file, image)


def _formats(path: Path, head: bytes) -> tuple[str, ...]:
    """Return Pillow's names of what a file may be by its first bytes; refuse what is not read."""
    kind = kind_of(head)
    if kind == "HEIC":
        try:
            importlib.import_module("pillow_heif").register_heif_opener()
        except ImportError:
            raise refusal(path, head) from None
        return ("HEIF",)
    if kind not in FORMATS:
        raise refusal(path, head)
    return (kind,)


@contextlib.contextmanager
def _explain_errors(path: Path, size: int) -> Iterator[None]:
    try:
        yield
    except ImageError:
        raise
    except Exception as error:  # on damaged input the decoders raise nearly anything
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ImageError(
            f"{path}: truncated or damaged, {size:,} bytes ({reason}); fetch or save it again"
        ) from error


def _decode_pillow(path: Path, file: IO[bytes], image: ImageFile.ImageFile) -> Decoded:
    format_name = "JPEG" if image.format == "MPO" else str(image.format)
    deep = not image.mode.startswith("I;16") and any(";16" in _raw_mode(tile) for tile in image.tile)
    check_size(path, *image.size, bytes_a_pixel=8 if deep else 4)
    if path.suffix.lower() not in (*_suffixes(format_name), ""):
        log.warning("%s: is a %s file in spite of its name", path, format_name)
    if _holds_several(image):
        # The second picture of a camera's JPEG is a preview or another view of the first.
        level = logging.INFO if image.format == "MPO" else logging.WARNING
        log.log(level, "%s: holds several pictures; the first is taken", path)
    # To look for the EXIF data of a PNG is to load it, and that of a TIFF is lost when it is loaded.
    colours = said_of_colours(path, file, image) if format_name != "PNG" else None
    # Pillow turns a TIFF while loading and then forgets that it did; a PNG may say so after its pixels.
    turned_by_pillow = _orientation(path, image) if format_name == "TIFF" else 1
    if deep:
        decoded = _decode_16_bit(path, file, image)
    else:
        image.load()
        decoded = _split(path, image)
    if turned_by_pillow != 1:
        log.info("%s: turned as its orientation tag says (%d)", path, turned_by_pillow)
    orientation = 1 if format_name == "TIFF" else _orientation(path, image)
    colours = colours or said_of_colours(path, file, image)
    return replace(decoded, orientation=orientation, profile=colours.profile, said_by=colours.said_by)


def _holds_several(image: ImageFile.ImageFile) -> bool:
    if getattr(image, "n_frames", 1) == 1 or image.format != "TIFF":
        return getattr(image, "n_frames", 1) > 1
    image.seek(1)
    subfile_type = _tiff_tag(image, 254) or 0
    image.seek(0)
    return not is_level(subfile_type)


def _suffixes(format_name: str) -> tuple[str, ...]:
    return tuple(suffix for suffix, name in Image.registered_extensions().items() if name == format_name)


def _raw_mode(tile: Any) -> str:
    arguments = tile.args
    return str(arguments[0] if isinstance(arguments, tuple) and arguments else arguments)


def _orientation(path: Path, image: Image.Image) -> int:
    try:
        value = image.getexif().get(Exif.Orientation, 1)
    except Exception as error:  # cameras and editors write EXIF blocks of every kind of wrong
        log.warning("%s: EXIF data cannot be read (%s); the picture is not turned", path, error)
        return 1
    return valid_orientation(path, value)


def _split(path: Path, image: Image.Image) -> Decoded:
    """Return pixels of up to 8 bits, and grey ones of 16 bits or float, as Pillow decoded them."""
    if image.mode == "F" or image.mode.startswith("I;16"):
        return _deep_grey(image)
    if image.mode == "CMYK":
        return _bands(image, "CMYK", "CMYK")
    if image.mode not in ("1", "L", "LA", "La", "P", "PA", "RGB", "RGBX", "RGBA", "RGBa", "YCbCr"):
        raise ImageError(f"{path}: pixels of kind {image.mode} are not read; save it as 8 or 16-bit RGB")
    if image.has_transparency_data:
        return replace(_bands(image, "RGBA", "RGB"), alpha=True)
    return _bands(image, "L", "L") if image.mode in ("1", "L") else _bands(image, "RGB", "RGB")


def _bands(image: Image.Image, mode: str, colour: str) -> Decoded:
    def rows(top: int, bottom: int) -> NDArray[Any]:
        band = np.asarray(image.crop((0, top, image.width, bottom)).convert(mode))
        return band.reshape(*band.shape[:2], -1)

    return Decoded(image.height, image.width, colour, 255, rows)


def _deep_grey(image: Image.Image) -> Decoded:
    floats = image.mode == "F"
    full_scale = 1 if floats else 4095 if _tiff_tag(image, 258) == 12 else 65535
    # Pillow honours "white is zero" for 8 bits only.
    inverted = _tiff_tag(image, 262) == 0
    key = None if floats else image.info.get("transparency")

    def rows(top: int, bottom: int) -> NDArray[Any]:
        band = np.asarray(image.crop((0, top, image.width, bottom)))[..., None]
        band = band.astype(np.float32 if floats else np.uint16)
        if inverted:
            band = (full_scale - band).astype(band.dtype)
        return _with_key(band, key)

    return Decoded(image.height, image.width, "L", full_scale, rows, alpha=key is not None)


def _with_key(band: NDArray[Any], key: Any) -> NDArray[Any]:
    """Add opacity to 16-bit pixels of a PNG that names one colour, or one grey, that is transparent."""
    if key is None:
        return band
    opaque = (band != key).any(axis=-1, keepdims=True)
    return np.concatenate([band, np.where(opaque, np.uint16(65535), np.uint16(0))], axis=-1)


def _tiff_tag(image: Image.Image, tag: int) -> Any:
    value = getattr(image, "tag_v2", {}).get(tag)
    return value[0] if isinstance(value, tuple) and value else value


def _decode_16_bit(path: Path, file: IO[bytes], image: ImageFile.ImageFile) -> Decoded:
    """Read 16-bit RGB or RGBA, of which Pillow keeps one byte in two: first the high ones, then the low ones.

    The raw mode tells Pillow's unpacker which of the two bytes to keep, so that decoding once more with the
    byte order swapped gives the other.
    """
    kinds = {_raw_mode(tile) for tile in image.tile}
    if not kinds <= {f"{mode};16{order}" for mode in ("RGB", "RGBA") for order in "BLN"}:
        raise ImageError(f"{path}: 16-bit pixels of kind {kinds.pop()} are not read; save it as 16-bit RGB")
    file.seek(0)
    low_bytes = Image.open(file, formats=FORMATS)
    low_bytes.tile = [_swap_bytes(tile) for tile in low_bytes.tile]
    low_bytes.load()
    file.seek(0)
    image.load()
    key = image.info.get("transparency")

    def rows(top: int, bottom: int) -> NDArray[Any]:
        box = (0, top, image.width, bottom)
        band = np.asarray(image.crop(box)).astype(np.uint16)
        band <<= 8
        band |= np.asarray(low_bytes.crop(box))
        return _with_key(band, key)

    alpha = image.mode == "RGBA" or key is not None
    return Decoded(image.height, image.width, "RGB", 65535, rows, alpha)


def _swap_bytes(tile: Any) -> Any:
    mode = _raw_mode(tile)
    mode = mode[:-1] + {"B": "L", "L": "B", "N": "B" if sys.byteorder == "little" else "L"}[mode[-1]]
    return tile._replace(args=mode if isinstance(tile.args, str) else (mode, *tile.args[1:]))
