"""How a picture file becomes a float32 tensor (3, H, W) in [0, 1], sRGB."""

from __future__ import annotations

import io
import logging
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from PIL import Image, ImageCms
from torch import Tensor

from ourgan.io.decode import Decoded, decode
from ourgan.io.pillow_limits import ImageError
from ourgan.io.pixels import srgb_profile

__all__ = ["ImageError", "read_image"]

log = logging.getLogger(__name__)

Matte = tuple[float, float, float]
_PROFILE_COLOURS = {"GRAY": "L", "RGB": "RGB", "CMYK": "CMYK"}


def read_image(path: str | os.PathLike[str], *, matte: Matte | None = None) -> Float[Tensor, "3 h w"]:
    """Read a picture file as a float32 tensor (3, H, W) in [0, 1], sRGB.

    The one policy, for every command and notebook:

    | in the file                      | what is done                                                      |
    |----------------------------------|-------------------------------------------------------------------|
    | format                           | JPEG, PNG, TIFF, WebP, by content and not by name; others refused |
    | EXIF or TIFF orientation         | applied                                                           |
    | grey, palette, 1 bit             | to RGB                                                            |
    | ICC profile other than sRGB      | converted to sRGB, relative colorimetric with black point         |
    |                                  | compensation; a profile that cannot be used is ignored            |
    | no profile, or PNG gamma         | taken as sRGB                                                     |
    | CMYK                             | to sRGB through its profile, or by Pillow's formula without one   |
    | 12 and 16 bits, grey or RGB      | kept whole (after conversion of a profile: 8 bits)                |
    | float TIFF                       | kept; refused unless every value lies in [0, 1]                   |
    | other depths and kinds           | refused                                                           |
    | alpha, palette or key colour     | refused unless opaque everywhere, or blended with `matte`         |
    | several pictures, animation      | the first one                                                     |
    | truncated or damaged             | refused; nothing is ever filled in                                |
    | more than 178,956,970 pixels     | refused before memory is taken (a 16K photograph passes)          |

    Whatever changed the numbers is logged: INFO, or WARNING where something was lost or ignored.

    Args:
        path: of the file.
        matte: red, green and blue in [0, 1] to show through transparent pixels.

    Raises:
        ImageError: one line, for everything that is refused and for missing files.
    """
    path = Path(path)
    if matte is not None and not (len(matte) == 3 and all(0 <= value <= 1 for value in matte)):
        raise ImageError(f"{path}: matte {matte} is not a colour; give red, green and blue in [0, 1]")
    decoded = decode(path)
    image = _scale(_to_srgb(path, decoded), path)
    if decoded.alpha is not None:
        image = _flatten(path, image, decoded.alpha, matte)
    if decoded.orientation != 1:
        log.info("%s: turned as its EXIF orientation says (%d)", path, decoded.orientation)
    return _turn(image, decoded.orientation)


def _scale(decoded: Decoded, path: Path) -> Tensor:
    """Convert numbers as stored to float32 (3, H, W) in [0, 1]."""
    pixels = decoded.pixels
    if pixels.dtype.kind == "f" and not (
        np.isfinite(pixels).all() and 0 <= pixels.min() and pixels.max() <= 1
    ):
        low, high = pixels.min(), pixels.max()
        raise ImageError(f"{path}: float pixels from {low:g} to {high:g}; scale them to [0, 1] first")
    image = torch.empty(3, *pixels.shape[:2])
    image.copy_(torch.tensor(pixels).permute(2, 0, 1))  # grey is repeated
    return image.div_(decoded.full_scale)


def _flatten(path: Path, image: Tensor, alpha: NDArray[Any], matte: Matte | None) -> Tensor:
    if matte is None:
        share = float((alpha < 1).mean())
        raise ImageError(
            f"{path}: {share:.1%} of its pixels are transparent; flatten it or pass matte=(r, g, b) in [0, 1]"
        )
    log.info("%s: transparent pixels blended with %s", path, matte)
    ground = torch.tensor(matte, dtype=torch.float32)[:, None, None]
    return torch.lerp(ground.expand_as(image), image, torch.tensor(alpha))


def _turn(image: Tensor, orientation: int) -> Tensor:
    """Apply EXIF orientation 2 to 8: 5 to 8 are transposed first, then all but 5 are mirrored."""
    if orientation >= 5:
        image = image.transpose(1, 2)
    mirrored = {2: [2], 3: [1, 2], 4: [1], 6: [2], 7: [1, 2], 8: [1]}.get(orientation)
    return (image.flip(mirrored) if mirrored else image).contiguous()


def _to_srgb(path: Path, decoded: Decoded) -> Decoded:
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
