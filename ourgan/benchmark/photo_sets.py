"""Sets of photographs: TOML manifests that say which file is meant, by whom, and under which licence.

A manifest lies in data/sets or anywhere else:

    about = "what the set is"
    directory = "photos"         # of its files, relative to the manifest
    obtain = "how to get the files"
    paper = "ST4K"               # the paper's name of the set, where it has one
    photos = [
      {file = "a.jpg", sha256 = "...", licence = "CC BY 4.0", author = "A. B.", source = "https://..."},
    ]

What is left out of a photo is "unknown", to be filled in. A photo whose checksum is unknown cannot be used: a
number must say which picture it is of.
"""

from __future__ import annotations

import logging
import re
from dataclasses import dataclass
from pathlib import Path

from ourgan._core import files
from ourgan._core.errors import OurganError
from ourgan._core.strict_toml import ConfigError, from_dict, one_of, read_named, read_table

log = logging.getLogger(__name__)

SETS = Path(__file__).parents[2] / "data" / "sets"
UNKNOWN = "unknown"
KINDS = ("scenery", "texture")
_SHA256 = re.compile(r"[0-9a-f]{64}|unknown")


class SetError(OurganError):
    """A set of photographs that cannot be used as it is; says which files and what to do."""


@dataclass(frozen=True)
class Photograph:
    """One line of a manifest. `source`: where the file is from. `kind`: "scenery" or "texture"."""

    file: str
    sha256: str = UNKNOWN
    licence: str = UNKNOWN
    author: str = UNKNOWN
    source: str = UNKNOWN
    kind: str = "scenery"

    def __post_init__(self) -> None:
        one_of("kind", self.kind, KINDS)
        if not _SHA256.fullmatch(self.sha256):
            raise ConfigError(f"sha256 is '{self.sha256}': give 64 hexadecimal digits, or \"{UNKNOWN}\"")
        if Path(self.file).is_absolute() or ".." in Path(self.file).parts or not self.file:
            raise ConfigError(f"file is '{self.file}': give a path below the manifest's directory")

    @property
    def name(self) -> str:
        """The file's name without its suffix: what tables and directories call it."""
        return Path(self.file).stem


@dataclass(frozen=True)
class PhotoSet:
    """A manifest at `path`, of files in `directory`; `paper`: the paper's name for the set."""

    path: Path
    directory: Path
    about: str
    obtain: str
    paper: str
    photos: tuple[Photograph, ...]

    @property
    def name(self) -> str:
        """The name of the manifest, without .toml."""
        return self.path.stem

    @property
    def scenery(self) -> list[Photograph]:
        """The photos that are evaluated: the paper leaves the textures of ST4K out (Sec. 4.1)."""
        return [photo for photo in self.photos if photo.kind == "scenery"]

    def file(self, photo: Photograph) -> Path:
        """Return where the photo's file should be."""
        return self.directory / photo.file


@dataclass(frozen=True)
class _Manifest:
    about: str
    obtain: str
    directory: str = "."
    paper: str = ""


def load_set(name: str = "shipped") -> PhotoSet:
    """Read a manifest by its name in data/sets, or from a path that ends in .toml; no photo is opened yet.

    Raises:
        ConfigError: There is no such set, a key is unknown, or two photos have one name.
    """
    known = sorted(manifest.stem for manifest in SETS.glob("*.toml"))
    path, table = read_named("set", name, SETS, known, read_table)
    listed = table.pop("photos", None)
    if not isinstance(listed, list) or not listed or not all(isinstance(entry, dict) for entry in listed):
        raise ConfigError(f"{path}: 'photos' must be a list of tables, with at least one")
    manifest = from_dict(_Manifest, table, str(path))
    photos = tuple(
        from_dict(Photograph, entry, f"{path}, photo {number}") for number, entry in enumerate(listed, 1)
    )
    names = [photo.name for photo in photos]
    if twice := sorted({each for each in names if names.count(each) > 1}):
        raise ConfigError(f"{path}: two photos are called {twice[0]}; give the files different names")
    return PhotoSet(path, photos=photos, **vars(manifest) | {"directory": path.parent / manifest.directory})


def verify(photo_set: PhotoSet) -> dict[Photograph, Path]:
    """Return the files of a set's scenery, each seen to be the one that is meant.

    Raises:
        SetError: Files are missing (the line says how to get them), another file has that name, or a checksum
            is unknown.
    """
    photos = photo_set.scenery
    missing = [photo.file for photo in photos if not photo_set.file(photo).is_file()]
    if missing:
        some = ", ".join(missing[:3]) + (", ..." if len(missing) > 3 else "")
        raise SetError(
            f"{photo_set.path}: {len(missing)} of {len(photos)} photos are not in {photo_set.directory} "
            f"({some}); {photo_set.obtain}"
        )
    for photo in photos:
        sha256 = files.sha256(photo_set.file(photo))
        if photo.sha256 == UNKNOWN:
            raise SetError(
                f"{photo_set.path}: the sha256 of {photo.file} is unknown; the file there has {sha256}: "
                "write that into the manifest once you know that it is the right picture"
            )
        if sha256 != photo.sha256:
            raise SetError(
                f"{photo_set.file(photo)}: not the picture that {photo_set.path} means (its sha256 is "
                f"{sha256[:12]}..., it should be {photo.sha256[:12]}...); get it again"
            )
        if photo.licence == UNKNOWN:
            log.info("%s: its licence is unknown; ask before you publish pictures made of it", photo.file)
    return {photo: photo_set.file(photo) for photo in photos}
