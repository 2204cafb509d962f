"""How a picture file becomes a float32 tensor (3, H, W) in [0, 1], sRGB."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from ourgan.io.colour import to_srgb
from ourgan.io.decode import decode
from ourgan.io.decoded import Decoded
from ourgan.io.pillow_limits import ImageError

__all__ = ["ImageError", "read_image"]

log = logging.getLogger(__name__)

Matte = tuple[float, float, float]
_BAND = 2**21  # pixels that are converted at a time


def read_image(path: str | os.PathLike[str], *, matte: Matte | None = None) -> Float[Tensor, "3 h w"]:
    """Read a picture file as a float32 tensor (3, H, W) in [0, 1], sRGB.

    The one policy, for every command and notebook:

    | in the file                       | what is done                                                    |
    |-----------------------------------|-----------------------------------------------------------------|
    | format                            | JPEG, PNG, TIFF, WebP, AVIF, by content and not by name; HEIC   |
    |                                   | with pillow-heif; others refused by name, camera raw files too  |
    | EXIF or TIFF orientation          | applied                                                         |
    | grey, palette, 1 bit              | to RGB                                                          |
    | ICC profile other than sRGB       | converted to sRGB at the depth of the pixels, relative          |
    |                                   | colorimetric with black point compensation; a profile that      |
    |                                   | cannot be used is ignored                                       |
    | Adobe RGB by EXIF; codes of cICP  | converted, too; cICP outranks a profile, a profile the rest     |
    | or HEIF; PNG gamma and primaries  |                                                                 |
    | PQ, HLG (HDR of BT.2100)          | refused                                                         |
    | other colours, by EXIF, codes or  | taken as sRGB, and one line of the log says so                  |
    | TIFF tags; float without profile  |                                                                 |
    | nothing said of colours           | taken as sRGB                                                   |
    | CMYK                              | to sRGB through its profile, or by Pillow's formula without one |
    | 12 and 16 bits, grey or RGB       | kept whole                                                      |
    | float TIFF, 16, 32 or 64 bits     | kept; refused unless every value lies in [0, 1]                 |
    | other depths and kinds            | refused                                                         |
    | TIFF in deflate, LZW, LZMA, JPEG, | read, with every predictor; other compressions refused by name  |
    | zstd, PackBits or nothing         |                                                                 |
    | alpha, palette or key colour      | refused unless opaque everywhere, or blended with `matte`       |
    | several pictures, animation       | the first one                                                   |
    | truncated or damaged              | refused; nothing is ever filled in                              |
    | more than 402,653,184 pixels      | refused before memory is taken (16,384 x 24,576 pass), and so   |
    |                                   | is what the free memory does not hold                           |

    Whatever changed the numbers is logged: INFO, or WARNING where something was lost or ignored. Beside the
    result, 12 bytes a pixel, at most 1.5 times the decoded picture is held.

    Args:
        path: of the file.
        matte: red, green and blue in [0, 1] to show through transparent pixels.

    Raises:
        ImageError: one line, for everything that is refused and for missing files.
    """
    path = Path(path)
    if matte is not None and not (len(matte) == 3 and all(0 <= value <= 1 for value in matte)):
        raise ImageError(f"{path}: matte {matte} is not a colour; give red, green and blue in [0, 1]")
    stored = decode(path)
    transparent = _check(path, stored, matte)
    decoded = to_srgb(path, stored)
    if decoded.orientation != 1:
        log.info("%s: turned as its EXIF orientation says (%d)", path, decoded.orientation)
    return _filled(decoded, matte if transparent else None)


def _check(path: Path, decoded: Decoded, matte: Matte | None) -> bool:
    """Look through all pixels; refuse floats outside [0, 1] and unwanted transparency.

    Returns:
        Whether there is any transparency.
    """
    if not (decoded.alpha or decoded.full_scale == 1):
        return False
    low, high, transparent, valid = np.inf, -np.inf, 0, True
    for top, bottom in _bands(decoded):
        band = decoded.rows(top, bottom)
        if decoded.full_scale == 1:
            valid = valid and bool(np.isfinite(band).all())
            low, high = min(low, float(band.min())), max(high, float(band.max()))
        if decoded.alpha:
            transparent += int((band[..., -1] < decoded.full_scale).sum())
    if decoded.full_scale == 1 and not (valid and low >= 0 and high <= 1):
        raise ImageError(f"{path}: float pixels from {low:g} to {high:g}; scale them to [0, 1] first")
    if not decoded.alpha:
        return False
    if not transparent:
        log.info("%s: alpha is opaque everywhere and was dropped", path)
    elif matte is None:
        share = transparent / (decoded.height * decoded.width)
        raise ImageError(
            f"{path}: {share:.1%} of its pixels are transparent; flatten it, for example on white"
        )
    else:
        log.info("%s: transparent pixels blended with %s", path, matte)
    return bool(transparent)


def _bands(decoded: Decoded) -> Iterator[tuple[int, int]]:
    rows = max(1, _BAND // decoded.width)
    for top in range(0, decoded.height, rows):
        yield top, min(top + rows, decoded.height)


def _filled(decoded: Decoded, matte: Matte | None) -> Tensor:
    """Return a picture as float32 (3, H, W) in [0, 1], turned as its orientation says."""
    shape = (decoded.height, decoded.width)
    image = torch.empty(3, *(shape if decoded.orientation < 5 else shape[::-1]))
    stored = _as_stored(image.numpy(), decoded.orientation)
    for top, bottom in _bands(decoded):
        band = decoded.rows(top, bottom)
        pixels = np.moveaxis(band[..., : decoded.channels], -1, 0)  # grey is repeated
        target = stored[:, top:bottom]
        np.divide(pixels, np.float32(decoded.full_scale), out=target, dtype=np.float32)
        if matte is not None:
            opacity = torch.from_numpy(band[..., -1].astype(np.float32) / np.float32(decoded.full_scale))
            ground = torch.tensor(matte, dtype=torch.float32)[:, None, None]
            above = torch.from_numpy(np.ascontiguousarray(target))
            target[:] = torch.lerp(ground.expand_as(above), above, opacity).numpy()
    return image


def _as_stored(image: NDArray[np.float32], orientation: int) -> NDArray[np.float32]:
    """Return a view of an upright picture (3, H, W) as the file has it: to turn costs no copy.

    EXIF orientation 2 to 8: what is stored is transposed for 5 to 8, then mirrored for all but 5.
    """
    mirrored = {2: (2,), 3: (1, 2), 4: (1,), 6: (2,), 7: (1, 2), 8: (1,)}
    image = np.flip(image, mirrored.get(orientation, ()))
    return image.swapaxes(1, 2) if orientation >= 5 else image
