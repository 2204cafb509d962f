"""Large pictures as files, for tests that read them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ourgan.io.canvas import Canvas
from ourgan.io.tiff import Pixels


def save_picture(path: Path, pixels: Pixels, record: dict[str, Any] | None = None) -> None:
    """Write pixels (H, W, 3) that are in memory as `synthesize` writes them; replaces what is there."""
    canvas = Canvas(path, *pixels.shape[:2], overwrite=True)
    canvas.begin()
    canvas.append(pixels)
    assert canvas.finish(record or {}) == path
