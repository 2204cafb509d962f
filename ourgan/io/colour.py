"""Conversion of a file's colours to sRGB, and the sRGB profile that our own files carry."""

from __future__ import annotations

import functools
import io
import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms

from ourgan.io.decode import Decoded

log = logging.getLogger(__name__)

_PROFILE_COLOURS = {"GRAY": "L", "RGB": "RGB", "CMYK": "CMYK"}


@functools.cache
def srgb_profile() -> bytes:
    """Return an ICC profile of sRGB, the same bytes at every call and on every day."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    # Bytes 24 to 36 of the header are the moment of making, which would change every file we write.
    profile[24:36] = bytes.fromhex("07e6 0001 0001 0000 0000 0000")
    return bytes(profile)


def to_srgb(path: Path, decoded: Decoded) -> Decoded:
    """Convert a file's colours to sRGB: to "RGB", or to "L" for a grey file; the log says what was done.

    Without a usable profile RGB and grey are taken as sRGB, and CMYK is converted by Pillow's plain formula.
    Numbers of more than 8 bits stay as they are unless a profile has to be applied: LittleCMS, as Pillow
    has it, works on 8 bits.

    Args:
        path: of the file, for the log.
        decoded: its numbers and profile.
    """
    profile = _usable_profile(path, decoded)
    if profile is None:
        if decoded.colour != "CMYK":
            return decoded
        log.info("%s: CMYK without a usable profile, converted to sRGB by formula", path)
        return replace(decoded, pixels=np.asarray(_as_image(decoded).convert("RGB")), colour="RGB")
    if _PROFILE_COLOURS[profile.profile.xcolor_space.strip()] == "RGB" and decoded.colour == "L":
        decoded = replace(decoded, pixels=np.repeat(decoded.pixels, 3, axis=-1), colour="RGB")
    if _changes_nothing(profile, decoded.colour):
        return decoded
    name = _name(profile)
    if decoded.full_scale != 255:
        log.warning("%s: colour profile %r applied at 8 bits; deeper pixels lose the rest", path, name)
        eight_bits = np.rint(decoded.pixels * (255 / decoded.full_scale)).astype(np.uint8)
        decoded = replace(decoded, pixels=eight_bits, full_scale=255)
    log.info("%s: converted to sRGB from colour profile %r", path, name)
    converted = np.asarray(_apply(profile, _as_image(decoded)))
    return replace(decoded, pixels=converted, colour="RGB")


def _usable_profile(path: Path, decoded: Decoded) -> ImageCms.ImageCmsProfile | None:
    if decoded.profile is None:
        return None
    try:
        profile = ImageCms.ImageCmsProfile(io.BytesIO(decoded.profile))
        space = profile.profile.xcolor_space.strip()
        fits = _PROFILE_COLOURS.get(space) == decoded.colour or (space, decoded.colour) == ("RGB", "L")
        if fits:
            _apply(profile, Image.new(_PROFILE_COLOURS[space], (1, 1)))
            return profile
        reason = f"it is for {space}, the pixels are {decoded.colour}"
    except (OSError, ImageCms.PyCMSError, ValueError) as error:
        reason = str(error)
    log.warning("%s: embedded colour profile ignored (%s)", path, reason)
    return None


def _name(profile: ImageCms.ImageCmsProfile) -> str:
    try:
        return ImageCms.getProfileDescription(profile).strip()
    except ImageCms.PyCMSError:  # bytes that are no text; the colours may be right all the same
        return "of an illegible name"


def _as_image(decoded: Decoded) -> Image.Image:
    pixels = decoded.pixels[..., 0] if decoded.colour == "L" else decoded.pixels
    return Image.fromarray(np.ascontiguousarray(pixels), decoded.colour)


def _apply(profile: ImageCms.ImageCmsProfile, image: Image.Image) -> Image.Image:
    converted = ImageCms.profileToProfile(
        image,
        profile,
        ImageCms.ImageCmsProfile(io.BytesIO(srgb_profile())),
        renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC,
        outputMode="RGB",
        flags=ImageCms.Flags.BLACKPOINTCOMPENSATION,
    )
    assert converted is not None  # only an in-place conversion gives none
    return converted


def _changes_nothing(profile: ImageCms.ImageCmsProfile, colour: str) -> bool:
    """Return whether a profile is sRGB in all but name: no colour of a lattice moves by over 2 of 255."""
    if colour == "CMYK":
        return False
    lattice: NDArray[Any]
    if colour == "L":
        lattice = np.arange(256, dtype=np.uint8)[None, :, None]
    else:
        steps = np.arange(0, 256, 15, dtype=np.uint8)
        lattice = np.stack(np.meshgrid(steps, steps, steps), axis=-1).reshape(1, -1, 3)
    moved = np.asarray(_apply(profile, _as_image(Decoded(lattice, colour, 255)))).astype(int)
    return bool(np.abs(moved - lattice).max() <= 2)
