"""How a picture file becomes a float32 tensor (3, H, W) in [0, 1], sRGB."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from ourgan.io.colour import to_srgb
from ourgan.io.decode import Decoded, decode
from ourgan.io.pillow_limits import ImageError

__all__ = ["ImageError", "read_image"]

log = logging.getLogger(__name__)

Matte = tuple[float, float, float]


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
    image = _scale(to_srgb(path, decoded), path)
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
