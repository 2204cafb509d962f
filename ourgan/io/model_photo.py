"""The photo that a model learned from: kept beside it, found again by its checksum."""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ourgan._core import files
from ourgan.io.model_dir import ModelError, ModelMetadata
from ourgan.io.read import read_image

log = logging.getLogger(__name__)

SHIPPED = Path(__file__).parents[2] / "data" / "photos"  # of a checkout: those of its models


@dataclass(frozen=True)
class ModelPhoto:
    """A photo's file, which is the one that a model learned from as far as the model says which."""

    path: Path
    sha256: str  # of the file


def find_photo(
    metadata: ModelMetadata, directory: Path | None, given: str | os.PathLike[str] | None = None
) -> ModelPhoto:
    """Find the photo of a model: `given`, else `photo.*` in its directory, else one of `data/photos`.

    Args:
        metadata: of the model; its checksum decides which photo is the right one.
        directory: of the model, if it lies in one.
        given: a file that is to be it.

    Raises:
        ModelError: if `given` is another photo, or none is found.
        ImageError: if `given` is no picture.
    """
    wanted, name = metadata.photo_sha256, metadata.photo or "a photo without a name"
    if given is not None:
        path = Path(given)
        if not path.is_file():
            read_image(path)  # says in one line what it is
        found = files.sha256(path)
        if wanted and found != wanted:
            raise ModelError(
                f"{path}: not the photo of this model, which learned from {name} (its sha256 is "
                f"{found[:12]}..., the model's {wanted[:12]}...)"
            )
        return ModelPhoto(path, found)
    if wanted:
        for path in _candidates(metadata.photo, directory):
            if files.sha256(path) == wanted:
                return ModelPhoto(path, wanted)
    place = "" if directory is None else f", or put it at {directory / files.PHOTOS[0]}"
    raise ModelError(f"the model's photo, {name}, is not at hand: give it with --photo{place}")


def keep_photo(photo: ModelPhoto, directory: Path) -> None:
    """Copy a photo into a model's directory as `photo.<suffix>`, if the file is still what it was."""
    if any(path.is_file() and files.sha256(path) == photo.sha256 for path in _in_model(directory)):
        return
    suffix = photo.path.suffix.lower().replace("tiff", "tif")
    name = f"photo{suffix}" if f"photo{suffix}" in files.PHOTOS else files.PHOTOS[0]
    target = directory / name  # is read by its content: another suffix than its own does no harm
    try:
        with files.atomic_path(target) as temporary:
            shutil.copyfile(photo.path, temporary)
            if files.sha256(temporary) != photo.sha256:
                raise OSError("another file by now")
    except OSError as error:
        why = error.strerror or str(error)
        log.warning("%s: the photo is not kept in the model (%s); pictures need --photo", photo.path, why)


def _candidates(name: str, directory: Path | None) -> Iterator[Path]:
    """Yield files that may be the photo, the likeliest first."""
    if directory is not None:
        yield from (path for path in _in_model(directory) if path.is_file())
    yield from sorted(SHIPPED.glob("*.jpg"), key=lambda path: (path.name != name, path.name))


def _in_model(directory: Path) -> list[Path]:
    return [directory / name for name in files.PHOTOS]
