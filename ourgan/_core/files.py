"""Files that are either whole or absent, their checksums, and where caches are kept."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import re
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import platformdirs

from ourgan._core.errors import OurganError

PARTIAL = ".partial-"
PICTURES = (
    ".jpg",
    ".jpeg",
    ".jfif",
    ".png",
    ".tif",
    ".tiff",
    ".webp",
    ".avif",
    ".heic",
    ".heif",
)  # what pictures in a folder are called
PHOTOS = (
    "photo.jpg",
    "photo.png",
    "photo.tif",
    "photo.webp",
    "photo.avif",
    "photo.heic",
)  # what a model's directory may call its photo
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class UnwritableError(OurganError, OSError):
    """A file that its disk has no room for."""

    def __init__(self, path: Path, number: int) -> None:
        OSError.__init__(self, number, os.strerror(number), str(path))

    def __str__(self) -> str:
        return f"{self.filename}: cannot be written ({self.strerror}); make room there, then repeat"


@contextlib.contextmanager
def refuse_unwritable(
    path: str | os.PathLike[str], advice: str = "", error_type: type[OurganError] = OurganError
) -> Iterator[None]:
    """Turn an OSError of the block into one line that names `path`, the system's reason and an advice.

    Args:
        path: what is written, as it is named in the line.
        advice: what to do, after a semicolon, such as "choose another --out".
        error_type: the class of the error that is raised instead.

    Raises:
        OurganError: where the block raises OSError; UnwritableError is one, too.
    """
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        advice = f"; {advice}" if advice else ""
        raise error_type(f"{path}: cannot be written ({reason}){advice}") from error


@contextlib.contextmanager
def atomic_path(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on success sync it and rename it over `path`.

    A crash at any moment leaves the previous `path` intact. The temporary name starts with
    `.partial-`, so a later run recognises and removes what a killed one left (`clean_partial`).

    Raises:
        UnwritableError: the disk is full; it is an OSError, too.
    """
    path = Path(path)
    temporary = path.with_name(f"{PARTIAL}{uuid.uuid4().hex[:8]}-{path.name}")
    try:
        yield temporary
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o666 & ~umask)  # some writers leave their file readable by its owner alone
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
        _sync_directory(path.parent)
    except Exception as error:
        if (number := _errno(error)) in FULL:
            raise UnwritableError(path, number) from error
        raise
    finally:
        temporary.unlink(missing_ok=True)


def write_bytes(path: str | os.PathLike[str], data: bytes) -> None:
    """Write a whole file atomically."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(data)


def write_json(path: str | os.PathLike[str], value: Any) -> None:
    """Write JSON atomically, indented, keys in the order given."""
    write_bytes(path, (json.dumps(value, indent=2, ensure_ascii=False) + "\n").encode())


def clean_partial(directory: str | os.PathLike[str]) -> None:
    """Remove what a killed process left half-written in `directory`."""
    for left_over in Path(directory).glob(f"{PARTIAL}*"):
        left_over.unlink(missing_ok=True)


def cache_directory() -> Path:
    """Return this user's cache directory of the package; it may not exist yet.

    On Linux it is `$XDG_CACHE_HOME/ourgan`, else `~/.cache/ourgan`; elsewhere where the system keeps caches.
    """
    return platformdirs.user_cache_path("ourgan", appauthor=False)


def sha256(path: str | os.PathLike[str]) -> str:
    """Return the hexadecimal SHA-256 of a file."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _errno(error: Exception) -> int:
    """Return the operating system's number of an error, 0 where it has none."""
    if isinstance(error, OSError):
        return error.errno or 0
    # safetensors writes in Rust, whose errors have it in their text alone.
    match = re.search(r"\(os error (\d+)\)", str(error))
    return int(match[1]) if match else 0


def _sync_directory(directory: Path) -> None:
    # Without this the rename itself may be lost in a power cut. Windows cannot open directories.
    if os.name == "posix":
        descriptor = os.open(directory, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
