"""Tensors (3, H, W) in [0, 1] to and from 8-bit pixels, other sizes, files and contact sheets."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor
from torch.nn import functional

from ourgan._core.files import atomic_path
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
    """Resample (3, H, W) or (N, 3, H, W) in [0, 1] to `size` = (height, width), still in [0, 1].

    Pixels are squares whose centres lie at half-integers. `antialias=True` averages over the area that an
    output pixel covers; False samples the image at its centre only, as OpenCV's resize does. Bicubic
    overshoot is clipped.
    """
    batch = image if image.dim() == 4 else image[None]
    resized = functional.interpolate(batch, size, mode=mode, align_corners=False, antialias=antialias)
    resized = resized.clamp(0, 1)
    return resized if image.dim() == 4 else resized[0]


def pyramid(image: Tensor, sizes: Sequence[tuple[int, int]], *, antialias: bool = True) -> list[Tensor]:
    """The image (3, H, W) at each (height, width), every one resampled from the image itself."""
    return [resize(image, size, antialias=antialias) for size in sizes]


def crop_middle(image: Tensor, side: int) -> Tensor:
    """Return the middle of a picture (3, H, W): `side` pixels a side, or as many as there are."""
    height, width = (min(side, size) for size in image.shape[1:])
    top, left = (image.shape[1] - height) // 2, (image.shape[2] - width) // 2
    return image[:, top : top + height, left : left + width]


def to_uint8(image: Tensor) -> NDArray[np.uint8]:
    """Round (3, H, W) in [0, 1] to pixels (H, W, 3) uint8; what lies outside is clipped.

    Raises ImageError for NaN, which would become a colour like any other.
    """
    if torch.isnan(image).any():
        raise ImageError("the picture holds NaN where colours should be; it was not written")
    scaled = image.detach().float().clamp(0, 1).mul(255).round()
    return np.ascontiguousarray(scaled.to(torch.uint8).cpu().permute(1, 2, 0).numpy())


def from_uint8(pixels: NDArray[np.uint8]) -> Tensor:
    """Pixels (H, W, 3) uint8 as a float32 tensor (3, H, W) in [0, 1]: the inverse of `to_uint8`."""
    image = torch.empty(pixels.shape[2], *pixels.shape[:2])
    image.copy_(torch.tensor(pixels).permute(2, 0, 1))
    return image.div_(255)


def write_image(path: str | os.PathLike[str], image: Tensor) -> None:
    """Write (3, H, W) in [0, 1] as .png, or as .jpg of quality 95, whole or not at all.

    Raises ImageError for another suffix, or if the file cannot be written.
    """
    path = Path(path)
    if path.suffix.lower() not in (".png", ".jpg", ".jpeg"):
        raise ImageError(f"{path}: pictures are written as .png or .jpg; choose one of these")
    picture = Image.fromarray(to_uint8(image))
    try:
        with atomic_path(path) as temporary:
            picture.save(temporary, quality=95)
    except OSError as error:
        reason = error.strerror or str(error)
        raise ImageError(f"{path}: cannot be written ({reason}); choose another place") from error


def preview(image: Tensor, longest: int = 1024) -> Image.Image:
    """(3, H, W) in [0, 1] for the screen, its longer side at most `longest` pixels; never enlarged."""
    height, width = image.shape[-2:]
    scale = min(1.0, longest / max(height, width))
    if scale < 1:
        image = resize(image, (max(1, round(height * scale)), max(1, round(width * scale))))
    return Image.fromarray(to_uint8(image))


def contact_sheet(
    images: Sequence[Tensor], columns: int, captions: Sequence[str] | None = None
) -> Image.Image:
    """Lay out pictures (3, h, w) in [0, 1], row by row on white, each with a caption below if given.

    Columns are as wide as the widest picture, rows as high as their highest; nothing is resampled.
    """
    if not images or columns < 1:
        raise ValueError("a contact sheet needs pictures and at least one column")
    if captions is not None and len(captions) != len(images):
        raise ValueError(f"{len(captions)} captions for {len(images)} pictures")
    columns = min(columns, len(images))
    width = max(image.shape[-1] for image in images)
    texts, font, strip = _fitted(captions or [""] * len(images), width)
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


def _fitted(captions: Sequence[str], width: int) -> tuple[list[str], Any, int]:
    """Captions, one font in which they fit `width`, and the height of their strip in pixels.

    A caption too long for the smallest readable font is cut short.
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
    """SHA-256 of an image's values as float32: what it is known by, whatever drew it."""
    return hashlib.sha256(image.detach().float().cpu().contiguous().numpy().tobytes()).hexdigest()
