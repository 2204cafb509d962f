"""Rough changes to a small picture, harmonised by the scales above (SinGAN's editing), and uploads."""

from __future__ import annotations

import base64
import binascii
import dataclasses
import tempfile
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from ourgan._core.errors import OurganError
from ourgan._core.strict_toml import ConfigError, one_of
from ourgan.io.pillow_limits import ImageError
from ourgan.io.pixels import encode_png, resize
from ourgan.io.read import read_image

OPERATIONS = ("move", "mirror", "duplicate", "paste")
MAX_EMBEDDED = 8 * 2**20  # characters: a picture of step 1 four times as wide takes a tenth
MAX_UPLOAD = 8 * 2**20  # bytes: a Jupyter server drops the connection at 10 MiB a message

Corners = tuple[int, int, int, int]  # left, top, right, bottom


class EditError(OurganError):
    """A change that cannot be made to this picture."""


@dataclasses.dataclass(frozen=True)
class Edit:
    """One change and where it is handed to the generator.

    Attributes:
        operation: "move" and "duplicate" take the rectangle to `to`; "mirror" turns left and right within it;
            "paste" puts `picture` into it, cut to its shape.
        box: (x, y, w, h), pixels of step 1; what lies outside the picture is cut off.
        to: (x, y) of the upper left corner where "move" and "duplicate" put it.
        scale: that of the first refiner that sees the result; the lower, the more it invents.
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
        """Raise EditError if the rectangle, or its target, lies outside a picture of this size."""
        self._corners(height, width)

    def apply(self, image: Float[Tensor, "3 h w"]) -> Float[Tensor, "3 h w"]:
        """Return the picture with the change, before any scale has refined it.

        Args:
            image: a picture of step 1, in [0, 1].

        Raises:
            EditError: as `check` does, and for a damaged `picture`.
        """
        changed = image.clone()
        (left, top, right, bottom), target = self._corners(*image.shape[-2:])
        source, destination = image[:, top:bottom, left:right], changed[:, top:bottom, left:right]
        if self.operation == "mirror":
            destination.copy_(source.flip(2))
        elif self.operation == "paste":
            destination.copy_(cover(decode_picture(self.picture), (bottom - top, right - left)))
        else:
            if self.operation == "move":
                destination.copy_(_bridge(image, left, top, right, bottom))
            dx, dy = self.to[0] - self.box[0], self.to[1] - self.box[1]
            x0, y0, x1, y1 = target
            changed[:, y0:y1, x0:x1] = image[:, y0 - dy : y1 - dy, x0 - dx : x1 - dx]
        return changed

    def _corners(self, height: int, width: int) -> tuple[Corners, Corners]:
        """Return the parts of the rectangle and of its target that lie in a picture of this size."""
        x, y, w, h = self.box
        source = _clip(x, y, x + w, y + h, height, width, f"rectangle {self.box}")
        if self.operation not in ("move", "duplicate"):
            return source, source
        dx, dy = self.to[0] - x, self.to[1] - y
        target = (source[0] + dx, source[1] + dy, source[2] + dx, source[3] + dy)
        return source, _clip(*target, height, width, f"target {self.to}")


def _clip(left: int, top: int, right: int, bottom: int, height: int, width: int, what: str) -> Corners:
    corners = (max(0, left), max(0, top), min(width, right), min(height, bottom))
    if corners[0] >= corners[2] or corners[1] >= corners[3]:
        raise EditError(f"{what}: outside the picture of {width} x {height}; move it")
    return corners


def _bridge(image: Tensor, left: int, top: int, right: int, bottom: int) -> Tensor:
    """Return what fills a rectangle that was moved away: each row blends its two neighbours.

    Rows keep their own colours, as the vertical coordinate wants it.
    """
    rows, width = image[:, top:bottom], image.shape[2]
    after = rows[:, :, min(right, width - 1), None]
    before = rows[:, :, left - 1, None] if left else after
    if right == width:
        after = before
    return torch.lerp(before, after, torch.linspace(0, 1, right - left + 2)[1:-1])


def cover(picture: Float[Tensor, "3 H W"], size: tuple[int, int]) -> Float[Tensor, "3 h w"]:
    """Return the middle of the picture in [0, 1], scaled to cover `size` = (height, width)."""
    height, width = size
    factor = max(height / picture.shape[1], width / picture.shape[2])
    tall, wide = (max(n, round(factor * own)) for n, own in zip(size, picture.shape[1:], strict=True))
    top, left = (tall - height) // 2, (wide - width) // 2
    return resize(picture, (tall, wide))[:, top : top + height, left : left + width]


def encode_picture(picture: Float[Tensor, "3 h w"]) -> str:
    """Return a picture in [0, 1] as PNG in base64, 8 bits a channel."""
    return base64.b64encode(encode_png(picture, small=True)).decode()


def decode_picture(text: str) -> Float[Tensor, "3 h w"]:
    """Return the picture that `encode_picture` wrote; raise EditError for anything else."""
    if len(text) > MAX_EMBEDDED:
        raise EditError(
            f"the picture within the scene has {len(text):,} characters, {MAX_EMBEDDED:,} at most"
        )
    try:
        return read_upload(base64.b64decode(text, validate=True))
    except (binascii.Error, ImageError):
        raise EditError("the picture within the scene is damaged; paste it again") from None


def read_upload(data: bytes) -> Float[Tensor, "3 h w"]:
    """Return the picture of a file's bytes in [0, 1], read by `read_image`; what is transparent, on white.

    Raises:
        ImageError: in one line for what is no picture, for more than 8 MiB, and for more pixels than
            `read_image` takes.
    """
    if len(data) > MAX_UPLOAD:
        raise ImageError(
            f"the file has {len(data) / 2**20:.1f} MiB; use one of {MAX_UPLOAD // 2**20} at most"
        )
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory, "upload")
        path.write_bytes(data)
        try:
            return read_image(path, matte=(1.0, 1.0, 1.0))
        except ImageError as error:
            # The path is one that the person has never seen.
            raise ImageError(str(error).replace(str(path), "the file")) from None
