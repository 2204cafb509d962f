"""Rough changes to a small picture, to be harmonised by the scales above (SinGAN's editing)."""

from __future__ import annotations

import base64
import binascii
import dataclasses
import io

import torch
from PIL import Image
from torch import Tensor

from ourgan._core.errors import OurganError
from ourgan._core.strict_toml import ConfigError, one_of
from ourgan.explorer.state.uploads import picture_from
from ourgan.io.pixels import resize, to_uint8
from ourgan.io.read import ImageError

OPERATIONS = ("move", "mirror", "duplicate", "paste")
MAX_EMBEDDED = 8 * 2**20  # characters: a picture of step 1 four times as wide takes a tenth


Place = tuple[int, int, int, int]  # left, top, right, bottom


class EditError(OurganError):
    """A change that cannot be made to this picture."""


@dataclasses.dataclass(frozen=True)
class Edit:
    """One change and where it is handed to the generator.

    Attributes:
        operation: "move" and "duplicate" take the rectangle to `to`; "mirror" turns left and right within it;
            "paste" lays `picture` into it, cut to its shape.
        box: (x, y, w, h), pixels of step 1; what lies outside the picture is cut off.
        to: (x, y) of the upper left corner where "move" and "duplicate" put it.
        scale: that of the first refiner that sees the result; the lower, the freer it is with it.
        picture: PNG in base64, for "paste" alone.
    """

    operation: str
    box: tuple[int, int, int, int]
    to: tuple[int, int] = (0, 0)
    scale: int = 3
    picture: str = ""

    def __post_init__(self) -> None:
        one_of("operation", self.operation, OPERATIONS)
        if min(self.box[2:]) < 1:
            raise ConfigError(f"box {self.box}: width and height must be at least 1")
        if (self.operation == "paste") != bool(self.picture):
            raise ConfigError("a picture belongs to 'paste', and to nothing else")

    def check(self, height: int, width: int) -> None:
        """Raise EditError if the rectangle, or where it should go, lies outside a picture of this size."""
        self._places(height, width)

    def apply(self, image: Tensor) -> Tensor:
        """The picture (3, H, W) in [0, 1] with the change, before any scale has refined it.

        Raises EditError as `check` does, and for a damaged picture.
        """
        changed = image.clone()
        (left, top, right, bottom), target = self._places(*image.shape[-2:])
        region, place = image[:, top:bottom, left:right], changed[:, top:bottom, left:right]
        if self.operation == "mirror":
            place.copy_(region.flip(2))
        elif self.operation == "paste":
            place.copy_(cover(decoded(self.picture), (bottom - top, right - left)))
        else:
            if self.operation == "move":
                place.copy_(_bridged(image, left, top, right, bottom))
            dx, dy = self.to[0] - self.box[0], self.to[1] - self.box[1]
            x0, y0, x1, y1 = target
            changed[:, y0:y1, x0:x1] = image[:, y0 - dy : y1 - dy, x0 - dx : x1 - dx]
        return changed

    def _places(self, height: int, width: int) -> tuple[Place, Place]:
        """What a picture of this size has of the rectangle, and of where that goes."""
        x, y, w, h = self.box
        source = _within(x, y, x + w, y + h, height, width, f"rectangle {self.box}")
        if self.operation not in ("move", "duplicate"):
            return source, source
        dx, dy = self.to[0] - x, self.to[1] - y
        there = (source[0] + dx, source[1] + dy, source[2] + dx, source[3] + dy)
        return source, _within(*there, height, width, f"target {self.to}")


def _within(left: int, top: int, right: int, bottom: int, height: int, width: int, what: str) -> Place:
    place = (max(0, left), max(0, top), min(width, right), min(height, bottom))
    if place[0] >= place[2] or place[1] >= place[3]:
        raise EditError(f"{what}: outside the picture of {width} x {height}; move it")
    return place


def _bridged(image: Tensor, left: int, top: int, right: int, bottom: int) -> Tensor:
    """What fills the place that was left: each row runs on from its neighbour on the left to the right one.

    Rows keep their own colours, as the vertical coordinate wants it.
    """
    rows, width = image[:, top:bottom], image.shape[2]
    after = rows[:, :, min(right, width - 1), None]
    before = rows[:, :, left - 1, None] if left else after
    if right == width:
        after = before
    return torch.lerp(before, after, torch.linspace(0, 1, right - left + 2)[1:-1])


def cover(picture: Tensor, size: tuple[int, int]) -> Tensor:
    """The picture (3, H, W) scaled to cover `size` = (height, width), and the middle of that: (3, h, w)."""
    height, width = size
    scale = max(height / picture.shape[1], width / picture.shape[2])
    tall, wide = (max(n, round(scale * own)) for n, own in zip(size, picture.shape[1:], strict=True))
    top, left = (tall - height) // 2, (wide - width) // 2
    return resize(picture, (tall, wide))[:, top : top + height, left : left + width]


def encoded(picture: Tensor) -> str:
    """A picture (3, H, W) in [0, 1] as PNG in base64, 8 bits a channel."""
    buffer = io.BytesIO()
    Image.fromarray(to_uint8(picture)).save(buffer, format="png", optimize=True)
    return base64.b64encode(buffer.getvalue()).decode()


def decoded(text: str) -> Tensor:
    """The picture that `encoded` wrote; EditError for anything that is not one."""
    if len(text) > MAX_EMBEDDED:
        raise EditError(
            f"the picture within the scene has {len(text):,} characters, {MAX_EMBEDDED:,} at most"
        )
    try:
        return picture_from(base64.b64decode(text, validate=True))
    except (binascii.Error, ImageError):
        raise EditError("the picture within the scene is damaged; paste it again") from None
