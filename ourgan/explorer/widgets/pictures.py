"""The two widgets that ipywidgets has not: a picture with its alt text, and a sheet to choose from."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import anywidget
import traitlets
from PIL import Image
from torch import Tensor

from ourgan.io.pixels import preview, to_uint8

FRONT = Path(__file__).parent / "front"
THUMBNAIL = 160  # pixels of a sample in the sheet


class Picture(anywidget.AnyWidget):
    """A picture, and a rectangle in it that the mouse or the arrow keys move.

    Attributes:
        data, format: an encoded picture; empty bytes show nothing.
        alt: one sentence for those who cannot see it.
        pixels: its (width, height); zoom: screen pixels for each of them, where there is room.
        select: whether the rectangle is shown; box: (x, y, w, h) in pixels of the picture.
    """

    _esm = FRONT / "picture.js"
    _css = FRONT / "explorer.css"
    data = traitlets.Bytes(b"").tag(sync=True)
    format = traitlets.Unicode("png").tag(sync=True)
    alt = traitlets.Unicode("").tag(sync=True)
    pixels: traitlets.List[int] = traitlets.List([4, 3]).tag(sync=True)
    zoom = traitlets.Float(2.0).tag(sync=True)
    select = traitlets.Bool(False).tag(sync=True)
    box: traitlets.List[int] = traitlets.List([0, 0, 1, 1]).tag(sync=True)

    def show(self, data: bytes, size: tuple[int, int], alt: str, *, zoom: float, kind: str = "png") -> None:
        """Show an encoded picture of `size` = (width, height) pixels."""
        with self.hold_sync():
            self.pixels, self.zoom, self.format, self.alt, self.data = list(size), zoom, kind, alt, data


class Sheet(anywidget.AnyWidget):
    """Buttons with a picture each; keyboard and screen readers find them as buttons.

    Attributes:
        items: for each its caption, its alt text, whether it is chosen and whether it is kept.
        pictures: for each its JPEG, or nothing while it is not there.
    """

    _esm = FRONT / "sheet.js"
    _css = FRONT / "explorer.css"
    label = traitlets.Unicode("Samples").tag(sync=True)
    items: traitlets.List[dict[str, Any]] = traitlets.List().tag(sync=True)
    pictures: traitlets.List[bytes] = traitlets.List().tag(sync=True)

    def on_choose(self, choose: Callable[[int], None]) -> None:
        """Call `choose(index)` when somebody presses a button."""

        def received(_: Any, content: Any, buffers: Any) -> None:
            index = content.get("chosen") if isinstance(content, dict) else None
            if type(index) is int and 0 <= index < len(self.items):
                choose(index)

        self.on_msg(received)

    def fill(self, index: int, picture: bytes) -> None:
        """Show the picture of one button."""
        self.pictures = [*self.pictures[:index], picture, *self.pictures[index + 1 :]]

    def clear(self, items: Sequence[dict[str, Any]]) -> None:
        """Other buttons, without pictures yet."""
        with self.hold_sync():
            self.items, self.pictures = list(items), [b""] * len(items)


def png(picture: Tensor) -> bytes:
    """(3, h, w) in [0, 1] as PNG, for the pixels to be exact."""
    buffer = io.BytesIO()
    Image.fromarray(to_uint8(picture)).save(buffer, format="png", compress_level=1)
    return buffer.getvalue()


def thumbnail(picture: Tensor) -> bytes:
    """(3, h, w) in [0, 1] as a small JPEG."""
    buffer = io.BytesIO()
    preview(picture, THUMBNAIL).save(buffer, format="jpeg", quality=85)
    return buffer.getvalue()
