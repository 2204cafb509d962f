"""The drawings of notebook 07: an edit as pictures, and a picture that a person might paint."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw
from torch import Tensor

from ourgan.io.pixels import contact_sheet, from_uint8, to_uint8

if TYPE_CHECKING:
    from ourgan.explorer.state.edits import Edit

DONE = {"move": "moved", "mirror": "mirrored", "duplicate": "duplicated", "paste": "pasted"}


def edit_sheet(before: Tensor, edit: Edit, after: Tensor) -> Image.Image:
    """Lay out a scene with the rectangle, with the rough change, and as the generator finished it.

    Args:
        before: the scene, (3, H, W) in [0, 1].
        edit: the change.
        after: the scene with it, of the same shape and range.
    """
    marked = Image.fromarray(to_uint8(before))
    x, y, w, h = edit.box
    ImageDraw.Draw(marked).rectangle((x, y, x + w - 1, y + h - 1), outline="white", width=2)
    captions = ["the scene", f"{DONE[edit.operation]}, roughly", f"the generator, from scale {edit.scale}"]
    return contact_sheet([from_uint8(np.asarray(marked)), edit.apply(before), after], 3, captions)


def paint_landscape(height: int, width: int) -> Tensor:
    """Paint sky, two mountains and a meadow as in a minute: (3, height, width) in [0, 1]."""
    picture = Image.new("RGB", (width, height), (120, 150, 190))
    brush = ImageDraw.Draw(picture)
    for colour, corners in (
        ((110, 110, 115), ((0.0, 0.7), (0.25, 0.15), (0.5, 0.7))),
        ((90, 90, 95), ((0.4, 0.7), (0.75, 0.3), (1.0, 0.7))),
        ((80, 90, 45), ((0.0, 0.65), (1.0, 0.6), (1.0, 1.0), (0.0, 1.0))),
    ):
        brush.polygon([(x * width, y * height) for x, y in corners], fill=colour)
    return from_uint8(np.asarray(picture))
