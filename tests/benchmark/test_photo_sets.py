"""Manifests of photographs: complete, fillable, and strict."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

import pytest

from ourgan._core.errors import OurganError
from ourgan.benchmark.photo_sets import SETS, PhotoSet, SetError, load_set, verify

PHOTOS = Path(__file__).parents[2] / "data" / "photos"
ENTRY = 'file = "sunset.jpg", sha256 = "474dab6a4b9f94dc76c29dfe30e9f5db4af0fd2e33fe5d695f8152b371efca18"'


def manifest(directory: Path, *photos: str, head: str = 'about = "mine"\nobtain = "ask me"\n') -> Path:
    path = directory / "mine.toml"
    path.write_text(head + "photos = [\n" + "".join(f"  {{{photo}}},\n" for photo in photos) + "]\n")
    return path


def test_the_shipped_set_is_complete_and_true() -> None:
    shipped = load_set()
    assert [path.name for path in verify(shipped).values()] == [photo.file for photo in shipped.photos]
    assert {path.name for path in PHOTOS.glob("*.jpg")} == {photo.file for photo in shipped.photos}
    assert not [photo for photo in shipped.photos if "unknown" in vars(photo).values()]
    listed = (PHOTOS / "LICENSES.md").read_text()
    assert all(
        photo.file in listed and photo.licence in listed and photo.author in listed
        for photo in shipped.photos
    )


@pytest.mark.parametrize(
    ("name", "scenery", "texture", "paper"), [("st4k", 25, 25, "ST4K"), ("raise50", 50, 0, "RAISE")]
)
def test_the_papers_sets_say_what_is_missing(name: str, scenery: int, texture: int, paper: str) -> None:
    found = load_set(name)
    assert (len(found.scenery), len(found.photos) - len(found.scenery), found.paper) == (
        scenery,
        texture,
        paper,
    )
    if not found.directory.exists():
        with pytest.raises(SetError) as caught:
            verify(found)
        line = str(caught.value)
        assert "\n" not in line and f"{scenery} of {scenery}" in line and found.obtain in line


def test_a_manifest_is_filled_in_step_by_step(tmp_path: Path) -> None:
    path = manifest(tmp_path, 'file = "sunset.jpg"', 'file = "wood.jpg", kind = "texture"')
    with pytest.raises(SetError, match=r"1 of 1 photos are not in .*\(sunset\.jpg\); ask me"):
        verify(load_set(str(path)))
    shutil.copy(PHOTOS / "sunset.jpg", tmp_path)
    found = hashlib.sha256((PHOTOS / "sunset.jpg").read_bytes()).hexdigest()
    with pytest.raises(SetError, match=f"unknown; the file there has {found}"):
        verify(load_set(str(path)))
    path = manifest(tmp_path, ENTRY, 'file = "wood.jpg", kind = "texture"')
    assert list(verify(load_set(str(path))).values()) == [tmp_path / "sunset.jpg"]


def test_another_file_of_that_name_is_refused(tmp_path: Path) -> None:
    path = manifest(tmp_path, ENTRY)
    shutil.copy(PHOTOS / "stream.jpg", tmp_path / "sunset.jpg")
    with pytest.raises(SetError, match=r"sunset\.jpg: not the picture .*4c119350ead8.*474dab6a4b9f"):
        verify(load_set(str(path)))


@pytest.mark.parametrize(
    ("photo", "says"),
    [
        ('file = "a.jpg", license = "MIT"', r"photo 1: unknown key 'license' \(did you mean 'licence'\?\)"),
        ('file = "a.jpg", sha256 = "474d"', "64 hexadecimal digits"),
        ('file = "a.jpg", kind = "scenry"', "did you mean 'scenery'"),
        ('file = "../../etc/passwd"', "below the manifest's directory"),
        ('licence = "MIT"', "file"),
        ('file = 3', "must be of type str"),
    ],
)  # fmt: skip
def test_photos_that_are_refused(photo: str, says: str, tmp_path: Path) -> None:
    with pytest.raises(OurganError, match=says) as caught:
        load_set(str(manifest(tmp_path, photo)))
    assert "mine.toml" in str(caught.value) and "\n" not in str(caught.value)


def test_manifests_that_are_refused(tmp_path: Path) -> None:
    def refused(path: Path | str, says: str) -> None:
        with pytest.raises(OurganError, match=says):
            load_set(str(path))

    refused("shiped", "did you mean 'shipped'")
    refused(tmp_path / "none.toml", "there is no set")
    refused(manifest(tmp_path), "at least one")
    refused(manifest(tmp_path, ENTRY, ENTRY), "two photos are called sunset")
    refused(manifest(tmp_path, ENTRY, head='about = "x"\nobtain = "y"\npapr = "z"\n'), "did you mean 'paper'")
    (tmp_path / "mine.toml").write_text("photos = [")
    refused(tmp_path / "mine.toml", "cannot read the set")
    (tmp_path / "mine.toml").write_text('about = "x"\nobtain = "y"\nphotos = ["a.jpg"]')
    refused(tmp_path / "mine.toml", "list of tables")


def test_every_manifest_here_can_be_read() -> None:
    sets: list[PhotoSet] = [load_set(path.stem) for path in SETS.glob("*.toml")]
    assert {each.name for each in sets} >= {"shipped", "st4k", "raise50"}
