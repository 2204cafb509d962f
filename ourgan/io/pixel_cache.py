"""The cache of large images that are kept on this user's disk: its limit, what is in it, and its removal."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import shutil
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from ourgan._core.arguments import parse_bytes
from ourgan._core.errors import OurganError
from ourgan._core.files import PARTIAL, cache_directory, refuse_unwritable

log = logging.getLogger(__name__)

LIMIT = 4 * 2**30  # bytes: six photos at 16,384 x 12,288; OURGAN_CACHE_LIMIT is another, such as 8GiB
ABOUT = "about.json"  # of an image: what decides its pixels


@dataclass(frozen=True)
class Kept:
    """One image in the cache.

    Attributes:
        directory: where it lies.
        about: what decides its pixels.
        bytes: that it takes on the disk.
        used: when it was last opened, in seconds since 1970.
    """

    directory: Path
    about: dict[str, Any]
    bytes: int
    used: float


def images_directory() -> Path:
    """Return the directory of all images; it may not exist yet."""
    return cache_directory() / "photos"


def limit() -> int:
    """Return how many bytes all images may take: OURGAN_CACHE_LIMIT, or LIMIT. Raises OurganError."""
    try:
        return parse_bytes(os.environ.get("OURGAN_CACHE_LIMIT") or str(LIMIT))
    except OurganError as error:
        raise OurganError(f"OURGAN_CACHE_LIMIT: {error}") from None


def kept_images() -> list[Kept]:
    """Return what is in the cache, the last used first."""
    found = []
    for about in images_directory().glob(f"*/{ABOUT}"):
        with contextlib.suppress(OSError, ValueError):  # removed at this moment, or damaged: it is made again
            taken = sum(_on_disk(file) for file in about.parent.iterdir())
            found.append(Kept(about.parent, json.loads(about.read_text()), taken, about.stat().st_mtime))
    return sorted(found, key=lambda kept: -kept.used)


def report() -> str:
    """Return a line for each image in the cache, and one with their sum."""
    images = kept_images()
    lines = [
        f"{kept.directory}: {kept.about.get('name')} at {'x'.join(map(str, kept.about.get('size', ())))}, "
        f"{kept.bytes / 2**20:,.0f} MiB, last used {datetime.fromtimestamp(kept.used):%Y-%m-%d %H:%M}"
        for kept in images
    ]
    total = sum(kept.bytes for kept in images) / 2**20
    return "\n".join(
        [*lines, f"{total:,.0f} MiB of {limit() / 2**20:,.0f}; `ourgan cache --clear` frees them"]
    )


def clear_images() -> int:
    """Remove all images and what is left of earlier ones; return how many bytes that frees.

    A picture that is being made from one keeps it until it is done. Raises OurganError if something cannot be
    removed.
    """
    freed = sum(kept.bytes for kept in kept_images())
    with refuse_unwritable(images_directory()):
        for directory in images_directory().glob("*/"):
            _remove(directory)
    return freed


def make_room(directory: Path, whole: int) -> None:
    """Remove images that were not used for longest until another is within the limit and has room.

    Args:
        directory: of that other one, which may be there already.
        whole: the bytes that it takes in the end.

    Raises:
        OurganError: if it is larger than the limit, or the disk has no room for it.
        OSError: if something cannot be removed.
    """
    most, others = limit(), [kept for kept in kept_images() if kept.directory != directory]
    if whole > most:
        raise OurganError(
            f"{directory}: needs {whole / 2**20:,.0f} MiB, the cache's limit is {most / 2**20:,.0f} MiB: set "
            "OURGAN_CACHE_LIMIT, or take detail network"
        )
    while whole + sum(kept.bytes for kept in others) > most:
        log.info("%s: removed from the cache, see `ourgan cache`", others[-1].directory)
        _remove(others.pop().directory)
    there = next((path for path in (directory, *directory.parents) if path.exists()), Path())
    needed = whole - sum(_on_disk(file) for file in directory.glob("*"))
    if (free := shutil.disk_usage(there).free) < needed:
        raise OurganError(
            f"{directory}: needs {needed / 2**20:,.0f} MiB, {free / 2**20:,.0f} MiB are free: make room, "
            "set XDG_CACHE_HOME to another disk, or take detail network"
        )


def _remove(directory: Path) -> None:
    """Remove an image; as one step, so that another process finds it whole or not at all."""
    if not directory.name.startswith(PARTIAL):
        aside = directory.with_name(f"{PARTIAL}{directory.name}")
        shutil.rmtree(aside, ignore_errors=True)
        directory = directory.rename(aside)
    shutil.rmtree(directory)


def _on_disk(file: Path) -> int:
    status = file.stat()
    return min(status.st_size, getattr(status, "st_blocks", status.st_size) * 512)  # holes take no room
