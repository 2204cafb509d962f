"""Pillow's limits, which are globals of its modules: set for a moment, under a lock, and put back."""

from __future__ import annotations

import contextlib
import logging
import os
import threading
import warnings
from collections.abc import Iterator

from PIL import Image, ImageFile

from ourgan._core.errors import OurganError

log = logging.getLogger(__name__)

# Twice the pixels at which Pillow warns, and where it refuses: a 16K photograph (141 M) passes.
MAX_PIXELS = 178_956_970

_lock = threading.RLock()


class ImageError(OurganError):
    """A picture that cannot be read under the policy of `ourgan.io.read.read_image`, or cannot be written."""


@contextlib.contextmanager
def pillow_as_documented(max_pixels: int = MAX_PIXELS) -> Iterator[None]:
    """Pillow refuses more than `max_pixels`, pads nothing that is truncated, and warns through the log.

    Whatever else runs in this process may have changed that, since these are globals of Pillow's modules:
    one thread at a time, and put back afterwards.
    """
    with _lock, warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        before = Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES
        Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES = (max_pixels + 1) // 2, False
        try:
            yield
        finally:
            Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES = before
            for warning in heard:
                if not issubclass(warning.category, Image.DecompressionBombWarning):
                    log.warning("%s", warning.message)


@contextlib.contextmanager
def open_own_output(
    path: str | os.PathLike[str], expected_size: tuple[int, int]
) -> Iterator[ImageFile.ImageFile]:
    """Read one of our own PNG or TIFF files, whose (width, height) is known beforehand, however large.

    Pillow's limit on pixels is lifted up to the expected size while the file is opened and decoded (a TIFF
    is checked at both), and is back before the block begins.
    Raises ImageError if the file is missing, damaged or of another size.
    """
    width, height = expected_size
    with contextlib.ExitStack() as opened:
        try:
            with pillow_as_documented(max_pixels=width * height):
                image = opened.enter_context(Image.open(path, formats=("PNG", "TIFF")))
                if image.size == expected_size:
                    image.load()
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
            raise ImageError(
                f"{path}: cannot be read as a picture of {width} x {height} ({error})"
            ) from error
        if image.size != expected_size:
            found = "{} x {}".format(*image.size)
            raise ImageError(f"{path}: is {found}, not {width} x {height}; it is not the picture expected")
        yield image
