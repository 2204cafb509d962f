"""A picture file that is decoded and not yet converted: what the readers of all formats hand on."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

log = logging.getLogger(__name__)

CHANNELS = {"L": 1, "RGB": 3, "CMYK": 4}


@dataclass(frozen=True)
class Decoded:
    """The numbers of one picture file, as stored, to be had in bands of rows.

    A band at a time, because every conversion of a whole picture of 200 megapixels would take gigabytes.

    Attributes:
        height: in pixels, as stored: `orientation` is still to be applied.
        width: the same.
        colour: "L" (one channel), "RGB" (3) or "CMYK" (4).
        full_scale: the number that means 1.
        rows: gives the rows from `top` to before `bottom`, (h, W, C) uint8, uint16 or float32.
        alpha: the channels have one more, opacity, with the same full scale.
        profile: the ICC profile that is embedded, or one of what the file says of its colours elsewhere.
        said_by: where it says so, for the log: "EXIF"; None for a profile that is embedded.
        orientation: EXIF's 1 to 8, still to be applied.
    """

    height: int
    width: int
    colour: str
    full_scale: float
    rows: Callable[[int, int], NDArray[Any]]
    alpha: bool = False
    profile: bytes | None = None
    said_by: str | None = None
    orientation: int = 1

    @property
    def channels(self) -> int:
        """How many channels of colour there are."""
        return CHANNELS[self.colour]


def is_level(subfile_type: int) -> bool:
    """Return whether a page of a TIFF is the first one made smaller, or a mask: no other picture."""
    return bool(subfile_type & 5)


def valid_orientation(path: Path, orientation: Any) -> int:
    """Return EXIF's 1 to 8; 1, and a warning, for what is none of them."""
    if orientation not in range(1, 9):
        log.warning("%s: EXIF orientation %r means nothing; the picture is not turned", path, orientation)
        return 1
    return int(orientation)
