"""Colours of a file to sRGB, by LittleCMS, at the depth in which they are stored."""

from __future__ import annotations

import io
import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms

from ourgan.io.decoded import CHANNELS, Decoded
from ourgan.io.pixels import srgb_profile

log = logging.getLogger(__name__)

_PROFILE_COLOURS = {"GRAY": "L", "RGB": "RGB", "CMYK": "CMYK"}
_LCMS_COLOURS = {"L": "gray", "RGB": "rgb", "CMYK": "cmyk"}


def to_srgb(path: Path, decoded: Decoded) -> Decoded:
    """Convert a file's colours to sRGB: to "RGB", or to "L" for a grey file; the log says what was done.

    Without a usable profile RGB and grey are taken as sRGB, and CMYK is converted by Pillow's plain formula.
    Numbers keep their depth, and what lies outside of sRGB is clipped.

    Args:
        path: of the file, for the log.
        decoded: its numbers and profile.
    """
    profile = _usable_profile(path, decoded)
    if profile is None:
        if decoded.colour != "CMYK":
            return decoded
        log.info("%s: CMYK without a usable profile, converted to sRGB by formula", path)
        return _converted(decoded, _from_cmyk, 255)
    repeated = _PROFILE_COLOURS[profile.profile.xcolor_space.strip()] == "RGB" and decoded.colour == "L"
    colour = "RGB" if repeated else decoded.colour
    data = decoded.profile
    assert data is not None  # it is usable
    if _changes_nothing(data, colour):
        return decoded
    log.info("%s: converted to sRGB from colour profile %r", path, decoded.said_by or _name(profile))
    full_scale = 65535 if decoded.full_scale == 4095 else decoded.full_scale

    def convert(pixels: NDArray[Any]) -> NDArray[Any]:
        if full_scale != decoded.full_scale:
            pixels = np.rint(pixels * (full_scale / decoded.full_scale)).astype(np.uint16)
        return apply(data, np.repeat(pixels, 3, axis=-1) if repeated else pixels, colour)

    return _converted(decoded, convert, full_scale)


def apply(profile: bytes, pixels: NDArray[Any], colour: str) -> NDArray[Any]:
    """Convert pixels to sRGB, relative colorimetric with black point compensation.

    Args:
        profile: theirs, ICC.
        pixels: (h, W, C) uint8, uint16 or float32; 1 in float32, else all bits, is full scale.
        colour: "L", "RGB" or "CMYK", C of 1, 3 or 4.

    Returns:
        (h, W, 3) of the same type.

    Raises:
        imagecodecs.CmsError: a profile that cannot be used so.
    """
    flags: int = imagecodecs.CMS.FLAGS.BLACKPOINTCOMPENSATION
    if pixels.dtype != np.uint8:
        # LittleCMS shortens what it computes for 16 bits to a table of 33 steps: errors of 20 levels of 255.
        flags |= imagecodecs.CMS.FLAGS.NOOPTIMIZE
    converted: NDArray[Any] = imagecodecs.cms_transform(
        np.ascontiguousarray(pixels[..., 0] if colour == "L" else pixels),
        profile,
        srgb_profile(),
        colorspace=_LCMS_COLOURS[colour],
        outcolorspace="rgb",
        intent=imagecodecs.CMS.INTENT.RELATIVE_COLORIMETRIC,
        flags=flags,
    )
    return np.clip(converted, 0, 1) if converted.dtype.kind == "f" else converted


def _converted(
    decoded: Decoded, convert: Callable[[NDArray[Any]], NDArray[Any]], full_scale: float
) -> Decoded:
    """Return what gives converted rows; opacity stays as it is."""

    def rows(top: int, bottom: int) -> NDArray[Any]:
        band = decoded.rows(top, bottom)
        colours = convert(band[..., : decoded.channels])
        return np.concatenate([colours, band[..., decoded.channels :]], axis=-1) if decoded.alpha else colours

    return replace(decoded, rows=rows, colour="RGB", full_scale=full_scale)


def _from_cmyk(pixels: NDArray[Any]) -> NDArray[Any]:
    return np.asarray(Image.fromarray(np.ascontiguousarray(pixels), "CMYK").convert("RGB"))


def _usable_profile(path: Path, decoded: Decoded) -> ImageCms.ImageCmsProfile | None:
    if decoded.profile is None:
        return None
    try:
        profile = ImageCms.ImageCmsProfile(io.BytesIO(decoded.profile))
        space = profile.profile.xcolor_space.strip()
        fits = _PROFILE_COLOURS.get(space) == decoded.colour or (space, decoded.colour) == ("RGB", "L")
        if fits:
            colour = _PROFILE_COLOURS[space]
            apply(decoded.profile, np.zeros((1, 1, CHANNELS[colour]), np.uint8), colour)
            return profile
        reason = f"it is for {space}, the pixels are {decoded.colour}"
    except (OSError, ImageCms.PyCMSError, imagecodecs.CmsError, ValueError) as error:
        reason = str(error)
    log.warning("%s: embedded colour profile ignored (%s)", path, reason)
    return None


def _name(profile: ImageCms.ImageCmsProfile) -> str:
    try:
        return ImageCms.getProfileDescription(profile).strip()
    except ImageCms.PyCMSError:  # bytes that are no text; the colours may be right all the same
        return "of an illegible name"


def _changes_nothing(profile: bytes, colour: str) -> bool:
    """Return whether a profile is sRGB in all but name: no colour of a lattice moves by over 2 of 255."""
    if colour == "CMYK":
        return False
    lattice: NDArray[Any]
    if colour == "L":
        lattice = np.arange(256, dtype=np.uint8)[None, :, None]
    else:
        steps = np.arange(0, 256, 15, dtype=np.uint8)
        lattice = np.stack(np.meshgrid(steps, steps, steps), axis=-1).reshape(1, -1, 3)
    moved = apply(profile, lattice, colour).astype(int)
    return bool(np.abs(moved - lattice).max() <= 2)
