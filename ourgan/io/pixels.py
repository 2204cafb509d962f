"""Tensors (3, H, W) in [0, 1] to and from 8-bit pixels, other sizes, picture files and contact sheets."""

from __future__ import annotations

import functools
import hashlib
import io
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from PIL import Image, ImageCms, ImageDraw, ImageFont
from torch import Tensor
from torch.nn import functional

from ourgan._core.files import atomic_path, refuse_unwritable
from ourgan.io.pillow_limits import ImageError

_SMALLEST_FONT = 12  # in pixels, to be readable
_GAP = 6  # white pixels between the pictures of a contact sheet


def resize(
    image: Tensor,
    size: tuple[int, int],
    *,
    antialias: bool = True,
    mode: Literal["bilinear", "bicubic"] = "bilinear",
) -> Tensor:
    """Resample an image to another size; pixels are squares whose centres lie at half-integers.

    Args:
        image: (3, H, W) or (N, 3, H, W) in [0, 1].
        size: (height, width) of the result.
        antialias: average over the area that an output pixel covers; without it the image is sampled at
            the centre of that area only, as OpenCV's resize does.
        mode: of interpolation; the overshoot of "bicubic" is clipped.

    Returns:
        (3, height, width) or (N, 3, height, width) in [0, 1].
    """
    batch = image if image.dim() == 4 else image[None]
    resized = functional.interpolate(batch, size, mode=mode, align_corners=False, antialias=antialias)
    resized = resized.clamp(0, 1)
    return resized if image.dim() == 4 else resized[0]


def reflect(image: Float[Tensor, "3 h w"], margin: int) -> Float[Tensor, "3 h _"]:
    """Return an image with `margin` columns more on each side, its own mirrored at the edges."""
    return functional.pad(image[None], (margin, margin, 0, 0), mode="reflect")[0]


def resize_to_width(image: Tensor, width: int) -> Tensor:
    """Resample (3, H, W) in [0, 1] to `width` pixels and the height that keeps its shape."""
    return resize(image, (round(width * image.shape[1] / image.shape[2]), width))


def pyramid(image: Tensor, sizes: Sequence[tuple[int, int]], *, antialias: bool = True) -> list[Tensor]:
    """Return the image (3, H, W) at each (height, width), every one resampled from the image itself."""
    return [resize(image, size, antialias=antialias) for size in sizes]


def crop_middle(image: Float[Tensor, "3 h w"], side: int) -> Tensor:
    """Return the middle of a picture (3, H, W): `side` pixels a side, or as many as there are."""
    height, width = (min(side, size) for size in image.shape[1:])
    top, left = (image.shape[1] - height) // 2, (image.shape[2] - width) // 2
    return image[:, top : top + height, left : left + width]


def to_uint8(image: Float[Tensor, "3 h w"]) -> NDArray[np.uint8]:
    """Round (3, H, W) in [0, 1] to pixels (H, W, 3) uint8; values outside are clipped.

    Raises:
        ImageError: NaN, which would become a colour like any other.
    """
    if torch.isnan(image).any():
        raise ImageError("the picture holds NaN where colours should be; it was not written")
    scaled = image.detach().float().clamp(0, 1).mul(255).round()
    return np.ascontiguousarray(scaled.to(torch.uint8).cpu().permute(1, 2, 0).numpy())


def from_uint8(pixels: NDArray[np.uint8]) -> Float[Tensor, "3 h w"]:
    """Convert pixels (H, W, 3) uint8 to a float32 tensor (3, H, W) in [0, 1]: the inverse of `to_uint8`."""
    image = torch.empty(pixels.shape[2], *pixels.shape[:2])
    image.copy_(torch.tensor(pixels).permute(2, 0, 1))
    return image.div_(255)


def encode_png(
    picture: Float[Tensor, "3 h w"] | NDArray[np.uint8] | Image.Image, small: bool = False
) -> bytes:
    """Return a picture as the bytes of a PNG file, 8 bits a channel.

    Args:
        picture: (3, H, W) in [0, 1], or pixels (H, W, 3), or a Pillow picture.
        small: as few bytes as Pillow can, which takes several times as long; else fast, for the screen.
    """
    if isinstance(picture, Tensor):
        picture = to_uint8(picture)
    if not isinstance(picture, Image.Image):
        picture = Image.fromarray(picture)
    buffer = io.BytesIO()
    if small:
        picture.save(buffer, format="png", optimize=True)
    else:
        picture.save(buffer, format="png", compress_level=1)
    return buffer.getvalue()


def write_image(path: str | os.PathLike[str], image: Float[Tensor, "3 h w"]) -> None:
    """Write (3, H, W) in [0, 1] as .png, or as .jpg of quality 95; the file is whole or absent.

    Raises:
        ImageError: another suffix, NaN in the image, or a file that cannot be written.
    """
    path = Path(path)
    if path.suffix.lower() not in (".png", ".jpg", ".jpeg"):
        raise ImageError(f"{path}: pictures are written as .png or .jpg; choose one of these")
    picture = Image.fromarray(to_uint8(image))
    with refuse_unwritable(path, "choose another place", ImageError), atomic_path(path) as temporary:
        picture.save(temporary, quality=95)


def preview(image: Float[Tensor, "3 h w"], longest: int = 1024) -> Image.Image:
    """Return (3, H, W) in [0, 1] with at most `longest` pixels on its longer side; it is never enlarged."""
    height, width = image.shape[-2:]
    scale = min(1.0, longest / max(height, width))
    if scale < 1:
        image = resize(image, (max(1, round(height * scale)), max(1, round(width * scale))))
    return Image.fromarray(to_uint8(image))


def contact_sheet(
    images: Sequence[Tensor], columns: int, captions: Sequence[str] | None = None
) -> Image.Image:
    """Lay out pictures row by row on white, each with a caption below if there are captions.

    Columns are as wide as the widest picture, rows as high as their highest; nothing is resampled.

    Args:
        images: (3, h, w) in [0, 1], of any sizes.
        columns: pictures in a row.
        captions: one for each picture; a long one is cut off where its column ends.

    Raises:
        ValueError: no picture, no column, or another number of captions.
    """
    if not images or columns < 1:
        raise ValueError("a contact sheet needs pictures and at least one column")
    if captions is not None and len(captions) != len(images):
        raise ValueError(f"{len(captions)} captions for {len(images)} pictures")
    columns = min(columns, len(images))
    width = max(image.shape[-1] for image in images)
    texts, font, strip = _fit_captions(captions or [""] * len(images), width)
    rows = [range(start, min(start + columns, len(images))) for start in range(0, len(images), columns)]
    heights = [max(images[index].shape[-2] for index in row) + strip + _GAP for row in rows]
    sheet = Image.new("RGB", (columns * (width + _GAP) + _GAP, sum(heights) + _GAP), "white")
    draw = ImageDraw.Draw(sheet)
    y = _GAP
    for row, row_height in zip(rows, heights, strict=True):
        for column, index in enumerate(row):
            x = _GAP + column * (width + _GAP)
            height, own_width = images[index].shape[-2:]
            sheet.paste(Image.fromarray(to_uint8(images[index])), (x + (width - own_width) // 2, y))
            draw.text((x + width / 2, y + height + strip / 2), texts[index], "black", font, anchor="mm")
        y += row_height
    return sheet


def _fit_captions(captions: Sequence[str], width: int) -> tuple[list[str], Any, int]:
    """Return captions, one font in which they fit `width`, and the height of their strip in pixels.

    A caption too long for the smallest readable font is cut off.
    """
    size = min(24, max(_SMALLEST_FONT, width // 20))
    while size > _SMALLEST_FONT and max(map(ImageFont.load_default(size).getlength, captions)) > width:
        size -= 1
    font = ImageFont.load_default(size)
    texts = list(captions)
    for index, text in enumerate(texts):
        while font.getlength(texts[index]) > width and len(text) > 1:
            text = text[:-1]
            texts[index] = text + "…"
    return texts, font, size * 3 // 2 if any(captions) else 0


def digest(image: Tensor) -> str:
    """Return the SHA-256 of an image's values as float32: its identity in records and caches."""
    return hashlib.sha256(image.detach().float().cpu().contiguous().numpy().tobytes()).hexdigest()


@functools.cache
def srgb_profile() -> bytes:
    """Return an ICC profile of sRGB, the same bytes at every call and on every day."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    # Bytes 24 to 36 of the header are the moment of making, which would change every file we write.
    profile[24:36] = bytes.fromhex("07e6 0001 0001 0000 0000 0000")
    return bytes(profile)
