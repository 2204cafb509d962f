"""Limits on pictures; Pillow's own are globals of its modules: set while a file is read, then restored."""

from __future__ import annotations

import contextlib
import logging
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path

import psutil
from PIL import Image, ImageFile

from ourgan._core.errors import OurganError

log = logging.getLogger(__name__)

# The largest picture of our own: 16,384 pixels wide, upright 2:3.
MAX_PIXELS = 16_384 * 24_576
FLOAT_BYTES = 12  # a pixel of the tensor that is made of it

_lock = threading.RLock()


class ImageError(OurganError):
    """A picture that cannot be read under the policy of `ourgan.io.read.read_image`, or cannot be written."""


def check_size(path: Path, width: int, height: int, bytes_a_pixel: int = 4) -> None:
    """Refuse a picture before it is decoded that is larger than any of ours, or than memory.

    Args:
        path: of the file, for the message.
        width: in pixels.
        height: in pixels.
        bytes_a_pixel: that the decoded picture takes, beside the float32 tensor that is made of it.

    Raises:
        ImageError: with the size in pixels, and what may be had.
    """
    if width * height > MAX_PIXELS:
        raise ImageError(
            f"{path}: {width:,} x {height:,} are more than {MAX_PIXELS:,} pixels; make it smaller first"
        )
    needed, free = width * height * (FLOAT_BYTES + bytes_a_pixel), free_memory()
    if needed > free:
        raise ImageError(
            f"{path}: {width:,} x {height:,} pixels take {needed / 2**30:.1f} GiB of memory to read, "
            f"{free / 2**30:.1f} are free; make it smaller, or make room"
        )


def free_memory() -> int:
    """Return the bytes of memory that this process may still take: of the machine, or of its container."""
    free = int(psutil.virtual_memory().available)
    with contextlib.suppress(OSError, ValueError):  # "max", or no container of this kind
        limit = int(Path("/sys/fs/cgroup/memory.max").read_text())
        free = min(free, limit - int(Path("/sys/fs/cgroup/memory.current").read_text()))
    return max(0, free)


@contextlib.contextmanager
def pillow_as_documented() -> Iterator[None]:
    """Make Pillow pad nothing that is truncated, leave sizes to `check_size`, and log its warnings.

    These are globals of Pillow's modules, which anything else in this process may have changed: they are
    set for one thread at a time, and put back afterwards.
    """
    with _lock, warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        before = Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES
        Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES = None, False
        try:
            yield
        finally:
            Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES = before
            for warning in caught:
                # Cameras write lists of their second pictures in many ways; the first is read all the same.
                level = logging.INFO if "malformed MPO" in str(warning.message) else logging.WARNING
                log.log(level, "%s", warning.message)
