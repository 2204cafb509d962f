"""Read the numbers in a picture file, with every limit in force; colours are converted later."""

from __future__ import annotations

import contextlib
import logging
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any

import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import Image, ImageFile, UnidentifiedImageError
from PIL.ExifTags import Base as Exif

from ourgan.io.pillow_limits import MAX_PIXELS, ImageError, pillow_as_documented

log = logging.getLogger(__name__)

FORMATS = ("JPEG", "PNG", "TIFF", "WEBP")
_MAGIC = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"RIFF")
_TIFF_SCALES = {np.dtype("u1"): 255, np.dtype("u2"): 65535, np.dtype("f4"): 1, np.dtype("f8"): 1}
_TIFF_COLOURS = {0: "L", 1: "L", 2: "RGB"}
_TIFF_MAGIC = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")


@dataclass(frozen=True)
class Decoded:
    """The numbers of one picture file, as stored.

    Attributes:
        pixels: (H, W, C), uint8, uint16 or float32.
        colour: "L" (C = 1), "RGB" (3) or "CMYK" (4).
        full_scale: the number that means 1.
        alpha: (H, W) float32 in [0, 1], or None where all is opaque.
        profile: the embedded ICC profile.
        orientation: EXIF's 1 to 8, still to be applied.
    """

    pixels: NDArray[Any]
    colour: str
    full_scale: float
    alpha: NDArray[Any] | None = None
    profile: bytes | None = None
    orientation: int = 1


def decode(path: Path) -> Decoded:
    """Read a whole JPEG, PNG, TIFF or WebP file; raise ImageError, one line, for anything else."""
    try:
        size = path.stat().st_size
        file = path.open("rb")
    except OSError as error:
        raise ImageError(f"{path}: cannot be read ({error.strerror}); give the path of a picture") from None
    with file:
        if size == 0:
            raise ImageError(f"{path}: empty file; give a JPEG, PNG, TIFF or WebP picture")
        head = file.read(16)
        with _explain_errors(path, size), pillow_as_documented():
            try:
                image = Image.open(file, formats=FORMATS)
            except UnidentifiedImageError:
                if head.startswith(_TIFF_MAGIC):
                    return _decode_tiff(path, file, size)
                if head.startswith(_MAGIC):
                    raise
                raise ImageError(f"{path}: not a JPEG, PNG, TIFF or WebP picture; save it as one") from None
            if _tiff_tag(image, 284) == 2 and _tiff_tag(image, 258) == 16:
                return _decode_tiff(path, file, size)  # Pillow takes 16-bit planes for 8-bit ones
            return _decode_pillow(path, file, image)


@contextlib.contextmanager
def _explain_errors(path: Path, size: int) -> Iterator[None]:
    try:
        yield
    except ImageError:
        raise
    except Image.DecompressionBombError:
        raise ImageError(f"{path}: more than {MAX_PIXELS:,} pixels; make it smaller first") from None
    except Exception as error:  # on damaged input the decoders raise nearly anything
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ImageError(
            f"{path}: truncated or damaged, {size:,} bytes ({reason}); fetch or save it again"
        ) from error


def _decode_pillow(path: Path, file: IO[bytes], image: ImageFile.ImageFile) -> Decoded:
    if path.suffix.lower() not in (*_suffixes(str(image.format)), ""):
        log.warning("%s: is a %s file in spite of its name", path, image.format)
    if getattr(image, "n_frames", 1) > 1:
        log.warning("%s: holds several pictures; the first is taken", path)
    # Pillow turns a TIFF while loading and then forgets that it did; a PNG may say so after its pixels.
    turned_by_pillow = _orientation(path, image) if image.format == "TIFF" else 1
    if not image.mode.startswith("I;16") and any(";16" in _raw_mode(tile) for tile in image.tile):
        decoded = _decode_16_bit(path, file, image)
    else:
        image.load()
        decoded = _split(path, image)
    if turned_by_pillow != 1:
        log.info("%s: turned as its orientation tag says (%d)", path, turned_by_pillow)
    orientation = 1 if image.format == "TIFF" else _orientation(path, image)
    return replace(decoded, orientation=orientation, profile=image.info.get("icc_profile") or None)


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
    return _valid_orientation(path, value)


def _valid_orientation(path: Path, orientation: Any) -> int:
    if orientation not in range(1, 9):
        log.warning("%s: EXIF orientation %r means nothing; the picture is not turned", path, orientation)
        return 1
    return int(orientation)


def _split(path: Path, image: Image.Image) -> Decoded:
    """Return pixels of up to 8 bits, and grey ones of 16 bits or float, as Pillow decoded them."""
    if image.mode == "F":
        grey = _black_is_zero(np.asarray(image, dtype=np.float32), image, 1.0)
        return Decoded(grey[..., None], "L", 1.0)
    if image.mode.startswith("I;16"):
        bits = 12 if _tiff_tag(image, 258) == 12 else 16
        full_scale = 2**bits - 1
        grey = _black_is_zero(np.asarray(image).astype(np.uint16), image, full_scale)
        return Decoded(grey[..., None], "L", full_scale, _colour_key(path, image, grey[..., None]))
    if image.mode == "CMYK":
        return Decoded(np.asarray(image), "CMYK", 255)
    if image.mode not in ("1", "L", "LA", "La", "P", "PA", "RGB", "RGBX", "RGBA", "RGBa", "YCbCr"):
        raise ImageError(f"{path}: pixels of kind {image.mode} are not read; save it as 8 or 16-bit RGB")
    if image.has_transparency_data:
        array = np.asarray(image.convert("RGBA"))
        return Decoded(array[..., :3], "RGB", 255, _alpha(path, array[..., 3], 255))
    if image.mode in ("1", "L"):
        return Decoded(np.asarray(image.convert("L"))[..., None], "L", 255)
    return Decoded(np.asarray(image.convert("RGB")), "RGB", 255)


def _tiff_tag(image: Image.Image, tag: int) -> int | None:
    value = getattr(image, "tag_v2", {}).get(tag)
    return value[0] if isinstance(value, tuple) else value


def _black_is_zero(grey: NDArray[Any], image: Image.Image, full_scale: float) -> NDArray[Any]:
    # Pillow honours "white is zero" for 8 bits only.
    return np.asarray(full_scale - grey).astype(grey.dtype) if _tiff_tag(image, 262) == 0 else grey


def _alpha(path: Path, alpha: NDArray[Any], full_scale: float) -> NDArray[Any] | None:
    if (alpha == full_scale).all():
        log.info("%s: alpha is opaque everywhere and was dropped", path)
        return None
    scaled = alpha.astype(np.float32) / np.float32(full_scale)
    if not (np.isfinite(scaled).all() and scaled.min() >= 0 and scaled.max() <= 1):
        raise ImageError(f"{path}: alpha lies outside [0, 1]; save it without transparency")
    return scaled


def _colour_key(path: Path, image: Image.Image, pixels: NDArray[Any]) -> NDArray[Any] | None:
    # A PNG may name one colour, or one grey, that is transparent.
    key = image.info.get("transparency")
    return None if key is None else _alpha(path, (pixels != key).any(axis=-1), 1)


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
    pixels = np.asarray(image).astype(np.uint16)
    pixels <<= 8
    pixels |= np.asarray(low_bytes)
    colour, extra = pixels[..., :3], pixels[..., 3:]
    alpha = _alpha(path, extra[..., 0], 65535) if extra.size else _colour_key(path, image, colour)
    return Decoded(colour, "RGB", 65535, alpha)


def _swap_bytes(tile: Any) -> Any:
    mode = _raw_mode(tile)
    mode = mode[:-1] + {"B": "L", "L": "B", "N": "B" if sys.byteorder == "little" else "L"}[mode[-1]]
    return tile._replace(args=mode if isinstance(tile.args, str) else (mode, *tile.args[1:]))


def _decode_tiff(path: Path, file: IO[bytes], size: int) -> Decoded:
    """Read a TIFF that Pillow does not support: float RGB, 16-bit planes, big-endian white-is-zero."""
    file.seek(0)
    with tifffile.TiffFile(file) as tiff:
        page = tiff.pages.first
        # A tag may hold many numbers, and a tuple times a number is a longer tuple: gigabytes of it.
        if not (isinstance(page.imagewidth, int) and isinstance(page.imagelength, int)):
            raise ValueError("its width and height are not two numbers")
        if page.imagewidth * page.imagelength > MAX_PIXELS:
            raise Image.DecompressionBombError
        photometric = _TIFF_COLOURS.get(int(page.photometric))
        channels = page.samplesperpixel
        alpha_is_last = channels in (2, 4) and page.extrasamples == (tifffile.EXTRASAMPLE.UNASSALPHA,)
        if (
            photometric is None
            or page.axes not in ("YX", "YXS", "SYX")
            or page.dtype not in _TIFF_SCALES
            or channels - alpha_is_last != len(photometric)
        ):
            kind = f"{page.dtype} {page.axes} {page.photometric!r}"
            raise ImageError(f"{path}: pixels of kind {kind} are not read; save it as 16-bit RGB")
        # Of a segment that is missing or cut off, tifffile would make zeros.
        for offset, count in zip(page.dataoffsets, page.databytecounts, strict=True):
            if count == 0 or offset + count > size:
                raise ValueError("pixels are missing")
        pixels = page.asarray()
        if not pixels.size or pixels.shape != page.shape:
            raise ValueError("pixels are missing")
        tags = {tag.code: tag.value for tag in page.tags}
    pixels = np.moveaxis(pixels, 0, -1) if page.axes == "SYX" else pixels.reshape(*pixels.shape[:2], -1)
    full_scale = _TIFF_SCALES[page.dtype]
    alpha = _alpha(path, pixels[..., -1], full_scale) if alpha_is_last else None
    pixels = pixels[..., : len(photometric)]
    if page.photometric == tifffile.PHOTOMETRIC.MINISWHITE:
        pixels = (full_scale - pixels).astype(pixels.dtype)
    if pixels.dtype.kind == "f":
        pixels = pixels.astype(np.float32)
    turn = _valid_orientation(path, tags.get(Exif.Orientation, 1))
    return Decoded(pixels, photometric, full_scale, alpha, tags.get(34675), turn)
