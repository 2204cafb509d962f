"""The drawings of notebook 05: windows of a finished picture, pixel by pixel."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ourgan.images import contact_sheet, from_uint8
from ourgan.synthesis.tiling import TilePlan


def windows(pixels: NDArray[np.uint8], size: int = 400) -> Image.Image:
    """Six windows of a picture (H, W, 3) at 100 %, from top left to bottom right, with their corners."""
    height, width = pixels.shape[:2]
    size = min(size, height, width)
    corners = [
        (round((height - size) * down), round((width - size) * across))
        for down, across in ((0.05, 0.1), (0.3, 0.8), (0.45, 0.3), (0.6, 0.6), (0.8, 0.15), (0.95, 0.9))
    ]
    return _sheet(pixels, corners, size)


def seam_windows(pixels: NDArray[np.uint8], plan: TilePlan, size: int = 400) -> Image.Image:
    """Windows at 100 % whose centre is where subregions of the last step meet, at most three."""
    height, width = pixels.shape[:2]
    size = min(size, height, width)
    rows = [tile.top * plan.scale for tile in plan.tiles() if tile.top] or [height // 2]
    columns = [tile.left * plan.scale for tile in plan.tiles() if tile.left] or [width // 2]
    meetings = sorted({(row, column) for row in rows for column in columns})
    chosen = meetings[:: max(1, len(meetings) // 3)][:3]
    corners = [
        (min(max(0, row - size // 2), height - size), min(max(0, column - size // 2), width - size))
        for row, column in chosen
    ]
    return _sheet(pixels, corners, size)


def _sheet(pixels: NDArray[np.uint8], corners: list[tuple[int, int]], size: int) -> Image.Image:
    crops = [from_uint8(pixels[top : top + size, left : left + size]) for top, left in corners]
    return contact_sheet(crops, 3, [f"x {left:,}  y {top:,}" for top, left in corners])
