"""What comes in from a browser: pictures within bounds, and names that stay within one directory."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path

from PIL import Image
from torch import Tensor

from ourgan.io.decode import FORMATS
from ourgan.io.pillow_limits import pillow_as_documented
from ourgan.io.read import ImageError, read_image

MAX_BYTES = 8 * 2**20  # a Jupyter server drops the connection at 10 MiB a message
MAX_PIXELS = 24_000_000  # a photograph of 6,000 x 4,000 takes 290 MB as float32 for a moment
MAX_NAME = 60


def picture_from(data: bytes) -> Tensor:
    """A picture file's bytes as (3, H, W) in [0, 1] through `read_image`; what is transparent, on white.

    Raises ImageError in one line for more than 8 MiB or 24 million pixels, known before it is decoded, and
    for what is no picture.
    """
    if len(data) > MAX_BYTES:
        raise ImageError(f"the file has {len(data) / 2**20:.1f} MiB; use one of {MAX_BYTES // 2**20} at most")
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory, "upload")
        path.write_bytes(data)
        try:
            _check_pixels(path)
            return read_image(path, matte=(1.0, 1.0, 1.0))
        except ImageError as error:
            # The path is one that the person has never seen.
            raise ImageError(str(error).replace(str(path), "the file")) from None


def _check_pixels(path: Path) -> None:
    with pillow_as_documented():
        try:
            with Image.open(path, formats=FORMATS) as header:
                width, height = header.size
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
            return  # `read_image` says what is wrong with it
    if width * height > MAX_PIXELS:
        raise ImageError(
            f"the file has {width} x {height} pixels; make it smaller, {MAX_PIXELS / 1e6:.0f} million at most"
        )


def safe_name(text: str) -> str:
    """A file name without suffix made of what a person typed: letters, digits, "-" and "_", 60 at most."""
    kept = re.sub(r"[^A-Za-z0-9_-]+", "-", text).strip("-")[:MAX_NAME]
    return kept or "scene"


def free_path(directory: Path, name: str, suffix: str) -> Path:
    """`directory`/NAME`suffix`, or NAME-2, NAME-3, ... where that is taken: nothing is written over."""
    name = safe_name(name)
    number, path = 2, directory / f"{name}{suffix}"
    while path.exists():
        path = directory / f"{name}-{number}{suffix}"
        number += 1
    return path
