"""What a file says of its colours, in an ICC profile or elsewhere: EXIF, cICP, gAMA, HEIF's colour box."""

from __future__ import annotations

import functools
import logging
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any, NamedTuple

import imagecodecs
import numpy as np
from PIL import Image
from PIL.ExifTags import IFD, Base

from ourgan.io.pillow_limits import ImageError

log = logging.getLogger(__name__)

# x and y of red, green, blue and white.
_SRGB = (0.64, 0.33, 0.30, 0.60, 0.15, 0.06, 0.3127, 0.3290)
_ADOBE = (0.64, 0.33, 0.21, 0.71, 0.15, 0.06, 0.3127, 0.3290)
_ADOBE_GAMMA = 563 / 256
# By the codes of ITU-T H.273, which cICP and HEIF use.
_PRIMARIES = {
    1: _SRGB,
    9: (0.708, 0.292, 0.170, 0.797, 0.131, 0.046, 0.3127, 0.3290),  # BT.2020
    12: (0.680, 0.320, 0.265, 0.690, 0.150, 0.060, 0.3127, 0.3290),  # Display P3
}
_UNSPECIFIED, _AS_SRGB = 2, 0.0
# Those of video are shown with sRGB's curve by all viewers; other numbers are exponents.
_CURVES = {1: _AS_SRGB, 6: _AS_SRGB, 13: _AS_SRGB, 14: _AS_SRGB, 15: _AS_SRGB, 4: 2.2, 5: 2.8, 8: 1.0}
_HDR = {16: "PQ", 18: "HLG"}
_META = 2**16  # bytes in which a HEIF file has its boxes of properties
_TIFF_ONLY = {301: "a transfer function", 318: "a white point", 319: "primaries"}


class Colours(NamedTuple):
    """An ICC profile, and who said so if it was not embedded ("EXIF")."""

    profile: bytes | None = None
    said_by: str | None = None


def said_of_colours(path: Path, file: IO[bytes], image: Image.Image) -> Colours:
    """Return what a file that Pillow opened says of its colours.

    What is more exact wins: cICP, then an ICC profile, then the rest. The log says what was not followed.

    Args:
        path: of the file, for the log.
        file: the same.
        image: the same.

    Raises:
        ImageError: for the high dynamic range of BT.2100, PQ and HLG.
    """
    embedded = image.info.get("icc_profile") or None
    if image.format == "PNG":
        codes = _png_codes(file)
        if codes is not None:
            return _of_codes(path, "cICP", codes)
    if embedded is not None or image.mode == "CMYK":
        return Colours(embedded)
    if image.format == "TIFF":
        tags = dict(getattr(image, "tag_v2", {}))
        return colours_of_tags(path, tags | {34665: _exif(image)}, floats=image.mode == "F")
    if image.format in ("AVIF", "HEIF"):
        codes = _heif_codes(file)
        if codes is not None:
            return _of_codes(path, "its colour box", codes)
    if image.format == "PNG" and "srgb" not in image.info and "gamma" in image.info:
        return _of_gamma(image.info["gamma"], image.info.get("chromaticity"))
    return _of_exif(path, _exif(image))


def colours_of_tags(path: Path, tags: Mapping[int, Any], *, floats: bool) -> Colours:
    """Return what a TIFF says of its colours.

    Args:
        path: of the file, for the log.
        tags: code -> value; that of EXIF's directory (34665) may be a mapping.
        floats: its pixels are floating-point numbers, which most programs write in linear light.
    """
    if tags.get(34675):
        return Colours(tags[34675])
    found = _of_exif(path, tags.get(34665))
    if found.profile is None and floats:
        log.warning(
            "%s: float pixels without a colour profile were taken as sRGB; if they are linear light, the "
            "picture is too dark: embed their profile",
            path,
        )
    named = [name for tag, name in _TIFF_ONLY.items() if tag in tags]
    if named and found.profile is None and int(_first(tags.get(262, 2))) in (0, 1, 2):
        log.info("%s: its tags give %s, which were not applied; taken as sRGB", path, ", ".join(named))
    return found


def _first(value: Any) -> Any:
    return value[0] if isinstance(value, tuple) and value else value


def _exif(image: Image.Image) -> dict[Any, Any]:
    try:
        exif = image.getexif()
        found = dict(exif.get_ifd(IFD.Exif))
        return found | {"InteropIndex": exif.get_ifd(IFD.Interop).get(1)}
    except Exception:  # `decode` says what is wrong with it when it looks for the orientation
        return {}


def _of_exif(path: Path, exif: Any) -> Colours:
    if not isinstance(exif, Mapping):
        return Colours()
    space, index = exif.get(Base.ColorSpace, exif.get("ColorSpace")), exif.get("InteropIndex")
    if space == 2 or (space == 65535 and str(index).rstrip("\0 ") == "R03"):
        return Colours(_profile(_ADOBE, _ADOBE_GAMMA), "Adobe RGB, by EXIF")
    if space == 65535:
        log.warning("%s: EXIF says that its colours are not sRGB, and not what they are; taken as sRGB", path)
    return Colours()


def _of_codes(path: Path, source: str, codes: tuple[int, int]) -> Colours:
    primaries, transfer = codes
    if transfer in _HDR:
        raise ImageError(
            f"{path}: its colours are HDR (BT.2100 {_HDR[transfer]}, by {source}); save it with tones "
            "mapped to SDR, for example as sRGB"
        )
    place = _PRIMARIES.get(1 if primaries == _UNSPECIFIED else primaries)
    curve = _CURVES.get(13 if transfer == _UNSPECIFIED else transfer)
    if place is None or curve is None:
        log.warning(
            "%s: %s names colours that are not converted (primaries %d, transfer %d); taken as sRGB",
            path,
            source,
            *codes,
        )
        return Colours()
    if (place, curve) == (_SRGB, _AS_SRGB):
        return Colours()
    return Colours(_profile(place, curve), f"by {source}, primaries {primaries} and transfer {transfer}")


def _of_gamma(gamma: float, chromaticity: Any) -> Colours:
    """Convert PNG's gAMA and cHRM; what stands for sRGB, 1/2.2 with its primaries, changes nothing."""
    place: tuple[float, ...] = _SRGB
    if chromaticity and len(chromaticity) == 8:
        given = tuple(float(value) for value in (*chromaticity[2:], *chromaticity[:2]))
        if max(abs(a - b) for a, b in zip(given, _SRGB, strict=True)) > 0.002:
            place = given
    usual = 0.43 < gamma < 0.48
    if not 0.05 <= gamma <= 5 or (usual and place == _SRGB):
        return Colours()
    return Colours(_profile(place, _AS_SRGB if usual else 1 / gamma), f"by gAMA, {gamma:g}")


@functools.lru_cache
def _profile(place: tuple[float, ...], curve: float) -> bytes:
    """Return an ICC profile of primaries and white, with sRGB's curve or an exponent."""
    x, y = place[0:8:2], place[1:8:2]
    whitepoint = [x[3], y[3], 1.0]
    primaries = [number for channel in zip(x[:3], y[:3], strict=True) for number in (*channel, 1.0)]
    if curve != _AS_SRGB:
        return bytes(imagecodecs.cms_profile("rgb", whitepoint=whitepoint, primaries=primaries, gamma=curve))
    stored = np.linspace(0, 1, 4096)
    linear = np.where(stored <= 0.04045, stored / 12.92, ((stored + 0.055) / 1.055) ** 2.4)
    return bytes(
        imagecodecs.cms_profile(
            "rgb", whitepoint=whitepoint, primaries=primaries, transferfunction=linear.astype(np.float32)
        )
    )


def _png_codes(file: IO[bytes]) -> tuple[int, int] | None:
    """Return primaries and transfer of PNG's chunk cICP, of which Pillow says nothing."""
    file.seek(8)
    while len(header := file.read(8)) == 8:
        length, kind = struct.unpack(">I4s", header)
        if kind == b"IDAT":
            return None
        if kind == b"cICP" and length == 4:
            data = file.read(4)
            return (data[0], data[1]) if len(data) == 4 else None
        file.seek(length + 4, 1)
    return None


def _heif_codes(file: IO[bytes]) -> tuple[int, int] | None:
    """Return primaries and transfer of the first colour box with codes ("nclx") of an AVIF or HEIC file."""
    file.seek(0)
    head = file.read(_META)
    start = head.find(b"colrnclx")
    return None if start < 0 or start + 12 > len(head) else struct.unpack_from(">HH", head, start + 8)
