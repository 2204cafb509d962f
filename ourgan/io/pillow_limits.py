"""Pillow's limits, which are globals of its modules: set under a lock while a file is read, then restored."""

from __future__ import annotations

import contextlib
import logging
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
    """Make Pillow refuse more than `max_pixels` and pad nothing that is truncated, and log its warnings.

    These are globals of Pillow's modules, which anything else in this process may have changed: they are
    set for one thread at a time, and put back afterwards.
    """
    with _lock, warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        before = Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES
        Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES = (max_pixels + 1) // 2, False
        try:
            yield
        finally:
            Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES = before
            for warning in caught:
                if not issubclass(warning.category, Image.DecompressionBombWarning):
                    log.warning("%s", warning.message)
