"""The drawings of notebook 07 and of the explorer: its panels as pictures, for those who see no widgets."""

from __future__ import annotations

import numpy as np
from matplotlib import colormaps
from matplotlib.colors import LogNorm
from PIL import Image, ImageDraw
from torch import Tensor

from ourgan.explorer.state.edits import Edit
from ourgan.explorer.state.seam_lab import Seams
from ourgan.io.pixels import contact_sheet, from_uint8, to_uint8
from ourgan.upscale.seams import level_difference

DONE = {"move": "moved", "mirror": "mirrored", "duplicate": "duplicated", "paste": "pasted"}


def seam_sheet(seams: Seams) -> Image.Image:
    """A strip in tiles, in bands, and where they differ: black up to 0.1 levels of 255, white from 100."""
    levels = level_difference(seams.tiled, seams.banded).clamp(min=0.1).numpy()
    colours = colormaps["magma"](LogNorm(0.1, 100, clip=True)(levels), bytes=True)[:, :, :3]
    plan, found = seams.plan, seams.difference
    captions = [
        f"{plan.columns} tiles of {plan.tile_width} px, overlap {plan.overlap}",
        "exact bands",
        f"difference: {found.mean_in_band:.2f} levels near the seams, {found.largest:.1f} at most",
    ]
    return contact_sheet([seams.tiled, seams.banded, from_uint8(colours)], 1, captions)


def edit_sheet(before: Tensor, edit: Edit, after: Tensor) -> Image.Image:
    """A scene (3, H, W) with the rectangle, with the rough change, and what the generator made of that."""
    marked = Image.fromarray(to_uint8(before))
    x, y, w, h = edit.box
    ImageDraw.Draw(marked).rectangle((x, y, x + w - 1, y + h - 1), outline="white", width=2)
    captions = ["the scene", f"{DONE[edit.operation]}, roughly", f"the generator, from stage {edit.scale}"]
    return contact_sheet([from_uint8(np.asarray(marked)), edit.apply(before), after], 3, captions)


def rough_picture(height: int, width: int) -> Tensor:
    """What somebody paints in a minute, (3, height, width) in [0, 1]: sky, two mountains, a meadow."""
    picture = Image.new("RGB", (width, height), (120, 150, 190))
    brush = ImageDraw.Draw(picture)
    for colour, corners in (
        ((110, 110, 115), ((0.0, 0.7), (0.25, 0.15), (0.5, 0.7))),
        ((90, 90, 95), ((0.4, 0.7), (0.75, 0.3), (1.0, 0.7))),
        ((80, 90, 45), ((0.0, 0.65), (1.0, 0.6), (1.0, 1.0), (0.0, 1.0))),
    ):
        brush.polygon([(x * width, y * height) for x, y in corners], fill=colour)
    return from_uint8(np.asarray(picture))
